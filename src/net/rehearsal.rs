//! A rehearsal: every call is noted without its secrets, and none that may change something is made.
//!
//! What may change something is told from HTTP alone, so a call that only might is not made either.

use super::tape::Scrubber;
use super::{CredentialTraffic, Door, DoorError, Request, Response};
use crate::lock::lock;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use serde_json::Value;
use std::sync::{Arc, Mutex};

/// A call as it would be sent.
#[derive(Debug, Clone)]
pub struct Noted {
    /// Whether it was made.
    pub made: bool,
    /// Whether it may change something, so that it is never made.
    pub changes: bool,
    /// GET, POST and so on.
    pub method: String,
    /// Where to, without signatures.
    pub url: String,
    /// The action, where a header names it.
    pub action: Option<String>,
    /// The body, without secrets; null where there is none.
    pub body: Value,
}

/// Notes every call, makes those that only read, and refuses the others.
pub struct Rehearsal {
    /// None where nobody is to be asked at all.
    inner: Option<Arc<dyn Door>>,
    noted: Mutex<Vec<Noted>>,
}

impl Rehearsal {
    /// A rehearsal in which reads pass `inner`; without it, whoever reads is told that it is not allowed to.
    #[must_use]
    pub fn new(inner: Option<Arc<dyn Door>>) -> Self {
        Self {
            inner,
            noted: Mutex::default(),
        }
    }

    /// What was noted so far, in order.
    #[must_use]
    pub fn noted(&self) -> Vec<Noted> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Noted>> {
        lock(&self.noted)
    }

    async fn pass(&self, request: Request) -> Result<Response, DoorError> {
        if request.extensions().get::<CredentialTraffic>().is_some() {
            return match &self.inner {
                Some(inner) => inner.send(request).await,
                None => Err(DoorError::Rehearsal("nobody is asked for credentials")),
            };
        }
        let note = note(&request);
        let changes = note.changes;
        let index = {
            let mut noted = self.lock();
            noted.push(note);
            noted.len() - 1
        };
        match &self.inner {
            _ if changes => Err(DoorError::Rehearsal("it may change something")),
            None => {
                let mut answer = Response::new(Bytes::from_static(b"{}"));
                *answer.status_mut() = StatusCode::FORBIDDEN;
                Ok(answer)
            }
            Some(inner) => {
                let answer = inner.send(request).await;
                if let Err(DoorError::NotConnected { .. }) = answer {
                    // Nobody waits for a network in a rehearsal.
                    return Err(DoorError::Rehearsal("no connection could be made"));
                }
                self.lock()[index].made = true;
                answer
            }
        }
    }
}

impl Door for Rehearsal {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, DoorError>> {
        Box::pin(self.pass(request))
    }

    fn is_replay(&self) -> bool {
        self.inner.as_ref().is_none_or(|inner| inner.is_replay())
    }
}

/// RFC 9110, 9.2.1 "Safe Methods"; of AWS's JSON protocol, where all is POST, actions whose names say that they only tell.
fn only_reads(request: &Request) -> bool {
    let tells = |action: &str| {
        ["Describe", "List", "Get"]
            .iter()
            .any(|word| action.starts_with(word))
    };
    *request.method() == Method::GET || action(request).is_some_and(|action| tells(&action))
}

fn action(request: &Request) -> Option<String> {
    let target = request.headers().get("x-amz-target")?.to_str().ok()?;
    target.rsplit('.').next().map(str::to_owned)
}

fn note(request: &Request) -> Noted {
    let mut scrubber = Scrubber::with_accounts();
    let body = match serde_json::from_slice(request.body()) {
        Ok(body) => scrubber.json(body),
        Err(_) if request.body().is_empty() => Value::Null,
        Err(_) => Value::from(format!("{} bytes", request.body().len())),
    };
    let uri = request.uri();
    let origin = match (uri.scheme_str(), uri.authority()) {
        (Some(scheme), Some(authority)) => format!("{scheme}://{authority}"),
        _ => String::new(),
    };
    Noted {
        made: false,
        changes: !only_reads(request),
        method: request.method().to_string(),
        url: format!("{origin}{}", scrubber.path(uri)),
        action: action(request),
        body,
    }
}
