//! Reading a backend's `config`, with errors that name the field.

use crate::error::Failure;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads `config` as `T`, whose fields are `known`.
///
/// # Errors
/// `invalid_config`: not an object; an unknown field, with the nearest known name; a wrong type, with the path.
pub fn read<T: DeserializeOwned>(config: &Value, known: &[&str]) -> Result<T, Failure> {
    let Some(fields) = config.as_object() else {
        return Err(Failure::invalid_config("config", "must be an object"));
    };
    if let Some(unknown) = fields.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(Failure::invalid_config(
            &format!("config.{unknown}"),
            format!("is not known; {}", nearest(unknown, known)),
        ));
    }
    serde_path_to_error::deserialize(config).map_err(|e| {
        let why = crate::redact::without_value(&e.inner().to_string());
        Failure::invalid_config(&format!("config.{}", e.path()), why)
    })
}

/// What to write instead of `unknown`.
fn nearest(unknown: &str, known: &[&str]) -> String {
    // Below this likeness a guess confuses more than it helps; clap draws the same line at 0.7.
    const LIKE_ENOUGH: f64 = 0.7;
    let best = known
        .iter()
        .map(|name| (strsim::jaro(unknown, name), name))
        .filter(|(likeness, _)| *likeness >= LIKE_ENOUGH)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((_, name)) => format!("did you mean {name:?}?"),
        None => format!("use one of {}", known.join(", ")),
    }
}
