//! Storage accounts: GET, PUT, listKeys, and the properties of their file service.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::state::Account;
use crate::azure::Azure;
use crate::azure::arm::Call;
use crate::azure::call::Reply;
use crate::azure::error::ArmError;
use crate::clock::rfc3339;
use crate::world::merge;

const TYPE: &str = "Microsoft.Storage/storageAccounts";

pub fn id(azure: &Azure, name: &str) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/{}/providers/{TYPE}/{name}",
        azure.subscription, azure.group
    )
}

fn shown(azure: &Azure, account: &Account) -> Value {
    let Account {
        name,
        body,
        created_ms,
        ..
    } = account;
    let created = rfc3339(*created_ms);
    let mut properties =
        json!({ "allowSharedKeyAccess": true, "minimumTlsVersion": "TLS1_2", "accessTier": "Hot" });
    merge(&mut properties, &body["properties"]);
    properties["provisioningState"] = json!("Succeeded");
    properties["creationTime"] = json!(created);
    properties["keyCreationTime"] = json!({ "key1": created, "key2": created });
    properties["primaryLocation"] = body["location"].clone();
    properties["statusOfPrimary"] = json!("available");
    properties["primaryEndpoints"] =
        json!({ "file": format!("https://{name}.file.core.windows.net/") });
    let mut sku = body["sku"].clone();
    let tier = if sku["name"]
        .as_str()
        .is_some_and(|name| name.starts_with("Premium"))
    {
        "Premium"
    } else {
        "Standard"
    };
    sku["tier"] = json!(tier);
    json!({
        "id": id(azure, name),
        "name": name,
        "type": TYPE,
        "kind": body["kind"],
        "location": body["location"],
        "sku": sku,
        "tags": body.get("tags").cloned().unwrap_or_else(|| json!({})),
        "properties": properties,
    })
}

pub fn get(call: Call<'_>, name: &str) -> Result<Reply, ArmError> {
    let mut world = call.azure.world();
    let account = world.storage.account(name, &call.azure.group)?;
    Ok(Reply::json(StatusCode::OK, &shown(call.azure, account)))
}

/// All on one page: the service gives them so too.
pub fn list(call: Call<'_>) -> Reply {
    let world = call.azure.world();
    let all: Vec<_> = world
        .storage
        .accounts
        .values()
        .map(|account| shown(call.azure, account))
        .collect();
    Reply::json(StatusCode::OK, &json!({ "value": all }))
}

/// Swagger, accountName: 3 to 24 digits and small letters.
fn is_name(name: &str) -> bool {
    (3..=24).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
}

/// A new account is there at once; who made it is sent to its `asyncoperations` all the same.
pub fn put(call: Call<'_>, name: &str) -> Result<Reply, ArmError> {
    let body = call.body()?;
    if !is_name(name) {
        return Err(ArmError::bad_request(
            "AccountNameInvalid",
            format!(
                "{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in length \
                 and use numbers and lower-case letters only."
            ),
        ));
    }
    for member in ["location", "kind"] {
        if body[member].as_str().is_none_or(str::is_empty) {
            return Err(required(member));
        }
    }
    if body["sku"]["name"].as_str().is_none_or(str::is_empty) {
        return Err(required("sku"));
    }
    let mut world = call.azure.world();
    if let Some(account) = world.storage.accounts.get_mut(name) {
        merge(&mut account.body, &body);
        return Ok(Reply::json(StatusCode::OK, &shown(call.azure, account)));
    }
    let location = body["location"].as_str().unwrap_or_default().to_owned();
    let account = Account::new(name, body, call.now_ms);
    world.storage.accounts.insert(name.to_owned(), account);
    let followed = format!(
        "{}/subscriptions/{}/providers/Microsoft.Storage/locations/{location}/asyncoperations/{name}?monitor=true&api-version={}",
        call.azure.base, call.azure.subscription, call.version
    );
    let headers = vec![("location", followed), ("retry-after", "0".to_owned())];
    Ok(Reply::empty(StatusCode::ACCEPTED).with(headers))
}

fn required(member: &str) -> ArmError {
    let message = format!("The required property '{member}' is missing.");
    ArmError::bad_request("InvalidRequestContent", message).target(member)
}

pub fn keys(call: Call<'_>, name: &str) -> Result<Reply, ArmError> {
    let mut world = call.azure.world();
    let account = world.storage.account(name, &call.azure.group)?;
    let created = rfc3339(account.created_ms);
    let keys: Vec<_> = ["key1", "key2"]
        .iter()
        .zip(&account.keys)
        .map(|(name, value)| json!({ "keyName": name, "permissions": "Full", "value": value, "creationTime": created }))
        .collect();
    Ok(Reply::json(StatusCode::OK, &json!({ "keys": keys })))
}

pub fn file_service(call: Call<'_>, name: &str) -> Result<Reply, ArmError> {
    let mut world = call.azure.world();
    world.storage.account(name, &call.azure.group)?;
    let view = json!({
        "id": format!("{}/fileServices/default", id(call.azure, name)),
        "name": "default",
        "type": "Microsoft.Storage/storageAccounts/fileServices",
        "properties": { "shareDeleteRetentionPolicy": { "enabled": false } },
    });
    Ok(Reply::json(StatusCode::OK, &view))
}
