//! The one failure that travels from any room to the last frame.
//!
//! Rooms below have an error enum of their own; where it leaves the room for good it becomes a [`Failure`], which answers
//! in fields: may the caller retry, is anything left to remove, what may the user see. It may use `wire` only.

use crate::wire::{Cleanup, Code, ErrorObject, ErrorPlace, Retry};
use std::time::Duration;

/// What a verb answers when it does not succeed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .0.message)]
pub struct Failure(pub Box<ErrorObject>);

impl Failure {
    /// A failure of this kind, with what follows from the code alone.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(ErrorObject {
            code,
            message: message.into(),
            user_message: user_message(code).to_owned(),
            retry: retry(code),
            retry_after_ms: None,
            cleanup: Cleanup::None,
            context: ErrorPlace::default(),
            causes: Vec::new(),
        }))
    }

    /// A mistake in the config or the spec, by the field's name.
    pub fn invalid_config(field: &str, found_and_what_to_do: impl std::fmt::Display) -> Self {
        Self::new(
            Code::InvalidConfig,
            format!("{field}: {found_and_what_to_do}"),
        )
    }

    /// The same failure, with what is left in the cloud.
    #[must_use]
    pub fn with_cleanup(mut self, cleanup: Cleanup) -> Self {
        self.0.cleanup = cleanup;
        self
    }

    /// The same failure, with another sentence for the person who waits.
    #[must_use]
    pub fn with_user_message(mut self, message: impl Into<String>) -> Self {
        self.0.user_message = message.into();
        self
    }

    /// The same failure, with where it happened.
    #[must_use]
    pub fn at(mut self, context: ErrorPlace) -> Self {
        self.0.context = context;
        self
    }

    /// The same failure, with the backend that it came from.
    #[must_use]
    pub fn of(mut self, backend: &str) -> Self {
        self.0.context.backend = Some(backend.to_owned());
        self
    }

    /// The same failure, with one more thing that led to it.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.0.causes.push(cause.into());
        self
    }

    /// The same failure, with the least pause before another try.
    #[must_use]
    pub fn retry_after(mut self, pause: Option<Duration>) -> Self {
        self.0.retry_after_ms = pause.map(|p| u64::try_from(p.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// The kind of failure.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }
}

/// What a kind of failure says about trying again.
fn retry(code: Code) -> Retry {
    match code {
        Code::CapacityUnavailable
        | Code::Throttled
        | Code::Unavailable
        | Code::Deadline
        | Code::Cancelled => Retry::Later,
        Code::InvalidConfig
        | Code::Unauthenticated
        | Code::PermissionDenied
        | Code::QuotaExceeded
        | Code::NotFound
        | Code::Conflict
        | Code::StartFailed => Retry::AfterFix,
        Code::BadRequest
        | Code::UnsupportedVersion
        | Code::UnknownVerb
        | Code::StateUnreadable
        | Code::Internal => Retry::Never,
    }
}

/// What a kind of failure says to the person who waits.
fn user_message(code: Code) -> &'static str {
    match code {
        Code::BadRequest
        | Code::UnsupportedVersion
        | Code::UnknownVerb
        | Code::StateUnreadable
        | Code::Internal => {
            "Something is wrong with the hub's installation. Tell your administrator."
        }
        Code::InvalidConfig | Code::NotFound => {
            "The hub's configuration does not fit the cloud. Tell your administrator."
        }
        Code::Unauthenticated | Code::PermissionDenied => {
            "The hub is not allowed to do this in the cloud. Tell your administrator."
        }
        Code::QuotaExceeded => "The hub's quota in the cloud is used up. Tell your administrator.",
        Code::CapacityUnavailable => {
            "The cloud has no capacity right now. Try again in a few minutes."
        }
        Code::Conflict => "Another operation is in the way. Try again in a few minutes.",
        Code::Throttled => "The cloud is busy. Try again in a few minutes.",
        Code::Unavailable => "The cloud cannot be reached right now. Try again in a few minutes.",
        Code::Deadline => "Your server took too long to start. Try again.",
        Code::Cancelled => "The start was cancelled.",
        Code::StartFailed => {
            "Your server did not start. Try again, and tell your administrator if it fails again."
        }
    }
}
