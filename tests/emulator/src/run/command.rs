//! What a task's process is: its program, arguments and environment, from the task definition and the overrides.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::volumes;
use crate::tasks::Task;

/// What a container of the Jupyter images runs under a hub.
const DEFAULT_PROGRAM: &str = "jupyterhub-singleuser";
/// What a task sees of the emulator's own environment.
const INHERITED: [&str; 2] = ["PATH", "LANG"];
const SERVICE_URL: &str = "JUPYTERHUB_SERVICE_URL";

#[derive(Debug)]
pub struct Command {
    /// As given; `resolve` finds the file.
    pub program: String,
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
    /// Where it starts; made if it is not there.
    pub directory: PathBuf,
}

impl Command {
    /// For the task's main container; `own_home` is its home unless a volume is.
    pub fn of(task: &Task, own_home: &Path) -> Self {
        let home = volumes::home(&task.mounts, own_home);
        let none = Value::Null;
        let definition = task.definition.main_container().unwrap_or(&none);
        let overrides = task.request["overrides"]["containerOverrides"].as_array();
        let own = overrides
            .into_iter()
            .flatten()
            .find(|container| container["name"] == definition["name"])
            .unwrap_or(&none);

        let command = [&own["command"], &definition["command"]]
            .into_iter()
            .map(strings)
            .find(|list| !list.is_empty());
        let mut words = strings(&definition["entryPoint"]);
        words.extend(command.unwrap_or_default());
        let mut words = words
            .into_iter()
            .map(|word| volumes::translate(&task.mounts, &word));

        let mut environment = basic_environment(&home);
        for variable in [definition, own]
            .into_iter()
            .flat_map(|container| container["environment"].as_array().into_iter().flatten())
        {
            let (name, value) = (
                variable["name"].as_str().unwrap_or_default(),
                variable["value"].as_str().unwrap_or_default(),
            );
            if !name.is_empty() && !name.contains(['=', '\0']) {
                let value = volumes::translate(&task.mounts, &value.replace('\0', ""));
                environment.insert(name.to_owned(), value);
            }
        }
        environment.extend(task.secrets.iter().cloned());
        if let Some(url) = environment.get_mut(SERVICE_URL) {
            *url = with_host(url, task.address);
        }
        Self {
            program: words.next().unwrap_or_else(|| DEFAULT_PROGRAM.to_owned()),
            arguments: words.collect(),
            environment,
            directory: home,
        }
    }

    /// The program's file: as it is with a slash in it, else the first of that name on the emulator's PATH.
    pub fn resolve(&self) -> Option<PathBuf> {
        if self.program.contains('/') {
            return Some(PathBuf::from(&self.program)).filter(|path| is_executable(path));
        }
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| folder.join(&self.program))
            .find(|file| is_executable(file))
    }
}

/// What every process sees: of the emulator's own environment hardly anything, and its home.
pub fn basic_environment(home: &Path) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<_, _> = INHERITED
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
        .collect();
    environment.insert("HOME".to_owned(), home.display().to_string());
    environment
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(ToOwned::to_owned)
        .collect()
}

/// `http://0.0.0.0:8888/user/x/` with the host replaced.
fn with_host(url: &str, host: IpAddr) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let host_end = match rest.strip_prefix('[') {
        Some(inside) => inside.find(']').map_or(rest.len(), |end| end + 2),
        None => rest.find([':', '/', '?']).unwrap_or(rest.len()),
    };
    format!("{scheme}://{host}{}", &rest[host_end..])
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::with_host;

    #[test]
    fn the_service_url_gets_the_tasks_own_address() {
        let host = IpAddr::V4(Ipv4Addr::new(127, 9, 8, 7));
        for (given, expected) in [
            (
                "http://0.0.0.0:8888/user/x/",
                "http://127.9.8.7:8888/user/x/",
            ),
            ("https://[::]:443/", "https://127.9.8.7:443/"),
            ("http://:8888/", "http://127.9.8.7:8888/"),
            ("http://host", "http://127.9.8.7"),
        ] {
            assert_eq!(with_host(given, host), expected);
        }
    }
}
