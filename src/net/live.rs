//! The door that leads to the network. Nothing else in the crate names reqwest.

use super::{Door, DoorError, Request, Response};
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use std::error::Error as _;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

/// A connection that takes longer is as good as refused; the clouds' endpoints answer within a second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// One answer; RunTask, the slowest call, answers within a few seconds. A longer wait means that it was lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Shorter than the clouds' own keep-alive, so that a reused connection is seldom one that they just closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// What the cloud's own records (CloudTrail's `userAgent`, Azure's sign-in logs) name the program by.
const USER_AGENT: &str = concat!("cloudspawner/", env!("CARGO_PKG_VERSION"));
/// The largest answer that is read. DescribeTasks for 100 tasks with 8 KiB of overrides each stays below 4 MiB.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;
/// About what DescribeTasks tells of a hundred tasks with all of their environment (8 KiB each).
const LARGE_ANSWER_BYTES: usize = 1024 * 1024;

/// Talks HTTP over shared connections: to the machine's own metadata services directly, to all else through the proxy
/// that the environment names, if any.
#[derive(Default)]
pub struct Live {
    direct: OnceLock<reqwest::Client>,
    outside: OnceLock<reqwest::Client>,
}

impl Live {
    fn client_for(&self, host: &str) -> Result<&reqwest::Client, String> {
        let direct = is_on_this_machine(host);
        let cell = if direct { &self.direct } else { &self.outside };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if direct {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| in_full(&error))?;
        Ok(cell.get_or_init(|| client))
    }

    async fn exchange(&self, request: Request) -> Result<Response, DoorError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let client = self
            .client_for(&host)
            .map_err(|why| DoorError::NotConnected {
                host: host.clone(),
                why,
            })?;
        let request =
            reqwest::Request::try_from(request.map(reqwest::Body::from)).map_err(|e| {
                DoorError::NotConnected {
                    host: host.clone(),
                    why: in_full(&e),
                }
            })?;
        let lost = |why: String| DoorError::Interrupted {
            host: host.clone(),
            why,
        };
        let mut answer = match client.execute(request).await {
            Ok(answer) => answer,
            Err(error) if error.is_connect() => {
                return Err(DoorError::NotConnected {
                    why: in_full(&error),
                    host,
                });
            }
            Err(error) => return Err(lost(in_full(&error))),
        };
        // A length is a promise; what is set aside for it in advance is bounded.
        let length = usize::try_from(answer.content_length().unwrap_or(0)).unwrap_or(0);
        let mut body = BytesMut::with_capacity(length.min(LARGE_ANSWER_BYTES));
        while let Some(chunk) = answer.chunk().await.map_err(|e| lost(in_full(&e)))? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(lost(format!("more than {MAX_ANSWER_BYTES} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = http::Response::new(Bytes::from(body));
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        Ok(response)
    }
}

impl Door for Live {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, DoorError>> {
        Box::pin(self.exchange(request))
    }
}

/// Loopback, and the link-local addresses of the clouds' metadata and credential services.
fn is_on_this_machine(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_link_local(),
        // fd00:ec2::254 and fd00:ec2::23 are EC2's and EKS's: unique local addresses.
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local(),
        Err(_) => host == "localhost",
    }
}

/// An error with its sources, without the URL, whose query might hold a signature.
fn in_full(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() {
        "timed out".to_owned()
    } else if error.is_connect() {
        "could not connect".to_owned()
    } else if error.is_body() || error.is_decode() {
        "the answer broke off".to_owned()
    } else {
        "the exchange failed".to_owned()
    };
    let mut source = error.source();
    while let Some(inner) = source {
        let _ = write!(text, ": {inner}");
        source = inner.source();
    }
    text
}
