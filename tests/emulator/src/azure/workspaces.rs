//! The subscription, its one resource group, and the workspaces in it.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::Azure;
use super::arm::Call;
use super::call::Reply;
use super::error::ArmError;
use super::operations::{Addresses, Kind, Operation, Outcome};
use super::tokens::id_of;

const TYPE: &str = "Microsoft.MachineLearningServices/workspaces";

#[derive(Clone, Debug)]
pub struct Workspace {
    pub name: String,
    pub location: String,
    body: Value,
    /// Until then it is being created.
    ready_ms: u64,
}

#[derive(Debug)]
pub struct Workspaces {
    /// By name in lower case.
    by_name: BTreeMap<String, Workspace>,
}

/// `NAME[@LOCATION]`
pub fn name_and_location<'a>(text: &'a str, location: &'a str) -> (&'a str, &'a str) {
    text.split_once('@').unwrap_or((text, location))
}

impl Workspaces {
    pub fn new(names: &[String], location: &str, now_ms: u64) -> Self {
        let by_name = names
            .iter()
            .map(|text| {
                let (name, location) = name_and_location(text, location);
                let workspace = Workspace {
                    name: name.to_owned(),
                    location: location.to_owned(),
                    body: json!({}),
                    ready_ms: now_ms,
                };
                (name.to_lowercase(), workspace)
            })
            .collect();
        Self { by_name }
    }

    /// Whether any is in this region.
    pub fn are_in(&self, location: &str) -> bool {
        self.by_name
            .values()
            .any(|workspace| workspace.location.eq_ignore_ascii_case(location))
    }

    /// # Errors
    /// Resource Manager's 404.
    pub fn find(&self, name: &str, group: &str) -> Result<&Workspace, ArmError> {
        self.by_name.get(&name.to_lowercase()).ok_or_else(|| {
            ArmError::not_found(
                "ResourceNotFound",
                format!(
                    "The Resource '{TYPE}/{name}' under resource group '{group}' was not found. For more details please go to \
                     https://aka.ms/ARMResourceNotFoundFix"
                ),
            )
        })
    }
}

pub fn path(azure: &Azure, name: &str) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/{}/providers/{TYPE}/{name}",
        azure.subscription, azure.group
    )
}

pub fn shown(azure: &Azure, workspace: &Workspace, now_ms: u64) -> Value {
    let Workspace {
        name,
        location,
        body,
        ready_ms,
    } = workspace;
    let id = path(azure, name);
    let group = format!(
        "/subscriptions/{}/resourceGroups/{}/providers",
        azure.subscription, azure.group
    );
    let mut properties = json!({
        "friendlyName": name,
        "description": "",
        "storageAccount": format!("{group}/Microsoft.Storage/storageAccounts/{}storage", name.to_lowercase()),
        "keyVault": format!("{group}/Microsoft.KeyVault/vaults/{name}-kv"),
        "applicationInsights": format!("{group}/Microsoft.Insights/components/{name}-insights"),
        "hbiWorkspace": false,
        "discoveryUrl": format!("https://{location}.api.azureml.ms/discovery"),
        "publicNetworkAccess": "Enabled",
        "privateLinkCount": 0,
    });
    if let (Some(properties), Some(given)) =
        (properties.as_object_mut(), body["properties"].as_object())
    {
        properties.extend(
            given
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
    }
    properties["workspaceId"] = json!(id_of(&["workspace", &id]));
    properties["tenantId"] = json!(azure.tenant);
    properties["provisioningState"] = json!(if *ready_ms <= now_ms {
        "Succeeded"
    } else {
        "Creating"
    });
    let mut shown = json!({
        "id": id,
        "name": name,
        "type": TYPE,
        "location": location,
        "tags": body.get("tags").cloned().unwrap_or_else(|| json!({})),
        "kind": body.get("kind").cloned().unwrap_or_else(|| json!("Default")),
        "sku": { "name": "Basic", "tier": "Basic" },
        "properties": properties,
    });
    let kind = body["identity"]["type"]
        .as_str()
        .unwrap_or("SystemAssigned");
    shown["identity"] = json!({
        "type": kind,
        "principalId": id_of(&["workspace identity", &id]),
        "tenantId": azure.tenant,
    });
    shown
}

pub fn get(call: Call<'_>, name: &str) -> Result<Reply, ArmError> {
    let world = call.azure.world();
    let workspace = world.workspaces.find(name, &call.azure.group)?;
    Ok(Reply::json(
        StatusCode::OK,
        &shown(call.azure, workspace, call.now_ms),
    ))
}

/// By resource group or by subscription: those that the caller may read.
pub fn list(call: Call<'_>) -> Result<Reply, ArmError> {
    let after = call.after()?.to_lowercase();
    let world = call.azure.world();
    let may_read = |workspace: &&Workspace| {
        let scope = path(call.azure, &workspace.name);
        !world
            .settings
            .denies(call.principal, &format!("{TYPE}/read"), &scope)
    };
    let mut left = world
        .workspaces
        .by_name
        .range(after.clone()..)
        .filter(|(name, _)| **name != after)
        .map(|(_, workspace)| workspace)
        .filter(may_read)
        .peekable();
    let page: Vec<&Workspace> = left.by_ref().take(world.settings.page_size).collect();
    let last = page.last().filter(|_| left.peek().is_some());
    let items: Vec<_> = page
        .iter()
        .map(|workspace| shown(call.azure, workspace, call.now_ms))
        .collect();
    Ok(call.page(&items, last.map(|workspace| workspace.name.as_str())))
}

/// Swagger, `Workspaces_CreateOrUpdate`: 200 for one that was there, 202 for a new one.
pub fn put(call: Call<'_>, name: &str) -> Result<Reply, ArmError> {
    let azure = call.azure;
    let body = call.body()?;
    if !is_name(name) {
        return Err(ArmError::bad_request(
            "BadArgument",
            format!(
                "Workspace name '{name}' is invalid: it must have 3 to 33 letters, digits, '-' or '_', and start with a letter \
                 or a digit."
            ),
        ));
    }
    let Some(location) = body["location"].as_str() else {
        return Err(ArmError::bad_request(
            "LocationRequired",
            "The location property is required for this definition.",
        ));
    };
    let mut world = azure.world();
    let known = world.workspaces.by_name.get(&name.to_lowercase()).cloned();
    let is_new = known.is_none();
    let ready_ms = known.map_or_else(
        || call.now_ms + world.settings.delays.workspace,
        |workspace| workspace.ready_ms,
    );
    let workspace = Workspace {
        name: name.to_owned(),
        location: location.to_owned(),
        body: body.clone(),
        ready_ms,
    };
    let answer = shown(azure, &workspace, call.now_ms);
    world
        .workspaces
        .by_name
        .insert(name.to_lowercase(), workspace);
    if !is_new {
        return Ok(Reply::json(StatusCode::OK, &answer));
    }
    let operation = Operation {
        kind: Kind::Put,
        location: location.to_owned(),
        started_ms: call.now_ms,
        ends_ms: Some(ready_ms),
        outcome: Outcome::Succeeded,
        instance: None,
        workspace: Some(name.to_owned()),
    };
    let id = world.operations.begin(operation);
    let settings = &world.settings;
    let addresses = Addresses::new(
        &azure.base,
        &azure.subscription,
        location,
        &id,
        call.version,
    );
    let headers = addresses.headers(settings.operations, Kind::Put, settings.retry_after_s);
    Ok(Reply::json(StatusCode::ACCEPTED, &answer).with(headers))
}

/// Swagger, `workspaceName`: `^[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}$`
fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    (3..=33).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
}

pub fn resource_group(azure: &Azure) -> Value {
    json!({
        "id": format!("/subscriptions/{}/resourceGroups/{}", azure.subscription, azure.group),
        "name": azure.group,
        "type": "Microsoft.Resources/resourceGroups",
        "location": azure.location,
        "properties": { "provisioningState": "Succeeded" },
    })
}

pub fn subscription(azure: &Azure) -> Value {
    json!({
        "id": format!("/subscriptions/{}", azure.subscription),
        "subscriptionId": azure.subscription,
        "displayName": "Emulator",
        "state": "Enabled",
        "tenantId": azure.tenant,
    })
}
