//! `options`: what a person may choose from.

use super::Ops;
use crate::backend::Settings;
use crate::error::Failure;
use crate::wire::OptionsParams;
use crate::wire::reply::OptionsResult;
use tokio::time::Instant;

impl Ops {
    /// What the credentials can see. May be repeated; nothing is changed.
    ///
    /// # Errors
    /// `bad_request` for a backend that is not known or offers nothing; whatever kept the cloud from telling.
    pub async fn options(
        &self,
        params: &OptionsParams,
        deadline: Instant,
    ) -> Result<OptionsResult, Failure> {
        let backend = self.registry.get(&params.backend)?;
        let settings = Settings {
            config: &params.config,
            credentials: &params.credentials,
        };
        backend.options(settings, deadline).await
    }
}
