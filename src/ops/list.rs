//! `list`: everything of a hub that the cloud has, as the cloud alone tells it.

use super::{Ops, not_empty};
use crate::backend::{Found, Settings};
use crate::error::Failure;
use crate::wire::reply::{ListResult, ListedServer};
use crate::wire::{Code, ListParams};
use tokio::time::Instant;

impl Ops {
    /// What bears the hub's mark in every place that the config names. May be repeated; nothing is changed.
    ///
    /// # Errors
    /// `bad_request`; `invalid_config` where the config names no place; whatever kept the cloud from telling, where there is one
    /// place alone: else it is in the result.
    pub async fn list(
        &self,
        params: &ListParams,
        deadline: Instant,
    ) -> Result<ListResult, Failure> {
        not_empty("params.hub", &params.hub)?;
        let backend = self.registry.get(&params.backend)?;
        let settings = Settings {
            config: &params.config,
            credentials: &params.credentials,
        };
        let sites = backend.sites(settings, None).await?;
        if sites.is_empty() {
            let message = "names no place; name the clusters, or the workspace";
            return Err(Failure::invalid_config("config", message));
        }
        let mut result = ListResult {
            servers: Vec::new(),
            errors: Vec::new(),
        };
        for site in &sites {
            let listed = tokio::time::timeout_at(deadline, site.list(&params.hub, deadline)).await;
            let late = |_| Err(Failure::new(Code::Deadline, "the request's time was up"));
            match listed.unwrap_or_else(late) {
                Ok(found) => {
                    let servers = found.into_iter().map(|f| self.listed(backend.name(), f));
                    result.servers.extend(servers);
                }
                Err(failure) if sites.len() == 1 => return Err(failure.of(backend.name())),
                Err(failure) => result.errors.push(*failure.of(backend.name()).0),
            }
        }
        Ok(result)
    }

    fn listed(&self, backend: &str, found: Found) -> ListedServer {
        let age_ms = |created| self.context.now_ms().saturating_sub(created);
        ListedServer {
            backend: backend.to_owned(),
            key: found.record.key,
            reference: found.record.reference.unwrap_or_default(),
            phase: found.report.phase,
            age_ms: found.created_at_ms.map(age_ms),
            user: found.details.user,
            size: found.details.size,
            tags: found.details.tags,
        }
    }
}
