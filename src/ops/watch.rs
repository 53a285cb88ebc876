//! Watch groups: the servers of one place are looked at together, and one refresh answers everybody.
//!
//! A poll whose observation is too old makes a refresh of all servers that polls wait for just then, a start one of those
//! that starts wait for. The room that is left in the last call goes to those that were asked about longest ago and not
//! looked at since, for they are the next whom somebody asks about: a hub that polls its servers in turn makes a call for each hundred of
//! them, evenly in time, and no poll waits for more than its own. Where one list tells about all, a poll refreshes all.
//!
//! Nothing is refreshed while nobody asks.

use crate::backend::{Record, Sighting, Site};
use crate::error::Failure;
use crate::lock::lock;
use crate::wire::Code;
use crate::wire::reply::WatchStats;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// A server that nobody asked about for this long, or for three times what its caller accepts, leaves its group
/// (protocol, poll).
const LEAVES_AFTER: Duration = Duration::from_mins(2);
/// What polls accept until one says it, by JupyterHub's own interval: the first after a hub's restart does not tell when the next comes.
const USUAL_AGE: Duration = Duration::from_secs(27);
/// The pause of a start before it looks for the first time, and after an answer that told nothing.
const FIRST_LOOK: Duration = Duration::from_millis(500);
/// Starts that come one after the other look together rather than each half a second after its own beginning: for each call of
/// their last look so much time passes before the next, so that looks leave most of the smallest quota (20 a second) to others.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
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
    /// When starts may look again.
    next_follow: Mutex<Option<Instant>>,
}

struct Member {
    record: Arc<Record>,
    /// What was asked before may not know of what this program has done to the server meanwhile.
    joined: Instant,
    last: Option<Look>,
    /// When the cloud last told how it is.
    known_at: Option<Instant>,
    /// Whether a poll waits for the next refresh.
    wanted: bool,
    asked: Instant,
    /// What its last poll accepted that accepted anything.
    max_age: Duration,
    followers: u32,
}

/// What is known of a server, and since when.
#[derive(Debug, Clone)]
pub struct Look {
    /// When the cloud was asked.
    began: Instant,
    /// When it had answered.
    ended: Instant,
    /// What it told.
    pub sighting: Sighting,
    /// Whether it has told of this server before or now.
    pub ever_seen: bool,
}

impl Look {
    /// The newer one, unless it tells nothing and the older one, which is young enough, does.
    fn better(newer: Option<Self>, older: Option<Self>) -> Option<Self> {
        match (newer, older) {
            (Some(newer), Some(older)) if matches!(newer.sighting, Sighting::Unclear(_)) => {
                Some(older)
            }
            (newer, older) => newer.or(older),
        }
    }

    /// How old it is, in milliseconds, rounded up: who keeps it must not take it for younger than it is.
    pub fn age_ms(&self) -> u64 {
        let age = self.began.elapsed().as_micros().div_ceil(1_000);
        u64::try_from(age).unwrap_or(u64::MAX)
    }
}

enum Whom {
    Polled,
    Followed,
}

impl Member {
    /// Whether what is known will be young enough when the next poll comes. The shim accepts nine tenths of its poll interval
    /// (protocol, poll), so that poll comes a ninth later than what is accepted.
    fn is_known_at_the_next_poll(&self) -> bool {
        let last = self.last.as_ref();
        last.is_some_and(|look| look.began >= self.asked + self.max_age / 9)
    }
}

impl Watch {
    /// How these servers are, in their order, by observations that are at most `max_age` old; none for those of whom nothing
    /// was told before `deadline`.
    ///
    /// All of them join their group first, so that one refresh answers for all; equal records become the group's own, so that
    /// thousands of polls that wait hold none of theirs. Where one is looked at, so are all whose next poll needs it. It may be
    /// dropped: another caller then leads the refresh.
    pub async fn look(
        &self,
        site: &Arc<dyn Site>,
        records: &mut [Arc<Record>],
        max_age: Duration,
        deadline: Instant,
    ) -> Vec<Option<Look>> {
        let group = self.group(site);
        let arrived = Instant::now();
        let joined = records.iter_mut().map(|record| group.join(record, max_age));
        let mut looks: Vec<Option<Look>> = joined.collect();
        if looks.iter().all(Option::is_some) {
            return looks;
        }
        // The cloud is asked anyway: it tells of those, too, whose next poll will accept no longer what is known.
        let is_due = |look: &Option<Look>| {
            let known = look.as_ref().map(|look| look.began + max_age / 9);
            known.is_none_or(|until| until < arrived)
        };
        let due = records.iter().zip(&looks).filter(|(_, look)| is_due(look));
        let due: Vec<Arc<Record>> = due.map(|(record, _)| record.clone()).collect();
        let refreshed = group.refreshed(&due, arrived, Whom::Polled, deadline);
        let refreshed = tokio::time::timeout_at(deadline, refreshed).await;
        let mut fresh = refreshed.unwrap_or_default().into_iter();
        for look in looks.iter_mut().filter(|look| is_due(look)) {
            *look = Look::better(fresh.next(), look.take());
        }
        looks
    }

    /// Watches a server closely, for a start, until the result is dropped.
    pub fn follow(&self, site: &Arc<dyn Site>, record: &Record) -> Follow {
        let group = self.group(site);
        let record = Arc::new(record.clone());
        group.member(&record, |member| member.followers += 1);
        Follow {
            group,
            record,
            pause: FIRST_LOOK,
        }
    }

    /// Drops a server that has ended or that something was done to.
    pub fn forget(&self, site: &Arc<dyn Site>, reference: &str) {
        let mut groups = lock(&self.groups);
        if let Some(group) = groups.get(site.id()) {
            let mut members = group.lock();
            if let Some(mut member) = members.remove(reference)
                && member.followers > 0
            {
                member.last = None;
                member.joined = Instant::now();
                members.insert(reference.to_owned(), member);
            }
            let empty = members.is_empty();
            drop(members);
            if empty && Arc::strong_count(group) == 1 {
                groups.remove(site.id());
            }
        }
    }

    /// The size of each group, and how long ago the cloud last told of the one that it told of longest ago.
    pub fn stats(&self) -> Vec<WatchStats> {
        let groups: Vec<_> = lock(&self.groups).values().cloned().collect();
        let stats = groups.iter().map(|group| {
            let members = group.lock();
            let oldest = members.values().filter_map(|member| member.known_at).min();
            let age_ms = oldest.map_or(0, |known| known.elapsed().as_millis());
            WatchStats {
                servers: members.len(),
                age_ms: u64::try_from(age_ms).unwrap_or(u64::MAX),
            }
        });
        stats.collect()
    }

    fn group(&self, site: &Arc<dyn Site>) -> Arc<Group> {
        lock(&self.groups)
            .entry(site.id().to_owned())
            .or_insert_with(|| {
                Arc::new(Group {
                    site: site.clone(),
                    members: Mutex::default(),
                    flight: tokio::sync::Mutex::default(),
                    next_follow: Mutex::default(),
                })
            })
            .clone()
    }
}

impl Group {
    /// Makes the server a member, or says that it was asked for again; gives what is known of it, if that is young enough.
    fn join(&self, record: &mut Arc<Record>, max_age: Duration) -> Option<Look> {
        let given = record.clone();
        self.member(&given, |member| {
            record.clone_from(&member.record);
            member.asked = Instant::now();
            if !max_age.is_zero() {
                member.max_age = max_age;
            }
            let young = |look: &&Look| !max_age.is_zero() && look.began + max_age >= member.asked;
            let look = member.last.as_ref().filter(young).cloned();
            member.wanted |= look.is_none();
            look
        })
    }

    fn member<T>(&self, record: &Arc<Record>, work: impl FnOnce(&mut Member) -> T) -> T {
        let reference = record.reference.clone().unwrap_or_default();
        let mut members = self.lock();
        let member = members.entry(reference).or_insert_with(|| Member {
            record: record.clone(),
            joined: Instant::now(),
            last: None,
            known_at: None,
            wanted: false,
            asked: Instant::now(),
            max_age: USUAL_AGE,
            followers: 0,
        });
        if member.record != *record {
            member.record = record.clone();
        }
        work(member)
    }

    /// Waits for a refresh that ended after `since`; leads one itself where nobody else does.
    async fn refreshed(
        &self,
        records: &[Arc<Record>],
        since: Instant,
        whom: Whom,
        deadline: Instant,
    ) -> Vec<Look> {
        let known = |record: &Arc<Record>| {
            let look = self.last(record.reference.as_deref().unwrap_or_default());
            look.filter(|look| look.ended >= since)
        };
        let _flight = self.flight.lock().await;
        if let Some(looks) = records.iter().map(known).collect() {
            return looks;
        }
        // They may have left while this waited, since somebody stopped them.
        for record in records {
            self.member(record, |member| member.wanted = true);
        }
        let began = Instant::now();
        let asked = match whom {
            Whom::Polled => self.polled(began),
            Whom::Followed => self.followed(),
        };
        tracing::debug!(servers = asked.len(), "refreshing a watch group");
        let sightings = self.site.observe(&asked, deadline).await;
        let ended = Instant::now();
        if matches!(whom, Whom::Followed) {
            let calls = u32::try_from(self.site.calls_for(asked.len())).unwrap_or(u32::MAX);
            *lock(&self.next_follow) = Some(ended + BETWEEN_LOOKS * calls);
        }
        let strays = self.keep(&asked, sightings, began, ended);
        let told = |record: &Arc<Record>| {
            let sighting = record
                .reference
                .as_ref()
                .and_then(|r| strays.get(r))
                .cloned();
            Look {
                began,
                ended,
                ever_seen: matches!(sighting, Some(Sighting::Seen(_))),
                sighting: sighting.unwrap_or_else(not_asked),
            }
        };
        let looks = records.iter().map(|r| known(r).unwrap_or_else(|| told(r)));
        looks.collect()
    }

    /// Keeps what was told, and gives what was told of servers that have left meanwhile, or left and come again.
    fn keep(
        &self,
        records: &[Arc<Record>],
        sightings: Vec<Sighting>,
        began: Instant,
        ended: Instant,
    ) -> HashMap<String, Sighting> {
        let mut strays = HashMap::new();
        let mut members = self.lock();
        for (record, sighting) in records.iter().zip(sightings) {
            let reference = record.reference.as_deref().unwrap_or_default();
            let Some(member) = members.get_mut(reference).filter(|m| m.joined <= began) else {
                strays.insert(reference.to_owned(), sighting);
                continue;
            };
            let seen_before = member.last.as_ref().is_some_and(|l| l.ever_seen);
            member.wanted = false;
            if !matches!(sighting, Sighting::Unclear(_)) {
                member.known_at = Some(ended);
            }
            member.last = Some(Look {
                began,
                ended,
                ever_seen: seen_before || matches!(sighting, Sighting::Seen(_)),
                sighting,
            });
        }
        strays
    }

    fn last(&self, reference: &str) -> Option<Look> {
        self.lock().get(reference)?.last.clone()
    }

    fn polled(&self, now: Instant) -> Vec<Arc<Record>> {
        let mut members = self.lock();
        members.retain(|_, m| m.followers > 0 || now < m.asked + LEAVES_AFTER.max(m.max_age * 3));
        match self.site.batch() {
            Some(batch) => choose(&members, batch, |member| member.wanted),
            None => all(&members),
        }
    }

    fn followed(&self) -> Vec<Arc<Record>> {
        choose(&self.lock(), self.site.batch().unwrap_or(1), |member| {
            member.followers > 0
        })
    }

    fn next_follow(&self) -> Option<Instant> {
        *lock(&self.next_follow)
    }

    /// How many calls it takes to look at all that starts wait for: the more it takes, the more slowly starts look.
    fn calls_for_followed(&self) -> u32 {
        let followed = self.lock().values().filter(|m| m.followers > 0).count();
        let calls = self
            .site
            .batch()
            .map_or(1, |batch| followed.div_ceil(batch));
        u32::try_from(calls).unwrap_or(u32::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Member>> {
        lock(&self.members)
    }
}

/// A start's close look at its own server.
pub struct Follow {
    group: Arc<Group>,
    record: Arc<Record>,
    pause: Duration,
}

impl Follow {
    /// The next observation, as soon as it is worth asking; starts that run side by side share each refresh.
    pub async fn next(&mut self, deadline: Instant) -> Look {
        let last = self.group.last(self.reference()).map(|look| look.ended);
        let calls = self.group.calls_for_followed().max(1);
        let mut due = last.unwrap_or_else(Instant::now) + self.pause * calls;
        tokio::time::sleep_until(due).await;
        while let Some(later) = self.group.next_follow()
            && later > due
        {
            due = later;
            tokio::time::sleep_until(due).await;
        }
        let newer = last.map_or(due, |at| at + Duration::from_nanos(1));
        let own = std::slice::from_ref(&self.record);
        let refreshed = self.group.refreshed(own, newer, Whom::Followed, deadline);
        let look = refreshed.await.swap_remove(0);
        self.pause = match &look.sighting {
            Sighting::Seen(report) => report.look_again,
            Sighting::Missing => FIRST_LOOK,
            Sighting::Unclear(_) => (self.pause * 2).min(LONGEST_PAUSE),
        };
        look
    }

    fn reference(&self) -> &str {
        self.record.reference.as_deref().unwrap_or_default()
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        if let Some(member) = self.group.lock().get_mut(self.reference()) {
            member.followers = member.followers.saturating_sub(1);
        }
    }
}

/// No proof of anything.
fn not_asked() -> Sighting {
    Sighting::Unclear(Failure::new(
        Code::Unavailable,
        "the server was not among those that were asked about",
    ))
}

/// Where a quota does not last for all, those of whom nothing is known for the longest time come first.
fn all(members: &HashMap<String, Member>) -> Vec<Arc<Record>> {
    let mut all: Vec<_> = members.values().collect();
    all.sort_by_key(|m| m.known_at);
    all.into_iter().map(|m| m.record.clone()).collect()
}

/// Those that are meant, and as many others as their last call has room for.
fn choose(
    members: &HashMap<String, Member>,
    batch: usize,
    meant: impl Fn(&Member) -> bool,
) -> Vec<Arc<Record>> {
    let (meant, mut others): (Vec<_>, Vec<_>) = members.values().partition(|m| meant(m));
    let room = meant.len().next_multiple_of(batch) - meant.len();
    if room < others.len() {
        others.select_nth_unstable_by_key(room, |m| (m.is_known_at_the_next_poll(), m.asked));
        others.truncate(room);
    }
    let chosen = meant.into_iter().chain(others);
    chosen.map(|m| m.record.clone()).collect()
}

#[cfg(test)]
mod tests;
