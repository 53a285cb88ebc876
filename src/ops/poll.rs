//! `poll`: how servers are, from watch groups. It never guesses: dead needs proof.

use super::watch::Look;
use super::{Ops, check_server};
use crate::backend::{Backend, Found, Record, Report, Settings, Sighting, Site, names};
use crate::error::Failure;
use crate::wire::reply::PollResult;
use crate::wire::{Cleanup, Code, Phase, PollParams, PollTarget, ServerStatus};
use futures_util::future::{join, join_all};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

impl Ops {
    /// One status a target, in their order. May be repeated.
    ///
    /// # Errors
    /// Only where the request itself cannot be understood; all else is phase `unknown`.
    pub async fn poll(&self, params: PollParams, deadline: Instant) -> Result<PollResult, Failure> {
        let backend = self.registry.get(&params.backend)?;
        check_targets(&params.targets)?;
        let asked = Asked {
            backend: backend.as_ref(),
            settings: Settings {
                config: &params.config,
                credentials: &params.credentials,
            },
            max_age: Duration::from_millis(params.max_age_ms),
            ages: params.ages,
            deadline,
        };
        let mut told = Vec::with_capacity(params.targets.len());
        // A hub has thousands of servers in one place: they are looked for there together.
        let mut places: BTreeMap<_, Vec<Target>> = BTreeMap::new();
        for (nth, target) in params.targets.into_iter().enumerate() {
            match Target::read(nth, target, backend.name()) {
                Ok(target) => {
                    let place = target.record.as_deref().map(|r| backend.place(r));
                    places.entry(place).or_default().push(target);
                }
                Err(status) => told.push((nth, *status)),
            }
        }
        let each = places
            .into_values()
            .map(|targets| self.in_one_place(&asked, targets));
        told.extend(join_all(each).await.into_iter().flatten());
        told.sort_unstable_by_key(|(nth, _)| *nth);
        let servers = told.into_iter().map(|(_, status)| status).collect();
        Ok(PollResult { servers })
    }

    /// The statuses of servers whose records name the same place, or none.
    async fn in_one_place(
        &self,
        asked: &Asked<'_>,
        targets: Vec<Target>,
    ) -> Vec<(usize, ServerStatus)> {
        let record = targets.first().and_then(|target| target.record.clone());
        let sites = asked.backend.sites(asked.settings, record.as_deref());
        let sites = match asked.in_time(sites).await {
            Ok(sites) => sites,
            Err(failure) => {
                let told = |target: Target| asked.told(&target, Err(failure.clone()));
                return targets.into_iter().map(told).collect();
            }
        };
        // A server whose cloud name is known has a watch group.
        let known = |target: &Target| !sites.is_empty() && target.reference().is_some();
        let (watched, sought): (Vec<_>, Vec<_>) = targets.into_iter().partition(known);
        let lookups = sought.iter().map(|target| async {
            let found = self.look_up(asked, &sites, target);
            asked.told(target, asked.in_time(found).await)
        });
        let (mut told, found) = join(self.looks(asked, &sites, watched), join_all(lookups)).await;
        told.extend(found);
        told
    }

    async fn looks(
        &self,
        asked: &Asked<'_>,
        sites: &[Arc<dyn Site>],
        mut targets: Vec<Target>,
    ) -> Vec<(usize, ServerStatus)> {
        let Some(site) = sites.first() else {
            return Vec::new();
        };
        let records = targets.iter_mut().filter_map(|target| target.record.take());
        let mut records: Vec<Arc<Record>> = records.collect();
        let looks = self
            .watch
            .look(site, &mut records, asked.max_age, asked.deadline);
        let looks = looks.await.into_iter().zip(&records);
        let statuses = looks.map(|(look, record)| {
            let look = look.ok_or_else(too_late)?;
            let age_ms = asked.ages.then(|| look.age_ms());
            let status = self.status_of(asked.backend, site, record, look)?;
            Ok(ServerStatus { age_ms, ..status })
        });
        let statuses = targets.iter().zip(statuses);
        statuses
            .map(|(target, status)| asked.told(target, status))
            .collect()
    }

    fn status_of(
        &self,
        backend: &dyn Backend,
        site: &Arc<dyn Site>,
        record: &Record,
        look: Look,
    ) -> Result<ServerStatus, Failure> {
        let status = match look.sighting {
            Sighting::Seen(report) => {
                let news = report.url.is_some() && report.url != record.url;
                let state = news.then(|| {
                    let url = report.url.clone();
                    let record = record.clone();
                    Record { url, ..record }.write(backend.name())
                });
                seen(&record.key, report, state.transpose()?)
            }
            Sighting::Missing => {
                let proof = look.ever_seen || record.url.is_some();
                if proof || !self.may_still_appear(record) {
                    gone(&record.key)
                } else {
                    plain(Some(record.key.clone()), Phase::Pending)
                }
            }
            Sighting::Unclear(failure) => return Err(failure),
        };
        if matches!(status.phase, Phase::Exited | Phase::Gone) {
            self.watch
                .forget(site, record.reference.as_deref().unwrap_or_default());
        }
        Ok(status)
    }

    /// A server whose cloud name is not known, by the key that it bears.
    async fn look_up(
        &self,
        asked: &Asked<'_>,
        sites: &[Arc<dyn Site>],
        target: &Target,
    ) -> Result<ServerStatus, Failure> {
        let (key, record) = (&target.key, target.record.as_deref().cloned());
        let mut found = Vec::new();
        for site in sites {
            found.extend(site.find(key, asked.deadline).await?);
        }
        let attempt = record.as_ref().map(|r| r.attempt.as_str());
        if let Some(best) = best_of(found, attempt) {
            let known = match record {
                // What the state knows of port and place is better than what the task tells.
                Some(record) => Record {
                    reference: best.record.reference,
                    ..record
                },
                None => best.record,
            };
            let state = known.write(asked.backend.name())?;
            return Ok(seen(key, best.report, Some(state)));
        }
        Ok(match record {
            Some(record) if self.may_still_appear(&record) => {
                plain(Some(record.key), Phase::Pending)
            }
            _ => gone(key),
        })
    }
}

fn check_targets(targets: &[PollTarget]) -> Result<(), Failure> {
    for (index, target) in targets.iter().enumerate() {
        match &target.server {
            Some(server) => check_server(server, &format!("params.targets[{index}].server"))?,
            None if target.state.is_none() => {
                return Err(Failure::new(
                    Code::BadRequest,
                    format!("params.targets[{index}]: needs server or state"),
                ));
            }
            None => {}
        }
    }
    Ok(())
}

/// What is the same for all servers of a request.
struct Asked<'a> {
    backend: &'a dyn Backend,
    settings: Settings<'a>,
    max_age: Duration,
    /// Whether each answer tells how old it is.
    ages: bool,
    deadline: Instant,
}

impl Asked<'_> {
    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let done = tokio::time::timeout_at(self.deadline, work).await;
        done.unwrap_or_else(|_| Err(too_late()))
    }

    fn told(
        &self,
        target: &Target,
        status: Result<ServerStatus, Failure>,
    ) -> (usize, ServerStatus) {
        let failed =
            |failure: Failure| unknown(Some(target.key.clone()), failure.of(self.backend.name()));
        (target.nth, status.unwrap_or_else(failed))
    }
}

fn too_late() -> Failure {
    Failure::new(Code::Deadline, "the cloud did not tell in time")
}

/// One server that is asked about.
struct Target {
    /// Its place in the request.
    nth: usize,
    /// The state's own wins: users are renamed.
    key: String,
    record: Option<Arc<Record>>,
}

impl Target {
    /// Reads what `check_targets` has let pass; a state that cannot be read is a status, too.
    fn read(nth: usize, target: PollTarget, backend: &str) -> Result<Self, Box<ServerStatus>> {
        let key = || target.server.as_ref().map(names::key);
        let record = target.state.map(|state| Record::read(state, backend));
        match record.transpose() {
            Ok(record) => Ok(Self {
                nth,
                key: record
                    .as_ref()
                    .map(|r| r.key.clone())
                    .or_else(key)
                    .unwrap_or_default(),
                record: record.map(Arc::new),
            }),
            Err(failure) => Err(Box::new(unknown(key(), failure.of(backend)))),
        }
    }

    fn reference(&self) -> Option<&str> {
        self.record.as_ref()?.reference.as_deref()
    }
}

/// Of several, the attempt's own; else the one that runs; else the newest.
fn best_of(found: Vec<Found>, attempt: Option<&str>) -> Option<Found> {
    found.into_iter().max_by_key(|f| {
        (
            attempt.is_some_and(|a| !a.is_empty() && a == f.record.attempt),
            f.report.phase == Phase::Running,
            f.created_at_ms,
        )
    })
}

fn plain(key: Option<String>, phase: Phase) -> ServerStatus {
    ServerStatus {
        key,
        phase,
        exit_code: None,
        url: None,
        target_url: None,
        cleanup: Cleanup::None,
        reason: None,
        error: None,
        last_activity: None,
        age_ms: None,
        state: None,
    }
}

fn seen(key: &str, report: Report, state: Option<crate::wire::State>) -> ServerStatus {
    // What a start would fail for is told of a server that has run only where the cloud itself took it down.
    let taken_down = report
        .ending
        .filter(|ending| ending.code() == Code::CapacityUnavailable);
    ServerStatus {
        error: taken_down.map(|failure| *failure.0),
        exit_code: report.exit_code,
        cleanup: report.cleanup,
        url: report.url,
        target_url: report.target_url,
        reason: report.reason,
        last_activity: report.last_activity,
        state,
        ..plain(Some(key.to_owned()), report.phase)
    }
}

fn gone(key: &str) -> ServerStatus {
    ServerStatus {
        // JupyterHub's own word for "ended, and not known how" (Spawner.poll).
        exit_code: Some(0),
        ..plain(Some(key.to_owned()), Phase::Gone)
    }
}

fn unknown(key: Option<String>, failure: Failure) -> ServerStatus {
    ServerStatus {
        error: Some(*failure.0),
        ..plain(key, Phase::Unknown)
    }
}
