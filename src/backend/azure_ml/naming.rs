//! What an instance is called.

use super::api::Place;
use crate::backend::names;

/// `cs` + at most 8 readable + `-` + a letter + 11 of a hash: at most 24, unique in a whole region, and never ending in "-"
/// and digits, which Azure refuses (protocol, Names).
pub fn instance_name(place: &Place, readable: &str, key: &str, vm_size: &str) -> String {
    let hash = names::fingerprint(&[
        &place.subscription_id.to_lowercase(),
        &place.resource_group.to_lowercase(),
        &place.workspace.to_lowercase(),
        key,
        &vm_size.to_lowercase(),
    ]);
    format!("cs{readable}-h{}", &hash[..11])
}

/// At most 8 letters and digits: of the user's name, and at the end at most 4 of the admin's suffix.
pub fn readable(user: &str, suffix: &str) -> String {
    const MOST: usize = 8;
    let plain = |text: &str, most: usize| -> String {
        let kept = text.chars().filter(char::is_ascii_alphanumeric);
        kept.take(most).collect::<String>().to_ascii_lowercase()
    };
    let suffix = plain(suffix, MOST / 2);
    plain(user, MOST - suffix.len()) + &suffix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_obey_azures_rules_and_differ_by_key_and_size() {
        let place = Place {
            subscription_id: "S".into(),
            resource_group: "G".into(),
            workspace: "W".into(),
        };
        let mut seen = std::collections::HashSet::new();
        for user in [
            "ada",
            "",
            "日本",
            "a-very-long-name-of-a-user",
            "123",
            "$(x)",
        ] {
            for (key, size) in [
                ("k1", "Standard_DS1_v2"),
                ("k2", "Standard_DS1_v2"),
                ("k1", "Standard_DS2_v2"),
            ] {
                let key = format!("{key} of {user}");
                let name = instance_name(&place, &readable(user, "-devel"), &key, size);
                assert!((3..=24).contains(&name.len()), "{name}");
                assert!(
                    name.starts_with("cs")
                        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                );
                assert!(
                    !name
                        .rsplit('-')
                        .next()
                        .unwrap()
                        .bytes()
                        .all(|b| b.is_ascii_digit()),
                    "{name}"
                );
                assert!(seen.insert(name));
            }
        }
        assert_eq!(readable("Ada.Lovelace", "-dev"), "adalodev");
        assert_eq!(readable("Ada.Lovelace", ""), "adalovel");
        let upper = instance_name(&place, "ada", "k1", "STANDARD_DS1_V2");
        assert_eq!(upper, instance_name(&place, "ada", "k1", "Standard_DS1_v2"));
    }
}
