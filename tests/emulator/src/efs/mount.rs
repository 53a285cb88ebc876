//! Whether a task may mount its EFS volumes, and what it then gets: a directory of this machine. Who may do what is EFS's own
//! rule (user guide, "Using IAM to control access to file systems"): an Allow in the role's policy or in the file system's is
//! enough, a Deny in either forbids, and a file system without a policy lets everybody in.

use std::fs::{Permissions, create_dir, create_dir_all, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::state::{Efs, TASKS_VPC};
use crate::ecs::definitions::Definition;
use crate::policy::{Ask, Verdict};
use crate::world::{Emulator, World};

/// A volume of a task's main container.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Mount {
    pub container_path: String,
    pub directory: PathBuf,
    pub file_system: String,
    pub access_point: Option<String>,
    /// By its mount point, or because nothing allows elasticfilesystem:ClientWrite.
    pub read_only: bool,
    /// The mode of a directory that the first mount makes; without one it must be there.
    #[serde(skip)]
    pub creation_mode: Option<u32>,
}

impl Mount {
    /// Makes the directory, if its access point says how and it is not there. It belongs to the emulator's own user.
    ///
    /// # Errors
    /// The task's `stoppedReason`.
    pub fn make_directory(&self) -> Result<(), String> {
        if self.directory.is_dir() {
            return Ok(());
        }
        let missing = || {
            refusal(
                &format!(
                    "b'mount.nfs4: mounting {}.efs.amazonaws.com:/ failed, reason given by server: No such file or directory'",
                    self.file_system
                ),
                32,
            )
        };
        let mode = self.creation_mode.ok_or_else(missing)?;
        let created = self
            .directory
            .parent()
            .map_or(Ok(()), create_dir_all)
            .and_then(|()| create_dir(&self.directory))
            .and_then(|()| set_permissions(&self.directory, Permissions::from_mode(mode)));
        created.map_err(|error| refusal(&error.to_string(), 32))
    }
}

/// What Fargate's agent makes of what EFS's mount helper said.
fn refusal(stderr: &str, code: u8) -> String {
    format!(
        "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: {stderr} : \
         unsuccessful EFS utils command execution; code: {code}"
    )
}

const DENIED: &str = "b'mount.nfs4: access denied by server while mounting 127.0.0.1:/'";
const NO_CREDENTIALS: &str = "AWS Access Key ID and Secret Access Key are not found in AWS credentials file \
    (/root/.aws/credentials), config file (/root/.aws/config), from ECS credentials relative uri, or from the instance security \
    credentials service";

/// The EFS volumes of a task's main container, in the order of its mount points.
///
/// # Errors
/// The task's `stoppedReason`.
pub fn of_task(
    emulator: &Emulator,
    world: &World,
    definition: &Definition,
    request: &Value,
    running_ms: u64,
) -> Result<Vec<Mount>, String> {
    let volumes = definition.body["volumes"].as_array();
    let points = definition
        .main_container()
        .and_then(|container| container["mountPoints"].as_array());
    let role = [&request["overrides"], &definition.body]
        .into_iter()
        .find_map(|of| of["taskRoleArn"].as_str());
    let mut mounts = Vec::new();
    for volume in volumes.into_iter().flatten() {
        let volume_of = &volume["efsVolumeConfiguration"];
        if volume_of.is_null() {
            continue;
        }
        let client = Client {
            emulator,
            world,
            volume: volume_of,
            role,
        };
        let found = client.mount(running_ms)?;
        let of_volume = points
            .into_iter()
            .flatten()
            .filter(|point| point["sourceVolume"] == volume["name"]);
        mounts.extend(of_volume.map(|point| {
            Mount {
                container_path: point["containerPath"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
                read_only: found.read_only || point["readOnly"] == true,
                ..found.clone()
            }
        }));
    }
    Ok(mounts)
}

/// One volume's NFS client.
#[derive(Clone, Copy)]
struct Client<'a> {
    emulator: &'a Emulator,
    world: &'a World,
    /// The model's EFSVolumeConfiguration.
    volume: &'a Value,
    /// The ARN of the task's role, if it has one.
    role: Option<&'a str>,
}

impl Client<'_> {
    fn mount(self, running_ms: u64) -> Result<Mount, String> {
        let efs = &self.world.efs;
        let file_system = self.volume["fileSystemId"].as_str().unwrap_or_default();
        if !can_be_reached(efs, file_system) {
            return Err(refusal(&self.cannot_resolve(file_system), 1));
        }
        let wanted = self.volume["authorizationConfig"]["accessPointId"].as_str();
        let point = wanted.map(|id| {
            efs.access_point(id).filter(|point| {
                point.file_system == file_system && point.available_ms <= running_ms
            })
        });
        if matches!(point, Some(None)) {
            return Err(refusal(DENIED, 32));
        }
        let point = point.flatten();
        if self.by_iam() && self.role.is_none() {
            return Err(refusal(NO_CREDENTIALS, 1));
        }
        let point_arn = point.map(|point| super::arn(self.emulator, "access-point", &point.id));
        let may = |action| self.may(action, file_system, point_arn.as_deref());
        if !may("elasticfilesystem:ClientMount") {
            return Err(refusal(DENIED, 32));
        }
        let path = match point {
            Some(point) => point.path(),
            None => self.volume["rootDirectory"].as_str().unwrap_or("/"),
        };
        let permissions = point
            .and_then(|point| point.root_directory["CreationInfo"]["Permissions"].as_str())
            // A file system's own root is there from the start.
            .or_else(|| (path == "/").then_some("755"));
        Ok(Mount {
            container_path: String::new(),
            directory: efs.directory(file_system, path),
            file_system: file_system.to_owned(),
            access_point: wanted.map(ToOwned::to_owned),
            read_only: !may("elasticfilesystem:ClientWrite"),
            creation_mode: permissions.and_then(|octal| u32::from_str_radix(octal, 8).ok()),
        })
    }

    fn by_iam(self) -> bool {
        self.volume["authorizationConfig"]["iam"] == "ENABLED"
    }

    fn may(self, action: &str, file_system: &str, point_arn: Option<&str>) -> bool {
        let encrypted = self.volume["transitEncryption"] == "ENABLED";
        let mut context = vec![
            ("elasticfilesystem:AccessedViaMountTarget", "true"),
            (
                "aws:SecureTransport",
                if encrypted { "true" } else { "false" },
            ),
        ];
        context.extend(point_arn.map(|arn| ("elasticfilesystem:AccessPointArn", arn)));
        let resource = super::arn(self.emulator, "file-system", file_system);
        let ask = Ask {
            action,
            resource: &resource,
            context: &context,
        };
        let role = self.role.filter(|_| self.by_iam());
        let of_file_system = match &self.world.efs.policy {
            Some((policy, _)) => policy.judge_for(role, ask),
            None => Verdict::Allowed,
        };
        let of_role = role.map_or(Verdict::NotAllowed, |arn| {
            let name = arn.rsplit('/').next().unwrap_or(arn);
            let policy = self.world.keys.role_policy(name);
            policy.map_or(Verdict::Allowed, |policy| policy.judge(ask))
        });
        let verdicts = [of_file_system, of_role];
        verdicts.contains(&Verdict::Allowed) && !verdicts.contains(&Verdict::Denied)
    }

    fn cannot_resolve(self, file_system: &str) -> String {
        format!(
            "Failed to resolve \"{file_system}.efs.{}.amazonaws.com\" - check that your file system ID is correct, and ensure \
             that the VPC has an EFS mount target for this file system ID. See \
             https://docs.aws.amazon.com/console/efs/mount-dns-name for more detail. Attempting to lookup mount target ip \
             address using botocore. Failed to import necessary dependency botocore, please install botocore first.",
            self.emulator.region
        )
    }
}

fn can_be_reached(efs: &Efs, file_system: &str) -> bool {
    efs.file_system(file_system).is_some()
        && !efs.settings.mount_targets.is_empty()
        && efs.settings.vpc == TASKS_VPC
}
