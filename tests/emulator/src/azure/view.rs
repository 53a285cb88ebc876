//! An instance as its JSON, in the shape of the official examples of `Compute_Get`.

use serde_json::{Value, json};

use super::instance::Instance;
use super::options::EndpointStyle;
use super::settings::Settings;
use super::state::State;
use super::{Azure, storage, workspaces};
use crate::clock;

const TYPE: &str = "Microsoft.MachineLearningServices/workspaces/computes";

/// `2021-04-01T22:00:00.1230000+00:00`
pub fn date(at_ms: u64) -> String {
    let seconds = clock::rfc3339(at_ms);
    format!(
        "{}.{:03}0000+00:00",
        seconds.trim_end_matches('Z'),
        at_ms % 1000
    )
}

/// A PUT's answer: no more than the official examples show, `provisioningState` above all.
pub fn accepted(azure: &Azure, instance: &Instance, now_ms: u64) -> Value {
    let mut shown = envelope(azure, instance);
    shown["properties"] = json!({
        "computeType": "ComputeInstance",
        "provisioningState": instance.state(now_ms).provisioning_state(),
    });
    shown
}

fn envelope(azure: &Azure, instance: &Instance) -> Value {
    let workspace = workspaces::path(azure, &instance.workspace);
    let mut shown = json!({
        "id": format!("{workspace}/computes/{}", instance.name),
        "name": instance.name,
        "type": TYPE,
        "location": instance.region,
        "tags": instance.body.get("tags").filter(|tags| tags.is_object()).cloned().unwrap_or_else(|| json!({})),
    });
    for name in ["identity", "sku"] {
        if let Some(value) = instance.body.get(name).filter(|value| !value.is_null()) {
            shown[name] = value.clone();
        }
    }
    if let Some(identity) = shown.get_mut("identity") {
        storage::complete_identity(azure, identity);
    }
    if shown["identity"]["type"]
        .as_str()
        .is_some_and(|kind| kind.contains("SystemAssigned"))
    {
        shown["identity"]["principalId"] =
            json!(super::tokens::id_of(&["compute identity", &instance.name]));
        shown["identity"]["tenantId"] = json!(azure.tenant);
    }
    shown
}

/// The whole instance; without its state where a list does not tell it.
pub fn whole(
    azure: &Azure,
    settings: &Settings,
    instance: &Instance,
    now_ms: u64,
    with_state: bool,
) -> Value {
    let state = instance.state(now_ms);
    let mut shown = envelope(azure, instance);
    let error = error(instance, state);
    let mut properties = json!({
        "computeType": "ComputeInstance",
        "computeLocation": instance.region,
        "provisioningState": state.provisioning_state(),
        "provisioningErrors": error.clone().map(|error| json!([error])),
        "createdOn": date(instance.created_ms),
        "modifiedOn": date(instance.modified_ms),
        "resourceId": null,
        "isAttachedCompute": false,
    });
    for name in ["description", "disableLocalAuth"] {
        if let Some(value) = instance.body["properties"].get(name) {
            properties[name] = value.clone();
        }
    }
    if with_state {
        properties["properties"] = details(azure, settings, instance, now_ms, error);
    }
    shown["properties"] = properties;
    shown
}

fn error(instance: &Instance, state: State) -> Option<Value> {
    let (code, message) = instance.error.as_ref()?;
    let shows = state.is_failed_creation() || matches!(state, State::Unusable | State::Unknown);
    shows.then(|| json!({ "error": { "code": code, "message": message } }))
}

fn details(
    azure: &Azure,
    settings: &Settings,
    instance: &Instance,
    now_ms: u64,
    error: Option<Value>,
) -> Value {
    let state = instance.state(now_ms);
    let mut details = json!({
        "applicationSharingPolicy": "Shared",
        "computeInstanceAuthorizationType": "personal",
    });
    if let (Some(details), Some(given)) = (details.as_object_mut(), instance.settings().as_object())
    {
        details.extend(
            given
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), value.clone())),
        );
    }
    let size = instance.settings()["vmSize"].as_str().unwrap_or_default();
    details["vmSize"] = json!(size.to_uppercase());
    let mut ssh =
        json!({ "sshPublicAccess": "Disabled", "adminUserName": "azureuser", "sshPort": 22 });
    for name in ["sshPublicAccess", "adminPublicKey"] {
        if let Some(value) = instance.settings()["sshSettings"].get(name) {
            ssh[name] = value.clone();
        }
    }
    details["sshSettings"] = ssh;
    let built = instance
        .timeline
        .history(now_ms)
        .iter()
        .any(|(_, state)| state.is_up());
    details["applications"] = if built && settings.endpoint_style != EndpointStyle::None {
        applications(azure, settings, instance)
    } else {
        json!([])
    };
    let address = built.then(|| instance.address.to_string());
    let sshd = settings.ssh.as_ref().filter(|_| built);
    details["connectivityEndpoints"] =
        json!({ "publicIpAddress": sshd.map(|sshd| sshd.address), "privateIpAddress": address });
    if let Some(sshd) = sshd {
        details["sshSettings"]["sshPort"] = json!(sshd.port);
        details["sshSettings"]["adminUserName"] = json!(sshd.user);
    }
    details["createdBy"] = json!({
        "userName": instance.created_by.user.as_deref().unwrap_or(&instance.created_by.client_id),
        "userOrgId": azure.tenant,
        "userId": instance.created_by.object_id,
    });
    details["errors"] = error.map_or(Value::Null, |error| json!([error]));
    details["state"] = json!(state.name());
    let last = &instance.last_operation;
    details["lastOperation"] = json!({
        "operationName": last.name,
        "operationTime": date(last.at_ms),
        "operationStatus": last.status(now_ms),
        "operationTrigger": last.trigger,
    });
    details
}

fn applications(azure: &Azure, settings: &Settings, instance: &Instance) -> Value {
    let Instance {
        name,
        region,
        address,
        ..
    } = instance;
    let base = match settings.endpoint_style {
        EndpointStyle::Local => format!("http://{address}:{}", azure.port),
        EndpointStyle::Official | EndpointStyle::None => {
            format!(
                "https://{}.{region}.instances.azureml.ms",
                name.to_lowercase()
            )
        }
    };
    json!([
        { "displayName": "Jupyter", "endpointUri": format!("{base}/tree") },
        { "displayName": settings.lab_name, "endpointUri": format!("{base}/lab") },
    ])
}
