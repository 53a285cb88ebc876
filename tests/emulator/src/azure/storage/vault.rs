//! Key Vault's secrets, at `/secrets/…`: the vault is the first label of a host such as `NAME.vault.azure.net`, else the first
//! one. Access is by roles (Azure RBAC), on the vault or on one secret.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::roles::{self, Deed};
use super::state::Secret;
use crate::azure::Azure;
use crate::azure::call::{Incoming, Reply};
use crate::azure::error::ArmError;
use crate::azure::tokens::{self, Principal};
use crate::identity::random_hex;

const AUDIENCES: [&str; 2] = [
    "https://vault.azure.net",
    "cfa8b339-82a2-471a-a3c9-0fc0be7a4093",
];
/// Swagger, secret-name: letters, digits and hyphens.
const NAME_CHARACTERS: usize = 127;
/// "About Azure Key Vault secrets": 25k bytes.
const VALUE_BYTES: usize = 25_600;

pub fn answer(azure: &Azure, incoming: &Incoming) -> Reply {
    act(azure, incoming).unwrap_or_else(Reply::from)
}

fn authenticate(azure: &Azure, incoming: &Incoming) -> Result<Principal, ArmError> {
    let refuse = |message: &str| {
        let challenge = format!(
            "Bearer authorization=\"{}/{}\", resource=\"https://vault.azure.net\"",
            incoming.base, azure.tenant
        );
        ArmError {
            headers: vec![("www-authenticate", challenge)],
            ..ArmError::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)
        }
    };
    let token = incoming
        .header("authorization")
        .and_then(|given| given.strip_prefix("Bearer "))
        .ok_or_else(|| refuse("AKV10000: Request is missing a Bearer or PoP token."))?;
    let wrong = "AKV10022: Invalid audience, or a token that is not valid or has expired.";
    let claims = azure.signer.check(token).map_err(|_| refuse(wrong))?;
    let is_alive = claims["exp"].as_u64().unwrap_or_default() * 1000 > incoming.at_ms;
    let audience = claims["aud"].as_str().unwrap_or_default();
    if !is_alive || !AUDIENCES.contains(&audience.trim_end_matches('/')) {
        return Err(refuse(wrong));
    }
    tokens::principal(&claims).ok_or_else(|| refuse(wrong))
}

fn act(azure: &Azure, incoming: &Incoming) -> Result<Reply, ArmError> {
    let principal = authenticate(azure, incoming)?;
    if super::super::call::field(&incoming.query, "api-version").is_empty() {
        return Err(ArmError::bad_request(
            "BadParameter",
            "The api-version query parameter is required.",
        ));
    }
    let mut segments = incoming
        .path
        .split('/')
        .filter(|part| !part.is_empty())
        .skip(1);
    let (name, version) = (segments.next().unwrap_or_default(), segments.next());
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.is_empty() || name.len() > NAME_CHARACTERS || !name.chars().all(legal) {
        return Err(ArmError::bad_request(
            "BadParameter",
            "The request URI contains an invalid name.",
        ));
    }
    let mut world = azure.world();
    let storage = &mut world.storage;
    let host = incoming.header("host").unwrap_or_default();
    let vault = match host.split_once(".vault.") {
        Some((vault, _)) => vault.to_owned(),
        None => storage.vaults.first().cloned().unwrap_or_default(),
    };
    let scope = format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.KeyVault/vaults/{vault}/secrets/{name}",
        azure.subscription, azure.group
    );
    let deed = if incoming.method == Method::GET {
        Deed::ReadSecrets
    } else {
        Deed::WriteSecrets
    };
    if !roles::allows(storage, &principal, deed, &scope) {
        return Err(ArmError::new(
            StatusCode::FORBIDDEN,
            "Forbidden",
            format!(
                "Caller is not authorized to perform action on resource.\r\nCaller: appid={};oid={}\r\nResource: '{scope}'",
                principal.client_id, principal.object_id
            ),
        ));
    }
    let key = (vault.clone(), name.to_lowercase());
    let at = format!("https://{vault}.vault.azure.net/secrets/{name}");
    let not_found = || {
        let message = format!("A secret with (name/id) {name} was not found in this key vault.");
        ArmError::not_found("SecretNotFound", message)
    };
    match incoming.method {
        Method::GET => {
            let versions = storage.secrets.get(&key).ok_or_else(not_found)?;
            let secret = match version {
                None => versions.last(),
                Some(version) => versions.iter().find(|known| known.version == version),
            };
            let secret = secret.ok_or_else(not_found)?;
            Ok(Reply::json(StatusCode::OK, &shown(&at, secret)))
        }
        Method::PUT => {
            let secret = read(incoming)?;
            let view = shown(&at, &secret);
            storage.secrets.entry(key).or_default().push(secret);
            Ok(Reply::json(StatusCode::OK, &view))
        }
        Method::DELETE => {
            let versions = storage.secrets.remove(&key).ok_or_else(not_found)?;
            let mut view = versions
                .last()
                .map_or(Value::Null, |secret| shown(&at, secret));
            view["recoveryId"] = json!(at.replace("/secrets/", "/deletedsecrets/"));
            Ok(Reply::json(StatusCode::OK, &view))
        }
        _ => Err(ArmError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "BadParameter",
            "Method is not allowed.",
        )),
    }
}

fn read(incoming: &Incoming) -> Result<Secret, ArmError> {
    let body: Value = serde_json::from_slice(&incoming.bytes).unwrap_or_default();
    let value = body["value"]
        .as_str()
        .filter(|value| value.len() <= VALUE_BYTES)
        .ok_or_else(|| {
            ArmError::bad_request("BadParameter", "Property value has invalid value.")
        })?;
    Ok(Secret {
        version: random_hex(32),
        value: value.to_owned(),
        content_type: body["contentType"].as_str().map(ToOwned::to_owned),
        tags: body["tags"].clone(),
        created_ms: incoming.at_ms,
    })
}

fn shown(at: &str, secret: &Secret) -> Value {
    let created_s = secret.created_ms / 1000;
    let mut view = json!({
        "value": secret.value,
        "id": format!("{at}/{}", secret.version),
        "attributes": { "enabled": true, "created": created_s, "updated": created_s, "recoveryLevel": "Recoverable+Purgeable" },
    });
    if let Some(content_type) = &secret.content_type {
        view["contentType"] = json!(content_type);
    }
    if secret.tags.is_object() {
        view["tags"] = secret.tags.clone();
    }
    view
}
