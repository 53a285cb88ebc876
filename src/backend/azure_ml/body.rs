//! The bodies that create something: an instance's, and a workspace's.

use super::config::{Action, Config, Schedule};
use crate::backend::{Record, tags};
use crate::error::Failure;
use data_encoding::BASE64;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Resource Manager: a resource has at most 50 tags ("Use tags to organize your Azure resources").
const MAX_TAGS: usize = 50;
/// How long a set-up script may run ("Customize the compute instance with a script": 15 minutes are the most).
const SCRIPT_TIMEOUT: &str = "15m";

/// The body of the PUT that creates an instance (Compute_CreateOrUpdate).
///
/// # Errors
/// `invalid_config` with the field's name.
pub fn instance(
    config: &Config,
    record: &Record,
    location: &str,
    vm_size: &str,
) -> Result<Value, Failure> {
    let mut properties = Map::new();
    let mut set = |name: &str, value: Value| properties.insert(name.to_owned(), value);
    set("vmSize", vm_size.into());
    set("computeInstanceAuthorizationType", "personal".into());
    set("applicationSharingPolicy", "Personal".into());
    if let Some(idle) = &config.idle_shutdown {
        set("idleTimeBeforeShutdown", idle.iso8601()?.into());
    }
    if let Some(user) = &config.assigned_user {
        let assigned = json!({"objectId": user.object_id, "tenantId": user.tenant_id});
        set(
            "personalComputeInstanceSettings",
            json!({"assignedUser": assigned}),
        );
    }
    if let Some(schedules) = &config.schedules {
        let rules: Vec<Value> = schedules.iter().map(rule).collect();
        set("schedules", json!({"computeStartStop": rules}));
    }
    if let Some(subnet) = &config.subnet {
        set("subnet", json!({"id": subnet}));
    }
    if let Some(key) = &config.ssh_public_key {
        let open = json!({"sshPublicAccess": "Enabled", "adminPublicKey": key});
        set("sshSettings", open);
    }
    let scripts: Map<String, Value> = [
        ("creationScript", &config.creation_script),
        ("startupScript", &config.startup_script),
    ]
    .into_iter()
    .filter_map(|(name, text)| Some((name.to_owned(), script(text.as_deref()?))))
    .collect();
    if !scripts.is_empty() {
        set("setupScripts", json!({"scripts": scripts}));
    }
    properties.extend(config.properties.clone().unwrap_or_default());
    let mut body = json!({
        "location": location,
        "tags": all_tags(config, tags::ours(record))?,
        "properties": {"computeType": "ComputeInstance", "properties": properties},
    });
    if let Some(identities) = &config.managed_identities {
        body["identity"] = identity(identities);
    }
    Ok(body)
}

/// The body of the PUT that creates a workspace (Workspaces_CreateOrUpdate).
///
/// # Errors
/// `invalid_config` with the field's name.
pub fn workspace(config: &Config, record: &Record) -> Result<Value, Failure> {
    let Some(location) = &config.location else {
        let message = "is needed where create_workspace is true";
        return Err(Failure::invalid_config("config.location", message));
    };
    let mark = tags::ours(record)
        .into_iter()
        .filter(|(name, _)| *name == tags::HUB);
    Ok(json!({
        "location": location,
        "tags": all_tags(config, mark)?,
        "identity": {"type": "SystemAssigned"},
        "properties": config.workspace_properties.clone().unwrap_or_default(),
    }))
}

fn all_tags(
    config: &Config,
    ours: impl IntoIterator<Item = (&'static str, String)>,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut tags = config.tags.clone().unwrap_or_default();
    for (name, value) in ours {
        if tags.insert(name.to_owned(), value).is_some() {
            let message = format!("{name} is cloudspawner's own; leave it out");
            return Err(Failure::invalid_config("config.tags", message));
        }
    }
    if tags.len() > MAX_TAGS {
        let count = tags.len();
        let message =
            format!("{count} tags are more than Azure's {MAX_TAGS}, cloudspawner's 3 included");
        return Err(Failure::invalid_config("config.tags", message));
    }
    Ok(tags)
}

fn rule(schedule: &Schedule) -> Value {
    let action = match schedule.action {
        Action::Start => "Start",
        Action::Stop => "Stop",
    };
    let zone = schedule.time_zone.as_deref().unwrap_or("UTC");
    json!({
        "action": action,
        "status": "Enabled",
        "triggerType": "Cron",
        "cron": {"expression": schedule.cron, "timeZone": zone},
    })
}

fn script(text: &str) -> Value {
    json!({"scriptSource": "inline", "scriptData": BASE64.encode(text.as_bytes()), "timeout": SCRIPT_TIMEOUT})
}

fn identity(identities: &[String]) -> Value {
    let system = identities.iter().any(|name| name == "system");
    let assigned: Map<String, Value> = identities
        .iter()
        .filter(|name| *name != "system")
        .map(|id| (id.clone(), json!({})))
        .collect();
    match (system, assigned.is_empty()) {
        (true, true) => json!({"type": "SystemAssigned"}),
        (true, false) => {
            json!({"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": assigned})
        }
        (false, _) => json!({"type": "UserAssigned", "userAssignedIdentities": assigned}),
    }
}
