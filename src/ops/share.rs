//! `share`: a person's own storage, without a server.

use super::Ops;
use crate::backend::Settings;
use crate::error::Failure;
use crate::mount::Owner;
use crate::wire::reply::ShareResult;
use crate::wire::{Code, ShareAction, ShareParams};
use tokio::time::Instant;

impl Ops {
    /// Finds it, makes it, renames its person or removes it. May be repeated.
    ///
    /// # Errors
    /// `bad_request`: an unknown backend, nobody's name; `conflict`: it is another hub's; `not_found` of `show` and `rename`.
    pub async fn share(
        &self,
        params: &ShareParams,
        deadline: Instant,
    ) -> Result<ShareResult, Failure> {
        let backend = self.registry.get(&params.backend)?;
        let missing = |name: &str| {
            Failure::new(
                Code::BadRequest,
                format!("params.{name}: must not be empty"),
            )
        };
        for (name, text) in [("user", &params.user), ("storage_id", &params.storage_id)] {
            if text.is_empty() {
                return Err(missing(name));
            }
        }
        if params.action == ShareAction::Rename
            && params.to.as_deref().unwrap_or_default().is_empty()
        {
            return Err(missing("to"));
        }
        let owner = Owner {
            hub: params.hub.clone(),
            storage_id: params.storage_id.clone(),
            user: params.user.clone(),
        };
        let settings = Settings {
            config: &params.config,
            credentials: &params.credentials,
        };
        let work = backend.share(settings, owner, params, deadline);
        let too_late = |_| Failure::new(Code::Deadline, "the request's time was up");
        let share = tokio::time::timeout_at(deadline, work)
            .await
            .map_err(too_late)??;
        Ok(ShareResult { share })
    }
}
