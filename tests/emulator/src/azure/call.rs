//! What every call to Azure passes through, in this order: latency, the token (Resource Manager alone), faults, the answer,
//! the log.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::error::{ArmError, EntraError};
use super::faults::{Fault, Kind};
use super::path::{self, Route};
pub use super::reply::Reply;
use super::tokens::{Principal, random_guid};
use super::{Azure, arm, authorize, client, entra, grants, managed_identity, storage};
use crate::call::{BODY_LIMIT, WRONG_JSON, broken, cut};
use crate::calls::{Entry, HttpPath};

/// Members of forms and queries that the log does not show.
const SECRETS: [&str; 8] = [
    "client_secret",
    "client_assertion",
    "assertion",
    "refresh_token",
    "code",
    "code_verifier",
    "password",
    "sig",
];

pub type Pairs = Vec<(String, String)>;

pub fn field<'a>(pairs: &'a Pairs, name: &str) -> &'a str {
    pairs
        .iter()
        .find(|(key, _)| key == name)
        .map_or("", |(_, value)| value)
}

/// A call that arrived whole.
#[derive(Debug)]
pub struct Incoming {
    pub method: Method,
    pub path: String,
    pub query: Pairs,
    pub headers: HeaderMap,
    pub bytes: Bytes,
    pub route: Route,
    pub operation: String,
    pub at_ms: u64,
    /// This listener as the client sees it, which may stand behind a proxy.
    pub base: String,
}

impl Incoming {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn form(&self) -> Pairs {
        form_urlencoded::parse(&self.bytes).into_owned().collect()
    }

    /// The body as the log shows it.
    fn shown(&self) -> Value {
        if self.bytes.is_empty() {
            return Value::Null;
        }
        if matches!(self.route, Route::Secret | Route::Files { .. }) {
            return json!("REDACTED");
        }
        if let Ok(body) = serde_json::from_slice(&self.bytes) {
            return body;
        }
        shown(&self.form())
    }
}

fn shown(pairs: &Pairs) -> Value {
    let members: Map<_, _> = pairs
        .iter()
        .map(|(name, value)| {
            let secret = SECRETS.contains(&name.as_str());
            (name.clone(), json!(if secret { "REDACTED" } else { value }))
        })
        .collect();
    Value::Object(members)
}

fn refused_by_entra(incoming: &Incoming, error: &EntraError) -> Reply {
    let body = error.body(incoming.at_ms, &incoming.base);
    let wait = error
        .retry_after_s
        .map(|seconds| ("retry-after", seconds.to_string()));
    Reply {
        code: Some(format!("AADSTS{}", error.number)),
        ..Reply::json(error.status, &body).with(wait.into_iter().collect())
    }
}

pub async fn call(State(azure): State<Arc<Azure>>, request: Request<Body>) -> Response {
    let Some(incoming) = read(&azure, request).await else {
        return cut();
    };
    let latency_ms = azure.world().settings.latency_ms;
    if latency_ms > 0 {
        sleep(Duration::from_millis(latency_ms)).await;
    }
    let principal = match &incoming.route {
        Route::Arm(_) => match arm::authenticate(&azure, &incoming) {
            Ok(principal) => Some(principal),
            Err(error) => return log(&azure, &incoming, error.into()),
        },
        _ => None,
    };
    let mut struck = {
        let text = String::from_utf8_lossy(&incoming.bytes);
        let subject = format!("{} {text}", incoming.path);
        azure.world().faults.strike(&incoming.operation, &subject)
    };
    let delay_ms: u64 = struck
        .iter()
        .filter(|fault| fault.kind == Kind::Slow)
        .map(|fault| fault.delay_ms)
        .sum();
    if delay_ms > 0 {
        sleep(Duration::from_millis(delay_ms)).await;
    }
    struck.retain(|fault| fault.kind != Kind::Slow);
    let fault = struck.first();
    match fault.map(|fault| fault.kind) {
        Some(Kind::CutBefore) => {
            record(&azure, &incoming, 0, None);
            return cut();
        }
        Some(Kind::Hang) => {
            record(&azure, &incoming, 0, None);
            return std::future::pending().await;
        }
        _ => {}
    }
    let reply = fault
        .and_then(|fault| instead(&azure, &incoming, principal.as_ref(), fault))
        .unwrap_or_else(|| act(&azure, &incoming, principal.as_ref(), fault));
    after(&azure, &incoming, reply, fault)
}

async fn read(azure: &Azure, request: Request<Body>) -> Option<Incoming> {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, BODY_LIMIT).await.ok()?;
    let path = parts.uri.path().to_owned();
    let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
        .into_owned()
        .collect();
    let files = storage::files_route(&parts.method, &parts.headers, &query, &path);
    let route = files.map_or_else(
        || path::parse(&path),
        |(account, operation)| Route::Files { account, operation },
    );
    let forwarded = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let base = match (
        forwarded("x-forwarded-proto"),
        forwarded("x-forwarded-host"),
    ) {
        (Some(scheme), Some(host)) => format!("{scheme}://{host}"),
        _ => azure.base.clone(),
    };
    Some(Incoming {
        operation: route.operation(&parts.method),
        method: parts.method,
        path,
        query,
        headers: parts.headers,
        bytes,
        route,
        at_ms: azure.clock.now_ms(),
        base,
    })
}

/// The faults that come in the place of the answer.
fn instead(
    azure: &Azure,
    incoming: &Incoming,
    principal: Option<&Principal>,
    fault: &Fault,
) -> Option<Reply> {
    if let (Route::Files { .. }, Some(reply)) = (&incoming.route, storage::fault_of_files(fault)) {
        return Some(reply);
    }
    let arm = matches!(incoming.route, Route::Arm(_) | Route::Secret);
    let status = match fault.kind {
        Kind::Throttle => StatusCode::TOO_MANY_REQUESTS,
        Kind::Error500 => StatusCode::INTERNAL_SERVER_ERROR,
        Kind::Error503 => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Html => {
            let page = "<!DOCTYPE html><html><body><h1>A page of a proxy</h1></body></html>";
            let status = fault
                .status
                .and_then(|status| StatusCode::from_u16(status).ok());
            return Some(Reply {
                status: status.unwrap_or(StatusCode::OK),
                ..Reply::html(page.to_owned())
            });
        }
        Kind::AccessDenied => {
            if let (Route::Arm(path), Some(principal)) = (&incoming.route, principal) {
                return Some(arm::denied(incoming, path, principal).into());
            }
            if arm {
                let message = "Caller is not authorized to perform action on resource.";
                let refusal = ArmError::new(StatusCode::FORBIDDEN, "Forbidden", message);
                return Some(refusal.into());
            }
            let app = field(&incoming.form(), "client_id").to_owned();
            return Some(refused_by_entra(incoming, &client::wrong_secret(&app)));
        }
        Kind::ExpiredToken => {
            return Some(if arm {
                arm::expired(azure, incoming, incoming.at_ms).into()
            } else {
                refused_by_entra(incoming, &client::expired(&incoming.form(), incoming.at_ms))
            });
        }
        _ => return None,
    };
    let retry_after_s = azure.world().settings.retry_after_s;
    let error = match status {
        StatusCode::TOO_MANY_REQUESTS => ArmError::throttled(retry_after_s),
        StatusCode::SERVICE_UNAVAILABLE => ArmError::new(
            status,
            "ServerTimeout",
            "The request could not be completed in time. Please retry the request.",
        ),
        _ => ArmError::new(status, "InternalServerError", "An internal error occurred."),
    };
    Some(if arm {
        error.into()
    } else {
        let number = if status == StatusCode::TOO_MANY_REQUESTS {
            90055
        } else {
            90033
        };
        let refusal = EntraError {
            status,
            retry_after_s: (number == 90055).then_some(retry_after_s),
            ..EntraError::new("temporarily_unavailable", number, error.message)
        };
        Reply {
            code: Some(error.code),
            ..refused_by_entra(incoming, &refusal)
        }
    })
}

fn act(
    azure: &Arc<Azure>,
    incoming: &Incoming,
    principal: Option<&Principal>,
    fault: Option<&Fault>,
) -> Reply {
    let answer = match (&incoming.route, principal) {
        (Route::Arm(path), Some(principal)) => {
            return arm::answer(azure, incoming, path, principal, fault);
        }
        (Route::OpenIdConfiguration { tenant }, _) => entra::configuration(azure, incoming, tenant),
        (Route::Keys { tenant }, _) => entra::keys(azure, incoming, tenant),
        (Route::InstanceDiscovery, _) => Ok(entra::instance_discovery(azure, incoming)),
        (Route::Authorize { tenant }, _) => authorize::answer(azure, incoming, tenant),
        (Route::Token { tenant }, _) => grants::answer(azure, incoming, tenant),
        (Route::MachineIdentity { .. } | Route::AppServiceIdentity, _) => {
            return managed_identity::answer(azure, incoming);
        }
        (Route::Files { account, operation }, _) => {
            return storage::answer_for_files(azure, incoming, account, operation);
        }
        (Route::Secret, _) => return storage::answer_secret(azure, incoming),
        (Route::Unknown | Route::Arm(_), _) => {
            return ArmError::not_found("NotFound", "The emulator has nothing at this path.")
                .into();
        }
    };
    answer.unwrap_or_else(|error| refused_by_entra(incoming, &error))
}

/// The faults that come between the effect and the client.
fn after(azure: &Azure, incoming: &Incoming, reply: Reply, fault: Option<&Fault>) -> Response {
    match fault.map(|fault| fault.kind) {
        Some(Kind::ReplyLost) => {
            record(azure, incoming, 0, None);
            cut()
        }
        Some(Kind::Truncated) => {
            let half = reply.body.slice(..reply.body.len() / 2);
            let length = reply.body.len();
            let mut response = log(azure, incoming, reply);
            *response.body_mut() = Body::from_stream(broken(half));
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, length.into());
            response
        }
        Some(Kind::WrongJson) => {
            let body = Bytes::from_static(WRONG_JSON.as_bytes());
            log(azure, incoming, Reply { body, ..reply })
        }
        _ => log(azure, incoming, reply),
    }
}

fn record(azure: &Azure, incoming: &Incoming, status: u16, code: Option<&str>) {
    let action = format!("{} {}", incoming.method, incoming.route.resource());
    let entry = Entry {
        at_ms: incoming.at_ms,
        service: "azure",
        action: &action,
        path: Some(HttpPath {
            method: incoming.method.as_str(),
            path: &incoming.path,
            query: &shown(&incoming.query),
            operation: &incoming.operation,
        }),
        body: &incoming.shown(),
        status,
        code,
    };
    azure.world().calls.record(entry);
}

fn log(azure: &Azure, incoming: &Incoming, reply: Reply) -> Response {
    record(
        azure,
        incoming,
        reply.status.as_u16(),
        reply.code.as_deref(),
    );
    let request_id = random_guid();
    let correlation_id = incoming
        .header("x-ms-correlation-request-id")
        .unwrap_or(&request_id)
        .to_owned();
    let mut response = (reply.status, reply.body).into_response();
    let mut headers = reply.headers;
    headers.push(("content-type", reply.content_type.to_owned()));
    headers.push(("x-ms-request-id", request_id));
    headers.push(("x-ms-correlation-request-id", correlation_id));
    headers.push(("cache-control", "no-cache".to_owned()));
    let named = headers
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    for (name, value) in named.chain(reply.extra) {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
