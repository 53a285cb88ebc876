//! The tags that every cloud resource bears, so that it is found again.

use super::Record;

pub use crate::hash::encoded as value;

/// The tag that names the hub, encoded.
pub const HUB: &str = "cloudspawner-hub";
/// The tag that holds the key.
pub const KEY: &str = "cloudspawner-key";
/// The tag that holds the attempt.
pub const ATTEMPT: &str = "cloudspawner-attempt";

/// The tags of a server.
#[must_use]
pub fn ours(record: &Record) -> [(&'static str, String); 3] {
    [
        (HUB, value(&record.hub)),
        (KEY, record.key.clone()),
        (ATTEMPT, record.attempt.clone()),
    ]
}
