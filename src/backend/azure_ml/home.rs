//! The storage of one start: shares are made before the instance, which mounts them itself by an identity that is made for
//! it; or they are mounted on it from outside once it runs (`mounting`).

use super::api::Service;
use super::config::Config;
use super::mounting::{At, Mounting};
use crate::cloud::azure::{AzureCredentials, ResourceManager};
use crate::error::Failure;
use crate::mount::azure_files::{Files, KIND, Method, Storage, StorageSecret, script};
use crate::mount::{self, Mount};
use crate::wire::{Secret, Server, StartParams};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// What a start that has gone on without a mount still needs.
const ANSWER_NEEDS: Duration = Duration::from_secs(2);

/// What is to be mounted.
pub struct Home {
    storage: Storage,
    secret: Option<StorageSecret>,
    /// How it is mounted where the instance does not do it itself.
    mounting: Option<Mounting>,
    server: Server,
    mounts: Vec<Mount>,
    /// What waits for the instance to run.
    placed: Option<Vec<Place>>,
}

/// A mount and its share's name.
pub type Place = (Mount, String);

/// All mounts that can be had, and sentences about those that are left out.
type Placed = (Vec<Place>, Vec<String>);

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
            mounting: Mounting::read(config, &storage, secret.as_ref())?,
            storage,
            secret,
            server: params.server.clone(),
            mounts,
            placed: None,
        }))
    }

    /// Makes what is not there, and puts into `config` what the instance needs to mount it. May be repeated. Returns sentences
    /// about what is left out.
    ///
    /// # Errors
    /// As `Files::ensure` and `Files::access`; a mount that is optional is left out instead.
    pub async fn make_ready(
        &mut self,
        arm: &ResourceManager,
        config: &mut Config,
        deadline: Instant,
    ) -> Result<Vec<String>, Failure> {
        let (placed, mut left_out) = self.place(arm, deadline).await?;
        if self.mounting.is_some() {
            self.placed = Some(placed);
            return Ok(left_out);
        }
        if placed.is_empty() {
            return Ok(left_out);
        }
        if let Err(failure) = self.let_in(arm, config, &placed, deadline).await {
            for (mount, _) in &placed {
                left_out.push(without(mount, failure.clone())?);
            }
        }
        Ok(left_out)
    }

    /// Whether it is mounted on an instance that runs.
    pub fn is_mounted_later(&self) -> bool {
        self.mounting.is_some()
    }

    /// Mounts it on an instance that runs. May be repeated. Returns sentences about what is left out.
    ///
    /// # Errors
    /// As `place` and `Mounting::mount`; a mount that is optional is left out instead.
    pub async fn mount(
        &mut self,
        service: &Service,
        instance: At<'_>,
        deadline: Instant,
    ) -> Result<Vec<String>, Failure> {
        let Some(mounting) = &self.mounting else {
            return Ok(Vec::new());
        };
        let (placed, mut left_out) = match self.placed.take() {
            Some(placed) => (placed, Vec::new()),
            // An instance that an earlier request created.
            None => self.place(service.resource_manager(), deadline).await?,
        };
        // One that is optional and hangs must not take the start with it.
        let deadline = deadline.checked_sub(ANSWER_NEEDS).unwrap_or(deadline);
        for (mount, share) in placed {
            if let Err(failure) = mounting
                .mount(service, instance, &mount, &share, deadline)
                .await
            {
                left_out.push(without(&mount, failure)?);
            }
        }
        Ok(left_out)
    }

    /// Each mount's share, made where it is a person's own and not there.
    ///
    /// # Errors
    /// As `Files::ensure`; a mount that is optional is left out instead.
    async fn place(&self, arm: &ResourceManager, deadline: Instant) -> Result<Placed, Failure> {
        let files = Files::new(arm, &self.storage, self.secret.as_ref())?;
        // By set of homes: two mounts of one home are one share.
        let mut own: BTreeMap<String, String> = BTreeMap::new();
        let (mut placed, mut left_out) = (Vec::with_capacity(self.mounts.len()), Vec::new());
        for mount in &self.mounts {
            let owner = mount.owner(&self.server);
            let share = if !mount.per_user {
                shared(mount).unwrap_or_default()
            } else if let Some(share) = own.get(&owner.storage_id) {
                share.clone()
            } else {
                match files.ensure(&owner, deadline).await {
                    Ok(share) => share.name,
                    Err(failure) => {
                        left_out.push(without(mount, failure)?);
                        continue;
                    }
                }
            };
            if mount.per_user {
                own.insert(owner.storage_id, share.clone());
            }
            placed.push((mount.clone(), share));
        }
        Ok((placed, left_out))
    }

    /// Makes the identity that opens these shares, and the script that mounts them by it.
    async fn let_in(
        &self,
        arm: &ResourceManager,
        config: &mut Config,
        placed: &[Place],
        deadline: Instant,
    ) -> Result<(), Failure> {
        let files = Files::new(arm, &self.storage, self.secret.as_ref())?;
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
        let script = script::startup(&self.storage, &access, placed, own_script);
        config.startup_script = Some(script);
        let identities = config.managed_identities.get_or_insert_default();
        if !identities.contains(&access.identity) {
            identities.push(access.identity);
        }
        Ok(())
    }

    /// What the admin should know of an instance that mounts something.
    pub fn warnings(&self, config: &Config) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.storage.method == Method::DataMounts {
            warnings.push(
                "storage.method \"data_mounts\" is an experiment, by a preview of Azure's API"
                    .to_owned(),
            );
        }
        if self.mounting.is_some() {
            return warnings;
        }
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

/// The sentence about a mount that is left out.
///
/// # Errors
/// The failure itself where the mount is not optional.
fn without(mount: &Mount, failure: Failure) -> Result<String, Failure> {
    if !mount.optional {
        return Err(failure);
    }
    let path = &mount.path;
    tracing::warn!(%failure, path, "a mount that is optional is left out");
    Ok(format!(
        "The storage at {path} is not there now; your server starts without it"
    ))
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
