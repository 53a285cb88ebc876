//! The wire, version 1: the types of every frame, and nothing else.
//!
//! This is the product's promise to the Python shim and to whoever calls the program by hand. It may use serde and
//! schemars, and nothing of this crate. It deliberately leaves out framing (`serve`), what a backend's `config` means (`backend`) and
//! every decision. The golden files in `tests/wire/v1` hold one frame each.

pub mod error;
pub mod reply;
pub mod request;
pub mod schema;
pub mod secret;
pub mod state;

pub use error::{Cleanup, Code, ErrorObject, ErrorPlace, Retry};
pub use reply::{Event, Frame, Phase, ServerStatus, StaleServer};
pub use request::{
    CancelParams, CheckParams, Envelope, GcParams, Keep, ListParams, LogsParams, OptionsParams,
    PollParams, PollTarget, Request, Server, ShareAction, ShareParams, Spec, StartParams,
    StatsParams, StopParams,
};
pub use secret::Secret;
pub use state::State;

/// The one version of the wire that this program speaks.
pub const VERSION: u64 = 1;

/// The longest line in either direction, in bytes (protocol, Framing).
pub const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// The largest `state`, in bytes of JSON (protocol, start).
pub const MAX_STATE_BYTES: usize = 4 * 1024;
