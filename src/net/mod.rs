//! The one door for HTTP: every byte to a cloud passes here.
//!
//! `live` talks to the network, `tape` records and replays, `rehearsal` makes only what changes nothing, `limiter` keeps to the clouds' quotas, `retry` says when to
//! try again. This room knows HTTP and time, and nothing of any cloud.

pub mod limiter;
pub mod live;
pub mod rehearsal;
pub mod retry;
pub mod tape;

use bytes::Bytes;
use futures_util::future::BoxFuture;

/// A request with its whole body.
pub type Request = http::Request<Bytes>;
/// An answer with its whole body.
pub type Response = http::Response<Bytes>;

/// Where HTTP requests go in and answers come out. Nothing is retried inside.
pub trait Door: Send + Sync {
    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// `NotConnected` where the request had no effect; `Interrupted` where it may have had one; `Tape` in replay, `Rehearsal` in a rehearsal.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, DoorError>>;

    /// Whether answers come from a tape, so that no credentials are needed.
    fn is_replay(&self) -> bool {
        false
    }
}

/// Marks a request that carries or fetches credentials: it is never written to a tape.
#[derive(Debug, Clone, Copy)]
pub struct CredentialTraffic;

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DoorError {
    /// No connection was made, so the request had no effect.
    #[error("no connection to {host}: {why}")]
    NotConnected {
        /// The host that was tried.
        host: String,
        /// The transport's own words.
        why: String,
    },
    /// The answer was lost: the request may have had its effect.
    #[error("the answer of {host} was lost: {why}")]
    Interrupted {
        /// The host that was asked.
        host: String,
        /// The transport's own words.
        why: String,
    },
    /// Not sent, since nothing is to be changed.
    #[error("not made: {0}")]
    Rehearsal(&'static str),
    /// The tape has no answer for this request.
    #[error("tape: {0}")]
    Tape(String),
}
