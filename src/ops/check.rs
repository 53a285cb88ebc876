//! `check`: whether the settings can work.

use super::Ops;
use crate::backend::{Look, Settings};
use crate::error::Failure;
use crate::wire::CheckParams;
use crate::wire::reply::CheckResult;

impl Ops {
    /// Every finding, good and bad. May be repeated; nothing is changed.
    ///
    /// # Errors
    /// `bad_request` for a backend that is not known.
    pub async fn check(&self, params: &CheckParams) -> Result<CheckResult, Failure> {
        let backend = self.registry.get(&params.backend)?;
        let settings = Settings {
            config: &params.config,
            credentials: &params.credentials,
        };
        let look = Look {
            offline: params.offline,
            hub_url: params.hub_url.as_deref(),
            port: params.port,
            hub_version: params.hub_version.as_deref(),
        };
        Ok(CheckResult {
            checks: backend.check(settings, look).await,
        })
    }
}
