//! What AWS can answer, and the one table from its codes to ours.

use crate::error::Failure;
use crate::net::DoorError;
use crate::net::retry::Again;
use crate::wire::{Code, ErrorPlace};
use serde_json::Value;
use std::time::Duration;

/// A call to AWS that did not succeed. `operation` is like `ecs:RunTask`.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AwsError {
    /// There are no credentials to sign with; nothing was sent.
    #[error("{operation}: no usable AWS credentials: {why}")]
    Credentials {
        /// What was to be called.
        operation: String,
        /// The chain's own words.
        why: String,
        /// Whether it may pass by itself.
        transient: bool,
    },
    /// The account's quota leaves no room before the deadline; nothing was sent.
    #[error("{operation}: the quota leaves no room for {} s", wait.as_secs())]
    Queue {
        /// What was to be called.
        operation: String,
        /// How long the wait would have been.
        wait: Duration,
    },
    /// No usable answer came.
    #[error("{operation}: {source}")]
    NoAnswer {
        /// What was called.
        operation: String,
        /// Why there is none.
        source: DoorError,
    },
    /// AWS answered with success, and something that is not JSON.
    #[error("{operation}: the answer cannot be read: {why}")]
    Unreadable {
        /// What was called.
        operation: String,
        /// What is wrong with it.
        why: String,
    },
    /// AWS refused.
    #[error("{}: {}: {}", .0.operation, .0.cloud_code.as_deref().unwrap_or("no code"), .0.message)]
    Refused(Box<Refusal>),
}

/// What AWS answered instead of a result.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What was called.
    pub operation: String,
    /// The HTTP status.
    pub http_status: u16,
    /// AWS's code, without its namespace.
    pub cloud_code: Option<String>,
    /// AWS's sentence.
    pub message: String,
    /// AWS's id of the request.
    pub request_id: Option<String>,
    /// What Retry-After asks for.
    pub retry_after: Option<Duration>,
    /// The whole answer, for the fields of special exceptions.
    pub body: Value,
}

/// AWS's codes that mean something else than their HTTP status does. Sources: "Common Errors" and each action's "Errors"
/// in the Amazon ECS API Reference; the SDKs' lists of throttling and clock-skew codes (aws-smithy `retry`).
const CODES: &[(&str, Code)] = &[
    ("ThrottlingException", Code::Throttled),
    ("Throttling", Code::Throttled),
    ("ThrottledException", Code::Throttled),
    ("RequestThrottledException", Code::Throttled),
    ("TooManyRequestsException", Code::Throttled),
    ("RequestLimitExceeded", Code::Throttled),
    ("LimitExceededException", Code::QuotaExceeded),
    ("AccessDeniedException", Code::PermissionDenied),
    ("AccessDenied", Code::PermissionDenied),
    ("BlockedException", Code::PermissionDenied),
    ("OptInRequired", Code::PermissionDenied),
    ("ExpiredTokenException", Code::Unauthenticated),
    ("ExpiredToken", Code::Unauthenticated),
    ("UnrecognizedClientException", Code::Unauthenticated),
    ("InvalidClientTokenId", Code::Unauthenticated),
    ("InvalidSignatureException", Code::Unauthenticated),
    ("SignatureDoesNotMatch", Code::Unauthenticated),
    ("MissingAuthenticationTokenException", Code::Unauthenticated),
    ("IncompleteSignature", Code::Unauthenticated),
    ("RequestExpired", Code::Unauthenticated),
    ("ClusterNotFoundException", Code::NotFound),
    ("ConflictException", Code::Conflict),
    ("ServerException", Code::Unavailable),
    ("ServiceUnavailable", Code::Unavailable),
    ("InternalFailure", Code::Unavailable),
    ("InvalidParameterException", Code::InvalidConfig),
    ("ClientException", Code::InvalidConfig),
    ("SerializationException", Code::InvalidConfig),
    ("ValidationException", Code::InvalidConfig),
    ("PlatformUnknownException", Code::InvalidConfig),
    (
        "PlatformTaskDefinitionIncompatibilityException",
        Code::InvalidConfig,
    ),
    ("UnsupportedFeatureException", Code::InvalidConfig),
];

impl AwsError {
    /// Our code for it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Credentials {
                transient: true, ..
            }
            | Self::Unreadable { .. } => Code::Unavailable,
            Self::Credentials { .. } => Code::Unauthenticated,
            Self::Queue { .. } => Code::Throttled,
            Self::NoAnswer {
                source: DoorError::Tape(_),
                ..
            } => Code::Conflict,
            Self::NoAnswer { .. } => Code::Unavailable,
            Self::Refused(refusal) => refusal
                .cloud_code
                .as_deref()
                .and_then(|code| CODES.iter().find(|(name, _)| *name == code))
                .map_or_else(|| code_of_status(refusal.http_status), |(_, code)| *code),
        }
    }

    /// The same error, whose message does not repeat these.
    #[must_use]
    pub fn without(mut self, secrets: &[String]) -> Self {
        if let Self::Refused(refusal) = &mut self {
            for secret in secrets {
                refusal.message = refusal.message.replace(secret.as_str(), "REDACTED");
            }
        }
        self
    }

    /// AWS's own code, where it gave one.
    #[must_use]
    pub fn cloud_code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.cloud_code.as_deref(),
            _ => None,
        }
    }

    /// Whether the call certainly had no effect.
    #[must_use]
    pub fn had_no_effect(&self) -> bool {
        match self {
            Self::Credentials { .. } | Self::Queue { .. } => true,
            Self::NoAnswer { source, .. } => {
                matches!(source, DoorError::NotConnected { .. } | DoorError::Tape(_))
            }
            Self::Unreadable { .. } => false,
            Self::Refused(refusal) => refusal.http_status < 500,
        }
    }

    /// Whether a call that may be repeated should be.
    #[must_use]
    pub fn again(&self) -> Again {
        match self.code() {
            Code::Throttled if matches!(self, Self::Queue { .. }) => Again::No,
            Code::Throttled | Code::Unavailable => Again::After(match self {
                Self::Refused(refusal) => refusal.retry_after,
                _ => None,
            }),
            _ => Again::No,
        }
    }

    /// The failure as it leaves this room.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        let (operation, http_status, request_id, retry_after) = match &self {
            Self::Refused(refusal) => (
                &refusal.operation,
                Some(refusal.http_status),
                refusal.request_id.clone(),
                refusal.retry_after,
            ),
            Self::Queue { operation, wait } => (operation, None, None, Some(*wait)),
            Self::Credentials { operation, .. }
            | Self::NoAnswer { operation, .. }
            | Self::Unreadable { operation, .. } => (operation, None, None, None),
        };
        let place = ErrorPlace {
            backend: None,
            operation: Some(operation.clone()),
            http_status,
            cloud_code: self.cloud_code().map(str::to_owned),
            request_id,
        };
        Failure::new(self.code(), self.to_string())
            .retry_after(retry_after)
            .at(place)
    }
}

fn code_of_status(http_status: u16) -> Code {
    match http_status {
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 => Code::Conflict,
        429 => Code::Throttled,
        400..=499 => Code::InvalidConfig,
        _ => Code::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(http_status: u16, cloud_code: Option<&str>) -> AwsError {
        AwsError::Refused(Box::new(Refusal {
            operation: "ecs:RunTask".to_owned(),
            http_status,
            cloud_code: cloud_code.map(str::to_owned),
            message: String::new(),
            request_id: None,
            retry_after: None,
            body: Value::Null,
        }))
    }

    #[test]
    fn a_throttle_had_no_effect_and_is_tried_again() {
        let error = refused(400, Some("ThrottlingException"));
        assert!(error.had_no_effect());
        assert_eq!(error.again(), Again::After(None));
    }

    #[test]
    fn a_server_error_may_have_had_an_effect() {
        assert!(!refused(500, Some("ServerException")).had_no_effect());
        assert!(!refused(503, None).had_no_effect());
    }

    #[test]
    fn a_code_that_nobody_knows_goes_by_its_http_status() {
        assert_eq!(
            refused(400, Some("BrandNewException")).code(),
            Code::InvalidConfig
        );
        assert_eq!(
            refused(500, Some("BrandNewException")).code(),
            Code::Unavailable
        );
        assert_eq!(refused(429, None).code(), Code::Throttled);
    }
}
