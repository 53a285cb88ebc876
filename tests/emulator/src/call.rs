//! What every call of ECS, EC2, EFS, CloudWatch Logs, Secrets Manager, SSM and STS passes through, in this order: latency, signature, faults, the action (types, quota,
//! permission, effect), the log.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::api_error::ApiError;
use crate::calls::Entry;
use crate::faults::{Fault, Kind};
use crate::identity::{Key, random_hex};
use crate::signature::{self, Expected, Refusal};
use crate::world::Emulator;
use crate::{ec2, ecs, efs, logs, secrets, sts};

/// More than ECS takes; a longer body ends the connection.
pub const BODY_LIMIT: usize = 4 * 1024 * 1024;
/// What stands before the action in X-Amz-Target (the official models, `targetPrefix`).
const TARGETS: [(&str, Api); 4] = [
    ("AmazonEC2ContainerServiceV20141113.", Api::Ecs),
    ("Logs_20140328.", Api::Logs),
    ("secretsmanager.", Api::SecretsManager),
    ("AmazonSSM.", Api::Ssm),
];

const FLUSH: Duration = Duration::from_millis(20);

/// On a response: send nothing, end the connection.
#[derive(Clone, Copy, Debug)]
pub struct Cut;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    Ec2,
    Ecs,
    Efs,
    Logs,
    SecretsManager,
    Ssm,
    Sts,
}

impl Api {
    /// The name in a signature's scope, and in the log.
    fn name(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::Ecs => "ecs",
            Self::Efs => "elasticfilesystem",
            Self::Logs => "logs",
            Self::SecretsManager => "secretsmanager",
            Self::Ssm => "ssm",
            Self::Sts => "sts",
        }
    }
}

/// A call that arrived whole.
struct Incoming {
    api: Api,
    action: String,
    bytes: Bytes,
    /// ECS's JSON, EFS's members, or the form of EC2 or STS as an object; the log has it.
    body: Value,
    at_ms: u64,
}

/// JSON that means nothing to any client.
pub const WRONG_JSON: &str = r#"{"unexpected":true}"#;

/// What goes back, and the error code for the log.
struct Reply {
    status: StatusCode,
    content_type: &'static str,
    body: String,
    code: Option<&'static str>,
}

pub async fn call(State(emulator): State<Arc<Emulator>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, BODY_LIMIT).await else {
        return cut();
    };
    let Some(incoming) = read(&parts, bytes, emulator.clock.now_ms()) else {
        return (
            StatusCode::NOT_FOUND,
            "no call of ECS, EFS, CloudWatch Logs or STS\n",
        )
            .into_response();
    };
    let latency_ms = emulator.world().settings.latency_ms;
    if latency_ms > 0 {
        sleep(Duration::from_millis(latency_ms)).await;
    }
    let key = match authenticate(&emulator, &parts, &incoming) {
        Ok(key) => key,
        Err(error) => return log(&emulator, &incoming, refuse(incoming.api, &error)),
    };
    let mut struck = {
        let text = String::from_utf8_lossy(&incoming.bytes);
        emulator.world().faults.strike(&incoming.action, &text)
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
    if let Some(response) = before(&emulator, &incoming, fault).await {
        return response;
    }
    let reply = act(&emulator, &incoming, key.as_ref(), fault);
    after(&emulator, &incoming, reply, fault)
}

fn read(parts: &Parts, bytes: Bytes, at_ms: u64) -> Option<Incoming> {
    if parts.uri.path() != "/" {
        let (action, body) = efs::read(&parts.method, &parts.uri, &bytes)?;
        return Some(Incoming {
            api: Api::Efs,
            action: action.to_owned(),
            bytes,
            body,
            at_ms,
        });
    }
    let target = parts
        .headers
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok());
    let named = |(prefix, api)| Some((target?.strip_prefix(prefix)?, api));
    if let Some((action, api)) = TARGETS.into_iter().find_map(named) {
        // An unreadable body stays a text here and is refused after the signature check.
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
        return Some(Incoming {
            api,
            action: action.to_owned(),
            bytes,
            body,
            at_ms,
        });
    }
    let form = sts::parse_form(&bytes);
    let action = sts::field(&form, "Action").to_owned();
    if action.is_empty() {
        return None;
    }
    let shown = |name: &str, value: &str| {
        if name == "WebIdentityToken" {
            json!("REDACTED")
        } else {
            json!(value)
        }
    };
    let body = form
        .iter()
        .map(|(name, value)| (name.clone(), shown(name, value)))
        .collect();
    Some(Incoming {
        api: if sts::field(&form, "Version") == ec2::VERSION {
            Api::Ec2
        } else {
            Api::Sts
        },
        action,
        bytes,
        body: Value::Object(body),
        at_ms,
    })
}

fn authenticate(
    emulator: &Emulator,
    parts: &Parts,
    incoming: &Incoming,
) -> Result<Option<Key>, ApiError> {
    if incoming.api == Api::Sts && sts::is_unsigned(&incoming.action) {
        return Ok(None);
    }
    let expected = Expected {
        region: &emulator.region,
        service: incoming.api.name(),
        now_ms: emulator.clock.now_ms(),
    };
    let world = emulator.world();
    Ok(Some(signature::check(
        parts,
        &incoming.bytes,
        &world.keys,
        expected,
    )?))
}

/// The faults that come in the place of the action.
async fn before(
    emulator: &Emulator,
    incoming: &Incoming,
    fault: Option<&Fault>,
) -> Option<Response> {
    let fault = fault?;
    let error = match fault.kind {
        Kind::Throttle => ApiError::throttled(),
        Kind::Error500 => ApiError::server(),
        Kind::Error503 => ApiError::unavailable(),
        Kind::AccessDenied => {
            let (service, action) = (incoming.api.name(), &incoming.action);
            ApiError::access_denied(format!(
                "User: arn:aws:iam::{}:user/emulator is not authorized to perform: {service}:{action} on resource: * because \
                 no identity-based policy allows the {service}:{action} action",
                emulator.account
            ))
        }
        Kind::ExpiredToken => Refusal::ExpiredToken.into(),
        Kind::ClockSkew => Refusal::of_a_slow_clock(incoming.at_ms).into(),
        Kind::Refused => {
            let message = fault.message.clone().unwrap_or_default();
            match fault.code.as_deref() {
                Some("InvalidParameterException") => ApiError::invalid(message),
                Some("InvalidRequestException") => {
                    ApiError::new("InvalidRequestException", message)
                }
                _ => ApiError::client(message),
            }
        }
        Kind::CutBefore => {
            record(emulator, incoming, 0, None);
            return Some(cut());
        }
        Kind::Hang => {
            record(emulator, incoming, 0, None);
            return std::future::pending().await;
        }
        Kind::Html => {
            let status = fault
                .status
                .and_then(|status| StatusCode::from_u16(status).ok())
                .unwrap_or(StatusCode::OK);
            let body =
                "<!DOCTYPE html><html><body><h1>A page of a proxy</h1></body></html>".to_owned();
            return Some(log(
                emulator,
                incoming,
                Reply {
                    status,
                    content_type: "text/html",
                    body,
                    code: None,
                },
            ));
        }
        _ => return None,
    };
    Some(log(emulator, incoming, refuse(incoming.api, &error)))
}

fn act(
    emulator: &Arc<Emulator>,
    incoming: &Incoming,
    key: Option<&Key>,
    fault: Option<&Fault>,
) -> Reply {
    let now_ms = emulator.clock.now_ms();
    let answer = match (incoming.api, key) {
        (Api::Ecs | Api::Logs | Api::SecretsManager | Api::Ssm, Some(key))
            if incoming.body.is_object() =>
        {
            let call = ecs::Call {
                emulator,
                key,
                fault,
                now_ms,
            };
            let answer = match incoming.api {
                Api::Logs => logs::answer,
                Api::SecretsManager | Api::Ssm => secrets::answer,
                _ => ecs::answer,
            };
            answer(call, &incoming.action, incoming.body.clone()).map(|answer| answer.to_string())
        }
        (Api::Efs, Some(key)) if incoming.body.is_object() => {
            let call = efs::Call {
                emulator,
                key,
                now_ms,
            };
            efs::answer(call, &incoming.action, incoming.body.clone())
                .map(|answer| answer.to_string())
        }
        (Api::Ec2, Some(key)) => {
            let call = ecs::Call {
                emulator,
                key,
                fault,
                now_ms,
            };
            ec2::answer(call, &incoming.action, &sts::parse_form(&incoming.bytes))
        }
        (Api::Ec2 | Api::Ecs | Api::Efs | Api::Logs | Api::SecretsManager | Api::Ssm, _) => Err(
            ApiError::serialization("Unexpected end of JSON or not an object"),
        ),
        (Api::Sts, key) => {
            let form = sts::parse_form(&incoming.bytes);
            sts::answer(emulator, key, &incoming.action, &form, now_ms)
        }
    };
    match answer {
        // The one action whose success has no body.
        Ok(_) if incoming.action == "DeleteAccessPoint" => Reply {
            status: StatusCode::NO_CONTENT,
            content_type: content_type(incoming.api),
            body: String::new(),
            code: None,
        },
        Ok(body) => Reply {
            status: StatusCode::OK,
            content_type: content_type(incoming.api),
            body,
            code: None,
        },
        Err(error) => refuse(incoming.api, &error),
    }
}

fn content_type(api: Api) -> &'static str {
    match api {
        Api::Ecs | Api::Logs | Api::SecretsManager | Api::Ssm => "application/x-amz-json-1.1",
        Api::Efs => "application/json",
        Api::Ec2 | Api::Sts => "text/xml",
    }
}

/// The faults that come between the effect and the client.
fn after(
    emulator: &Emulator,
    incoming: &Incoming,
    reply: Reply,
    fault: Option<&Fault>,
) -> Response {
    match fault.map(|fault| fault.kind) {
        Some(Kind::ReplyLost) => {
            record(emulator, incoming, 0, None);
            cut()
        }
        Some(Kind::Truncated) => {
            let half = Bytes::copy_from_slice(&reply.body.as_bytes()[..reply.body.len() / 2]);
            let length = reply.body.len();
            let mut response = log(emulator, incoming, reply);
            *response.body_mut() = Body::from_stream(broken(half));
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, length.into());
            response
        }
        Some(Kind::WrongJson) => {
            let body = WRONG_JSON.to_owned();
            log(emulator, incoming, Reply { body, ..reply })
        }
        _ => log(emulator, incoming, reply),
    }
}

/// A body that ends in the middle. The pause lets its first half go out before the connection ends.
pub fn broken(half: Bytes) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let end = async {
        sleep(FLUSH).await;
        Err(std::io::Error::other("truncated by a fault"))
    };
    stream::once(async { Ok(half) }).chain(stream::once(end))
}

fn refuse(api: Api, error: &ApiError) -> Reply {
    let (status, code, body) = match api {
        Api::Ecs | Api::Logs | Api::SecretsManager | Api::Ssm => {
            (error.status, error.code, error.body().to_string())
        }
        Api::Efs => {
            let error = efs::respell(error.clone());
            (error.status, error.code, efs::body(&error).to_string())
        }
        Api::Ec2 => {
            let (status, xml) = ec2::error_xml(error);
            (status, error.code, xml)
        }
        Api::Sts => {
            let (status, xml) = sts::error_xml(error);
            (status, error.code, xml)
        }
    };
    Reply {
        status,
        content_type: content_type(api),
        body,
        code: Some(code),
    }
}

fn record(emulator: &Emulator, incoming: &Incoming, status: u16, code: Option<&str>) {
    let Incoming {
        api,
        action,
        body,
        at_ms,
        ..
    } = incoming;
    let entry = Entry {
        at_ms: *at_ms,
        service: api.name(),
        action,
        path: None,
        body,
        status,
        code,
    };
    emulator.world().calls.record(entry);
}

fn log(emulator: &Emulator, incoming: &Incoming, reply: Reply) -> Response {
    record(emulator, incoming, reply.status.as_u16(), reply.code);
    let hex = random_hex(32);
    let request_id = format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    );
    let headers = [
        (header::CONTENT_TYPE.as_str(), reply.content_type),
        ("x-amzn-requestid", request_id.as_str()),
    ];
    let mut response = (reply.status, headers, reply.body).into_response();
    if let (Api::Efs, Some(code)) = (incoming.api, reply.code) {
        let code = HeaderValue::from_static(code);
        response.headers_mut().insert("x-amzn-errortype", code);
    }
    response
}

pub fn cut() -> Response {
    let mut response = StatusCode::OK.into_response();
    response.extensions_mut().insert(Cut);
    response
}
