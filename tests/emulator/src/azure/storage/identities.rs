//! User-assigned identities: Resource Manager's GET, PUT and DELETE, and which of them a machine may ask a token for.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::state::{Storage, not_found};
use crate::azure::arm::Call;
use crate::azure::call::{Pairs, Reply, field};
use crate::azure::error::ArmError;
use crate::azure::tokens::{Principal, id_of};
use crate::azure::{Azure, AzureWorld};

const TYPE: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";

fn id(azure: &Azure, name: &str) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/{}/providers/{TYPE}/{name}",
        azure.subscription, azure.group
    )
}

/// The client id is the same for the same resource.
pub fn principal(azure: &Azure, name: &str) -> Principal {
    Principal::application(&id_of(&["identity", &id(azure, name).to_lowercase()]))
}

fn shown(azure: &Azure, body: &Value) -> Value {
    let name = body["name"].as_str().unwrap_or_default();
    let principal = principal(azure, name);
    json!({
        "id": id(azure, name),
        "name": name,
        "type": TYPE,
        "location": body["location"],
        "tags": body.get("tags").cloned().unwrap_or_else(|| json!({})),
        "properties": {
            "tenantId": azure.tenant,
            "principalId": principal.object_id,
            "clientId": principal.client_id,
        },
    })
}

/// "Naming rules": 3 to 128 letters, digits, hyphens and underscores, the first a letter or digit.
fn is_name(name: &str) -> bool {
    (3..=128).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
}

pub fn get(call: Call<'_>, name: &str) -> Result<Reply, ArmError> {
    let world = call.azure.world();
    let body = world
        .storage
        .identities
        .get(&name.to_lowercase())
        .ok_or_else(|| not_found(TYPE, name, &call.azure.group))?;
    Ok(Reply::json(StatusCode::OK, &shown(call.azure, body)))
}

pub fn list(call: Call<'_>) -> Reply {
    let world = call.azure.world();
    let all: Vec<_> = world
        .storage
        .identities
        .values()
        .map(|body| shown(call.azure, body))
        .collect();
    Reply::json(StatusCode::OK, &json!({ "value": all }))
}

pub fn put(call: Call<'_>, name: &str) -> Result<Reply, ArmError> {
    let mut body = call.body()?;
    if !is_name(name) {
        let message = format!("The name '{name}' of a user-assigned identity is not valid.");
        return Err(ArmError::bad_request("InvalidParameter", message));
    }
    if body["location"].as_str().is_none_or(str::is_empty) {
        return Err(ArmError::bad_request(
            "LocationRequired",
            "The location property is required for this definition.",
        ));
    }
    body["name"] = json!(name);
    let view = shown(call.azure, &body);
    let before = call
        .azure
        .world()
        .storage
        .identities
        .insert(name.to_lowercase(), body);
    let status = if before.is_some() {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok(Reply::json(status, &view))
}

/// Its assignments stay, as in Azure, and are of nobody.
pub fn delete(call: Call<'_>, name: &str) -> Reply {
    let removed = call
        .azure
        .world()
        .storage
        .identities
        .remove(&name.to_lowercase());
    let status = if removed.is_some() {
        StatusCode::OK
    } else {
        StatusCode::NO_CONTENT
    };
    Reply::empty(status)
}

/// Whether this is one of the user-assigned identities.
pub fn is_identity(azure: &Azure, storage: &Storage, who: &Principal) -> bool {
    storage
        .identities
        .values()
        .filter_map(|body| body["name"].as_str())
        .any(|name| principal(azure, name) == *who)
}

/// The identity that a machine's call of its metadata service names, of those that the machine has: those of `instance`, or
/// all where the call is of no instance.
pub fn asked_for(
    azure: &Azure,
    world: &AzureWorld,
    instance: Option<&str>,
    query: &Pairs,
    now_ms: u64,
) -> Option<Principal> {
    let of_instance = instance.map(|name| {
        let found = world.instances.find_anywhere(name, now_ms)?;
        Some(assigned(&world.instances.all()[found].body))
    });
    let attached = match of_instance {
        Some(None) => return None,
        Some(Some(ids)) => Some(ids),
        None => None,
    };
    let asked =
        ["client_id", "object_id", "mi_res_id", "msi_res_id"].map(|name| field(query, name));
    let mut has: Vec<_> = world
        .storage
        .identities
        .values()
        .filter_map(|body| body["name"].as_str())
        .filter(|name| {
            let id = id(azure, name).to_lowercase();
            attached.as_ref().is_none_or(|ids| ids.contains(&id))
        })
        .collect();
    if asked.iter().all(|name| name.is_empty()) {
        // "Invalid request: multiple user assigned identities exist, please specify" one.
        return (has.len() == 1).then(|| has.pop().map(|name| principal(azure, name)))?;
    }
    has.into_iter()
        .find(|name| {
            let principal = principal(azure, name);
            let names = [&principal.client_id, &principal.object_id, &id(azure, name)];
            names
                .iter()
                .any(|known| asked.iter().any(|name| known.eq_ignore_ascii_case(name)))
        })
        .map(|name| principal(azure, name))
}

/// The identity of this client id, if an instance of this body has it.
pub fn of_instance(
    azure: &Azure,
    world: &AzureWorld,
    body: &Value,
    client_id: &str,
) -> Option<Principal> {
    let has = assigned(body);
    let known = world.storage.identities.values();
    known
        .filter_map(|identity| identity["name"].as_str())
        .filter(|name| has.contains(&id(azure, name).to_lowercase()))
        .map(|name| principal(azure, name))
        .find(|principal| principal.client_id.eq_ignore_ascii_case(client_id))
}

/// The resource ids of an instance's user-assigned identities, in lower case.
fn assigned(body: &Value) -> Vec<String> {
    body["identity"]["userAssignedIdentities"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(id, _)| id.to_lowercase())
        .collect()
}

/// Each of an instance's identities with its ids, as a GET tells them.
pub fn complete(azure: &Azure, identity: &mut Value) {
    for (id, ids) in identity["userAssignedIdentities"]
        .as_object_mut()
        .into_iter()
        .flatten()
    {
        let principal = principal(azure, id.rsplit('/').next().unwrap_or(id));
        *ids = json!({ "principalId": principal.object_id, "clientId": principal.client_id });
    }
}
