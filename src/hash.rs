//! Names that must not collide (protocol, Names): the one hash, and text in letters that every cloud takes. It uses no room.

use data_encoding::BASE32;
use sha2::{Digest, Sha256};

/// Lower-case base32 of SHA-256 over the parts, each after its length in eight bytes; 52 letters and padding.
#[must_use]
pub fn hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    BASE32.encode(&hasher.finalize()).to_ascii_lowercase()
}

/// 26 letters and digits for something whose own text must not be shown, is long, or may hold anything.
#[must_use]
pub fn fingerprint(parts: &[&str]) -> String {
    hash(parts)[..26].to_owned()
}

/// A tag's value on AWS may hold letters, digits, spaces and `+-=._:/@`, at most 256 (ECS API Reference, Tag), which Azure
/// takes as tags and as metadata, too: other bytes of `text`, and `=`, become `=xx`; what is too long ends in a fingerprint of the whole.
#[must_use]
pub fn encoded(text: &str) -> String {
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
        let mark = fingerprint(&[text]);
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
            let value = encoded(hub);
            assert!(value.len() <= 256);
            assert!(
                value
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"+-=._:/@".contains(&b)),
                "{value}"
            );
        }
        assert_ne!(encoded("a b"), encoded("a=20b"));
    }
}
