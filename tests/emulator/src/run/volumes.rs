//! What a task's process sees of its volumes. A process of this machine has no root directory of its own, in which something
//! could be mounted at a path, so the paths change instead: where a volume is mounted at the home of the Jupyter images or
//! above it, the process's home is the volume's directory; a volume below the home is a link there; and words and variables
//! that begin with a mounted path name the directory instead. That a mount is read-only is shown, but not enforced.

use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::efs::mount::Mount;

/// Jupyter Docker Stacks, "Common Features": the home of the user `jovyan`.
const CONTAINER_HOME: &str = "/home/jovyan";

/// The process's home: in the volume that the container has there, else its own.
pub fn home(mounts: &[Mount], own_home: &Path) -> PathBuf {
    inside(mounts, CONTAINER_HOME).unwrap_or_else(|| own_home.to_owned())
}

/// A word or a variable's value, with the path in a volume that it begins with, at once or after a `=`, as it is on this machine.
pub fn translate(mounts: &[Mount], text: &str) -> String {
    let (name, path) = match text.split_once('=') {
        Some((name, path)) if path.starts_with('/') => (&text[..=name.len()], path),
        _ => ("", text),
    };
    inside(mounts, path).map_or_else(
        || text.to_owned(),
        |directory| format!("{name}{}", directory.display()),
    )
}

/// Where a container's path is on this machine, if it is in a volume: that with the longest path wins.
fn inside(mounts: &[Mount], path: &str) -> Option<PathBuf> {
    let covered = |mount: &&Mount| Path::new(path).starts_with(&mount.container_path);
    let mount = mounts
        .iter()
        .filter(covered)
        .max_by_key(|mount| mount.container_path.len())?;
    let rest = Path::new(path).strip_prefix(&mount.container_path).ok()?;
    Some(
        mount
            .directory
            .components()
            .chain(rest.components())
            .collect(),
    )
}

/// Makes the volumes' directories as EFS does at the first mount, and the links in the home.
///
/// # Errors
/// The task's `stoppedReason`.
pub fn attach(mounts: &[Mount], own_home: &Path) -> Result<(), String> {
    let home = home(mounts, own_home);
    for mount in mounts {
        mount.make_directory()?;
        let Ok(rest) = Path::new(&mount.container_path).strip_prefix(CONTAINER_HOME) else {
            continue;
        };
        if rest.as_os_str().is_empty() {
            continue;
        }
        let link = home.join(rest);
        let linked = link
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| relink(&mount.directory, &link));
        linked.map_err(|error| {
            format!("CannotCreateVolumeError: {}: {error}", mount.container_path)
        })?;
    }
    Ok(())
}

/// A link that an earlier task left in a lasting home is replaced; anything else there is not.
fn relink(directory: &Path, link: &Path) -> std::io::Result<()> {
    if link.is_symlink() {
        std::fs::remove_file(link)?;
    }
    match symlink(directory, link) {
        // An empty directory is what a container's runtime leaves at a mount point.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            std::fs::remove_dir(link)?;
            symlink(directory, link)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{home, translate};
    use crate::efs::mount::Mount;

    fn at(container_path: &str, directory: &str) -> Mount {
        Mount {
            container_path: container_path.to_owned(),
            directory: PathBuf::from(directory),
            ..Mount::default()
        }
    }

    #[test]
    fn the_home_is_in_the_volume_that_is_mounted_nearest_above_it() {
        let own = Path::new("/own");
        assert_eq!(home(&[at("/home/jovyan/work", "/v")], own), own);
        assert_eq!(home(&[at("/home/jovyan", "/v")], own), Path::new("/v"));
        let both = [at("/home", "/v"), at("/home/jovyan", "/w")];
        assert_eq!(home(&both[..1], own), Path::new("/v/jovyan"));
        assert_eq!(home(&both, own), Path::new("/w"));
    }

    #[test]
    fn only_whole_names_of_a_path_are_translated() {
        let mounts = [at("/home/jovyan", "/v")];
        for (given, expected) in [
            ("/home/jovyan", "/v"),
            ("--root_dir=/home/jovyan/a/b", "--root_dir=/v/a/b"),
            ("/home/jovyanne", "/home/jovyanne"),
            ("see /home/jovyan", "see /home/jovyan"),
        ] {
            assert_eq!(translate(&mounts, given), expected);
        }
    }
}
