//! Watch groups: the servers of one place are looked at together, and one refresh answers everybody.
//!
//! A poll whose observation is too old refreshes the whole group. A start that waits refreshes only the servers that
//! starts wait for; the room that is left in its last batch goes to those that were seen longest ago.

use crate::backend::{Record, Sighting, Site};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A server that nobody asked about for this long, or for three times what its caller accepts, leaves its group
/// (protocol, poll).
const LEAVES_AFTER: Duration = Duration::from_mins(2);
/// The pause of a start before it looks for the first time, and after an answer that told nothing.
const FIRST_LOOK: Duration = Duration::from_millis(500);
/// The longest pause of a start while the cloud does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// All groups of this process.
#[derive(Default)]
pub struct Watch {
    groups: Mutex<HashMap<String, Arc<Group>>>,
}

struct Group {
    site: Arc<dyn Site>,
    members: Mutex<HashMap<String, Member>>,
    /// Held by the one refresh that is under way.
    flight: tokio::sync::Mutex<()>,
}

struct Member {
    record: Arc<Record>,
    last: Option<Look>,
    /// When the cloud last told how it is.
    known_at: Option<Instant>,
    asked: Instant,
    stays: Duration,
    followers: u32,
}

/// What is known of a server, and since when.
#[derive(Debug, Clone)]
pub struct Look {
    /// When the cloud was asked.
    pub at: Instant,
    /// What it told.
    pub sighting: Sighting,
    /// Whether it has told of this server before or now.
    pub ever_seen: bool,
}

enum Whom {
    All,
    Followed,
}

impl Watch {
    /// How the server is, by an observation that is at most `max_age` old.
    ///
    /// Drop it at the caller's deadline: another caller then leads the refresh.
    pub async fn look(
        &self,
        site: &Arc<dyn Site>,
        record: &Record,
        max_age: Duration,
        deadline: Instant,
    ) -> Look {
        let group = self.group(site);
        let reference = record.reference.clone().unwrap_or_default();
        let arrived = Instant::now();
        let fresh_enough = |look: &Look| look.at + max_age >= arrived && !max_age.is_zero();
        if let Some(look) = group.join(record, max_age).filter(fresh_enough) {
            return look;
        }
        group
            .refreshed(&reference, arrived, Whom::All, deadline)
            .await
    }

    /// Makes the server a member of its group, so that the next refresh asks about it too.
    pub fn join(&self, site: &Arc<dyn Site>, record: &Record, max_age: Duration) {
        self.group(site).join(record, max_age);
    }

    /// Watches a server closely, for a start, until the result is dropped.
    pub fn follow(&self, site: &Arc<dyn Site>, record: &Record) -> Follow {
        let group = self.group(site);
        group.join(record, Duration::ZERO);
        let reference = record.reference.clone().unwrap_or_default();
        if let Some(member) = group.lock().get_mut(&reference) {
            member.followers += 1;
        }
        Follow {
            group,
            reference,
            pause: FIRST_LOOK,
        }
    }

    /// Drops a server that has ended.
    pub fn forget(&self, site: &Arc<dyn Site>, reference: &str) {
        let mut groups = lock(&self.groups);
        if let Some(group) = groups.get(site.id()) {
            let mut members = group.lock();
            if members.get(reference).is_some_and(|m| m.followers == 0) {
                members.remove(reference);
            }
            let empty = members.is_empty();
            drop(members);
            if empty && Arc::strong_count(group) == 1 {
                groups.remove(site.id());
            }
        }
    }

    fn group(&self, site: &Arc<dyn Site>) -> Arc<Group> {
        lock(&self.groups)
            .entry(site.id().to_owned())
            .or_insert_with(|| {
                Arc::new(Group {
                    site: site.clone(),
                    members: Mutex::default(),
                    flight: tokio::sync::Mutex::default(),
                })
            })
            .clone()
    }
}

impl Group {
    /// Makes the server a member, or says that it was asked for again; gives what is known of it.
    fn join(&self, record: &Record, max_age: Duration) -> Option<Look> {
        let reference = record.reference.clone().unwrap_or_default();
        let mut members = self.lock();
        let now = Instant::now();
        let member = members.entry(reference).or_insert_with(|| Member {
            record: Arc::new(record.clone()),
            last: None,
            known_at: None,
            asked: now,
            stays: LEAVES_AFTER,
            followers: 0,
        });
        if *member.record != *record {
            member.record = Arc::new(record.clone());
        }
        member.asked = now;
        member.stays = member.stays.max(max_age * 3);
        member.last.clone()
    }

    /// Waits for a refresh that ended after `since`; leads one itself where nobody else does.
    async fn refreshed(
        &self,
        reference: &str,
        since: Instant,
        whom: Whom,
        deadline: Instant,
    ) -> Look {
        let _flight = self.flight.lock().await;
        let known = |look: &Look| look.at >= since;
        if let Some(look) = self.last(reference).filter(known) {
            return look;
        }
        let records = match whom {
            Whom::All => self.everybody(),
            Whom::Followed => self.followed(),
        };
        tracing::debug!(servers = records.len(), "refreshing a watch group");
        let sightings = self.site.observe(&records, deadline).await;
        let at = Instant::now();
        {
            let mut members = self.lock();
            for (record, sighting) in records.iter().zip(sightings) {
                let reference = record.reference.as_deref().unwrap_or_default();
                if let Some(member) = members.get_mut(reference) {
                    let seen_before = member.last.as_ref().is_some_and(|l| l.ever_seen);
                    if !matches!(sighting, Sighting::Unclear(_)) {
                        member.known_at = Some(at);
                    }
                    member.last = Some(Look {
                        at,
                        ever_seen: seen_before || matches!(sighting, Sighting::Seen(_)),
                        sighting,
                    });
                }
            }
        }
        // A server that left the group meanwhile was stopped by someone: nothing is known of it any more.
        self.last(reference).unwrap_or(Look {
            at,
            sighting: Sighting::Missing,
            ever_seen: true,
        })
    }

    fn last(&self, reference: &str) -> Option<Look> {
        self.lock().get(reference)?.last.clone()
    }

    fn everybody(&self) -> Vec<Arc<Record>> {
        let now = Instant::now();
        let mut members = self.lock();
        members.retain(|_, m| m.followers > 0 || now < m.asked + m.stays);
        let mut all: Vec<_> = members.values().collect();
        // Where a quota does not last for all, those of whom nothing is known for the longest time come first.
        all.sort_by_key(|m| m.known_at);
        all.into_iter().map(|m| m.record.clone()).collect()
    }

    fn followed(&self) -> Vec<Arc<Record>> {
        let members = self.lock();
        let (followed, mut others): (Vec<_>, Vec<_>) =
            members.values().partition(|m| m.followers > 0);
        others.sort_by_key(|m| m.last.as_ref().map(|l| l.at));
        let room = followed.len().next_multiple_of(self.site.batch()) - followed.len();
        followed
            .into_iter()
            .chain(others.into_iter().take(room))
            .map(|m| m.record.clone())
            .collect()
    }

    fn calls_for_followed(&self) -> u32 {
        let followed = self.lock().values().filter(|m| m.followers > 0).count();
        self.site.calls_for(followed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Member>> {
        lock(&self.members)
    }
}

/// A start's close look at its own server.
pub struct Follow {
    group: Arc<Group>,
    reference: String,
    pause: Duration,
}

impl Follow {
    /// The next observation, as soon as it is worth asking; starts that run side by side share each refresh.
    pub async fn next(&mut self, deadline: Instant) -> Look {
        let last = self.group.last(&self.reference).map(|look| look.at);
        let calls = self.group.calls_for_followed().max(1);
        let due = last.unwrap_or_else(Instant::now) + self.pause * calls;
        tokio::time::sleep_until(due).await;
        let newer = last.map_or(due, |at| at + Duration::from_nanos(1));
        let look = self
            .group
            .refreshed(&self.reference, newer, Whom::Followed, deadline)
            .await;
        self.pause = match &look.sighting {
            Sighting::Seen(report) => report.look_again,
            Sighting::Missing => FIRST_LOOK,
            Sighting::Unclear(_) => (self.pause * 2).min(LONGEST_PAUSE),
        };
        look
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        if let Some(member) = self.group.lock().get_mut(&self.reference) {
            member.followers = member.followers.saturating_sub(1);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
