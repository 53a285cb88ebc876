//! What a call to a cloud can come to, the same for all clouds. Each cloud's own codes are in one table of its own.

use crate::context::Context;
use crate::error::Failure;
use crate::net::DoorError;
use crate::net::retry::Again;
use crate::wire::{Code, ErrorPlace};
use serde_json::Value;
use std::time::Duration;

/// A call that did not succeed. `operation` is like `ecs:RunTask`.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CloudError {
    /// There are no credentials to sign with; nothing was sent.
    #[error("{operation}: no usable credentials: {why}")]
    Credentials {
        /// What was to be called.
        operation: String,
        /// The chain's own words.
        why: String,
        /// Whether it may pass by itself.
        transient: bool,
    },
    /// The person whose token is needed has to log in or consent; nothing was sent.
    #[error("{operation}: no token of this user: {why}")]
    SignIn {
        /// What was to be called.
        operation: String,
        /// The identity provider's own words.
        why: String,
        /// What the person has to do.
        sentence: &'static str,
    },
    /// The account's quota left no room before the deadline; nothing was sent.
    #[error("{operation}: the time was up while {ahead} calls were ahead in the account's quota")]
    Queue {
        /// What was to be called.
        operation: String,
        /// How many calls were still before it.
        ahead: usize,
    },
    /// No usable answer came.
    #[error("{operation}: {source}")]
    NoAnswer {
        /// What was called.
        operation: String,
        /// Why there is none.
        source: DoorError,
    },
    /// The cloud answered with success, and something that is not JSON.
    #[error("{operation}: the answer cannot be read: {why}")]
    Unreadable {
        /// What was called.
        operation: String,
        /// What is wrong with it.
        why: String,
    },
    /// The cloud refused.
    #[error("{}: {}: {}", .0.operation, .0.cloud_code.as_deref().unwrap_or("no code"), .0.message)]
    Refused(Box<Refusal>),
}

/// What the cloud answered instead of a result.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What was called.
    pub operation: String,
    /// The HTTP status.
    pub http_status: u16,
    /// What its code means, by the cloud's own table.
    pub code: Code,
    /// The cloud's code.
    pub cloud_code: Option<String>,
    /// The cloud's sentence.
    pub message: String,
    /// The cloud's id of the request.
    pub request_id: Option<String>,
    /// What Retry-After asks for.
    pub retry_after: Option<Duration>,
    /// The whole answer, for the fields of special exceptions.
    pub body: Value,
}

impl CloudError {
    /// Our code for it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Credentials {
                transient: true, ..
            }
            | Self::Unreadable { .. } => Code::Unavailable,
            Self::Credentials { .. } | Self::SignIn { .. } => Code::Unauthenticated,
            Self::Queue { .. } => Code::Deadline,
            Self::NoAnswer {
                source: DoorError::Tape(_),
                ..
            } => Code::Conflict,
            // What is in the way may pass; a rehearsal goes no further.
            Self::NoAnswer {
                source: DoorError::Rehearsal(_),
                ..
            } => Code::Cancelled,
            Self::NoAnswer { .. } => Code::Unavailable,
            Self::Refused(refusal) => refusal.code,
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

    /// The cloud's own code, where it gave one.
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
            Self::Credentials { .. } | Self::SignIn { .. } | Self::Queue { .. } => true,
            Self::NoAnswer { source, .. } => !matches!(source, DoorError::Interrupted { .. }),
            Self::Unreadable { .. } => false,
            Self::Refused(refusal) => refusal.http_status < 500,
        }
    }

    /// Whether a call that may be repeated should be.
    #[must_use]
    pub fn again(&self) -> Again {
        match self.code() {
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
            Self::Credentials { operation, .. }
            | Self::SignIn { operation, .. }
            | Self::Queue { operation, .. }
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
        let failure = Failure::new(self.code(), self.to_string())
            .retry_after(retry_after)
            .at(place);
        match self {
            Self::SignIn { sentence, .. } => failure.with_user_message(sentence),
            Self::Queue { .. } => failure.with_user_message(
                "Many servers are being started at once. Try again in a few minutes.",
            ),
            _ => failure,
        }
    }
}

impl From<CloudError> for Failure {
    fn from(error: CloudError) -> Self {
        error.into_failure()
    }
}

/// What an HTTP status means where the cloud's own code is not known.
#[must_use]
pub fn code_of_status(cloud_code: Option<&str>, http_status: u16) -> Code {
    match http_status {
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        // The clouds name their errors. A 404 without a name is of something in between, and no proof that anything is gone.
        404 if cloud_code.is_none() => Code::Unavailable,
        404 => Code::NotFound,
        // RFC 9110, 15.5.9: the request did not arrive whole and may be repeated.
        408 => Code::Unavailable,
        409 => Code::Conflict,
        429 => Code::Throttled,
        400..=499 => Code::InvalidConfig,
        _ => Code::Unavailable,
    }
}

/// Seconds, or an HTTP date (RFC 9110, 10.2.3); at most an hour, so that a broken header does not stop a hub.
#[must_use]
pub fn retry_after(value: &str, context: &Context) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_hours(1);
    let pause = match value.trim().parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value)
            .ok()?
            .duration_since(context.now())
            .ok()?,
    };
    Some(pause.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn a_404_that_the_cloud_did_not_name_is_no_proof() {
        assert_eq!(code_of_status(None, 404), Code::Unavailable);
        assert_eq!(code_of_status(Some("BrandNew"), 404), Code::NotFound);
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let context = Context::fixed(&[], SystemTime::UNIX_EPOCH);
        assert_eq!(retry_after("7", &context), Some(Duration::from_secs(7)));
        assert_eq!(
            retry_after("Thu, 01 Jan 1970 00:00:09 GMT", &context),
            Some(Duration::from_secs(9))
        );
        assert_eq!(retry_after("soon", &context), None);
    }
}
