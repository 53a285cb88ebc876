//! What the caller keeps for a server between calls.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A server's state: opaque to the caller, without secrets, at most 4 KiB.
///
/// `data` belongs to the backend; what every backend keeps there is `backend::Record`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct State {
    /// Version of the blob; every version ever released must load for ever.
    pub v: u64,
    /// The backend that wrote it.
    pub backend: String,
    /// The backend's own fields.
    pub data: Map<String, Value>,
}
