//! What every backend keeps for a server, inside `state.data`.

use crate::error::Failure;
use crate::wire::{Code, MAX_STATE_BYTES, State};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The version of state blobs.
const VERSION: u64 = 1;

/// A server as this program remembers it. It wins over whatever config or names say now.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Record {
    /// The server's key.
    pub key: String,
    /// The hub that started it.
    pub hub: String,
    /// The start that it belongs to; empty where the cloud alone was asked and bears none.
    pub attempt: String,
    /// When that start began, in milliseconds since 1970.
    pub attempted_at_ms: u64,
    /// The path below which it answers.
    pub service_prefix: String,
    /// The cloud's own name for it, once known.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// Where it answers, once known: it has been seen running.
    pub url: Option<String>,
    /// The backend's own fields.
    #[serde(flatten)]
    pub own: Map<String, Value>,
}

impl Record {
    /// Reads a state that `backend` wrote.
    ///
    /// # Errors
    /// `state_unreadable`, with what is wrong with it.
    pub fn read(state: Value, backend: &str) -> Result<Self, Failure> {
        let Value::Object(mut state) = state else {
            return Err(unreadable("is no object"));
        };
        let version: u64 = take(&mut state, "v")?;
        if version != VERSION {
            return Err(unreadable(format!(
                "has version {version}, and {VERSION} is the newest that is known"
            )));
        }
        let writer: String = take(&mut state, "backend")?;
        if writer != backend {
            return Err(unreadable(format!(
                "was written by backend {writer:?}, not {backend:?}"
            )));
        }
        let Some(Value::Object(mut data)) = state.remove("data") else {
            return Err(unreadable("has no good data"));
        };
        let record = Self {
            key: take(&mut data, "key")?,
            hub: take(&mut data, "hub")?,
            attempt: take(&mut data, "attempt")?,
            attempted_at_ms: take(&mut data, "attempted_at_ms")?,
            service_prefix: take(&mut data, "service_prefix")?,
            reference: take(&mut data, "ref")?,
            url: take(&mut data, "url")?,
            own: data,
        };
        if record.key.is_empty() {
            return Err(unreadable("has no key"));
        }
        Ok(record)
    }

    /// The state to hand to the caller.
    ///
    /// # Errors
    /// `invalid_config` where it would be larger than 4 KiB.
    pub fn write(&self, backend: &str) -> Result<State, Failure> {
        let Ok(Value::Object(data)) = serde_json::to_value(self) else {
            return Err(Failure::new(Code::Internal, "the state cannot be written"));
        };
        let state = State {
            v: VERSION,
            backend: backend.to_owned(),
            data,
        };
        let size = serde_json::to_vec(&state).map_or(0, |text| text.len());
        if size > MAX_STATE_BYTES {
            return Err(Failure::invalid_config(
                "config",
                format!(
                    "names are too long: the server's state would take {size} bytes, {MAX_STATE_BYTES} at most"
                ),
            ));
        }
        Ok(state)
    }

    /// One of the backend's own strings.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.own.get(name)?.as_str()
    }
}

fn unreadable(why: impl std::fmt::Display) -> Failure {
    Failure::new(Code::StateUnreadable, format!("the stored state {why}"))
}

/// Moves a field out of a state or its data; what is left in the data is the backend's own. A hub's polls bring thousands of
/// records, and to read them as a whole would copy each of them twice.
fn take<T: Default + DeserializeOwned>(
    from: &mut Map<String, Value>,
    name: &str,
) -> Result<T, Failure> {
    let Some(value) = from.remove(name) else {
        return Ok(T::default());
    };
    T::deserialize(value).map_err(|_| unreadable(format!("has no good {name}")))
}
