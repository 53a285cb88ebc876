//! What opens one share and nothing else: a managed identity of the person's own, with a role whose scope is that share.

use super::arm;
use super::settings::{Credential, Storage};
use crate::cloud::CloudError;
use crate::cloud::azure::ResourceManager;
use crate::cloud::azure::resource_manager::Call;
use crate::error::Failure;
use crate::hash::hash;
use crate::net::retry::{self, Again, Pace};
use crate::wire::Code;
use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

const IDENTITY_VERSION: &str = "2023-01-31";
const ROLE_VERSION: &str = "2022-04-01";

/// What a server needs to mount its person's share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The managed identity that the instance gets, by its resource id.
    pub identity: String,
    /// Its client id, by which the instance asks for its tokens; empty for one that the admin named.
    pub client_id: String,
}

/// The identity of the person whose share `home` is or would be, made where it is not there, with its role on each of
/// `shares`.
pub async fn ensure(
    arm: &ResourceManager,
    storage: &Storage,
    home: &str,
    shares: &[String],
    deadline: Instant,
) -> Result<Access, Failure> {
    if storage.credential == Credential::KeyVault {
        let identity = storage.vault_identity.clone().unwrap_or_default();
        let known = arm.call(&get_identity(&identity), deadline).await?;
        return Ok(access(identity, &known.body));
    }
    let path = identity(storage, home);
    let found = match arm.call(&get_identity(&path), deadline).await {
        Ok(answer) => answer.body,
        Err(error) if error.code() == Code::NotFound => make(arm, storage, &path, deadline).await?,
        Err(error) => return Err(error.into()),
    };
    let text = |name: &str| {
        found["properties"][name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    for share in shares {
        grant(arm, storage, share, &text("principalId"), deadline).await?;
    }
    Ok(access(path, &found))
}

/// Removes the identity of that home; its role goes with it. What is gone already is a success.
pub async fn remove(
    arm: &ResourceManager,
    storage: &Storage,
    home: &str,
    deadline: Instant,
) -> Result<(), Failure> {
    if storage.credential == Credential::KeyVault {
        return Ok(());
    }
    let path = identity(storage, home);
    let call = Call::get(&path, IDENTITY_VERSION, "arm:DELETE identity").with(Method::DELETE, None);
    match arm.call(&call, deadline).await {
        Err(error) if error.code() != Code::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

async fn make(
    arm: &ResourceManager,
    storage: &Storage,
    path: &str,
    deadline: Instant,
) -> Result<Value, Failure> {
    let Some(location) = &storage.location else {
        let message = "is needed to make a person's managed identity; config.location will do";
        return Err(Failure::invalid_config("config.storage.location", message));
    };
    let body = json!({"location": location});
    let call = Call::get(path, IDENTITY_VERSION, "arm:PUT identity").with(Method::PUT, Some(&body));
    Ok(arm.call(&call, deadline).await?.body)
}

/// The name of an assignment is a GUID of ours, so that a repetition is the same assignment.
async fn grant(
    arm: &ResourceManager,
    storage: &Storage,
    share: &str,
    principal: &str,
    deadline: Instant,
) -> Result<(), Failure> {
    // Role-based access control spells it in lower case ("Assign share-level permissions"); names do not tell capitals apart.
    let scope = format!(
        "{}/fileServices/default/fileshares/{share}",
        arm::account(storage)
    );
    let name = guid(&[&scope, principal, storage.role()]);
    let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}");
    let subscription = storage.subscription_id.as_deref().unwrap_or_default();
    let role = format!(
        "/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{}",
        storage.role()
    );
    let body = json!({"properties": {
        "roleDefinitionId": role, "principalId": principal, "principalType": "ServicePrincipal",
    }});
    let call =
        Call::get(&path, ROLE_VERSION, "arm:PUT role assignment").with(Method::PUT, Some(&body));
    let attempt = || async {
        match arm.call(&call, deadline).await {
            Err(error) if error.cloud_code() == Some("RoleAssignmentExists") => Ok(()),
            other => other.map(drop),
        }
    };
    // A new identity is not known everywhere at once ("Troubleshoot Azure RBAC", PrincipalNotFound).
    let again = |error: &CloudError| match error.cloud_code() {
        Some("PrincipalNotFound") => Again::After(None),
        _ => Again::No,
    };
    let (context, action) = (&arm.context, call.operation);
    Ok(retry::until(context, action, Pace::CALL, deadline, attempt, again).await?)
}

fn access(identity: String, known: &Value) -> Access {
    let client_id = known["properties"]["clientId"].as_str().unwrap_or_default();
    Access {
        identity,
        client_id: client_id.to_owned(),
    }
}

fn get_identity(path: &str) -> Call<'_> {
    Call::get(path, IDENTITY_VERSION, "arm:GET identity")
}

fn identity(storage: &Storage, home: &str) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{}-{home}",
        storage.subscription_id.as_deref().unwrap_or_default(),
        storage.resource_group.as_deref().unwrap_or_default(),
        storage.account
    )
}

/// A GUID out of a hash: 32 hexadecimal digits.
fn guid(parts: &[&str]) -> String {
    use std::fmt::Write as _;
    let mut digits = String::with_capacity(36);
    for (at, byte) in hash(parts).bytes().take(16).enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            digits.push('-');
        }
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}
