//! What a server mounts: `spec.mounts` read against `config.storage`, and the access points behind it.

use super::config::Config;
use super::definition::Volume;
use crate::error::Failure;
use crate::mount::efs::{self, Efs, settings::is_id};
use crate::mount::{self, Mount, Owner};
use crate::wire::StartParams;
use serde_json::Value;
use std::sync::Arc;
use tokio::time::Instant;

/// The mounts of one start.
pub struct Storage {
    efs: Arc<Efs>,
    settings: Option<efs::Settings>,
    wanted: Vec<Wanted>,
}

/// One mount of `spec.mounts`.
#[derive(Debug, Clone)]
pub struct Wanted {
    mount: Mount,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// The person's own access point.
    Own(Owner),
    /// One that the admin made.
    Shared {
        file_system_id: String,
        access_point_id: String,
    },
}

/// What to mount, and sentences about what is left out.
pub type Found = (Vec<Volume>, Vec<String>);

/// Reads and checks the mounts; asks nobody.
///
/// # Errors
/// `invalid_config` with the field's name.
pub fn read(config: &Config, params: &StartParams) -> Result<Vec<Wanted>, Failure> {
    let mounts = mount::read(&params.spec.mounts, efs::KIND)?;
    let wanted = mounts.into_iter().enumerate().map(|(at, mount)| {
        let field = |name: &str| format!("spec.mounts[{at}].{name}");
        if mount.path.starts_with('~') {
            let why = "a task's home is the image's business: give the whole path, such as \"/home/jovyan\"";
            return Err(Failure::invalid_config(&field("path"), why));
        }
        let text = |name: &str| match mount.own.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
            Some(_) => Err(Failure::invalid_config(&field(name), "must be a text")),
        };
        let what = if mount.per_user {
            if config.storage.is_none() {
                return Err(Failure::invalid_config("config.storage", "is missing; name the file_system_id of people's storage"));
            }
            What::Own(mount.owner(&params.server))
        } else {
            let known = config.storage.as_ref().map(|s| s.file_system_id.clone());
            let id = |name: &str, prefix: &str, given: Option<String>| match given {
                Some(id) if is_id(&id, prefix) => Ok(id),
                // Without an access point it would be the root of the file system, and with it everybody's directory.
                _ => Err(Failure::invalid_config(&field(name), format!("give the id of what is shared, {prefix}…"))),
            };
            What::Shared {
                file_system_id: id("file_system_id", "fs-", text("file_system_id")?.or(known))?,
                access_point_id: id("access_point_id", "fsap-", text("access_point_id")?)?,
            }
        };
        Ok(Wanted { mount, what })
    });
    wanted.collect()
}

impl Storage {
    /// The mounts of a start.
    pub fn new(efs: Arc<Efs>, settings: Option<efs::Settings>, wanted: Vec<Wanted>) -> Self {
        Self {
            efs,
            settings,
            wanted,
        }
    }

    /// The access points, made where they are not there. May be repeated.
    ///
    /// # Errors
    /// What kept one that is not optional from being mounted.
    pub async fn find_or_make(&self, deadline: Instant) -> Result<Found, Failure> {
        let (mut volumes, mut left_out) = (Vec::new(), Vec::new());
        for wanted in &self.wanted {
            match self.volume(wanted, deadline).await {
                Ok(volume) => volumes.push(volume),
                Err(failure) if wanted.mount.optional => {
                    tracing::warn!(%failure, path = wanted.mount.path, "a mount that is optional is left out");
                    let path = &wanted.mount.path;
                    left_out.push(format!(
                        "The storage at {path} is not there now; your server starts without it"
                    ));
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok((volumes, left_out))
    }

    async fn volume(&self, wanted: &Wanted, deadline: Instant) -> Result<Volume, Failure> {
        let (file_system_id, access_point_id) = match (&wanted.what, &self.settings) {
            (What::Own(owner), Some(settings)) => {
                self.efs
                    .can_be_mounted(&settings.file_system_id, deadline)
                    .await?;
                let share = self.efs.ensure(settings, owner, deadline).await?;
                (settings.file_system_id.clone(), share.name)
            }
            (What::Own(_), None) => {
                return Err(Failure::invalid_config("config.storage", "is missing"));
            }
            (
                What::Shared {
                    file_system_id,
                    access_point_id,
                },
                _,
            ) => {
                self.efs.can_be_mounted(file_system_id, deadline).await?;
                (file_system_id.clone(), access_point_id.clone())
            }
        };
        Ok(Volume {
            file_system_id,
            access_point_id,
            transit_encryption_port: self
                .settings
                .as_ref()
                .and_then(|s| s.transit_encryption_port),
            mount: wanted.mount.clone(),
        })
    }
}
