//! What becomes of a start that does not succeed: nothing stays behind, or the caller is told that something may.

use super::Ops;
use super::link::Link;
use crate::backend::{Launch, Settled};
use crate::error::Failure;
use crate::wire::{Cleanup, Code};
use std::time::Duration;
use tokio::time::Instant;

/// Clean-up after the deadline (protocol, start: "5 s more").
const AFTER_DEADLINE: Duration = Duration::from_secs(5);
/// Clean-up after a cancel (protocol, start: "a cancelled start has 120 s").
const AFTER_CANCEL: Duration = Duration::from_mins(2);

/// How a start was broken off.
#[derive(Debug, Clone, Copy)]
pub enum Interruption {
    /// The caller does not want it any more.
    Cancelled,
    /// Its time was up.
    Deadline,
    /// The program ends.
    Ending,
}

/// What is known while a start is under way, for the case that it is broken off.
#[derive(Default)]
pub struct Trouble {
    /// What was last in the way.
    pub last: Option<Failure>,
    /// The server has ended by itself: there is nothing to stop.
    pub over: bool,
    /// Something was created in an earlier try of this start.
    pub created_before: bool,
    /// The state that the request brought may stand for an older attempt's server that nobody has stopped yet.
    pub older_left: bool,
}

impl Interruption {
    /// The failure that the caller reads; at the deadline it is what was in the way.
    pub fn into_failure(self, trouble: Option<Failure>) -> Failure {
        match (self, trouble) {
            (Self::Cancelled, _) => Failure::new(Code::Cancelled, "the start was cancelled"),
            (Self::Ending, _) => Failure::new(Code::Cancelled, "the program ends"),
            (Self::Deadline, Some(trouble)) => trouble.because("the start's time was up"),
            (Self::Deadline, None) => Failure::new(
                Code::Deadline,
                "the server did not come up in the start's time",
            ),
        }
    }
}

/// Until when to clean up; none where what there is must be left to be found again.
pub fn clean_up_until(interruption: Option<Interruption>, deadline: Instant) -> Option<Instant> {
    match interruption {
        Some(Interruption::Ending) => None,
        Some(Interruption::Cancelled) => Some(Instant::now() + AFTER_CANCEL),
        Some(Interruption::Deadline) => Some(Instant::now() + AFTER_DEADLINE),
        None => Some(deadline.max(Instant::now()) + AFTER_DEADLINE),
    }
}

impl Ops {
    /// Removes what a start has created, as far as it can be found out and accepted in time; the failure says how far.
    pub(super) async fn clean_up(
        &self,
        backend: &str,
        launch: &mut dyn Launch,
        link: &Link,
        until: Option<Instant>,
        trouble: &Trouble,
        failure: Failure,
    ) -> Failure {
        let nothing_left = if trouble.created_before {
            Cleanup::Done
        } else {
            Cleanup::None
        };
        let server = !trouble.over && launch.may_exist();
        let more = launch.leaves_more();
        if !server && !more {
            return failure.with_cleanup(nothing_left);
        }
        let Some(until) = until else {
            return failure.with_cleanup(Cleanup::Needed);
        };
        let removal = async {
            let settled = if server {
                launch.settle(until).await?
            } else {
                Settled::Nothing
            };
            let site = launch.site();
            let mut left = nothing_left;
            if settled == Settled::Created {
                link.announce(launch.record().write(backend)?);
                let reason = format!("start did not succeed: {:?}", failure.code());
                self.remove_surely(&site, launch.record(), false, &reason, until)
                    .await?;
                left = Cleanup::Done;
            }
            if more {
                site.sweep(launch.record(), until).await?;
                left = Cleanup::Done;
            }
            Ok(left)
        };
        let too_late = || {
            Failure::new(
                Code::Deadline,
                "the cloud did not accept the removal in time",
            )
        };
        let removed = tokio::select! {
            removed = tokio::time::timeout_at(until, removal) => removed.unwrap_or_else(|_| Err(too_late())),
            () = link.ending.cancelled() => Err(Failure::new(Code::Cancelled, "the program ends")),
        };
        match removed {
            Ok(cleanup) => failure.with_cleanup(cleanup),
            Err(why) => {
                tracing::warn!(key = launch.record().key, %why, "something may be left");
                failure
                    .with_cleanup(Cleanup::Needed)
                    .because(format!("clean-up: {}", why.0.message))
            }
        }
    }
}
