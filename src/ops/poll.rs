//! `poll`: how servers are, from watch groups. It never guesses: dead needs proof.

use super::watch::Look;
use super::{Ops, check_server};
use crate::backend::{Backend, Found, Record, Report, Settings, Sighting, Site, names};
use crate::error::Failure;
use crate::wire::reply::PollResult;
use crate::wire::{Cleanup, Code, Phase, PollParams, PollTarget, ServerStatus};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

impl Ops {
    /// One status a target, in their order. May be repeated.
    ///
    /// # Errors
    /// Only where the request itself cannot be understood; all else is phase `unknown`.
    pub async fn poll(
        &self,
        params: &PollParams,
        deadline: Instant,
    ) -> Result<PollResult, Failure> {
        let backend = self.registry.get(&params.backend)?;
        for (index, target) in params.targets.iter().enumerate() {
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
        // Every target joins its watch group before the first refresh, so that one refresh answers all.
        let places = params
            .targets
            .iter()
            .map(|target| self.place(backend.as_ref(), params, target, deadline));
        let places = join_all(places).await;
        let each = params
            .targets
            .iter()
            .zip(places)
            .map(|(target, place)| async {
                let status = async {
                    self.status(backend.as_ref(), params, target, place.known?, deadline)
                        .await
                };
                in_time(deadline, status)
                    .await
                    .unwrap_or_else(|failure| unknown(place.key, failure.of(backend.name())))
            });
        Ok(PollResult {
            servers: join_all(each).await,
        })
    }

    async fn place(
        &self,
        backend: &dyn Backend,
        params: &PollParams,
        target: &PollTarget,
        deadline: Instant,
    ) -> Place {
        let record = target
            .state
            .as_ref()
            .map(|state| Record::read(state, backend.name()))
            .transpose();
        let key = match &record {
            Ok(Some(record)) => Some(record.key.clone()),
            _ => target.server.as_ref().map(names::key),
        };
        let known = async {
            let record = record?;
            let settings = Settings {
                config: &params.config,
                credentials: &params.credentials,
            };
            let sites = backend.sites(settings, record.as_ref()).await?;
            if let (Some(record), Some(site)) = (&record, sites.first())
                && record.reference.is_some()
            {
                let max_age = Duration::from_millis(params.max_age_ms);
                self.watch.join(site, record, max_age);
            }
            Ok((record, sites))
        };
        Place {
            key,
            known: in_time(deadline, known).await,
        }
    }

    async fn status(
        &self,
        backend: &dyn Backend,
        params: &PollParams,
        target: &PollTarget,
        (record, sites): Known,
        deadline: Instant,
    ) -> Result<ServerStatus, Failure> {
        match (record, sites.first()) {
            (Some(record), Some(site)) if record.reference.is_some() => {
                let max_age = Duration::from_millis(params.max_age_ms);
                let look = self.watch.look(site, &record, max_age, deadline).await;
                self.status_of(backend, site, &record, look)
            }
            (record, _) => {
                let key = match (&record, &target.server) {
                    (Some(record), _) => record.key.clone(),
                    (None, Some(server)) => names::key(server),
                    (None, None) => {
                        return Err(Failure::new(Code::BadRequest, "needs server or state"));
                    }
                };
                self.look_up(backend, &sites, &key, record, deadline).await
            }
        }
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
                let mut now = record.clone();
                if report.url.is_some() {
                    now.url.clone_from(&report.url);
                }
                let state = (now != *record)
                    .then(|| now.write(backend.name()))
                    .transpose()?;
                seen(&record.key, report, state)
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
        backend: &dyn Backend,
        sites: &[Arc<dyn Site>],
        key: &str,
        record: Option<Record>,
        deadline: Instant,
    ) -> Result<ServerStatus, Failure> {
        let mut found = Vec::new();
        for site in sites {
            found.extend(site.find(key, deadline).await?);
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
            let state = known.write(backend.name())?;
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

/// The record that the state holds, and where the server is to be looked for.
type Known = (Option<Record>, Vec<Arc<dyn Site>>);

/// What a target's state and the settings say, before the cloud is asked.
struct Place {
    key: Option<String>,
    known: Result<Known, Failure>,
}

async fn in_time<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let late = || Failure::new(Code::Deadline, "the cloud did not tell in time");
    tokio::time::timeout_at(deadline, work)
        .await
        .unwrap_or_else(|_| Err(late()))
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
