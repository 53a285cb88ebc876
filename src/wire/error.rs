//! The error object, on error frames and inside poll and gc results.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of failure it is. New codes come only with a new version of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request cannot be understood.
    BadRequest,
    /// `v` is not one that this program speaks.
    UnsupportedVersion,
    /// The verb is not known, or not built yet.
    UnknownVerb,
    /// The backend's config or the spec is wrong or incomplete.
    InvalidConfig,
    /// No credentials, or expired or wrong ones.
    Unauthenticated,
    /// The credentials are good, the policy says no.
    PermissionDenied,
    /// A limit of the account is reached.
    QuotaExceeded,
    /// The cloud has no room at the moment.
    CapacityUnavailable,
    /// Something that the request names does not exist.
    NotFound,
    /// Something is in the way: another owner, another parameter, too many at once.
    Conflict,
    /// The cloud asks for fewer calls.
    Throttled,
    /// The cloud cannot be reached, or fails inside.
    Unavailable,
    /// The request's time is up.
    Deadline,
    /// The caller cancelled, or went away.
    Cancelled,
    /// The server was created but did not come up.
    StartFailed,
    /// A stored state cannot be read.
    StateUnreadable,
    /// A fault of this program.
    Internal,
}

/// Whether the same request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// Yes, after a while.
    Later,
    /// Yes, once what `message` names has been mended.
    AfterFix,
    /// No.
    Never,
}

/// Whether something is left in the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cleanup {
    /// Nothing was created, there is nothing to remove.
    None,
    /// What was created is removed: the cloud accepted it.
    Done,
    /// Something may be left; keep the state and stop again.
    Needed,
}

/// Where the failure happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorPlace {
    /// The backend, where one was involved.
    pub backend: Option<String>,
    /// The operation as its cloud calls it, for example `ecs:RunTask`.
    pub operation: Option<String>,
    /// The HTTP status, where there was an answer.
    pub http_status: Option<u16>,
    /// The cloud's own code.
    pub cloud_code: Option<String>,
    /// The cloud's id of the request, for its support.
    pub request_id: Option<String>,
}

/// A failure as the caller sees it. No field holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorObject {
    /// The kind of failure.
    pub code: Code,
    /// For the admin: the operation, what was found, what to do.
    pub message: String,
    /// For the person who waits on the spawn page.
    pub user_message: String,
    /// Whether to try again.
    pub retry: Retry,
    /// The least pause before trying again, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// What is left in the cloud.
    pub cleanup: Cleanup,
    /// Where it happened.
    pub context: ErrorPlace,
    /// What led to it, the nearest first.
    pub causes: Vec<String>,
}
