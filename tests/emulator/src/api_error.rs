//! What a service answers when it refuses: ECS's codes, in the shape of the AWS JSON 1.1 protocol. `sts` spells them its own way.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::signature::Refusal;

#[derive(Clone, Debug)]
pub struct ApiError {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    /// ConflictException's `resourceIds`.
    pub resource_ids: Vec<String>,
}

impl ApiError {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            message: message.into(),
            resource_ids: Vec::new(),
        }
    }

    pub fn client(message: impl Into<String>) -> Self {
        Self::new("ClientException", message)
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterException", message)
    }

    pub fn cluster_not_found() -> Self {
        Self::new("ClusterNotFoundException", "Cluster not found.")
    }

    pub fn serialization(message: impl Into<String>) -> Self {
        Self::new("SerializationException", message)
    }

    pub fn access_denied(message: impl Into<String>) -> Self {
        Self::new("AccessDeniedException", message)
    }

    pub fn throttled() -> Self {
        Self::new("ThrottlingException", "Rate exceeded")
    }

    pub fn server() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            ..Self::new(
                "ServerException",
                "Service Unavailable. Please try again later.",
            )
        }
    }

    pub fn unavailable() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            ..Self::new("ServiceUnavailableException", "Service Unavailable")
        }
    }

    pub fn conflict(resource_ids: Vec<String>) -> Self {
        let message =
            "The provided clientToken is already in use with a different RunTask request.";
        Self {
            resource_ids,
            ..Self::new("ConflictException", message)
        }
    }

    pub fn body(&self) -> Value {
        let mut body = json!({ "__type": self.code, "message": self.message });
        if !self.resource_ids.is_empty() {
            body["resourceIds"] = json!(self.resource_ids);
        }
        body
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your \
             AWS Secret Access Key and signing method. Consult the service documentation for details.";
        match refusal {
            Refusal::NoSignature => Self::new(
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
            ),
            Refusal::Incomplete(message) => Self::new("IncompleteSignatureException", message),
            Refusal::UnknownKey => Self::new(
                "UnrecognizedClientException",
                "The security token included in the request is invalid.",
            ),
            Refusal::WrongSignature => Self::new("InvalidSignatureException", MISMATCH),
            Refusal::Scope(message) | Refusal::Clock(message) => {
                Self::new("InvalidSignatureException", message)
            }
            Refusal::ExpiredToken => Self::new(
                "ExpiredTokenException",
                "The security token included in the request is expired",
            ),
        }
    }
}
