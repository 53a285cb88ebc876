//! The storage of one start: shares and the person's identity are made before the instance, which mounts them itself.

use super::config::Config;
use crate::cloud::azure::{AzureCredentials, ResourceManager};
use crate::error::Failure;
use crate::mount::azure_files::{Files, KIND, Storage, StorageSecret, script};
use crate::mount::{self, Mount};
use crate::wire::{Secret, Server, StartParams};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// What is to be mounted.
pub struct Home {
    storage: Storage,
    secret: Option<StorageSecret>,
    server: Server,
    mounts: Vec<Mount>,
    ready: bool,
}

impl Home {
    /// Reads `spec.mounts`; none where it is empty. Nobody is asked yet.
    ///
    /// # Errors
    /// `invalid_config` with the field's name.
    pub fn read(config: &Config, params: &StartParams) -> Result<Option<Self>, Failure> {
        let mounts = mount::read(&params.spec.mounts, KIND)?;
        if mounts.is_empty() {
            return Ok(None);
        }
        let storage = config.storage()?;
        let secret = secret(&params.credentials)?;
        for (at, mount) in mounts.iter().enumerate() {
            if !mount.per_user {
                shared(mount).map_err(|why| {
                    Failure::invalid_config(&format!("spec.mounts[{at}].share"), why)
                })?;
            }
        }
        Ok(Some(Self {
            storage,
            secret,
            server: params.server.clone(),
            mounts,
            ready: false,
        }))
    }

    /// Makes what is not there, and puts into `config` what the instance needs to mount it. May be repeated.
    ///
    /// # Errors
    /// As `Files::ensure` and `Files::access`; a mount that is optional is left out instead, and the admin told.
    pub async fn make_ready(
        &mut self,
        arm: &ResourceManager,
        config: &mut Config,
        deadline: Instant,
    ) -> Result<(), Failure> {
        if self.ready {
            return Ok(());
        }
        let made = self.make(arm, config, deadline).await;
        match made {
            Err(failure) if self.mounts.iter().all(|mount| mount.optional) => {
                tracing::warn!(
                    user = self.server.user,
                    "goes on without storage: {failure}"
                );
            }
            other => other?,
        }
        self.ready = true;
        Ok(())
    }

    async fn make(
        &self,
        arm: &ResourceManager,
        config: &mut Config,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let files = Files::new(arm, &self.storage, self.secret.as_ref())?;
        // By set of homes: two mounts of one home are one share.
        let mut own: BTreeMap<String, String> = BTreeMap::new();
        let mut placed = Vec::with_capacity(self.mounts.len());
        for mount in &self.mounts {
            let owner = mount.owner(&self.server);
            let share = if !mount.per_user {
                shared(mount).unwrap_or_default()
            } else if let Some(share) = own.get(&owner.storage_id) {
                share.clone()
            } else {
                let share = files.ensure(&owner, deadline).await?.name;
                own.insert(owner.storage_id, share.clone());
                share
            };
            placed.push((mount.clone(), share));
        }
        // One identity opens all that the instance mounts; it is called like the person's first share.
        let home = match (
            placed.iter().find(|(mount, _)| mount.per_user),
            self.mounts.first(),
        ) {
            (Some((_, share)), _) => share.clone(),
            (None, Some(mount)) => mount.owner(&self.server).name(1),
            (None, None) => return Ok(()),
        };
        let mut shares: Vec<String> = placed.iter().map(|(_, share)| share.clone()).collect();
        shares.sort();
        shares.dedup();
        let access = files.access(&home, &shares, deadline).await?;
        let own_script = config.startup_script.as_deref();
        let script = script::startup(&self.storage, &access, &placed, own_script);
        config.startup_script = Some(script);
        let identities = config.managed_identities.get_or_insert_default();
        if !identities.contains(&access.identity) {
            identities.push(access.identity);
        }
        Ok(())
    }

    /// What the admin should know of an instance that mounts something.
    pub fn warnings(config: &Config) -> Vec<String> {
        let mut warnings = Vec::new();
        if config.assigned_user.is_some() {
            warnings.push(
                "Azure ML switches single sign-on off on an instance that is made on behalf of somebody and has a start-up \
                 script; its user switches it on in the studio, on the instance's page"
                    .to_owned(),
            );
        }
        if config.idle_shutdown.is_some() {
            warnings.push(
                "an instance with a managed identity stops when idle only where that identity is Contributor on the workspace"
                    .to_owned(),
            );
        }
        warnings
    }
}

/// What the admin gave for the storage account itself, in the hub's own part of the credentials.
///
/// # Errors
/// `invalid_config`; no value is repeated.
pub fn secret(credentials: &Secret<Value>) -> Result<Option<StorageSecret>, Failure> {
    let given = AzureCredentials::hubs_own(credentials.expose())
        .get("storage")
        .filter(|value| !value.is_null());
    given
        .map(StorageSecret::deserialize)
        .transpose()
        .map_err(|_| {
            Failure::invalid_config(
                "credentials.storage",
                "must hold the string sas_token or connection_string",
            )
        })
}

/// The name of a share for all, which the admin made.
fn shared(mount: &Mount) -> Result<String, String> {
    let name = mount
        .own
        .get("share")
        .and_then(|name| name.as_str())
        .unwrap_or_default();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    // A person's own share is never somebody else's data.
    if name.is_empty() || !name.bytes().all(plain) || name.starts_with("cs-") {
        return Err(format!(
            "{name:?} is no share that all may have; name one that you made"
        ));
    }
    Ok(name.to_owned())
}
