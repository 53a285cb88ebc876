//! `stop`: ask until the cloud has accepted the removal, and never take silence for proof.

use super::{Ops, check_server};
use crate::backend::{Backend, Found, Record, Settings, Sighting, Site, names};
use crate::error::Failure;
use crate::net::retry::Pace;
use crate::wire::reply::StopResult;
use crate::wire::{Cleanup, Code, Phase, StopParams};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What one StopTask and one DescribeTasks need at the end of a stop's time.
const LAST_TRY: Duration = Duration::from_millis(500);
/// What the cloud's own records say where the caller gives no reason.
const NO_REASON: &str = "stopped by JupyterHub";

impl Ops {
    /// Stops a server, or joins a stop of it that runs already. May be repeated; it goes on though the caller goes away.
    ///
    /// # Errors
    /// Whatever kept the cloud from accepting it before `deadline`, with `cleanup` needed.
    pub async fn stop(&self, params: StopParams, deadline: Instant) -> Result<StopResult, Failure> {
        check_server(&params.server, "params.server")?;
        let backend = self.registry.get(&params.backend)?;
        let (record, unreadable) = match &params.state {
            None => (None, None),
            Some(state) => match Record::read(state.clone(), backend.name()) {
                Ok(record) => (Some(record), None),
                Err(failure) => {
                    tracing::warn!(%failure, "looking the server up by its key");
                    (None, Some(failure))
                }
            },
        };
        let key = record
            .as_ref()
            .map_or_else(|| names::key(&params.server), |r| r.key.clone());
        let (ops, of, name) = (self.clone(), key.clone(), backend.name());
        self.desk
            .stop(&key, async move {
                let received_ms = ops.context.now_ms();
                let job = Job {
                    backend,
                    params,
                    record,
                    key: of,
                    received_ms,
                    unreadable,
                };
                tokio::time::timeout_at(deadline, ops.run_stop(&job, deadline))
                    .await
                    .unwrap_or_else(|_| {
                        Err(Failure::new(
                            Code::Deadline,
                            "the cloud did not accept the stop in time",
                        ))
                    })
                    .map_err(|failure| failure.of(name).with_cleanup(Cleanup::Needed))
            })
            .await
    }

    async fn run_stop(&self, job: &Job, deadline: Instant) -> Result<StopResult, Failure> {
        let settings = Settings {
            config: &job.params.config,
            credentials: &job.params.credentials,
        };
        let reason = job.params.reason.as_deref().unwrap_or(NO_REASON);
        let sites = job.backend.sites(settings, job.record.as_ref()).await?;
        // Found nowhere is no proof where the state that told the place cannot be read.
        if let Some(failure) = job.unreadable.as_ref().filter(|_| sites.is_empty()) {
            return Err(failure.clone());
        }
        let mut removed = Vec::new();
        match (&job.record, sites.first()) {
            (Some(record), Some(site)) if record.reference.is_some() => {
                let phase = self
                    .remove_surely(site, record, false, reason, deadline)
                    .await?;
                removed.push((site.clone(), record.clone(), phase));
            }
            _ => {
                for (site, found) in self.find_to_stop(job, &sites, deadline).await? {
                    let phase = self
                        .remove_surely(&site, &found.record, true, reason, deadline)
                        .await?;
                    removed.push((site, found.record, phase));
                }
            }
        }
        if let Some(site) = sites.first() {
            let own = job.record.clone().unwrap_or_else(|| Record {
                key: job.key.clone(),
                ..Record::default()
            });
            site.sweep(&own, deadline).await?;
        }
        let mut furthest = Phase::Gone;
        for (site, record, mut phase) in removed {
            if job.params.wait && phase == Phase::Stopping {
                phase = self.wait_for_end(&site, &record, deadline).await;
            }
            tracing::info!(
                key = job.key,
                reference = record.reference,
                ?phase,
                "server stopped"
            );
            if phase == Phase::Stopping || furthest == Phase::Gone {
                furthest = phase;
            }
        }
        Ok(StopResult {
            phase: furthest,
            cleanup: Cleanup::Done,
        })
    }

    /// What bears the server's key and may be stopped by this request.
    ///
    /// A server whose creation was announced and that no list shows may still appear; it is looked for until it can not.
    async fn find_to_stop(
        &self,
        job: &Job,
        sites: &[Arc<dyn Site>],
        deadline: Instant,
    ) -> Result<Vec<(Arc<dyn Site>, Found)>, Failure> {
        let mut looks = 0;
        loop {
            let mut all = Vec::new();
            for site in sites {
                match site.find(&job.key, deadline).await {
                    Ok(found) => all.extend(found.into_iter().map(|f| (site.clone(), f))),
                    // Nothing was created without an acknowledged state, so there is nothing that must be found.
                    Err(failure)
                        if job.record.is_none()
                            && job.unreadable.is_none()
                            && failure.code() == Code::PermissionDenied =>
                    {
                        tracing::warn!(%failure, "the lookup by key is off");
                    }
                    Err(failure) => return Err(failure),
                }
            }
            all.retain(|(_, found)| job.may_stop(found));
            let Some(record) = &job.record else {
                return Ok(all);
            };
            if !all.is_empty() || !self.may_still_appear(record) {
                return Ok(all);
            }
            tokio::time::sleep(Pace::CALL.pause(
                looks,
                Some(Duration::from_secs(1)),
                &self.context,
            ))
            .await;
            looks += 1;
        }
    }

    /// Removes a server so that nothing of it can be left: one that the cloud does not know yet is asked for again.
    ///
    /// `seen` is true where the cloud has told of it before.
    ///
    /// # Errors
    /// Whatever kept the cloud from accepting it before `deadline`.
    pub(super) async fn remove_surely(
        &self,
        site: &Arc<dyn Site>,
        record: &Record,
        seen: bool,
        reason: &str,
        deadline: Instant,
    ) -> Result<Phase, Failure> {
        let mut tries = 0;
        loop {
            let phase = site.remove(record, reason, deadline).await?;
            let proof = phase != Phase::Gone
                || seen
                || record.url.is_some()
                || !self.may_still_appear(record);
            if proof {
                self.watch
                    .forget(site, record.reference.as_deref().unwrap_or_default());
                return Ok(phase);
            }
            // A task shows up within seconds as a rule, and the last try should come as late as it may.
            let pause = Pace::CALL.pause(tries.min(2), None, &self.context);
            let left = deadline
                .saturating_duration_since(Instant::now())
                .saturating_sub(LAST_TRY);
            if left.is_zero() {
                return Err(Failure::new(
                    Code::Deadline,
                    "the cloud does not know the server yet, so it could not be stopped",
                ));
            }
            tokio::time::sleep(pause.min(left)).await;
            tries += 1;
        }
    }

    async fn wait_for_end(
        &self,
        site: &Arc<dyn Site>,
        record: &Record,
        deadline: Instant,
    ) -> Phase {
        let mut follow = self.watch.follow(site, record);
        let end = async {
            loop {
                match follow.next(deadline).await.sighting {
                    Sighting::Seen(report) if report.phase == Phase::Exited => {
                        return Phase::Exited;
                    }
                    Sighting::Missing => return Phase::Gone,
                    _ => {}
                }
            }
        };
        // The removal is accepted already; what is not seen to end in time is still on its way.
        let phase = tokio::time::timeout_at(deadline - Duration::from_secs(1), end)
            .await
            .unwrap_or(Phase::Stopping);
        drop(follow);
        self.watch
            .forget(site, record.reference.as_deref().unwrap_or_default());
        phase
    }
}

struct Job {
    backend: Arc<dyn Backend>,
    params: StopParams,
    record: Option<Record>,
    key: String,
    received_ms: u64,
    /// Why the state told nothing, where there was one.
    unreadable: Option<Failure>,
}

impl Job {
    /// Own attempt, or created before this request (protocol, start: what a stop may touch).
    fn may_stop(&self, found: &Found) -> bool {
        let own = self
            .record
            .as_ref()
            .is_some_and(|r| !r.attempt.is_empty() && r.attempt == found.record.attempt);
        own || found
            .created_at_ms
            .is_none_or(|created| created <= self.received_ms)
    }
}
