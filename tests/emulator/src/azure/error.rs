//! What Azure answers when it refuses: Resource Manager's envelope, and Entra ID's own.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::tokens::random_guid;
use crate::clock;

/// A refusal of Resource Manager or of the resource provider.
#[derive(Clone, Debug)]
pub struct ArmError {
    pub status: StatusCode,
    pub code: String,
    pub message: String,
    pub target: Option<String>,
    pub headers: Vec<(&'static str, String)>,
}

impl ArmError {
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            target: None,
            headers: Vec::new(),
        }
    }

    pub fn bad_request(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub fn not_found(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "Conflict", message)
    }

    pub fn unauthorized(
        code: &str,
        message: impl Into<String>,
        tenant: &str,
        authority: &str,
    ) -> Self {
        let message = message.into();
        let challenge = format!(
            "Bearer authorization_uri=\"{authority}/{tenant}\", error=\"invalid_token\", error_description=\"{message}\""
        );
        Self {
            headers: vec![("www-authenticate", challenge)],
            ..Self::new(StatusCode::UNAUTHORIZED, code, message)
        }
    }

    pub fn throttled(retry_after_s: u64) -> Self {
        Self {
            headers: vec![("retry-after", retry_after_s.to_string())],
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "TooManyRequests",
                format!(
                    "The request is being throttled as the limit has been reached for this principal. Try again after {retry_after_s} seconds."
                ),
            )
        }
    }

    pub fn target(self, target: &str) -> Self {
        Self {
            target: Some(target.to_owned()),
            ..self
        }
    }

    pub fn body(&self) -> Value {
        json!({ "error": error_value(&self.code, &self.message, self.target.as_deref()) })
    }
}

/// `code`, `message`, `target`, `details[]`, `additionalInfo[]`: common types, ErrorDetail.
fn error_value(code: &str, message: &str, target: Option<&str>) -> Value {
    let mut error = json!({ "code": code, "message": message });
    if let Some(target) = target {
        error["target"] = json!(target);
        error["details"] = json!([]);
        error["additionalInfo"] = json!([
            { "type": "ComponentName", "info": { "value": "managementfrontend" } }
        ]);
    }
    error
}

/// A refusal of Entra ID.
#[derive(Clone, Debug)]
pub struct EntraError {
    pub status: StatusCode,
    /// OAuth's own word.
    pub error: &'static str,
    /// The number of AADSTS.
    pub number: u32,
    pub description: String,
    pub suberror: Option<&'static str>,
    /// What must be asked of the user when he signs in again.
    pub claims: Option<&'static str>,
    pub retry_after_s: Option<u64>,
}

impl EntraError {
    pub fn new(error: &'static str, number: u32, description: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            number,
            description: description.into(),
            suberror: None,
            claims: None,
            retry_after_s: None,
        }
    }

    pub fn unauthorized(self) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            ..self
        }
    }

    pub fn suberror(self, suberror: &'static str) -> Self {
        Self {
            suberror: Some(suberror),
            ..self
        }
    }

    /// `authority` is where `error_uri` points to.
    pub fn body(&self, now_ms: u64, authority: &str) -> Value {
        let timestamp = clock::rfc3339(now_ms).replace('T', " ");
        let (trace_id, correlation_id) = (random_guid(), random_guid());
        let number = self.number;
        let mut body = json!({
            "error": self.error,
            "error_description": format!(
                "AADSTS{number}: {} Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {timestamp}",
                self.description
            ),
            "error_codes": [number],
            "timestamp": timestamp,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
            "error_uri": format!("{authority}/error?code={number}"),
        });
        if let Some(suberror) = self.suberror {
            body["suberror"] = json!(suberror);
        }
        if let Some(claims) = self.claims {
            body["claims"] = json!(claims);
        }
        body
    }
}
