//! Where people's storage is, and how it is made: `config.storage` of a backend that mounts EFS.

use crate::error::Failure;
use serde::Deserialize;

/// `config.storage`. Everything but the file system has a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The file system, `fs-…`.
    pub file_system_id: String,
    /// Who every file belongs to, whoever the container's process is; 1000 is jovyan of the Jupyter images.
    #[serde(default = "jovyan")]
    pub posix_uid: u32,
    /// The group of every file; 100 is `users` of the Jupyter images.
    #[serde(default = "users")]
    pub posix_gid: u32,
    /// The directory of the file system that holds everybody's own.
    #[serde(default = "cloudspawner")]
    pub root: String,
    /// Of a person's directory, in octal.
    #[serde(default = "private")]
    pub permissions: String,
    /// The port of the mount helper's encryption, where it must be a fixed one.
    pub transit_encryption_port: Option<u16>,
    /// EFS's endpoint; else the environment's, else the region's own.
    pub endpoint_url: Option<String>,
}

fn jovyan() -> u32 {
    1000
}

fn users() -> u32 {
    100
}

fn cloudspawner() -> String {
    "/cloudspawner".to_owned()
}

fn private() -> String {
    "0700".to_owned()
}

impl Settings {
    /// What serde does not check.
    ///
    /// # Errors
    /// `invalid_config` with the field's name.
    pub fn check(&self) -> Result<(), Failure> {
        // EFS API Reference, RootDirectory, "Path": at most four names and 100 characters; a person's own is one of them.
        const MOST_NAMES: usize = 3;
        const MOST_CHARS: usize = 40;
        let wrong = |field: &str, why: String| {
            Failure::invalid_config(&format!("config.storage.{field}"), why)
        };
        if !is_id(&self.file_system_id, "fs-") {
            let why = format!(
                "{:?} is no id such as \"fs-0123456789abcdef0\"",
                self.file_system_id
            );
            return Err(wrong("file_system_id", why));
        }
        let names: Vec<&str> = self.root.trim_matches('/').split('/').collect();
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        let good = self.root.starts_with('/')
            && self.root.len() <= MOST_CHARS
            && self.root.chars().all(plain)
            && names.len() <= MOST_NAMES
            && (self.root == "/" || names.iter().all(|n| !n.is_empty() && !n.starts_with('.')));
        if !good {
            let why = format!(
                "{:?} is no path such as \"/homes\": at most {MOST_NAMES} names of letters, digits, \".\", \"_\" and \"-\"",
                self.root
            );
            return Err(wrong("root", why));
        }
        let octal = self.permissions.chars().all(|c| ('0'..='7').contains(&c));
        if !octal || !(3..=4).contains(&self.permissions.len()) {
            let why = format!("{:?} is no mode such as \"0700\"", self.permissions);
            return Err(wrong("permissions", why));
        }
        Ok(())
    }

    /// The directory `name` inside `root`.
    #[must_use]
    pub fn directory(&self, name: &str) -> String {
        format!("{}/{name}", self.root.trim_end_matches('/'))
    }
}

/// Whether it is EFS's id of that kind: the API Reference's pattern, `fs-` or `fsap-` and 8 to 40 hexadecimal digits.
#[must_use]
pub fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|digits| {
        let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (8..=40).contains(&digits.len()) && digits.bytes().all(hexadecimal)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(changes: &Value) -> Result<Settings, String> {
        let mut all = json!({"file_system_id": "fs-0a1b2c3d4e5f60718"});
        for (name, value) in changes.as_object().unwrap() {
            all[name] = value.clone();
        }
        let settings: Settings = serde_json::from_value(all).map_err(|e| e.to_string())?;
        settings.check().map_err(|e| e.0.message.clone())?;
        Ok(settings)
    }

    #[test]
    fn a_persons_directory_is_inside_the_root() {
        assert_eq!(
            read(&json!({})).unwrap().directory("cs-x"),
            "/cloudspawner/cs-x"
        );
        let deep = read(&json!({"root": "/a/b/c/"})).unwrap();
        assert_eq!(deep.directory("cs-x"), "/a/b/c/cs-x");
        assert_eq!(
            read(&json!({"root": "/"})).unwrap().directory("cs-x"),
            "/cs-x"
        );
    }

    #[test]
    fn what_efs_would_refuse_is_refused_with_the_fields_name() {
        for (field, value) in [
            ("file_system_id", json!("")),
            ("file_system_id", json!("fs-XYZ")),
            ("root", json!("homes")),
            ("root", json!("/a/b/c/d")),
            ("root", json!("/a/../b")),
            ("root", json!("/a//b")),
            ("root", json!("/a b")),
            ("permissions", json!("rwx")),
            ("permissions", json!("0900")),
        ] {
            let error = read(&json!({field: value})).unwrap_err();
            assert!(error.contains(field), "{field} {value}: {error}");
        }
        assert!(
            read(&json!({"posix_user": 1}))
                .unwrap_err()
                .contains("posix_user")
        );
    }
}
