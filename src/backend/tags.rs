//! The tags that every cloud resource bears, so that it is found again.

use super::Record;
use std::collections::BTreeMap;

pub use crate::hash::encoded as value;

/// The tag that names the hub, encoded.
pub const HUB: &str = "cloudspawner-hub";
/// The tag that holds the key.
pub const KEY: &str = "cloudspawner-key";
/// The tag that holds the attempt.
pub const ATTEMPT: &str = "cloudspawner-attempt";

/// The tags that are not cloudspawner's own.
#[must_use]
pub fn others<'a>(all: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    all.filter(|(name, _)| !name.starts_with("cloudspawner-"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The tags of a server.
#[must_use]
pub fn ours(record: &Record) -> [(&'static str, String); 3] {
    [
        (HUB, value(&record.hub)),
        (KEY, record.key.clone()),
        (ATTEMPT, record.attempt.clone()),
    ]
}
