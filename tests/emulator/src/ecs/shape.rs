//! The types of the request members that the emulator reads, and the check that a body has them. A member it does not know
//! is reported and ignored. Names and types are the official model's; the sentences are those of AWS's JSON reader.

use serde_json::Value;

use crate::api_error::ApiError;

#[derive(Debug)]
pub enum Shape {
    String,
    Integer,
    Boolean,
    List(&'static Shape),
    Structure(&'static [(&'static str, Shape)]),
    /// Taken as it is.
    Any,
}

use Shape::{Any, Boolean, Integer, List, String, Structure};

const NAME_VALUE: Shape = Structure(&[("name", String), ("value", String)]);
pub const TAGS: Shape = List(&Structure(&[("key", String), ("value", String)]));
const STRINGS: Shape = List(&String);

const CONTAINER_OVERRIDE: Shape = Structure(&[
    ("name", String),
    ("command", STRINGS),
    ("environment", List(&NAME_VALUE)),
    (
        "environmentFiles",
        List(&Structure(&[("value", String), ("type", String)])),
    ),
    ("cpu", Integer),
    ("memory", Integer),
    ("memoryReservation", Integer),
    (
        "resourceRequirements",
        List(&Structure(&[("value", String), ("type", String)])),
    ),
]);

const OVERRIDES: Shape = Structure(&[
    ("containerOverrides", List(&CONTAINER_OVERRIDE)),
    ("cpu", String),
    ("inferenceAcceleratorOverrides", Any),
    ("executionRoleArn", String),
    ("memory", String),
    ("taskRoleArn", String),
    ("ephemeralStorage", Structure(&[("sizeInGiB", Integer)])),
]);

const NETWORK: Shape = Structure(&[(
    "awsvpcConfiguration",
    Structure(&[
        ("subnets", STRINGS),
        ("securityGroups", STRINGS),
        ("assignPublicIp", String),
    ]),
)]);

const STRATEGY: Shape = List(&Structure(&[
    ("capacityProvider", String),
    ("weight", Integer),
    ("base", Integer),
]));

pub const RUN_TASK: Shape = Structure(&[
    ("capacityProviderStrategy", STRATEGY),
    ("cluster", String),
    ("count", Integer),
    ("enableECSManagedTags", Boolean),
    ("enableExecuteCommand", Boolean),
    ("group", String),
    ("launchType", String),
    ("networkConfiguration", NETWORK),
    ("overrides", OVERRIDES),
    ("placementConstraints", List(&Any)),
    ("placementStrategy", List(&Any)),
    ("platformVersion", String),
    ("propagateTags", String),
    ("referenceId", String),
    ("startedBy", String),
    ("tags", TAGS),
    ("taskDefinition", String),
    ("clientToken", String),
    ("volumeConfigurations", List(&Any)),
]);

pub const DESCRIBE_TASKS: Shape = Structure(&[
    ("cluster", String),
    ("tasks", STRINGS),
    ("include", STRINGS),
]);

pub const LIST_TASKS: Shape = Structure(&[
    ("cluster", String),
    ("containerInstance", String),
    ("family", String),
    ("nextToken", String),
    ("maxResults", Integer),
    ("startedBy", String),
    ("serviceName", String),
    ("desiredStatus", String),
    ("launchType", String),
    ("daemonName", String),
]);

pub const STOP_TASK: Shape =
    Structure(&[("cluster", String), ("task", String), ("reason", String)]);

pub const DESCRIBE_CLUSTERS: Shape = Structure(&[("clusters", STRINGS), ("include", STRINGS)]);

pub const DESCRIBE_TASK_DEFINITION: Shape =
    Structure(&[("taskDefinition", String), ("include", STRINGS)]);

const CONTAINER_DEFINITION: Shape = Structure(&[
    ("name", String),
    ("image", String),
    ("repositoryCredentials", Any),
    ("cpu", Integer),
    ("memory", Integer),
    ("memoryReservation", Integer),
    ("links", STRINGS),
    ("portMappings", List(&Any)),
    ("essential", Boolean),
    ("restartPolicy", Any),
    ("entryPoint", STRINGS),
    ("command", STRINGS),
    ("environment", List(&NAME_VALUE)),
    ("environmentFiles", List(&Any)),
    ("mountPoints", List(&MOUNT_POINT)),
    ("volumesFrom", List(&Any)),
    ("linuxParameters", Any),
    (
        "secrets",
        List(&Structure(&[("name", String), ("valueFrom", String)])),
    ),
    ("dependsOn", List(&Any)),
    ("startTimeout", Integer),
    ("stopTimeout", Integer),
    ("versionConsistency", String),
    ("hostname", String),
    ("user", String),
    ("workingDirectory", String),
    ("disableNetworking", Boolean),
    ("privileged", Boolean),
    ("readonlyRootFilesystem", Boolean),
    ("dnsServers", STRINGS),
    ("dnsSearchDomains", STRINGS),
    ("extraHosts", List(&Any)),
    ("dockerSecurityOptions", STRINGS),
    ("interactive", Boolean),
    ("pseudoTerminal", Boolean),
    ("dockerLabels", Any),
    ("ulimits", List(&Any)),
    ("logConfiguration", Any),
    ("healthCheck", Any),
    ("systemControls", List(&Any)),
    ("resourceRequirements", List(&Any)),
    ("firelensConfiguration", Any),
    ("credentialSpecs", STRINGS),
]);

pub const LIST_TASK_DEFINITIONS: Shape = Structure(&[
    ("familyPrefix", String),
    ("status", String),
    ("sort", String),
    ("nextToken", String),
    ("maxResults", Integer),
]);

pub const DEREGISTER_TASK_DEFINITION: Shape = Structure(&[("taskDefinition", String)]);

pub const TAG_RESOURCE: Shape = Structure(&[("resourceArn", String), ("tags", TAGS)]);

const MOUNT_POINT: Shape = Structure(&[
    ("sourceVolume", String),
    ("containerPath", String),
    ("readOnly", Boolean),
]);

const VOLUME: Shape = Structure(&[
    ("name", String),
    ("host", Structure(&[("sourcePath", String)])),
    ("dockerVolumeConfiguration", Any),
    (
        "efsVolumeConfiguration",
        Structure(&[
            ("fileSystemId", String),
            ("rootDirectory", String),
            ("transitEncryption", String),
            ("transitEncryptionPort", Integer),
            (
                "authorizationConfig",
                Structure(&[("accessPointId", String), ("iam", String)]),
            ),
        ]),
    ),
    ("s3filesVolumeConfiguration", Any),
    ("fsxWindowsFileServerVolumeConfiguration", Any),
    ("configuredAtLaunch", Boolean),
]);

pub const REGISTER_TASK_DEFINITION: Shape = Structure(&[
    ("family", String),
    ("taskRoleArn", String),
    ("executionRoleArn", String),
    ("networkMode", String),
    ("containerDefinitions", List(&CONTAINER_DEFINITION)),
    ("volumes", List(&VOLUME)),
    ("placementConstraints", List(&Any)),
    ("requiresCompatibilities", STRINGS),
    ("cpu", String),
    ("memory", String),
    ("tags", TAGS),
    ("pidMode", String),
    ("ipcMode", String),
    ("proxyConfiguration", Any),
    ("inferenceAccelerators", List(&Any)),
    ("ephemeralStorage", Structure(&[("sizeInGiB", Integer)])),
    ("runtimePlatform", Any),
    ("enableFaultInjection", Boolean),
    ("trustedExecutionConfiguration", Any),
]);

/// Checks `value` and takes out what is null or unknown; the paths of the unknown members are added to `unknown`.
pub fn check(
    value: &mut Value,
    shape: &Shape,
    path: &str,
    unknown: &mut Vec<std::string::String>,
) -> Result<(), ApiError> {
    match (shape, value) {
        (Any, _) | (String, Value::String(_)) | (Boolean, Value::Bool(_)) => Ok(()),
        (Integer, Value::Number(number)) if number.is_i64() => Ok(()),
        (List(member), Value::Array(items)) => items
            .iter_mut()
            .try_for_each(|item| check(item, member, &format!("{path}[]"), unknown)),
        (Structure(members), Value::Object(object)) => {
            object.retain(|name, value| {
                let known = members.iter().any(|(member, _)| member == name);
                if !known {
                    unknown.push(format!("{path}.{name}"));
                }
                known && !value.is_null()
            });
            members
                .iter()
                .try_for_each(|(name, shape)| match object.get_mut(*name) {
                    Some(value) => check(value, shape, &format!("{path}.{name}"), unknown),
                    None => Ok(()),
                })
        }
        (shape, value) => Err(ApiError::serialization(complaint(shape, value))),
    }
}

fn complaint(shape: &Shape, value: &Value) -> std::string::String {
    let expected = match shape {
        String => "a String",
        Integer => "an Integer",
        Boolean => "a Boolean",
        List(_) => return "Expected list or null".to_owned(),
        Structure(_) | Any => return "Expected null".to_owned(),
    };
    let found = match value {
        Value::Null => "NULL_VALUE",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Number(number) if number.is_f64() => "DECIMAL_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) => "STRING_VALUE",
        Value::Array(_) | Value::Object(_) => {
            return "Start of structure or map found where not expected.".to_owned();
        }
    };
    format!("{found} can not be converted to {expected}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{RUN_TASK, check};

    #[test]
    fn an_unknown_member_is_reported_with_its_path_and_dropped() {
        let mut body = json!({ "taskDefinition": "a", "overrides": { "containerOverrides": [{ "nmae": "x" }] }, "count": null });
        let mut unknown = Vec::new();
        check(&mut body, &RUN_TASK, "RunTask", &mut unknown).unwrap();
        assert_eq!(unknown, ["RunTask.overrides.containerOverrides[].nmae"]);
        assert_eq!(
            body,
            json!({ "taskDefinition": "a", "overrides": { "containerOverrides": [{}] } })
        );
    }

    #[test]
    fn a_wrong_type_is_a_serialization_exception() {
        for (body, message) in [
            (
                json!({ "cluster": 1 }),
                "NUMBER_VALUE can not be converted to a String",
            ),
            (
                json!({ "count": "1" }),
                "STRING_VALUE can not be converted to an Integer",
            ),
            (json!({ "tags": {} }), "Expected list or null"),
        ] {
            let error =
                check(&mut body.clone(), &RUN_TASK, "RunTask", &mut Vec::new()).unwrap_err();
            assert_eq!(
                (error.code, error.message.as_str()),
                ("SerializationException", message)
            );
        }
    }
}
