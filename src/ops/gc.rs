//! `gc`: what bears this hub's mark and nobody keeps. A plan, unless it is told to apply it.

use super::{Ops, not_empty};
use crate::backend::{Found, Record, Settings, Site, Tidying, names};
use crate::error::Failure;
use crate::wire::reply::GcResult;
use crate::wire::{Code, GcParams, Keep, Phase, StaleServer};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Protocol, start: "min_age_ms 900000".
const MIN_AGE: Duration = Duration::from_mins(15);
/// The caller made its list of what to keep before it sent the request: the hub's shim polls in between, which takes up to 28 s.
const OLDEST_LIST: Duration = Duration::from_mins(1);
/// So few stale servers are no sign of a wrong list, however small a hub is: a lone orphan is all that there is, often.
const FEW: usize = 5;
const REASON: &str = "removed by cloudspawner gc: no server of the hub";

impl Ops {
    /// Finds stale servers in every cluster that the config names, and with `apply` removes them. May be repeated.
    ///
    /// # Errors
    /// `permission_denied` where listing is not allowed; `conflict` where more than a few, and more than half of all, would be removed
    /// without `force`. What fails for one server alone is in the result.
    pub async fn gc(&self, params: &GcParams, deadline: Instant) -> Result<GcResult, Failure> {
        not_empty("params.hub", &params.hub)?;
        let received = Instant::now();
        let backend = self.registry.get(&params.backend)?;
        let settings = Settings {
            config: &params.config,
            credentials: &params.credentials,
        };
        let sites = backend.sites(settings, None).await?;
        if sites.is_empty() {
            return Err(Failure::invalid_config(
                "config.clusters",
                "gc needs to know where to look; name the clusters, or the workspace",
            ));
        }
        let mut errors = Vec::new();
        let mut all = Vec::new();
        for site in &sites {
            match site.list(&params.hub, deadline).await {
                Ok(found) => all.extend(found.into_iter().map(|f| (site.clone(), f))),
                Err(failure) if sites.len() == 1 => return Err(failure.of(backend.name())),
                Err(failure) => errors.push(*failure.of(backend.name()).0),
            }
        }
        let seen = all.len();
        let all_listed = errors.is_empty();
        let up: HashSet<String> = all.iter().map(|(_, f)| f.record.key.clone()).collect();
        let used = all.iter().filter_map(|(_, found)| found.made_from.clone());
        let used: HashSet<String> = used.collect();
        let kept = Kept::new(&params.keep);
        let min_age = params.min_age_ms.map_or(MIN_AGE, Duration::from_millis);
        // A start that is under way, or came after the list of what to keep was made, is somebody's.
        let in_use = |key: &str| self.desk.started_since(key, OLDEST_LIST, received);
        let stale: Vec<(Arc<dyn Site>, Found, StaleServer)> = all
            .into_iter()
            .filter(|(_, found)| !kept.has(found) && !in_use(&found.record.key))
            .filter_map(|(site, found)| {
                let stale = self.stale(&found, min_age)?;
                Some((site, found, stale))
            })
            .collect();
        let mut result = GcResult {
            stale: stale.iter().map(|(_, _, s)| s.clone()).collect(),
            removed: Vec::new(),
            errors,
        };
        if !params.apply {
            return Ok(result);
        }
        let condemned = |stale: &StaleServer| {
            let only = params.only.as_ref();
            only.is_none_or(|only| only.contains(&stale.reference))
        };
        let any = stale.iter().any(|(_, _, stale)| condemned(stale));
        // All that is stale counts, though only a part may go: nearly always it is the list that is wrong then.
        let many = stale.len() > FEW && stale.len() * 2 > seen;
        if any && many && !params.force {
            return Err(Failure::new(
                Code::Conflict,
                format!(
                    "{} of {seen} servers would be removed, which is more than half: see that keep lists every server, then set force",
                    stale.len()
                ),
            ));
        }
        for (site, found, stale) in stale {
            if !condemned(&stale) || in_use(&stale.key) {
                continue;
            }
            // Whoever wants this server from now on waits until it is gone.
            let _turn = self.desk.hold(&stale.key, &CancellationToken::new()).await;
            match self.remove_and_sweep(&site, &found.record, deadline).await {
                Ok(()) => {
                    tracing::info!(
                        key = stale.key,
                        reference = stale.reference,
                        "stale server removed"
                    );
                    result.removed.push(stale.reference);
                }
                Err(failure) => result.errors.push(*failure.of(backend.name()).0),
            }
        }
        // Only who has seen every server knows what none is made from.
        if all_listed {
            let tidying = Tidying {
                hub: &params.hub,
                used: &used,
                spares: &|key| up.contains(key) || kept.keys.contains(key) || in_use(key),
                min_age,
            };
            let failures = backend.tidy(settings, tidying, deadline).await;
            let failures = failures.into_iter().map(|f| *f.of(backend.name()).0);
            result.errors.extend(failures);
        }
        Ok(result)
    }

    async fn remove_and_sweep(
        &self,
        site: &Arc<dyn Site>,
        record: &Record,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let removed = self.remove_surely(site, record, true, REASON, deadline);
        removed.await?;
        site.sweep(record, deadline).await
    }

    /// Old enough, and not on its way down already. One whose age nobody knows is left alone.
    fn stale(&self, found: &Found, min_age: Duration) -> Option<StaleServer> {
        let age_ms = self.context.now_ms().saturating_sub(found.created_at_ms?);
        let old = u128::from(age_ms) >= min_age.as_millis();
        let up = matches!(found.report.phase, Phase::Pending | Phase::Running);
        (old && up).then(|| StaleServer {
            key: found.record.key.clone(),
            reference: found.record.reference.clone().unwrap_or_default(),
            age_ms,
        })
    }
}

struct Kept {
    keys: HashSet<String>,
    references: HashSet<String>,
}

impl Kept {
    fn new(keep: &[Keep]) -> Self {
        Self {
            keys: keep
                .iter()
                .flat_map(|k| {
                    k.server
                        .as_ref()
                        .map(names::key)
                        .into_iter()
                        .chain(k.key.clone())
                })
                .collect(),
            references: keep.iter().filter_map(|k| k.reference.clone()).collect(),
        }
    }

    fn has(&self, found: &Found) -> bool {
        self.keys.contains(&found.record.key)
            || found
                .record
                .reference
                .as_ref()
                .is_some_and(|r| self.references.contains(r))
    }
}
