//! The limits that ECS sets on a request's values. Types were checked before, by `shape`.

use serde_json::Value;

use super::definitions::Definition;
use crate::api_error::ApiError;

/// API reference, RunTask, `overrides`.
const OVERRIDES_CHARACTERS: usize = 8192;
/// API reference, RunTask, `count`.
const TASKS_A_CALL: i64 = 10;
/// API reference, AwsVpcConfiguration.
const SUBNETS: usize = 16;
const SECURITY_GROUPS: usize = 5;
/// API reference, RunTask, `capacityProviderStrategy`.
const CAPACITY_PROVIDERS: usize = 20;
/// API reference, RunTask, `tags`, `startedBy` and `clientToken`.
const TAGS: usize = 50;
const TAG_KEY_CHARACTERS: usize = 128;
const TAG_VALUE_CHARACTERS: usize = 256;
const STARTED_BY_CHARACTERS: usize = 128;
const CLIENT_TOKEN_CHARACTERS: usize = 64;

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub fn includes_tags(request: &Value) -> bool {
    list(&request["include"])
        .iter()
        .any(|field| field == "TAGS")
}

/// What can be said without the task definition.
pub fn run_task(request: &Value) -> Result<(), ApiError> {
    if request["taskDefinition"].as_str().is_none_or(str::is_empty) {
        return Err(ApiError::client(
            "TaskDefinition should not be null or empty.",
        ));
    }
    if !(1..=TASKS_A_CALL).contains(&request["count"].as_i64().unwrap_or(1)) {
        return Err(ApiError::invalid("Count should be between 1 and 10."));
    }
    launch(request)?;
    if let Some(started_by) = request["startedBy"].as_str() {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/');
        if started_by.chars().count() > STARTED_BY_CHARACTERS || !started_by.chars().all(allowed) {
            return Err(ApiError::invalid(
                "startedBy must be at most 128 letters, numbers, hyphens, forward slashes and underscores.",
            ));
        }
    }
    if let Some(token) = request["clientToken"].as_str()
        && (token.len() > CLIENT_TOKEN_CHARACTERS
            || !token.bytes().all(|byte| (33..=126).contains(&byte)))
    {
        return Err(ApiError::invalid(
            "clientToken must be at most 64 characters in the range of 33-126.",
        ));
    }
    if !request["overrides"].is_null()
        && request["overrides"].to_string().chars().count() > OVERRIDES_CHARACTERS
    {
        return Err(ApiError::invalid(
            "Container Overrides length must be at most 8192",
        ));
    }
    tags(&request["tags"])
}

fn launch(request: &Value) -> Result<(), ApiError> {
    let strategy = list(&request["capacityProviderStrategy"]);
    match request["launchType"].as_str() {
        Some(_) if !strategy.is_empty() => {
            return Err(ApiError::invalid(
                "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
            ));
        }
        None | Some("FARGATE") => {}
        Some("EC2" | "EXTERNAL") => {
            return Err(ApiError::invalid(
                "No Container Instances were found in your cluster.",
            ));
        }
        Some(other) => return Err(ApiError::invalid(format!("Unknown launch type: {other}"))),
    }
    if strategy.len() > CAPACITY_PROVIDERS {
        return Err(ApiError::invalid(
            "The specified capacity provider strategy can contain a maximum of 20 capacity providers.",
        ));
    }
    let provides = |item: &&Value| {
        matches!(
            item["capacityProvider"].as_str(),
            Some("FARGATE" | "FARGATE_SPOT")
        )
    };
    if strategy.iter().filter(provides).count() != strategy.len() {
        return Err(ApiError::invalid(
            "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the \
             cluster. Associate the capacity provider with the cluster and try again.",
        ));
    }
    let platform = request["platformVersion"].as_str();
    if platform.is_some_and(|version| !matches!(version, "LATEST" | "1.4.0" | "1.3.0")) {
        return Err(ApiError::new(
            "PlatformUnknownException",
            "The specified platform does not exist.",
        ));
    }
    Ok(())
}

/// What needs the task definition: network and container names.
pub fn against_definition(request: &Value, definition: &Definition) -> Result<(), ApiError> {
    let network = &request["networkConfiguration"]["awsvpcConfiguration"];
    if definition.is_awsvpc() {
        if network.is_null() {
            return Err(ApiError::invalid(
                "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
            ));
        }
        let subnets = list(&network["subnets"]);
        if subnets.is_empty() {
            return Err(ApiError::invalid("subnets can not be empty."));
        }
        if subnets.len() > SUBNETS {
            return Err(ApiError::invalid("subnets can have at most 16 items."));
        }
        if list(&network["securityGroups"]).len() > SECURITY_GROUPS {
            return Err(ApiError::invalid(
                "securityGroups can have at most 5 items.",
            ));
        }
        let public_ip = network["assignPublicIp"].as_str();
        if public_ip.is_some_and(|value| !matches!(value, "ENABLED" | "DISABLED")) {
            return Err(ApiError::invalid(
                "assignPublicIp must be ENABLED or DISABLED.",
            ));
        }
    } else if !network.is_null() {
        return Err(ApiError::invalid(
            "Network Configuration is not valid for the given networkMode of this task definition.",
        ));
    }
    for container in list(&request["overrides"]["containerOverrides"]) {
        let Some(name) = container["name"].as_str() else {
            return Err(ApiError::invalid(
                "Container override name must be specified.",
            ));
        };
        if !definition
            .containers()
            .iter()
            .any(|known| known["name"] == name)
        {
            let message = format!(
                "Override for container named {name} is not a container in the TaskDefinition."
            );
            return Err(ApiError::invalid(message));
        }
    }
    Ok(())
}

pub fn tags(tags: &Value) -> Result<(), ApiError> {
    let tags = list(tags);
    if tags.len() > TAGS {
        return Err(ApiError::invalid(
            "The maximum number of tags per resource is 50.",
        ));
    }
    // The model's pattern for both: letters, marks of space, digits and these signs.
    let allowed = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
    let mut keys = std::collections::BTreeSet::new();
    for tag in tags {
        let (key, value) = (
            tag["key"].as_str().unwrap_or_default(),
            tag["value"].as_str().unwrap_or_default(),
        );
        if key.is_empty() || key.chars().count() > TAG_KEY_CHARACTERS || !key.chars().all(allowed) {
            return Err(ApiError::invalid(format!("Tag key is not valid: '{key}'.")));
        }
        if value.chars().count() > TAG_VALUE_CHARACTERS || !value.chars().all(allowed) {
            return Err(ApiError::invalid(format!(
                "Tag value of '{key}' is not valid."
            )));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(ApiError::invalid(
                "Tag keys that start with aws: are reserved.",
            ));
        }
        if !keys.insert(key) {
            return Err(ApiError::invalid(format!("Duplicate tag key: '{key}'.")));
        }
    }
    Ok(())
}
