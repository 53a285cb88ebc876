//! Where code in AWS finds its role's keys: the container endpoint (`AWS_CONTAINER_CREDENTIALS_FULL_URI`) and the instance
//! metadata service, version 2 alone.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::clock;
use crate::identity::{Key, random};
use crate::world::Emulator;

/// ECS and EC2 hand out keys for about six hours.
const LIFETIME_MS: u64 = 6 * 3600 * 1000;
/// The session token of IMDSv2 is an opaque text; this emulator knows its own by their start.
const TOKEN_START: &str = "emulator-imds-";

fn issue(emulator: &Emulator, session: &str) -> (Key, String) {
    let mut world = emulator.world();
    let lifetime_ms = world
        .settings
        .credentials_lifetime_ms
        .unwrap_or(LIFETIME_MS);
    let expires_ms = emulator.clock.now_ms() + lifetime_ms;
    (
        world
            .keys
            .assume(&emulator.credentials_role, session, expires_ms),
        clock::rfc3339(expires_ms),
    )
}

fn role_arn(emulator: &Emulator) -> String {
    format!(
        "arn:aws:iam::{}:role/{}",
        emulator.account, emulator.credentials_role
    )
}

/// `GET /credentials`: developer guide, "Task IAM role".
pub async fn container(State(emulator): State<Arc<Emulator>>, headers: HeaderMap) -> Response {
    let given = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    if emulator.credentials_token.is_some() && emulator.credentials_token.as_deref() != given {
        let body = json!({ "code": "Unauthorized", "message": "The authorization token is missing or wrong." });
        return (StatusCode::UNAUTHORIZED, Json(body)).into_response();
    }
    let (key, expiration) = issue(&emulator, "task");
    Json(json!({
        "AccessKeyId": key.access_key_id,
        "SecretAccessKey": key.secret,
        "Token": key.session_token,
        "Expiration": expiration,
        "RoleArn": role_arn(&emulator),
    }))
    .into_response()
}

/// `PUT /latest/api/token`: EC2 user guide, "Use the Instance Metadata Service".
pub async fn imds_token(headers: HeaderMap) -> Response {
    const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";
    let ttl = headers
        .get(TTL)
        .and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    match ttl {
        // The guide: one second to six hours.
        Some(seconds @ 1..=21_600) => (
            [(TTL, seconds.to_string())],
            format!("{TOKEN_START}{}", random(40)),
        )
            .into_response(),
        _ => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// `GET /latest/…`; a request without a token of version 2 is refused.
pub async fn imds(
    State(emulator): State<Arc<Emulator>>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Response {
    let token = headers
        .get("x-aws-ec2-metadata-token")
        .and_then(|value| value.to_str().ok());
    if !token.is_some_and(|token| token.starts_with(TOKEN_START)) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let role = &emulator.credentials_role;
    match path.trim_end_matches('/') {
        "meta-data/iam/security-credentials" => role.clone().into_response(),
        "meta-data/placement/region" => emulator.region.clone().into_response(),
        "meta-data/placement/availability-zone" => format!("{}a", emulator.region).into_response(),
        "meta-data/iam/info" => {
            Json(json!({ "Code": "Success", "InstanceProfileArn": role_arn(&emulator) }))
                .into_response()
        }
        "dynamic/instance-identity/document" => {
            Json(json!({ "region": emulator.region, "accountId": emulator.account }))
                .into_response()
        }
        path if path.strip_prefix("meta-data/iam/security-credentials/") == Some(role) => {
            instance(&emulator).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn instance(emulator: &Emulator) -> Json<Value> {
    let (key, expiration) = issue(emulator, "i-0123456789abcdef0");
    Json(json!({
        "Code": "Success",
        "LastUpdated": clock::rfc3339(emulator.clock.now_ms()),
        "Type": "AWS-HMAC",
        "AccessKeyId": key.access_key_id,
        "SecretAccessKey": key.secret,
        "Token": key.session_token,
        "Expiration": expiration,
    }))
}
