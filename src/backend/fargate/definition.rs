//! Task definitions with people's storage or a server's secrets in them: RunTask cannot add these, so the admin's own definition is
//! copied with them, once for each content, and used again by every later start of the same person.

use super::api::Ecs;
use super::token;
use crate::backend::{names, tags};
use crate::error::Failure;
use crate::mount::Mount;
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// Stands between the source's family and the content's fingerprint.
const MARK: &str = "-cs-";
/// The tag that names the definition that it was copied from.
pub const FROM: &str = "cloudspawner-from";
/// What DescribeTaskDefinition tells and RegisterTaskDefinition does not take (the members that API Reference,
/// "TaskDefinition", has and "RegisterTaskDefinition" has not).
const TOLD_ONLY: &[&str] = &[
    "taskDefinitionArn",
    "family",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
];
/// RegisterTaskDefinition, "family": at most 255 characters; this leaves room for what is added.
const MOST_FAMILY_CHARS: usize = 200;
/// Between the tries to find out what a registration without an answer came to.
const PAUSE: Duration = Duration::from_millis(500);

/// An access point to mount, and where.
#[derive(Debug, Clone)]
pub struct Volume {
    /// Its file system.
    pub file_system_id: String,
    /// The access point.
    pub access_point_id: String,
    /// The port of the mount helper's encryption, where it must be a fixed one.
    pub transit_encryption_port: Option<u16>,
    /// Where and how.
    pub mount: Mount,
}

/// What to copy, and what for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The admin's definition: family, family:revision or ARN.
    pub source: &'a str,
    /// The container that gets the mounts; else the only one.
    pub container: Option<&'a str>,
    /// Whether RunTask names a task role itself.
    pub has_role: bool,
    /// The hub, for its tag.
    pub hub: &'a str,
    /// What to mount.
    pub volumes: &'a [Volume],
    /// Variables of the container, and what their values are from.
    pub secrets: &'a [(String, String)],
    /// The role that reads them, where the definition names none.
    pub execution_role: Option<&'a str>,
}

/// The ARN of the definition with the volumes; registered where there is none yet. May be repeated.
///
/// # Errors
/// `invalid_config` where the admin's definition is not there or cannot take the mounts; whatever kept ECS from it.
pub async fn find_or_register(
    ecs: &Ecs,
    wanted: Wanted<'_>,
    deadline: Instant,
) -> Result<String, Failure> {
    let described = ecs.describe_task_definition(wanted.source, deadline).await;
    let described = described.map_err(|error| explained(error.into_failure(), wanted))?;
    let Some(described) = described else {
        return Err(Failure::invalid_config(
            "config.run_task.taskDefinition",
            format!(
                "{:?} is no active task definition of this account and region",
                wanted.source
            ),
        ));
    };
    let request = derive(&described, wanted)?;
    let family = request["family"].as_str().unwrap_or_default();
    loop {
        let known = ecs.describe_task_definition(family, deadline).await;
        let known = known.map_err(|error| explained(error.into_failure(), wanted))?;
        if let Some(arn) = known.as_ref().and_then(arn) {
            return Ok(arn.to_owned());
        }
        match ecs.register_task_definition(&request, deadline).await {
            Ok(answer) => {
                let registered = arn(&answer).unwrap_or(family).to_owned();
                tracing::info!(registered, "task definition registered");
                return Ok(registered);
            }
            Err(error) if !error.had_no_effect() && Instant::now() + PAUSE < deadline => {
                tracing::warn!(%error, "whether the task definition was registered is looked up");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(explained(error.into_failure(), wanted)),
        }
    }
}

/// Whether the ARN looks like that of a copy; its tags tell whose it is.
pub fn is_copy(arn: &str) -> bool {
    let family = arn.rsplit_once(':').map_or(arn, |(family, _)| family);
    let Some((_, mark)) = family.rsplit_once(MARK) else {
        return false;
    };
    mark.len() == names::fingerprint(&[]).len()
        && mark
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7'))
}

fn arn(answer: &Value) -> Option<&str> {
    answer
        .get("taskDefinition")?
        .get("taskDefinitionArn")?
        .as_str()
}

fn explained(mut failure: Failure, wanted: Wanted<'_>) -> Failure {
    let (what, policy) = if wanted.volumes.is_empty() {
        ("a token in Secrets Manager", "fargate/token-policy.json")
    } else {
        ("mounts", "fargate_with_efs")
    };
    if failure.code() == crate::wire::Code::PermissionDenied {
        failure.0.message = format!(
            "{}; {what} need a copy of the task definition: the hub's policy for it is in deployments/{policy}",
            failure.0.message
        );
    }
    failure
}

/// RegisterTaskDefinition's arguments; the same for the same content.
fn derive(described: &Value, wanted: Wanted<'_>) -> Result<Value, Failure> {
    const FIELD: &str = "config.run_task.taskDefinition";
    let mut definition = described
        .get("taskDefinition")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let text = |name: &str| {
        described["taskDefinition"][name]
            .as_str()
            .unwrap_or_default()
    };
    let (family, source) = (text("family"), text("taskDefinitionArn"));
    for name in TOLD_ONLY {
        definition.remove(*name);
    }
    if !wanted.secrets.is_empty() {
        let role = wanted.execution_role.map(Value::from);
        let own = definition
            .get("executionRoleArn")
            .filter(|own| own.is_string());
        let Some(role) = role.or_else(|| own.cloned()) else {
            return Err(Failure::invalid_config(
                FIELD,
                format!(
                    "{family} has no executionRoleArn; with one, and deployments/fargate/token-execution-role-policy.json for it, its tasks can read their token"
                ),
            ));
        };
        definition.insert("executionRoleArn".to_owned(), role);
        let container = container_of(&mut definition, wanted.container)?;
        token::add_to(container, wanted.secrets);
    }
    let mounts = !wanted.volumes.is_empty();
    if mounts && text("taskRoleArn").is_empty() && !wanted.has_role {
        return Err(Failure::invalid_config(
            FIELD,
            format!(
                "{family} has no taskRoleArn; with one, and a policy for it, its tasks may mount people's storage"
            ),
        ));
    }
    for volume in wanted.volumes {
        let name = free_name(&definition);
        add_to(&mut definition, "volumes", volume_of(volume, &name));
        let container = container_of(&mut definition, wanted.container)?;
        let path = volume.mount.path.as_str();
        let points = container.get("mountPoints").and_then(Value::as_array);
        if points.is_some_and(|all| {
            all.iter()
                .any(|p| p["containerPath"].as_str() == Some(path))
        }) {
            let why = format!("{family} mounts something at {path} already; choose another path");
            return Err(Failure::invalid_config(FIELD, why));
        }
        let point = json!({"sourceVolume": name, "containerPath": path, "readOnly": volume.mount.read_only});
        add_to(container, "mountPoints", point);
    }
    definition.insert("tags".to_owned(), tags_of(described, wanted.hub, source));
    let content = Value::Object(definition.clone()).to_string();
    let readable: String = family.chars().take(MOST_FAMILY_CHARS).collect();
    let family = format!("{readable}{MARK}{}", names::fingerprint(&[&content]));
    definition.insert("family".to_owned(), Value::from(family));
    Ok(Value::Object(definition))
}

/// ECS API Reference, EFSVolumeConfiguration: an access point needs encryption in transit and no root directory; IAM decides
/// with the task's role who may mount it.
fn volume_of(volume: &Volume, name: &str) -> Value {
    let mut efs = json!({
        "fileSystemId": volume.file_system_id,
        "transitEncryption": "ENABLED",
        "authorizationConfig": {"accessPointId": volume.access_point_id, "iam": "ENABLED"},
    });
    if let Some(port) = volume.transit_encryption_port {
        efs["transitEncryptionPort"] = Value::from(port);
    }
    json!({"name": name, "efsVolumeConfiguration": efs})
}

fn free_name(definition: &Map<String, Value>) -> String {
    let taken = |name: &str| {
        let volumes = definition.get("volumes").and_then(Value::as_array);
        volumes.is_some_and(|all| all.iter().any(|v| v["name"].as_str() == Some(name)))
    };
    let mut names = (1_u32..).map(|number| format!("cloudspawner-{number}"));
    names.find(|name| !taken(name)).unwrap_or_default()
}

fn container_of<'a>(
    definition: &'a mut Map<String, Value>,
    named: Option<&str>,
) -> Result<&'a mut Map<String, Value>, Failure> {
    const FIELD: &str = "config.container_name";
    let containers = definition
        .get_mut("containerDefinitions")
        .and_then(Value::as_array_mut);
    let mut containers: Vec<_> = containers
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
        .collect();
    let name_of = |c: &Map<String, Value>| c.get("name").and_then(Value::as_str).map(str::to_owned);
    let names: Vec<String> = containers.iter().filter_map(|c| name_of(c)).collect();
    let at = match named {
        Some(named) => names.iter().position(|name| name == named).ok_or_else(|| {
            let why = format!(
                "{named:?} is not in the task definition; it has {}",
                names.join(", ")
            );
            Failure::invalid_config(FIELD, why)
        })?,
        None if containers.len() == 1 => 0,
        None => {
            let why = format!(
                "is missing; say which gets the mounts: {}",
                names.join(", ")
            );
            return Err(Failure::invalid_config(FIELD, why));
        }
    };
    Ok(containers.swap_remove(at))
}

fn add_to(map: &mut Map<String, Value>, name: &str, item: Value) {
    let list = map.entry(name).or_insert_with(|| json!([]));
    if !list.is_array() {
        *list = json!([]);
    }
    if let Some(list) = list.as_array_mut() {
        list.push(item);
    }
}

/// The admin's own tags, without those that are AWS's, and ours.
fn tags_of(described: &Value, hub: &str, source: &str) -> Value {
    let theirs = described
        .get("tags")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let free = |tag: &&Value| {
        let key = tag["key"].as_str().unwrap_or_default();
        !key.starts_with("aws:") && !matches!(key, tags::HUB | FROM)
    };
    let mut all: Vec<Value> = theirs.filter(free).cloned().collect();
    all.push(json!({"key": tags::HUB, "value": tags::value(hub)}));
    all.push(json!({"key": FROM, "value": source}));
    Value::from(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(containers: &Value) -> Value {
        json!({"taskDefinition": {
            "taskDefinitionArn": "arn:aws:ecs:eu-west-1:123456789012:task-definition/lab:3",
            "family": "lab", "revision": 3, "status": "ACTIVE", "registeredAt": 1.5, "taskRoleArn": "arn:role",
            "aMemberOfNextYear": {"kept": true},
            "containerDefinitions": containers, "volumes": [{"name": "cloudspawner-1"}],
        }, "tags": [{"key": "team", "value": "x"}, {"key": "aws:cloudformation:stack-id", "value": "y"}]})
    }

    fn volumes(paths: &[&str]) -> Vec<Volume> {
        let volume = |path: &&str| Volume {
            file_system_id: "fs-01234567".to_owned(),
            access_point_id: "fsap-01234567".to_owned(),
            transit_encryption_port: None,
            mount: serde_json::from_value(json!({"kind": "efs", "path": path})).unwrap(),
        };
        paths.iter().map(volume).collect()
    }

    fn wanted<'a>(container: Option<&'a str>, volumes: &'a [Volume]) -> Wanted<'a> {
        Wanted {
            source: "lab",
            container,
            has_role: false,
            hub: "prod",
            volumes,
            secrets: &[],
            execution_role: None,
        }
    }

    #[test]
    fn the_copy_has_all_that_the_admin_wrote_and_the_volumes() {
        let volumes = volumes(&["/home/jovyan", "/data"]);
        let one = derive(
            &described(&json!([{"name": "notebook", "image": "i"}])),
            wanted(None, &volumes),
        )
        .unwrap();
        assert_eq!(one["aMemberOfNextYear"], json!({"kept": true}));
        assert!(one.get("revision").is_none() && one.get("registeredAt").is_none());
        let names: Vec<_> = one["volumes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            names,
            ["cloudspawner-1", "cloudspawner-2", "cloudspawner-3"]
        );
        let points = &one["containerDefinitions"][0]["mountPoints"];
        assert_eq!(
            points[1],
            json!({"sourceVolume": "cloudspawner-3", "containerPath": "/data", "readOnly": false})
        );
        let efs = &one["volumes"][1]["efsVolumeConfiguration"];
        assert!(efs.get("rootDirectory").is_none());
        assert_eq!(
            efs["authorizationConfig"],
            json!({"accessPointId": "fsap-01234567", "iam": "ENABLED"})
        );
        assert_eq!(one["tags"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn the_same_content_has_the_same_family_and_another_has_another() {
        let described = described(&json!([{"name": "notebook"}]));
        let family = |paths: &[&str]| {
            let volumes = volumes(paths);
            let derived = derive(&described, wanted(None, &volumes)).unwrap();
            derived["family"].as_str().unwrap().to_owned()
        };
        assert_eq!(family(&["/home/jovyan"]), family(&["/home/jovyan"]));
        assert_ne!(family(&["/home/jovyan"]), family(&["/data"]));
        assert!(family(&["/data"]).starts_with("lab-cs-") && family(&["/data"]).len() == 33);
        assert!(is_copy(&format!("{}:1", family(&["/data"]))));
        assert!(!is_copy("lab-cs-101:1") && !is_copy("lab:3"));
    }

    #[test]
    fn what_cannot_be_mounted_is_told_by_the_settings_name() {
        let two = described(
            &json!([{"name": "a"}, {"name": "b", "mountPoints": [{"containerPath": "/data"}]}]),
        );
        let volumes = volumes(&["/data"]);
        for (container, words) in [(None, "a, b"), (Some("c"), "\"c\""), (Some("b"), "/data")] {
            let error = derive(&two, wanted(container, &volumes)).unwrap_err();
            assert!(error.0.message.contains(words), "{error}");
        }
        let mut without_role = two.clone();
        without_role["taskDefinition"]["taskRoleArn"] = Value::Null;
        let error = derive(&without_role, wanted(Some("a"), &volumes)).unwrap_err();
        assert!(error.0.message.contains("taskRoleArn"), "{error}");
        assert!(derive(&two, wanted(Some("a"), &volumes)).is_ok());
    }
}
