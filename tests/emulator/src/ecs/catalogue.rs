//! RegisterTaskDefinition, ListTaskDefinitions, DeregisterTaskDefinition and TagResource: what changes or lists definitions.

use serde_json::{Value, json};

use super::{Call, permission, validate};
use crate::api_error::ApiError;
use crate::clock;
use crate::world::World;

/// API reference, ListTaskDefinitions, `maxResults`.
const PAGE: i64 = 100;

pub fn register(call: Call<'_>, request: Value, world: &mut World) -> Result<Value, ApiError> {
    let family = request["family"].as_str().unwrap_or_default();
    let resource = call.emulator.arn(&format!("task-definition/{family}:*"));
    permission::check(call, "ecs:RegisterTaskDefinition", &resource, None)?;
    let tagged = request["tags"]
        .as_array()
        .is_some_and(|tags| !tags.is_empty());
    if tagged {
        permission::check_tags(call, &resource, "RegisterTaskDefinition", None)?;
    }
    permission::pass_roles(call, &[&request])?;
    world.definitions.register(request, call.now_ms)
}

pub fn list(call: Call<'_>, request: &Value, world: &World) -> Result<Value, ApiError> {
    permission::check(call, "ecs:ListTaskDefinitions", "*", None)?;
    let status = request["status"].as_str().unwrap_or("ACTIVE");
    if !matches!(status, "ACTIVE" | "INACTIVE" | "DELETE_IN_PROGRESS") {
        return Err(ApiError::invalid(format!("Unknown status: {status}")));
    }
    let size = request["maxResults"].as_i64().unwrap_or(PAGE);
    if !(1..=PAGE).contains(&size) {
        return Err(ApiError::invalid("maxResults must be between 1 and 100."));
    }
    let family = request["familyPrefix"].as_str();
    let mut arns: Vec<_> = world
        .definitions
        .iter()
        .filter(|definition| family.is_none_or(|family| family == definition.family))
        .filter(|definition| definition.body["status"] == status)
        .map(|definition| definition.arn.clone())
        .collect();
    match request["sort"].as_str() {
        None | Some("ASC") => {}
        Some("DESC") => arns.reverse(),
        Some(other) => return Err(ApiError::invalid(format!("Unknown sort order: {other}"))),
    }
    let from = match request["nextToken"].as_str() {
        None => 0,
        Some(token) => token
            .parse::<usize>()
            .ok()
            .filter(|from| *from <= arns.len())
            .ok_or_else(|| ApiError::invalid("Invalid token."))?,
    };
    let end = from + usize::try_from(size).unwrap_or_default();
    let mut answer = json!({ "taskDefinitionArns": arns[from..end.min(arns.len())] });
    if end < arns.len() {
        answer["nextToken"] = json!(end.to_string());
    }
    Ok(answer)
}

pub fn deregister(call: Call<'_>, request: &Value, world: &mut World) -> Result<Value, ApiError> {
    permission::check(call, "ecs:DeregisterTaskDefinition", "*", None)?;
    let name = request["taskDefinition"].as_str().unwrap_or_default();
    let has_revision = name
        .rsplit_once(':')
        .is_some_and(|(_, revision)| revision.parse::<u64>().is_ok());
    if !has_revision {
        return Err(ApiError::client(
            "Task definition revision must be specified.",
        ));
    }
    let not_there = || ApiError::client("Unable to describe task definition.");
    let arn = world
        .definitions
        .find(name)
        .ok_or_else(not_there)?
        .arn
        .clone();
    world.definitions.change(&arn, |definition| {
        if definition.is_active() {
            definition.body["status"] = json!("INACTIVE");
            definition.body["deregisteredAt"] = json!(clock::epoch_seconds(call.now_ms));
        }
    });
    let definition = world.definitions.find(name).ok_or_else(not_there)?;
    Ok(json!({ "taskDefinition": definition.body }))
}

/// Of what ECS lets one tag, the emulator has task definitions.
pub fn tag(call: Call<'_>, request: &Value, world: &mut World) -> Result<Value, ApiError> {
    let arn = request["resourceArn"].as_str().unwrap_or_default();
    permission::check(call, "ecs:TagResource", arn, None)?;
    validate::tags(&request["tags"])?;
    let found = world.definitions.find(arn).filter(|found| found.arn == arn);
    let Some(definition) = found else {
        return Err(ApiError::invalid(
            "The specified resource could not be found.",
        ));
    };
    let mut tags = definition.tags.as_array().cloned().unwrap_or_default();
    for tag in request["tags"].as_array().into_iter().flatten() {
        tags.retain(|known| known["key"] != tag["key"]);
        tags.push(tag.clone());
    }
    let tags = json!(tags);
    validate::tags(&tags)?;
    world
        .definitions
        .change(arn, |definition| definition.tags = tags);
    Ok(json!({}))
}
