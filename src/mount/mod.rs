//! Storage that outlives servers: each person's own, and data that all share.
//!
//! A mount is one entry of `spec.mounts`; where its storage is says the backend's `config.storage`. This room finds a person's
//! storage, or makes it once, and says how it is mounted; who calls it is the backend's business. It never removes anything
//! unless it is asked to by name.

pub mod azure_files;
pub mod efs;

use crate::error::Failure;
use crate::hash::{encoded, fingerprint};
use crate::wire::{Code, Server};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Whose storage it is. `storage_id` and `user` alone make its name, so that a person's named servers share one home, and a
/// new cookie secret or hub id loses nobody's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The hub that asks; recorded, and never part of the name. Empty for a person at a terminal, who speaks for any hub.
    pub hub: String,
    /// Sets of homes that do not know each other.
    pub storage_id: String,
    /// The person, as the hub knows them.
    pub user: String,
}

/// What is recorded on storage, and compared before it is handed out.
pub const HUB: &str = "cloudspawner-hub";
/// The set of homes.
pub const STORAGE_ID: &str = "cloudspawner-storage-id";
/// The person.
pub const USER: &str = "cloudspawner-user";

/// What `storage_id` is where nothing else is said (protocol, Names).
pub const DEFAULT_STORAGE_ID: &str = "jupyterhub";

impl Owner {
    /// `cs-<26 of a hash of storage_id and user>`; the `nth` from 2 on ends in its number, for a person whose name was
    /// another's before. It obeys the rules of file shares (3 to 63 of a-z, 0-9 and single "-") and of client tokens.
    #[must_use]
    pub fn name(&self, nth: u32) -> String {
        let hash = fingerprint(&[&self.storage_id, &self.user]);
        match nth {
            0 | 1 => format!("cs-{hash}"),
            _ => format!("cs-{hash}-{nth}"),
        }
    }

    /// What to record, in a form that tags and metadata take: a-z, A-Z, 0-9 and some signs; any other byte as `=xx`.
    #[must_use]
    pub fn marks(&self) -> [(&'static str, String); 3] {
        [
            (HUB, encoded(&self.hub)),
            (STORAGE_ID, encoded(&self.storage_id)),
            (USER, encoded(&self.user)),
        ]
    }

    /// Whether what is recorded is this person's: `Ok(true)`; another person's, or of another set of homes: `Ok(false)`.
    ///
    /// # Errors
    /// `conflict`: it bears no marks, or it is this person's by another hub, which the message names with the trait to set.
    pub fn owns<'a>(
        &self,
        what: &str,
        recorded: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<bool, Failure> {
        let [hub, storage_id, user] = self.marks();
        let Some(whose) = recorded(HUB) else {
            return Err(taken(format!(
                "{what} is there already and bears no mark of a hub; it is left alone and given to nobody: rename or remove it, or set another storage_id"
            )));
        };
        if recorded(STORAGE_ID) != Some(storage_id.1.as_str())
            || recorded(USER) != Some(user.1.as_str())
        {
            return Ok(false);
        }
        if whose != hub.1 && !whose.is_empty() && !self.hub.is_empty() {
            return Err(taken(format!(
                "{what} was made by the hub {whose:?}, and this hub is {:?}; it is left alone: if they are the same hub, set hub_id = {whose:?}, else set another storage_id",
                hub.1
            )));
        }
        Ok(true)
    }
}

fn taken(message: String) -> Failure {
    Failure::new(Code::Conflict, message).with_user_message(
        "Your files are kept under another hub's name. Tell your administrator; nothing is lost.",
    )
}

/// One entry of `spec.mounts`.
#[derive(Debug, Clone, Deserialize)]
pub struct Mount {
    /// `azure_files` or `efs`.
    pub kind: String,
    /// Where it is in the server; `~` is the home of the server's own user where the cloud knows one.
    pub path: String,
    /// Whether nothing can be written.
    #[serde(default)]
    pub read_only: bool,
    /// The person's own storage, or one that all share.
    #[serde(default = "yes")]
    pub per_user: bool,
    /// Whether a start goes on without it.
    #[serde(default, rename = "mount_optional")]
    pub optional: bool,
    /// The set of homes.
    pub storage_id: Option<String>,
    /// The kind's own fields.
    #[serde(flatten)]
    pub own: Map<String, Value>,
}

impl Mount {
    /// Whose storage it mounts where it is a person's own.
    #[must_use]
    pub fn owner(&self, server: &Server) -> Owner {
        let storage_id = self.storage_id.as_deref().unwrap_or(DEFAULT_STORAGE_ID);
        Owner {
            hub: server.hub.clone(),
            storage_id: storage_id.to_owned(),
            user: server.user.clone(),
        }
    }
}

fn yes() -> bool {
    true
}

/// Reads `spec.mounts` for a backend that mounts `kind` alone.
///
/// # Errors
/// `invalid_config` with the field's name: another kind, a relative path, one path twice.
pub fn read(mounts: &[Value], kind: &str) -> Result<Vec<Mount>, Failure> {
    let mut read: Vec<Mount> = Vec::with_capacity(mounts.len());
    for (at, value) in mounts.iter().enumerate() {
        let wrong = |field: &str, why: String| {
            Failure::invalid_config(&format!("spec.mounts[{at}]{field}"), why)
        };
        let mount: Mount = serde_path_to_error::deserialize(value).map_err(|e| {
            let why = crate::redact::without_value(&e.inner().to_string());
            wrong(&format!(".{}", e.path()), why)
        })?;
        if mount.kind != kind {
            let message = format!("{:?} cannot be mounted here; use {kind:?}", mount.kind);
            return Err(wrong(".kind", message));
        }
        let path = mount.path.as_str();
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-~".contains(c);
        let absolute = path.starts_with('/') && path.len() > 1 || path.starts_with("~/");
        let inside = path.split('/').all(|part| part != "..");
        if !absolute || !inside || !path.chars().all(plain) {
            let message = format!(
                "{path:?} is no path such as \"/home/jovyan\" or \"~/userfiles\" of letters, digits, \".\", \"_\" and \"-\""
            );
            return Err(wrong(".path", message));
        }
        if read.iter().any(|other| other.path == mount.path) {
            return Err(wrong(".path", format!("{path:?} stands there twice")));
        }
        read.push(mount);
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::HashSet;

    fn owner(user: &str) -> Owner {
        Owner {
            hub: "prod".to_owned(),
            storage_id: DEFAULT_STORAGE_ID.to_owned(),
            user: user.to_owned(),
        }
    }

    #[test]
    fn a_hundred_thousand_names_that_look_alike_get_a_hundred_thousand_shares() {
        let mut seen = HashSet::new();
        for number in 0..12_500 {
            for user in [
                format!("ada{number}"),
                format!("Ada{number}"),
                format!("ada.{number}"),
                format!("ada-{number}"),
                format!("ada--{number}"),
                format!("áda{number}"),
                format!("{}{number}", "a".repeat(300)),
                format!("ada{number} "),
            ] {
                let name = owner(&user).name(1);
                assert!((3..=63).contains(&name.len()));
                let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
                assert!(name.bytes().all(allowed) && !name.contains("--"), "{name}");
                assert!(seen.insert(name));
            }
        }
        assert_eq!(seen.len(), 100_000);
    }

    #[test]
    fn a_hub_does_not_change_the_name_and_another_set_of_homes_does() {
        let mut other = owner("ada");
        other.hub = "other".to_owned();
        assert_eq!(owner("ada").name(1), other.name(1));
        other.storage_id = "teaching".to_owned();
        assert_ne!(owner("ada").name(1), other.name(1));
        assert_ne!(owner("ada").name(1), owner("ada").name(2));
    }

    #[test]
    fn storage_is_the_persons_only_where_it_says_so() {
        let recorded = |hub: &'static str, user: &'static str| {
            move |name: &str| match name {
                HUB => Some(hub),
                STORAGE_ID => Some(DEFAULT_STORAGE_ID),
                USER => Some(user),
                _ => None,
            }
        };
        let ada = owner("ada");
        assert!(ada.owns("share x", recorded("prod", "ada")).unwrap());
        assert!(!ada.owns("share x", recorded("prod", "bob")).unwrap());
        assert!(!ada.owns("share x", recorded("old", "bob")).unwrap());
        let error = ada.owns("share x", recorded("old", "ada")).unwrap_err();
        assert!(error.0.message.contains("set hub_id = \"old\""), "{error}");
        let mut by_hand = ada.clone();
        by_hand.hub = String::new();
        assert!(by_hand.owns("share x", recorded("prod", "ada")).unwrap());
        assert!(ada.owns("share x", recorded("", "ada")).unwrap());
        let error = ada.owns("share x", |_| None).unwrap_err();
        assert_eq!(error.code(), Code::Conflict);
    }

    #[test]
    fn bad_mounts_name_the_field() {
        for (mounts, field) in [
            (json!([{"path": "/x"}]), "spec.mounts[0]"),
            (
                json!([{"kind": "efs", "path": "/x"}, {"kind": "nfs", "path": "/y"}]),
                "spec.mounts[1].kind",
            ),
            (json!([{"kind": "efs", "path": "x"}]), "spec.mounts[0].path"),
            (
                json!([{"kind": "efs", "path": "/a/../b"}]),
                "spec.mounts[0].path",
            ),
            (
                json!([{"kind": "efs", "path": "/a;b"}]),
                "spec.mounts[0].path",
            ),
            (
                json!([{"kind": "efs", "path": "/x"}, {"kind": "efs", "path": "/x"}]),
                "spec.mounts[1].path",
            ),
            (
                json!([{"kind": "efs", "path": "/x", "read_only": 7}]),
                "spec.mounts[0].read_only",
            ),
        ] {
            let error = read(mounts.as_array().unwrap(), "efs").unwrap_err();
            assert!(error.0.message.starts_with(field), "{error}");
        }
        let mounts = read(&[json!({"kind": "efs", "path": "~/files"})], "efs").unwrap();
        assert!(mounts[0].per_user && !mounts[0].read_only);
    }
}
