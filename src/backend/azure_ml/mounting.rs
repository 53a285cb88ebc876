//! Mounts that are made on an instance that runs: by the hub through ssh, or by Azure ML itself as data mounts, an experiment.
//!
//! Both take the storage account's key, which opens every share; `Storage::check` has the admin say so.

use super::api::{Place, Service};
use super::config::Config;
use super::instance::Instance;
use crate::backend::tags;
use crate::cloud::CloudError;
use crate::error::Failure;
use crate::mount::Mount;
use crate::mount::azure_files::ssh::{self, Ssh};
use crate::mount::azure_files::{Method, SshFiles, Storage, StorageSecret, script};
use crate::net::retry::{self, Again, Pace};
use crate::wire::{Code, Retry, Secret};
use std::time::Duration;
use tokio::time::Instant;

/// Azure calls an instance Running before its sshd listens, and before it shows its address.
const SSHD_NEEDS: Duration = Duration::from_mins(1);
/// So long before the end no other try begins: what it comes to should be told.
const LAST_TRY: Duration = Duration::from_secs(5);
/// How long a data mount may stay requested; Azure tells of no limit.
const DATA_MOUNT_NEEDS: Duration = Duration::from_mins(2);
/// The pause between looks at a data mount.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How shares are mounted, and by what.
pub struct Mounting {
    storage: Storage,
    key: Secret<String>,
    /// None: as data mounts.
    ssh: Option<SshFiles>,
}

/// An instance in its workspace.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// The workspace.
    pub place: &'a Place,
    /// Its name.
    pub name: &'a str,
}

impl Mounting {
    /// None where the instance mounts by itself.
    ///
    /// # Errors
    /// `invalid_config` with the field's name: there is no key, or the instance would let nobody in.
    pub fn read(
        config: &Config,
        storage: &Storage,
        secret: Option<&StorageSecret>,
    ) -> Result<Option<Self>, Failure> {
        let ssh = match storage.method {
            Method::StartupScript => return Ok(None),
            Method::Ssh => storage.ssh.clone(),
            Method::DataMounts => None,
        };
        if let Some(files) = &ssh {
            files.check()?;
        }
        let properties = config.properties.as_ref();
        let opens = config.ssh_public_key.is_some()
            || properties.is_some_and(|own| own.contains_key("sshSettings"));
        if ssh.is_some() && !opens {
            let why = "is needed for storage.method \"ssh\": it lets the hub in";
            return Err(Failure::invalid_config("config.ssh_public_key", why));
        }
        // Its SSH is the assigned person's alone ("create on behalf of" in Microsoft's documentation).
        if ssh.is_some() && config.assigned_user.is_some() {
            let why = "excludes storage.method \"ssh\": the instance lets that person alone in";
            return Err(Failure::invalid_config("config.assigned_user", why));
        }
        Ok(Some(Self {
            storage: storage.clone(),
            key: StorageSecret::account_key(secret)?,
            ssh,
        }))
    }

    /// Mounts one share. May be repeated.
    ///
    /// # Errors
    /// As `ssh::mount`; `start_failed` where Azure ML could not mount it; whatever kept Azure from telling.
    pub async fn mount(
        &self,
        service: &Service,
        at: At<'_>,
        mount: &Mount,
        share: &str,
        deadline: Instant,
    ) -> Result<(), Failure> {
        match &self.ssh {
            Some(files) => {
                self.by_ssh(files, service, at, mount, share, deadline)
                    .await
            }
            None => {
                self.as_data_mount(service, at, mount, share, deadline)
                    .await
            }
        }
    }

    async fn by_ssh(
        &self,
        files: &SshFiles,
        service: &Service,
        at: At<'_>,
        mount: &Mount,
        share: &str,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let words = script::what(&self.storage, mount, share);
        let attempt = || async {
            let instance = look(service, at, deadline).await?;
            let target = target(files, &instance)?;
            ssh::mount(&target, &words, &self.key, deadline).await
        };
        let again = |failure: &Failure| match (failure.code(), failure.0.retry) {
            (Code::Unavailable, Retry::Later) => Again::After(None),
            _ => Again::No,
        };
        let context = &service.resource_manager().context;
        let last = deadline.checked_sub(LAST_TRY).unwrap_or(deadline);
        let until = last.min(Instant::now() + SSHD_NEEDS);
        retry::until(context, "ssh:mount", Pace::CALL, until, attempt, again).await
    }

    async fn as_data_mount(
        &self,
        service: &Service,
        at: At<'_>,
        mount: &Mount,
        share: &str,
        deadline: Instant,
    ) -> Result<(), Failure> {
        service
            .put_datastore(at.place, &self.storage, share, &self.key, deadline)
            .await?;
        service
            .put_data_mount(at.place, at.name, share, mount, deadline)
            .await?;
        let until = deadline.min(Instant::now() + DATA_MOUNT_NEEDS);
        loop {
            let mounts = service.data_mounts(at.place, at.name, deadline).await?;
            let told = mounts
                .iter()
                .find(|told| told.mount_name.as_deref() == Some(share));
            let state = told.and_then(|told| told.mount_state.as_deref());
            match state {
                Some("Mounted") => return Ok(()),
                Some("MountFailed") => {
                    let why = told.and_then(|told| told.error.as_deref());
                    let message = format!(
                        "Azure ML could not mount share {share} on {}: {}",
                        at.name,
                        why.unwrap_or("no reason was told")
                    );
                    return Err(Failure::new(Code::StartFailed, message));
                }
                _ if Instant::now() + LOOK_AGAIN >= until => {
                    let message = format!(
                        "Azure ML did not mount share {share} on {} in time; its mount is {}",
                        at.name,
                        state.unwrap_or("not shown")
                    );
                    return Err(Failure::new(Code::StartFailed, message));
                }
                _ => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }
}

async fn look(service: &Service, at: At<'_>, deadline: Instant) -> Result<Instance, Failure> {
    let found = service.get(at.place, at.name, deadline).await;
    found.map_err(CloudError::into_failure)?.ok_or_else(|| {
        let message = format!("compute instance {} is gone", at.name);
        Failure::new(Code::StartFailed, message)
    })
}

/// How to get onto an instance.
fn target(files: &SshFiles, instance: &Instance) -> Result<Ssh, Failure> {
    let name = &instance.name;
    let inner = instance.properties.properties.as_ref();
    let settings = inner.and_then(|inner| inner.ssh_settings.as_ref());
    let Some(settings) = settings.filter(|own| own.access.as_deref() == Some("Enabled")) else {
        let message = format!(
            "compute instance {name} was created with its SSH port closed, and Azure never opens it; delete it, so that the next start makes one that lets the hub in"
        );
        return Err(Failure::new(Code::StartFailed, message));
    };
    let addresses = inner.and_then(|inner| inner.addresses.as_ref());
    let host = addresses.and_then(|own| own.public.as_ref().or(own.private.as_ref()));
    let port = settings.port.and_then(|port| u16::try_from(port).ok());
    let (Some(host), Some(port)) = (host, port) else {
        let message = format!("compute instance {name} shows no address and port for ssh");
        return Err(Failure::new(Code::Unavailable, message));
    };
    // An instance that was made anew under its old name is another host.
    let made_by = instance.tag(tags::ATTEMPT).unwrap_or("unmarked");
    Ok(Ssh {
        name: format!("{name}.{made_by}"),
        host: host.clone(),
        port,
        user: settings
            .admin_user_name
            .clone()
            .unwrap_or_else(|| USER.to_owned()),
        files: files.clone(),
    })
}

/// Whose every compute instance is ("Create a compute instance": SSH access, `azureuser`).
const USER: &str = "azureuser";
