//! Storage accounts, shares, identities, assignments and secrets as the emulator keeps them, in memory alone.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::content::Entry;
use super::limits::Writes;
use super::roles::Assignment;
use crate::azure::error::ArmError;

#[derive(Clone, Debug)]
pub struct Account {
    pub name: String,
    /// The request: `location`, `kind`, `sku`, `tags`, `properties`.
    pub body: Value,
    pub keys: [String; 2],
    pub created_ms: u64,
    pub shares: BTreeMap<String, Share>,
}

impl Account {
    pub fn new(name: &str, body: Value, created_ms: u64) -> Self {
        let key = || {
            data_encoding::BASE64.encode(&std::array::from_fn::<u8, 64, _>(|_| fastrand::u8(..)))
        };
        Self {
            name: name.to_owned(),
            body,
            keys: [key(), key()],
            created_ms,
            shares: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Share {
    pub quota_gib: u64,
    pub metadata: Map<String, Value>,
    pub access_tier: Option<String>,
    pub protocols: Option<String>,
    pub root_squash: Option<String>,
    pub modified_ms: u64,
    pub version: u64,
    /// Directories and files by their path.
    pub entries: BTreeMap<String, Entry>,
}

impl Share {
    pub fn etag(&self) -> String {
        format!("\"0x{:016X}\"", self.modified_ms * 1000 + self.version)
    }

    pub fn touch(&mut self, now_ms: u64) {
        self.modified_ms = now_ms;
        self.version += 1;
    }
}

/// One version of a secret.
#[derive(Clone, Debug)]
pub struct Secret {
    pub version: String,
    pub value: String,
    pub content_type: Option<String>,
    pub tags: Value,
    pub created_ms: u64,
}

#[derive(Debug, Default)]
pub struct Storage {
    pub accounts: BTreeMap<String, Account>,
    /// By name, in lower case: the request's `location` and `tags`, and the identity's own name.
    pub identities: BTreeMap<String, Value>,
    pub assignments: Vec<Assignment>,
    /// The first is meant where a call does not name one.
    pub vaults: Vec<String>,
    /// By vault and name, the oldest version first.
    pub secrets: BTreeMap<(String, String), Vec<Secret>>,
    pub writes: Writes,
}

impl Storage {
    pub fn new(accounts: &[String], vaults: &[String], location: &str, now_ms: u64) -> Self {
        let body =
            json!({ "location": location, "kind": "StorageV2", "sku": { "name": "Standard_LRS" } });
        let account = |name: &String| (name.clone(), Account::new(name, body.clone(), now_ms));
        Self {
            accounts: accounts.iter().map(account).collect(),
            vaults: vaults.to_vec(),
            ..Self::default()
        }
    }

    /// # Errors
    /// Resource Manager's 404.
    pub fn account(&mut self, name: &str, group: &str) -> Result<&mut Account, ArmError> {
        self.accounts
            .get_mut(&name.to_lowercase())
            .ok_or_else(|| not_found("Microsoft.Storage/storageAccounts", name, group))
    }
}

pub fn not_found(kind: &str, name: &str, group: &str) -> ArmError {
    ArmError::not_found(
        "ResourceNotFound",
        format!(
            "The Resource '{kind}/{name}' under resource group '{group}' was not found. For more details please go to \
             https://aka.ms/ARMResourceNotFoundFix"
        ),
    )
}
