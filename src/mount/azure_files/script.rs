//! The script that mounts shares on an instance, at each of its starts.

use super::Access;
use super::settings::{Credential, Storage};
use crate::mount::Mount;
use data_encoding::BASE64;
use std::fmt::Write as _;

/// Mounts one share; its own head says how it is called. It holds no secret and gets none as an argument.
const MOUNT: &str = include_str!("mount.sh");

/// A start-up script that mounts each share at its path, then runs the admin's own. It goes onto the instance's page, where
/// everybody can read it.
///
/// Every word that is put into it was checked to be plain: names are made here or by `Storage::check` and `mount::read`.
#[must_use]
pub fn startup(
    storage: &Storage,
    access: &Access,
    mounts: &[(Mount, String)],
    admins_own: Option<&str>,
) -> String {
    let mut script = "#!/bin/bash\nset -u\n".to_owned();
    let mut file = |name: &str, text: &str| {
        let coded = BASE64.encode(text.as_bytes());
        let _ = writeln!(
            script,
            "{name}=$(mktemp) && base64 -d >\"${name}\" <<'END'\n{coded}\nEND"
        );
    };
    file("mount", MOUNT);
    if let Some(own) = admins_own {
        file("own", own);
    }
    for (mount, share) in mounts {
        let _ = writeln!(
            script,
            "bash \"$mount\" {} || exit",
            words(&arguments(storage, access, mount, share))
        );
    }
    if admins_own.is_some() {
        script.push_str("chmod +x \"$own\" && exec \"$own\"\n");
    }
    script
}

/// A "~" is the script's to read: bash would make it the home of root.
fn words(arguments: &[String]) -> String {
    let quoted = |word: &String| match word.strip_prefix('~') {
        Some(_) => format!("'{word}'"),
        None => word.clone(),
    };
    arguments.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

fn arguments(storage: &Storage, access: &Access, mount: &Mount, share: &str) -> Vec<String> {
    let mut words = what(storage, mount, share);
    let mut say = |more: &[&str]| words.extend(more.iter().map(|&word| word.to_owned()));
    say(&["--client-id", &access.client_id]);
    match storage.credential {
        Credential::Identity => say(&["--credential", "identity"]),
        Credential::KeyVault => {
            let secret = storage.vault_secret.as_deref().unwrap_or_default();
            say(&["--credential", "key_vault", "--vault-secret", secret]);
        }
    }
    if mount.optional {
        say(&["--optional"]);
    }
    words
}

/// The script's arguments, but for those that tell what opens the share.
#[must_use]
pub fn what(storage: &Storage, mount: &Mount, share: &str) -> Vec<String> {
    let server = storage.server();
    let mut words = vec![
        "--account",
        &storage.account,
        "--share",
        share,
        "--mount-point",
        &mount.path,
        "--server",
        &server,
    ];
    if mount.read_only {
        words.push("--read-only");
    }
    words.into_iter().map(str::to_owned).collect()
}
