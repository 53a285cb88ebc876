//! EFS's part of the command line.

use std::path::PathBuf;

use clap::Args;

#[derive(Clone, Debug, Args)]
pub struct EfsOptions {
    /// An EFS file system's id; repeatable.
    #[arg(long = "efs-file-system", default_value = "fs-0a1b2c3d4e5f60718")]
    pub file_systems: Vec<String>,
    /// The policy of all file systems; without it everybody may mount them, as in AWS.
    #[arg(long = "efs-policy", id = "efs_policy")]
    pub policy: Option<PathBuf>,
    /// Where the files are, one folder a file system, to stay; else in the data folder, to go at the end unless that was named.
    #[arg(long = "efs-data", id = "efs_data")]
    pub data: Option<PathBuf>,
}
