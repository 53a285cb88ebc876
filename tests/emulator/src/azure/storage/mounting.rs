//! The shares that an instance's start-up script mounts. The script itself cannot run here: it mounts by the kernel, as root.
//! So its calls of `bash "$mount" …` are read, the identity and its role are checked as Azure Files checks them, and a share
//! is a directory, linked to where the script mounts it.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use serde_json::Value;

use super::identities;
use super::roles::{Deed, allows};
use crate::azure::Azure;

/// One call of the script's.
struct Mount {
    account: String,
    share: String,
    at: String,
    client_id: String,
    optional: bool,
}

/// Mounts what the instance's script mounts, below `home`.
///
/// # Errors
/// The script's own line for the share that it could not mount.
pub fn mount(azure: &Azure, body: &Value, home: &Path) -> Result<(), String> {
    for wanted in mounts(body) {
        let done = directory(azure, body, &wanted)
            .and_then(|from| link(&from, home, &wanted.at).map_err(|error| error.to_string()));
        match done {
            Err(reason) if !wanted.optional => {
                return Err(format!("mount of {}: error: {reason}", wanted.share));
            }
            Err(reason) => tracing::warn!(reason, share = wanted.share, "goes on without a share"),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn mounts(body: &Value) -> Vec<Mount> {
    let data =
        &body["properties"]["properties"]["setupScripts"]["scripts"]["startupScript"]["scriptData"];
    let text = data
        .as_str()
        .and_then(|data| BASE64.decode(data.as_bytes()).ok());
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    text.lines()
        .filter_map(|line| line.strip_prefix("bash \"$mount\" "))
        .map(read)
        .collect()
}

fn read(line: &str) -> Mount {
    let unquoted = |word: &'_ str| word.trim_matches('\'').to_owned();
    let words: Vec<String> = line.split_whitespace().map(unquoted).collect();
    let after = |name: &str| {
        let at = words.iter().position(|word| *word == name);
        at.and_then(|at| words.get(at + 1))
            .cloned()
            .unwrap_or_default()
    };
    Mount {
        account: after("--account"),
        share: after("--share"),
        at: after("--mount-point"),
        client_id: after("--client-id"),
        optional: words.iter().any(|word| word == "--optional"),
    }
}

/// The share's files, if one of the instance's identities may mount it.
fn directory(azure: &Azure, body: &Value, wanted: &Mount) -> Result<PathBuf, String> {
    let mut world = azure.world();
    let principal = identities::of_instance(azure, &world, body, &wanted.client_id)
        .ok_or("the machine has no such identity, so there is no token")?;
    let account = world.storage.account(&wanted.account, &azure.group);
    let account = account.map_err(|_| format!("{} cannot be reached", wanted.account))?;
    if !account.shares.contains_key(&wanted.share) {
        return Err("the share does not exist".to_owned());
    }
    let scope = scope(azure, wanted);
    if !allows(&world.storage, &principal, Deed::MountShare, &scope) {
        return Err("the server refuses the credential".to_owned());
    }
    Ok(azure
        .data
        .join("files")
        .join(&wanted.account)
        .join(&wanted.share))
}

fn scope(azure: &Azure, wanted: &Mount) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Storage/storageAccounts/{}/fileServices/default/fileshares/{}",
        azure.subscription, azure.group, wanted.account, wanted.share
    )
}

/// `~/x` is in the home, and so is any absolute path: a process has no root directory of its own.
fn link(from: &Path, home: &Path, at: &str) -> io::Result<()> {
    let inside = at.trim_start_matches('~').trim_start_matches('/');
    let at = home.join(inside);
    fs::create_dir_all(from)?;
    if let Some(parent) = at.parent() {
        fs::create_dir_all(parent)?;
    }
    match symlink(from, &at) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}
