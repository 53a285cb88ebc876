//! `share`: a person's own storage, without a server.

use super::{Ops, not_empty};
use crate::backend::Settings;
use crate::error::Failure;
use crate::mount::Owner;
use crate::wire::reply::ShareResult;
use crate::wire::{ShareAction, ShareParams};
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
        not_empty("params.user", &params.user)?;
        not_empty("params.storage_id", &params.storage_id)?;
        if params.action == ShareAction::Rename {
            not_empty("params.to", params.to.as_deref().unwrap_or_default())?;
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
        let share = backend.share(settings, owner, params, deadline).await?;
        Ok(ShareResult { share })
    }
}
