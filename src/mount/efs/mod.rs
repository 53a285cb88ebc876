//! EFS: each person's own storage is an access point, whose root directory is theirs alone.
//!
//! An access point is found by the tags that say whose it is, and made under a client token that is its owner's name, so that
//! however often and from wherever it is asked for there is one. `api` is EFS as far as it is used, `settings` where it is.

pub mod api;
pub mod settings;

pub use settings::Settings;

use super::{Owner, STORAGE_ID, USER};
use crate::cloud::CloudError;
use crate::cloud::shared_lists::SharedLists;
use crate::error::Failure;
use crate::lock::lock;
use crate::wire::Code;
use crate::wire::reply::Share;
use api::{AccessPoint, Api};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// The kind of mounts and shares.
pub const KIND: &str = "efs";
/// A new access point is available within a second or two: this is how soon it is worth looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// So many people who had the same name one after the other, and something else is wrong.
const MOST_NAMESAKES: u32 = 100;

/// The EFS of one account, and what is remembered of it.
pub struct Efs {
    api: Api,
    /// Where an owner's access point was last seen: one call tells whether it still is, where a list has many pages.
    seen: Mutex<HashMap<String, String>>,
    points: SharedLists<Vec<AccessPoint>>,
}

/// An access point, and whether this call made it.
type Made = (AccessPoint, bool);

impl Efs {
    /// Asks nobody yet.
    #[must_use]
    pub fn new(api: Api) -> Self {
        Self {
            api,
            seen: Mutex::default(),
            points: SharedLists::default(),
        }
    }

    /// How many access points and which mount targets there are, for `check`.
    ///
    /// # Errors
    /// Whatever kept EFS from telling.
    pub async fn look(
        &self,
        settings: &Settings,
        deadline: Instant,
    ) -> Result<(usize, Vec<api::MountTarget>), Failure> {
        let id = &settings.file_system_id;
        let points = self.list(id, deadline).await;
        let targets = self.api.mount_targets(id, deadline).await;
        match (points, targets) {
            (Ok(points), Ok(targets)) => Ok((points.len(), targets)),
            (Err(error), _) | (_, Err(error)) => Err(explained(error, settings, &self.api)),
        }
    }

    /// The owner's access point, made where it is not there, and available. May be repeated.
    ///
    /// # Errors
    /// `conflict`: it is another hub's; `quota_exceeded`: the file system has as many as it may; `not_found`: there is no such
    /// file system.
    pub async fn ensure(
        &self,
        settings: &Settings,
        owner: &Owner,
        deadline: Instant,
    ) -> Result<Share, Failure> {
        let (point, created) = match self.find(settings, owner, deadline).await? {
            Some(point) => (point, false),
            None => self.make(settings, owner, deadline).await?,
        };
        self.wait_until_available(&point, deadline).await?;
        self.remember(settings, owner, &point.access_point_id);
        Ok(share(&point, created))
    }

    /// The owner's access point.
    ///
    /// # Errors
    /// `not_found` where there is none; else as `ensure`.
    pub async fn show(
        &self,
        settings: &Settings,
        owner: &Owner,
        deadline: Instant,
    ) -> Result<Share, Failure> {
        let point = self.find(settings, owner, deadline).await?;
        let point = point.ok_or_else(|| none_of(owner))?;
        Ok(share(&point, false))
    }

    /// The owner is called `to` from now on. May be repeated.
    ///
    /// # Errors
    /// `not_found` where neither name has storage; `conflict` where both have.
    pub async fn rename(
        &self,
        settings: &Settings,
        owner: &Owner,
        to: &str,
        deadline: Instant,
    ) -> Result<Share, Failure> {
        let renamed = Owner {
            user: to.to_owned(),
            ..owner.clone()
        };
        let there = self.find(settings, &renamed, deadline).await?;
        let point = match (self.find(settings, owner, deadline).await?, there) {
            (Some(point), None) => point,
            (None, Some(point)) => return Ok(share(&point, false)),
            (None, None) => return Err(none_of(owner)),
            (Some(old), Some(new)) => {
                let message = format!(
                    "both {:?} ({}) and {to:?} ({}) have storage; remove one of them first",
                    owner.user, old.access_point_id, new.access_point_id
                );
                return Err(Failure::new(Code::Conflict, message));
            }
        };
        let [_, _, (key, user)] = renamed.marks();
        let id = &point.access_point_id;
        let tagged = self.api.tag(id, key, &user, deadline).await;
        tagged.map_err(|error| explained(error, settings, &self.api))?;
        self.forget(settings, owner);
        Ok(share(&point, false))
    }

    /// Removes the owner's access point. EFS has no call that removes files: they stay in a directory that nobody gets again.
    ///
    /// # Errors
    /// As `show`.
    pub async fn delete(
        &self,
        settings: &Settings,
        owner: &Owner,
        deadline: Instant,
    ) -> Result<Share, Failure> {
        let share = self.show(settings, owner, deadline).await?;
        let deleted = self.api.delete_access_point(&share.name, deadline).await;
        deleted.map_err(|error| explained(error, settings, &self.api))?;
        self.forget(settings, owner);
        Ok(share)
    }

    /// Whether the file system can be mounted from anywhere.
    ///
    /// # Errors
    /// `invalid_config` where it has no mount target; `not_found`.
    pub async fn can_be_mounted(
        &self,
        file_system: &str,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let targets = match self.api.mount_targets(file_system, deadline).await {
            Ok(targets) => targets,
            Err(error) if error.code() == Code::PermissionDenied => {
                tracing::warn!(%error, "whether the file system has mount targets is not known");
                return Ok(());
            }
            Err(error) => return Err(with_advice(error, file_system, &self.api)),
        };
        if targets
            .iter()
            .any(|target| target.life_cycle_state == "available")
        {
            return Ok(());
        }
        Err(Failure::invalid_config(
            "config.storage.file_system_id",
            format!(
                "{file_system} has no mount target that is available; make one in each availability zone of the tasks' subnets"
            ),
        ))
    }

    /// By its tags, since people are renamed and hubs are, too.
    async fn find(
        &self,
        settings: &Settings,
        owner: &Owner,
        deadline: Instant,
    ) -> Result<Option<AccessPoint>, Failure> {
        if let Some(point) = self.find_where_it_was(settings, owner, deadline).await? {
            return Ok(Some(point));
        }
        let points = self.list(&settings.file_system_id, deadline).await;
        let points = points.map_err(|error| explained(error, settings, &self.api))?;
        let [_, storage_id, user] = owner.marks();
        // More than one is nobody's doing but an admin's: always the same one then.
        let theirs = points
            .iter()
            .filter(|point| point.tag(STORAGE_ID) == Some(storage_id.1.as_str()))
            .filter(|point| point.tag(USER) == Some(user.1.as_str()))
            .min_by(|a, b| a.access_point_id.cmp(&b.access_point_id));
        let Some(point) = theirs.cloned() else {
            return Ok(None);
        };
        owns(owner, &point)?;
        self.remember(settings, owner, &point.access_point_id);
        Ok(Some(point))
    }

    async fn find_where_it_was(
        &self,
        settings: &Settings,
        owner: &Owner,
        deadline: Instant,
    ) -> Result<Option<AccessPoint>, Failure> {
        let Some(id) = self.seen().get(&whose(settings, owner)).cloned() else {
            return Ok(None);
        };
        let point = self.api.access_point(&id, deadline).await;
        let point = point.map_err(|error| explained(error, settings, &self.api))?;
        match point {
            Some(point) if owns(owner, &point)? => Ok(Some(point)),
            _ => Ok(None),
        }
    }

    /// Everybody who waits shares one list: a class that logs in at once asks once.
    async fn list(
        &self,
        file_system: &str,
        deadline: Instant,
    ) -> Result<Arc<Vec<AccessPoint>>, CloudError> {
        let list = || self.api.access_points_of(file_system, deadline);
        self.points.get(file_system, deadline, list).await
    }

    /// Under the owner's name, or the next number where that name was another person's before.
    async fn make(
        &self,
        settings: &Settings,
        owner: &Owner,
        deadline: Instant,
    ) -> Result<Made, Failure> {
        for nth in 1..=MOST_NAMESAKES {
            let name = owner.name(nth);
            let request = self.request(settings, owner, &name);
            let error = match self.api.create_access_point(&request, deadline).await {
                Ok(point) => {
                    tracing::info!(id = point.access_point_id, "access point made");
                    return Ok((point, true));
                }
                Err(error) => error,
            };
            let Some(id) = api::existing(&error) else {
                return Err(explained(error, settings, &self.api));
            };
            let point = self.api.access_point(id, deadline).await;
            let point = point.map_err(|error| explained(error, settings, &self.api))?;
            let Some(point) = point else {
                let message = format!("access point {id} is being removed; try again");
                return Err(Failure::new(Code::Unavailable, message));
            };
            if point.file_system_id != settings.file_system_id {
                return Err(elsewhere(&point, settings));
            }
            // Made a moment ago and not listed yet, or by a call whose answer was lost.
            if owns(owner, &point)? {
                return Ok((point, false));
            }
        }
        let message = format!(
            "{MOST_NAMESAKES} access points were another {:?}'s",
            owner.user
        );
        Err(Failure::new(Code::Conflict, message))
    }

    /// The time in the directory's name keeps a later person of the same name out of what a removed access point leaves.
    fn request(&self, settings: &Settings, owner: &Owner, name: &str) -> serde_json::Value {
        let directory = settings.directory(&format!("{name}-{}", self.api.now_ms()));
        let tag = |(key, value)| json!({"Key": key, "Value": value});
        let mut tags: Vec<_> = owner.marks().map(tag).into();
        tags.push(tag(("Name", name.to_owned())));
        json!({
            "ClientToken": name,
            "FileSystemId": settings.file_system_id,
            "PosixUser": {"Uid": settings.posix_uid, "Gid": settings.posix_gid},
            "RootDirectory": {
                "Path": directory,
                "CreationInfo": {
                    "OwnerUid": settings.posix_uid,
                    "OwnerGid": settings.posix_gid,
                    "Permissions": settings.permissions,
                },
            },
            "Tags": tags,
        })
    }

    async fn wait_until_available(
        &self,
        point: &AccessPoint,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let id = &point.access_point_id;
        let mut state = point.life_cycle_state.clone();
        while matches!(state.as_str(), "creating" | "updating") {
            if Instant::now() + LOOK_AGAIN >= deadline {
                let message = format!("access point {id} is still {state:?}");
                return Err(Failure::new(Code::Deadline, message));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            let now = self.api.access_point(id, deadline).await;
            let now = now.map_err(CloudError::into_failure)?;
            // What was just made may not be listed yet.
            state = now.map_or_else(|| "creating".to_owned(), |point| point.life_cycle_state);
        }
        if matches!(state.as_str(), "deleting" | "deleted" | "error") {
            let message = format!("access point {id} is {state:?}; look at it in the EFS console");
            return Err(Failure::new(Code::Unavailable, message));
        }
        Ok(())
    }

    fn remember(&self, settings: &Settings, owner: &Owner, id: &str) {
        self.seen().insert(whose(settings, owner), id.to_owned());
    }

    fn forget(&self, settings: &Settings, owner: &Owner) {
        self.seen().remove(&whose(settings, owner));
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        lock(&self.seen)
    }
}

fn whose(settings: &Settings, owner: &Owner) -> String {
    format!("{} {}", settings.file_system_id, owner.name(1))
}

fn owns(owner: &Owner, point: &AccessPoint) -> Result<bool, Failure> {
    let what = format!("access point {}", point.access_point_id);
    owner.owns(&what, |mark| point.tag(mark))
}

fn share(point: &AccessPoint, created: bool) -> Share {
    Share {
        name: point.access_point_id.clone(),
        kind: KIND.to_owned(),
        created,
    }
}

fn none_of(owner: &Owner) -> Failure {
    let message = format!(
        "{:?} has no access point in the storage {:?}",
        owner.user, owner.storage_id
    );
    Failure::new(Code::NotFound, message)
}

fn elsewhere(point: &AccessPoint, settings: &Settings) -> Failure {
    let message = format!(
        "{} is of {}, and config.storage.file_system_id is {}; name the first, or set another storage_id to begin anew",
        point.access_point_id, point.file_system_id, settings.file_system_id
    );
    Failure::new(Code::Conflict, message)
}

fn explained(error: CloudError, settings: &Settings, api: &Api) -> Failure {
    with_advice(error, &settings.file_system_id, api)
}

/// The failure, and what an admin can do about it.
fn with_advice(error: CloudError, file_system: &str, api: &Api) -> Failure {
    let advice = match error.cloud_code() {
        Some("FileSystemNotFound") => format!(
            "{file_system} is not in this account and region ({}): mend config.storage.file_system_id",
            api.region()
        ),
        Some("AccessPointLimitExceeded") => format!(
            "{file_system} has as many access points as it may: remove those of people who left, ask AWS for more, or use another file system with a storage_id of its own"
        ),
        _ if error.code() == Code::PermissionDenied => {
            "the hub's policy for EFS is in deployments/fargate_with_efs".to_owned()
        }
        _ => return error.into_failure(),
    };
    let mut failure = error.into_failure();
    failure.0.message = format!("{}; {advice}", failure.0.message);
    failure
}
