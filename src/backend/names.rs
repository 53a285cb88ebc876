//! Names that never collide (protocol, Names).

use crate::hash::hash;
use crate::wire::Server;

pub use crate::hash::fingerprint;

/// How much of the hub's name stays readable in a key.
const READABLE_HUB: usize = 10;

/// The server's key: `cs-<hub, readable>-<10 of its hash>-<26 of the server's hash>`.
#[must_use]
pub fn key(server: &Server) -> String {
    format!(
        "{}-{}",
        hub_mark(&server.hub),
        &hash(&[&server.hub, &server.user, &server.name])[..26]
    )
}

/// The part of a key that all servers of one hub share; the rest of the key follows after a "-".
#[must_use]
pub fn hub_mark(hub: &str) -> String {
    let readable: String = hub
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(READABLE_HUB)
        .collect();
    let readable = if readable.is_empty() {
        "hub".to_owned()
    } else {
        readable.to_ascii_lowercase()
    };
    format!("cs-{readable}-{}", &hash(&[hub])[..10])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn server(hub: &str, user: &str, name: &str) -> Server {
        Server {
            hub: hub.to_owned(),
            user: user.to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn a_key_has_the_form_that_the_protocol_fixes() {
        let key = key(&server("Prod Hub, eu!", "ada", ""));
        let parts: Vec<_> = key.split('-').collect();
        assert_eq!((parts[0], parts[1]), ("cs", "prodhubeu"));
        assert_eq!((parts[2].len(), parts[3].len()), (10, 26));
        assert!(key.starts_with(&format!("{}-", hub_mark("Prod Hub, eu!"))));
    }

    #[test]
    fn hostile_names_never_collide_and_never_leave_the_alphabet() {
        let long = "ü".repeat(255);
        let names = [
            "a.b",
            "a-b",
            "a_b",
            "A.B",
            "ab",
            "a b",
            "a;b",
            "$(a)",
            "`a`",
            "../a",
            "",
            "ab\u{0}",
            long.as_str(),
            "日本",
            "a\nb",
        ];
        let mut keys = HashSet::new();
        for user in names {
            for name in names {
                let key = key(&server("h", user, name));
                assert!(key.len() <= 128);
                assert!(
                    key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
                    "{key}"
                );
                assert!(keys.insert(key), "{user:?} {name:?}");
            }
        }
        assert_ne!(key(&server("ab", "c", "")), key(&server("a", "bc", "")));
    }
}
