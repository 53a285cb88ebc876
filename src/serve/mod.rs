//! Bytes to wire and back: one request a process (`one_shot`) or many at once (`daemon`).
//!
//! This room knows lines, ids, acks and exit codes. What a verb does is `ops`' business.

pub mod daemon;
mod framing;
pub mod one_shot;
pub mod pipes;
pub(crate) mod reading;

use crate::error::Failure;
use crate::ops::{Link, Ops};
use crate::redact::Redactor;
use crate::wire::reply::{CancelResult, Outcome};
use crate::wire::{Code, Request};
use futures_util::FutureExt;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A week: longer deadlines are as good as none, and clocks can add them.
const LONGEST: Duration = Duration::from_hours(168);

/// What both modes need.
#[derive(Clone)]
pub struct Service {
    /// The verbs.
    pub ops: Ops,
    /// The secrets of all requests that run.
    pub redactor: Redactor,
    /// Cancelled when nobody will ask any more.
    pub hub_gone: CancellationToken,
}

impl Service {
    /// Runs one request to its result.
    async fn answer(
        &self,
        request: Request,
        link: &Link,
        deadline: Instant,
    ) -> Result<Outcome, Failure> {
        // Boxed, since what they wait with is large, and a poll, of which a hub has thousands, would take as much room as a start.
        let ops = &self.ops;
        Ok(match request {
            Request::Start(params) => {
                Outcome::Start(ops.start(&params, link, deadline).boxed().await?)
            }
            // A stop goes on whatever its caller wishes meanwhile.
            Request::Stop(params) => Outcome::Stop(ops.stop(params, deadline).boxed().await?),
            Request::Poll(params) => {
                Outcome::Poll(unless_cancelled(link, ops.poll(params, deadline).boxed()).await?)
            }
            Request::Gc(params) => {
                let gc = in_time(deadline, ops.gc(&params, deadline).boxed());
                Outcome::Gc(unless_cancelled(link, gc).await?)
            }
            Request::Check(params) => {
                let check = in_time(deadline, ops.check(&params).boxed());
                Outcome::Check(unless_cancelled(link, check).await?)
            }
            Request::Share(params) => {
                let share = in_time(deadline, ops.share(&params, deadline).boxed());
                Outcome::Share(unless_cancelled(link, share).await?)
            }
            Request::Options(params) => {
                let options = in_time(deadline, ops.options(&params, deadline).boxed());
                Outcome::Options(unless_cancelled(link, options).await?)
            }
            Request::Logs(params) => {
                let logs = in_time(deadline, ops.logs(&params, deadline).boxed());
                let mut logs = unless_cancelled(link, logs).await?;
                for line in &mut logs.lines {
                    line.message = self.redactor.clean(&line.message).into_owned();
                }
                Outcome::Logs(logs)
            }
            Request::List(params) => {
                Outcome::List(unless_cancelled(link, ops.list(&params, deadline).boxed()).await?)
            }
            Request::Stats(_) => Outcome::Stats(ops.stats()),
            // The daemon answers it; a process with one request has nothing to cancel.
            Request::Cancel(_) => Outcome::Cancel(CancelResult { found: false }),
        })
    }
}

impl Service {
    /// How long a request may take (protocol, start: the defaults by verb).
    fn time_for(&self, request: &Request, timeout_ms: Option<u64>) -> Duration {
        let default = match request {
            Request::Start(_) => Duration::from_secs(290),
            Request::Poll(_) => Duration::from_secs(20),
            Request::Stop(params) => self.ops.stop_timeout(&params.backend),
            Request::Gc(_) => Duration::from_mins(5),
            Request::Check(_)
            | Request::Share(_)
            | Request::Options(_)
            | Request::Logs(_)
            | Request::List(_)
            | Request::Stats(_)
            | Request::Cancel(_) => Duration::from_secs(30),
        };
        timeout_ms
            .map_or(default, Duration::from_millis)
            .min(LONGEST)
    }
}

async fn in_time<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let too_late = || Failure::new(Code::Deadline, "the request's time was up");
    let done = tokio::time::timeout_at(deadline, work).await;
    done.unwrap_or_else(|_| Err(too_late()))
}

async fn unless_cancelled<T>(
    link: &Link,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        () = link.cancelled.cancelled() => Err(Failure::new(Code::Cancelled, "the request was cancelled")),
    }
}
