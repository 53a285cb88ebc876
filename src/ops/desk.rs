//! Start and stop of one server run one at a time: a stop pre-empts a start, a second stop joins the first.

use crate::error::Failure;
use crate::lock::lock;
use crate::wire::reply::StopResult;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a start is remembered when many servers are: longer than gc takes by default (protocol, start: 300 s).
const REMEMBERED: Duration = Duration::from_mins(6);

/// A stop that several callers can wait for.
type SharedStop = Shared<BoxFuture<'static, Result<StopResult, Failure>>>;

/// Every server that something is being done to.
#[derive(Default)]
pub struct Desk {
    servers: Mutex<HashMap<String, Arc<Server>>>,
}

#[derive(Default)]
struct Server {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Starts that run or wait for their turn.
    starts: Mutex<Vec<Weak<CancellationToken>>>,
    stop: Mutex<Option<SharedStop>>,
    /// When a start last had its turn.
    started: Mutex<Option<Instant>>,
}

/// The right to act on a server; the next one gets it when this is dropped.
pub struct Turn {
    _guard: OwnedMutexGuard<()>,
    server: Arc<Server>,
    starts: bool,
    _start: Arc<CancellationToken>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.starts {
            *lock(&self.server.started) = Some(Instant::now());
        }
    }
}

impl Desk {
    /// Waits until nothing else is being done to the server, then lets a start have it. A stop that comes while the start
    /// waits or runs calls `cancel`.
    pub async fn start(&self, key: &str, cancel: &CancellationToken) -> Turn {
        let mut turn = self.hold(key, cancel).await;
        turn.starts = true;
        turn
    }

    /// The same for something that is no start.
    pub async fn hold(&self, key: &str, cancel: &CancellationToken) -> Turn {
        let server = self.server(key);
        let start = Arc::new(cancel.clone());
        {
            let mut starts = lock(&server.starts);
            starts.retain(|start| start.strong_count() > 0);
            starts.push(Arc::downgrade(&start));
        }
        Turn {
            _guard: server.turn.clone().lock_owned().await,
            server,
            starts: false,
            _start: start,
        }
    }

    /// Cancels a start that is under way, waits for its clean-up, then runs `stop`; or joins a stop that runs already.
    ///
    /// It goes on where nobody waits for it any more.
    pub async fn stop<F>(&self, key: &str, stop: F) -> Result<StopResult, Failure>
    where
        F: Future<Output = Result<StopResult, Failure>> + Send + 'static,
    {
        let server = self.server(key);
        // All that came before this stop; a start that comes after it waits for its turn.
        for start in lock(&server.starts).drain(..) {
            if let Some(start) = start.upgrade() {
                start.cancel();
            }
        }
        let running = {
            let mut slot = lock(&server.stop);
            if let Some(joined) = slot.as_ref().filter(|stop| stop.peek().is_none()) {
                joined.clone()
            } else {
                let mut turn = Box::pin(server.turn.clone().lock_owned());
                // Asked for once here, so that a start that comes next stands behind this stop.
                let at_once = (&mut turn).now_or_never();
                let task = tokio::spawn(async move {
                    let _turn = match at_once {
                        Some(turn) => turn,
                        None => turn.await,
                    };
                    stop.await
                });
                let fresh = task
                    .map(|ended| {
                        ended.unwrap_or_else(|error| {
                            Err(Failure::new(
                                crate::wire::Code::Internal,
                                format!("stop broke off: {error}"),
                            )
                            .with_cleanup(crate::wire::Cleanup::Needed))
                        })
                    })
                    .boxed()
                    .shared();
                *slot = Some(fresh.clone());
                fresh
            }
        };
        running.await
    }

    /// Whether something is being done to the server right now, or a start had its turn since `before` ahead of `moment`.
    pub fn started_since(&self, key: &str, before: Duration, moment: Instant) -> bool {
        lock(&self.servers).get(key).is_some_and(|server| {
            let recently = |ended: Instant| ended + before > moment;
            server.turn.try_lock().is_err() || lock(&server.started).is_some_and(recently)
        })
    }

    fn server(&self, key: &str) -> Arc<Server> {
        let mut servers = lock(&self.servers);
        // Whoever is not being waited for is not held by anybody else.
        if servers.len() > 1000 {
            let now = Instant::now();
            servers.retain(|_, server| {
                let recently = |ended: Instant| ended + REMEMBERED > now;
                Arc::strong_count(server) > 1 || lock(&server.started).is_some_and(recently)
            });
        }
        servers.entry(key.to_owned()).or_default().clone()
    }
}
