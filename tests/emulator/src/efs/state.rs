//! The file systems, their access points, and what an admin may change about them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::options::EfsOptions;
use crate::policy::Policy;

/// The VPC of every subnet that tasks may name.
pub const TASKS_VPC: &str = "vpc-0123abcd";

/// What `/_emulator/efs/settings` may change.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How long a new access point is `creating`.
    pub creating_ms: u64,
    /// User guide, "Amazon EFS quotas": access points a file system.
    pub access_point_limit: usize,
    /// The subnets with a mount target of each file system.
    pub mount_targets: Vec<String>,
    /// The VPC of those subnets; tasks are in `vpc-0123abcd`.
    pub vpc: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            creating_ms: 100,
            access_point_limit: 10_000,
            mount_targets: vec!["subnet-0123abcd".to_owned()],
            vpc: TASKS_VPC.to_owned(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct FileSystem {
    pub id: String,
    /// A list of `Key` and `Value`.
    pub tags: Value,
}

#[derive(Clone, Debug)]
pub struct AccessPoint {
    pub id: String,
    pub file_system: String,
    pub client_token: String,
    pub tags: Value,
    /// As it was given, or null.
    pub posix_user: Value,
    pub root_directory: Value,
    pub available_ms: u64,
}

impl AccessPoint {
    /// From the file system's root; `/` unless it was given.
    pub fn path(&self) -> &str {
        self.root_directory["Path"].as_str().unwrap_or("/")
    }
}

#[derive(Debug)]
pub struct Efs {
    pub settings: Settings,
    pub file_systems: Vec<FileSystem>,
    /// In the order of their creation.
    pub access_points: Vec<AccessPoint>,
    /// The policy and its text.
    pub policy: Option<(Policy, String)>,
    pub created_ms: u64,
    /// Holds a folder for each file system.
    data: PathBuf,
    data_goes_at_the_end: bool,
}

impl Efs {
    /// # Errors
    /// If the policy cannot be read.
    pub fn new(
        options: EfsOptions,
        data: &Path,
        data_is_own: bool,
        now_ms: u64,
    ) -> std::io::Result<Self> {
        let read = |path: PathBuf| {
            let text = std::fs::read_to_string(path)?;
            Ok::<_, std::io::Error>((Policy::parse(&text)?, text))
        };
        let file_systems = options
            .file_systems
            .into_iter()
            .map(|id| FileSystem {
                id,
                tags: json!([]),
            })
            .collect();
        Ok(Self {
            settings: Settings::default(),
            file_systems,
            access_points: Vec::new(),
            policy: options.policy.map(read).transpose()?,
            created_ms: now_ms,
            data_goes_at_the_end: data_is_own && options.data.is_none(),
            data: std::path::absolute(options.data.unwrap_or_else(|| data.join("efs")))?,
        })
    }

    pub fn first_file_system(&self) -> Option<&str> {
        self.file_systems.first().map(|first| first.id.as_str())
    }

    pub fn file_system(&self, id: &str) -> Option<&FileSystem> {
        self.file_systems.iter().find(|known| known.id == id)
    }

    pub fn access_point(&self, id: &str) -> Option<&AccessPoint> {
        self.access_points.iter().find(|known| known.id == id)
    }

    /// The directory that holds a path of a file system.
    pub fn directory(&self, file_system: &str, path: &str) -> PathBuf {
        let inside = Path::new(path);
        let inside = inside.strip_prefix("/").unwrap_or(inside);
        self.data
            .join(file_system)
            .components()
            .chain(inside.components())
            .collect()
    }

    /// Forgets access points, and the file systems' content and tags.
    pub fn reset(&mut self) {
        self.settings = Settings::default();
        self.access_points.clear();
        for file_system in &mut self.file_systems {
            file_system.tags = json!([]);
            // What nobody has mounted is not there.
            let _ = std::fs::remove_dir_all(self.data.join(&file_system.id));
        }
    }

    pub fn clean_up(&self) {
        if self.data_goes_at_the_end {
            // What nobody has mounted is not there.
            let _ = std::fs::remove_dir_all(&self.data);
        }
    }
}
