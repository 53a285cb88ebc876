//! `config.storage` of the Azure ML backend.

use crate::error::Failure;
use serde::Deserialize;
use std::path::PathBuf;

/// The smallest quota of a share in GiB is 1 and the largest 102,400 (FileShareProperties, "shareQuota").
const QUOTA_GIB: std::ops::RangeInclusive<u32> = 1..=102_400;
/// What a person gets where the admin says nothing; a share costs what is used of it, not its quota.
const DEFAULT_QUOTA_GIB: u32 = 100;
/// "Storage File Data SMB MI Admin": what a managed identity needs to mount by SMB over OAuth ("Access SMB Azure file shares
/// using managed identities"; "Azure built-in roles").
const MOUNT_ROLE: &str = "a235d3ee-5935-4cfb-8cc5-a3303ad5995e";

/// Where file shares are, and what new ones are like.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// The storage account.
    pub account: String,
    /// Its subscription; the backend's by default.
    pub subscription_id: Option<String>,
    /// Its resource group; the backend's by default.
    pub resource_group: Option<String>,
    /// The region of new identities; the backend's by default.
    pub location: Option<String>,
    /// The quota of a new share.
    pub quota_gib: Option<u32>,
    /// The access tier of a new share, as Azure spells it; the account's own by default.
    pub tier: Option<String>,
    /// Who mounts a share, and when.
    #[serde(default)]
    pub method: Method,
    /// How the hub gets onto instances, for `ssh`.
    pub ssh: Option<SshFiles>,
    /// How a share is mounted.
    #[serde(default)]
    pub protocol: Protocol,
    /// What opens the share from the person's server.
    #[serde(default)]
    pub credential: Credential,
    /// The address of the Key Vault secret that holds the account's key, for `key_vault`.
    pub vault_secret: Option<String>,
    /// A managed identity that may read that secret, for `key_vault`: its resource id.
    pub vault_identity: Option<String>,
    /// The admin's word for it that people may open each other's shares.
    #[serde(default)]
    pub account_key_opens_every_share: bool,
    /// The role that a person's identity gets on their share.
    pub role_definition: Option<String>,
    /// The host of the shares; `<account>.file.core.windows.net` by default.
    pub server: Option<String>,
}

/// Who mounts a share, and when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The instance itself, at each of its starts.
    #[default]
    StartupScript,
    /// The hub, on an instance that runs.
    Ssh,
    /// Azure ML, by its preview API, on an instance that runs.
    DataMounts,
}

/// The hub's files for `ssh`, by their absolute paths.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshFiles {
    /// The private key that belongs to the instances' public one.
    pub key_file: PathBuf,
    /// Where host keys are remembered.
    pub known_hosts_file: PathBuf,
}

/// How a share is mounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Protocol {
    /// SMB 3.1.1.
    #[default]
    #[serde(rename = "SMB")]
    Smb,
    /// NFS 4.1: premium accounts only.
    #[serde(rename = "NFS")]
    Nfs,
}

impl Protocol {
    /// As Azure spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Smb => "SMB",
            Self::Nfs => "NFS",
        }
    }
}

/// What opens a share from its person's server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// A managed identity of the person's own, by SMB over OAuth: it opens their share alone.
    #[default]
    Identity,
    /// The account's key, from Key Vault: it opens every share of the account.
    KeyVault,
}

impl Storage {
    /// Refuses what cannot work, and what would open one person's files to another unsaid.
    ///
    /// # Errors
    /// `invalid_config` with the field's name.
    pub fn check(&self) -> Result<(), Failure> {
        let wrong = |field: &str, why: String| {
            Err(Failure::invalid_config(
                &format!("config.storage.{field}"),
                why,
            ))
        };
        // "Storage account name": 3 to 24 of a-z and 0-9.
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if !(3..=24).contains(&self.account.len()) || !self.account.bytes().all(plain) {
            return wrong(
                "account",
                format!("{:?} is no storage account's name", self.account),
            );
        }
        if let Some(quota) = self.quota_gib.filter(|quota| !QUOTA_GIB.contains(quota)) {
            return wrong("quota_gib", format!("{quota} is not between 1 and 102400"));
        }
        if self.protocol == Protocol::Nfs {
            return wrong(
                "protocol",
                "an NFS share is open to everybody on its network, so it cannot be one person's own; use \"SMB\"".to_owned(),
            );
        }
        if self.server.as_deref().is_some_and(|host| !is_host(host)) {
            return wrong("server", "is no host's name".to_owned());
        }
        let Some((field, how)) = self.hands_out_the_key() else {
            return Ok(());
        };
        if !self.account_key_opens_every_share {
            return wrong(
                field,
                format!(
                    "{how}, and that key opens everybody's share; leave {field} out, or set account_key_opens_every_share \
                     to true if that is wanted"
                ),
            );
        }
        if self.method != Method::StartupScript {
            if self.method == Method::Ssh && self.ssh.is_none() {
                return wrong("ssh", "is needed for \"ssh\"".to_owned());
            }
            return Ok(());
        }
        let secret = self.vault_secret.as_deref().unwrap_or_default();
        if !is_secret_address(secret) {
            return wrong(
                "vault_secret",
                format!(
                    "{secret:?} is no address such as \"https://vault.vault.azure.net/secrets/name\""
                ),
            );
        }
        if self
            .vault_identity
            .as_deref()
            .unwrap_or_default()
            .is_empty()
        {
            return wrong("vault_identity", "is needed for \"key_vault\"".to_owned());
        }
        Ok(())
    }

    /// By which field, and how, the account's key reaches people; none where it does not.
    #[must_use]
    pub fn hands_out_the_key(&self) -> Option<(&'static str, &'static str)> {
        match (self.method, self.credential) {
            (Method::Ssh, _) => Some((
                "method",
                "\"ssh\" hands the account's key to each person's server",
            )),
            (Method::DataMounts, _) => Some((
                "method",
                "\"data_mounts\" keeps the account's key in the workspace, for whoever may read its datastores",
            )),
            (Method::StartupScript, Credential::KeyVault) => Some((
                "credential",
                "\"key_vault\" hands the account's key to each person's server",
            )),
            (Method::StartupScript, Credential::Identity) => None,
        }
    }

    /// The quota of a new share.
    #[must_use]
    pub fn quota_gib(&self) -> u32 {
        self.quota_gib.unwrap_or(DEFAULT_QUOTA_GIB)
    }

    /// The role that a person's identity gets on their share.
    #[must_use]
    pub fn role(&self) -> &str {
        self.role_definition.as_deref().unwrap_or(MOUNT_ROLE)
    }

    /// The host of the shares.
    #[must_use]
    pub fn server(&self) -> String {
        let own = || format!("{}.file.core.windows.net", self.account);
        self.server.clone().unwrap_or_else(own)
    }
}

/// An account's own address: https, or http on loopback.
///
/// # Errors
/// What is wrong with it.
pub fn check_origin(origin: &str) -> Result<(), &'static str> {
    let (scheme, rest) = origin.split_once("://").unwrap_or_default();
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    let loopback = host
        .parse::<std::net::IpAddr>()
        .is_ok_and(|ip| ip.is_loopback());
    if is_host(host) && (scheme == "https" || scheme == "http" && loopback) {
        return Ok(());
    }
    Err("FileEndpoint must be an https address; plain http is for loopback only")
}

fn is_host(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
    !text.is_empty() && text.bytes().all(plain)
}

/// It becomes an argument of the script: an https address, or http on loopback, of plain characters.
fn is_secret_address(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-/:".contains(&b);
    text.split_once("/secrets/").is_some_and(|(origin, name)| {
        check_origin(origin).is_ok() && !name.is_empty() && text.bytes().all(plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_opens_more_than_ones_own_share_has_to_be_said_by_name() {
        let check = |value: serde_json::Value| {
            let storage: Storage = serde_json::from_value(value).unwrap();
            storage.check().map_err(|e| e.0.message)
        };
        assert_eq!(check(json!({"account": "homes"})), Ok(()));
        let secret = "https://v.vault.azure.net/secrets/key";
        let identity = "/subscriptions/s/x";
        let key = json!({"account": "homes", "credential": "key_vault", "vault_secret": secret, "vault_identity": identity});
        assert!(
            check(key.clone())
                .unwrap_err()
                .contains("opens everybody's share")
        );
        let mut said = key;
        said["account_key_opens_every_share"] = true.into();
        assert_eq!(check(said.clone()), Ok(()));
        said["vault_secret"] = "https://v/secrets/$(x)".into();
        assert!(
            check(said)
                .unwrap_err()
                .starts_with("config.storage.vault_secret")
        );
        let mut by_ssh = json!({"account": "homes", "method": "ssh"});
        assert!(
            check(by_ssh.clone())
                .unwrap_err()
                .contains("opens everybody's share")
        );
        by_ssh["account_key_opens_every_share"] = true.into();
        assert!(
            check(by_ssh.clone())
                .unwrap_err()
                .starts_with("config.storage.ssh")
        );
        by_ssh["ssh"] = json!({"key_file": "/k", "known_hosts_file": "/h"});
        assert_eq!(check(by_ssh), Ok(()));
        for (bad, field) in [
            (json!({"account": "Homes"}), "account"),
            (
                json!({"account": "homes", "method": "data_mounts"}),
                "method",
            ),
            (json!({"account": "homes", "quota_gib": 0}), "quota_gib"),
            (json!({"account": "homes", "protocol": "NFS"}), "protocol"),
            (json!({"account": "homes", "server": "a;b"}), "server"),
        ] {
            assert!(
                check(bad)
                    .unwrap_err()
                    .starts_with(&format!("config.storage.{field}"))
            );
        }
    }
}
