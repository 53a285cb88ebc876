//! `options`: what a person may choose from.

use super::Ops;
use crate::backend::Settings;
use crate::error::Failure;
use crate::wire::reply::OptionsResult;
use crate::wire::{Code, OptionsParams};
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
        let options = backend.options(settings, deadline);
        let too_late = |_| Failure::new(Code::Deadline, "the request's time was up");
        tokio::time::timeout_at(deadline, options)
            .await
            .map_err(too_late)?
    }
}
