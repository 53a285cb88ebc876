//! The verbs, the same for every cloud.
//!
//! Here live deadlines, cancelling, one-at-a-time for each server, watch groups and the order of frames. What a cloud means
//! is the backend's business; how frames become bytes is `serve`'s.

mod check;
mod clean_up;
mod desk;
mod gc;
mod link;
mod list;
mod logs;
mod options;
mod poll;
pub mod secret;
mod share;
mod start;
mod stats;
mod stop;
mod watch;

pub use link::{Acks, Link, Output, OutputEnd};

use crate::backend::registry::Registry;
use crate::backend::{Record, Surroundings};
use crate::context::Context;
use crate::error::Failure;
use crate::net::limiter::Limiter;
use crate::wire::{Code, Server};
use desk::Desk;
use std::sync::Arc;
use std::time::Duration;
use watch::Watch;

/// The clouds are eventually consistent: until this long after an attempt began, a server that is not listed may still
/// appear (RunTask in the ECS API Reference advises to wait up to five minutes).
const CONSISTENT_AFTER: Duration = Duration::from_mins(5);

/// Every verb of this process, over one set of connections, quotas and watch groups.
#[derive(Clone)]
pub struct Ops {
    registry: Arc<Registry>,
    context: Context,
    limiter: Arc<Limiter>,
    watch: Arc<Watch>,
    desk: Arc<Desk>,
}

impl Ops {
    /// All verbs over all backends that are built in.
    #[must_use]
    pub fn new(surroundings: &Surroundings) -> Self {
        Self::over(Registry::new(surroundings), surroundings)
    }

    /// All verbs over these backends.
    #[must_use]
    pub fn over(registry: Registry, surroundings: &Surroundings) -> Self {
        Self {
            registry: Arc::new(registry),
            context: surroundings.context.clone(),
            limiter: surroundings.limiter.clone(),
            watch: Arc::default(),
            desk: Arc::default(),
        }
    }

    /// The backends that are built in, sorted.
    #[must_use]
    pub fn backends(&self) -> Vec<String> {
        self.registry.names()
    }

    /// How long a stop on this backend may take where the request does not say.
    #[must_use]
    pub fn stop_timeout(&self, backend: &str) -> Duration {
        let minutes = Duration::from_mins(2);
        self.registry
            .get(backend)
            .map_or(minutes, |backend| backend.stop_timeout())
    }

    /// Whether a server of this record that is not listed may still appear.
    fn may_still_appear(&self, record: &Record) -> bool {
        let age_ms = self.context.now_ms().saturating_sub(record.attempted_at_ms);
        u128::from(age_ms) < CONSISTENT_AFTER.as_millis()
    }
}

/// Refuses a server that names nobody.
fn check_server(server: &Server, field: &str) -> Result<(), Failure> {
    not_empty(&format!("{field}.hub"), &server.hub)?;
    not_empty(&format!("{field}.user"), &server.user)
}

/// Refuses a field that holds nothing.
fn not_empty(field: &str, text: &str) -> Result<(), Failure> {
    if text.is_empty() {
        let message = format!("{field}: must not be empty");
        return Err(Failure::new(Code::BadRequest, message));
    }
    Ok(())
}
