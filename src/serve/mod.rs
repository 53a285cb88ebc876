//! Bytes to wire and back: one request a process (`one_shot`) or many at once (`daemon`).
//!
//! This room knows lines, ids, acks and exit codes. What a verb does is `ops`' business.

pub mod daemon;
mod framing;
pub mod one_shot;
pub(crate) mod reading;

use crate::error::Failure;
use crate::ops::{Link, Ops};
use crate::redact::Redactor;
use crate::wire::reply::CancelResult;
use crate::wire::{Code, Request};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// A week: longer deadlines are as good as none, and clocks can add them.
const LONGEST: Duration = Duration::from_hours(168);

/// What both modes need.
#[derive(Clone)]
pub struct Service {
    /// The verbs.
    pub ops: Ops,
    /// The secrets of all requests that run.
    pub redactor: Redactor,
}

impl Service {
    /// Runs one request to its result.
    async fn answer(
        &self,
        request: Request,
        link: &Link,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        match request {
            Request::Start(params) => json(self.ops.start(&params, link, deadline).await?),
            // A stop goes on whatever its caller wishes meanwhile.
            Request::Stop(params) => json(self.ops.stop(params, deadline).await?),
            Request::Poll(params) => {
                json(unless_cancelled(link, self.ops.poll(&params, deadline)).await?)
            }
            Request::Gc(params) => {
                let gc = tokio::time::timeout_at(deadline, self.ops.gc(&params, deadline));
                json(
                    unless_cancelled(link, async { gc.await.unwrap_or_else(|_| Err(too_late())) })
                        .await?,
                )
            }
            Request::Check(params) => {
                let check = tokio::time::timeout_at(deadline, self.ops.check(&params));
                json(
                    unless_cancelled(link, async {
                        check.await.unwrap_or_else(|_| Err(too_late()))
                    })
                    .await?,
                )
            }
            Request::Share(params) => {
                json(unless_cancelled(link, self.ops.share(&params, deadline)).await?)
            }
            Request::Options(params) => {
                json(unless_cancelled(link, self.ops.options(&params, deadline)).await?)
            }
            Request::Logs(params) => {
                let mut logs = unless_cancelled(link, self.ops.logs(&params, deadline)).await?;
                for line in &mut logs.lines {
                    line.message = self.redactor.clean(&line.message).into_owned();
                }
                json(logs)
            }
            Request::List(params) => {
                json(unless_cancelled(link, self.ops.list(&params, deadline)).await?)
            }
            Request::Stats(_) => json(self.ops.stats()),
            // The daemon answers it; a process with one request has nothing to cancel.
            Request::Cancel(_) => json(CancelResult { found: false }),
        }
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

fn too_late() -> Failure {
    Failure::new(Code::Deadline, "the request's time was up")
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

fn json(result: impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(result).map_err(|e| Failure::new(Code::Internal, e.to_string()))
}
