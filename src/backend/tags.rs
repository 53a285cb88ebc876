//! The tags that every cloud resource bears, so that it is found again.

use super::{Record, names};

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

/// A tag's value on AWS may hold letters, digits, spaces and `+-=._:/@`, at most 256 (ECS API Reference, Tag), which Azure
/// takes, too: other bytes of `text`, and `=`, become `=xx`; what is too long ends in a fingerprint of the whole.
#[must_use]
pub fn value(text: &str) -> String {
    use std::fmt::Write as _;
    const MOST: usize = 256;
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"+-._:/@".contains(&byte) {
            value.push(char::from(byte));
        } else {
            let _ = write!(value, "={byte:02x}");
        }
    }
    if value.len() > MOST {
        let mark = names::fingerprint(&[text]);
        value.truncate(MOST - mark.len() - 1);
        value = format!("{value}={mark}");
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_hub_name_becomes_a_value_that_the_clouds_take() {
        let long = "ü".repeat(300);
        for hub in ["prod", "a b", "a=b", "日本", "$(x)", long.as_str()] {
            let value = value(hub);
            assert!(value.len() <= 256);
            assert!(
                value
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"+-=._:/@".contains(&b)),
                "{value}"
            );
        }
        assert_ne!(value("a b"), value("a=20b"));
    }
}
