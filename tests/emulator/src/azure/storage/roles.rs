//! Role assignments, and what the built-in roles for data allow. A scope covers everything below it.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::state::Storage;
use crate::azure::arm::Call;
use crate::azure::call::{Reply, field};
use crate::azure::error::ArmError;
use crate::azure::tokens::Principal;
use crate::clock::rfc3339;

/// What can be done with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    ReadFiles,
    WriteFiles,
    /// By SMB, with a machine's managed identity.
    MountShare,
    ReadSecrets,
    WriteSecrets,
}

use Deed::{MountShare, ReadFiles, ReadSecrets, WriteFiles, WriteSecrets};

/// "Azure built-in roles": id, name, and what it is good for here.
const ROLES: [(&str, &str, &[Deed]); 5] = [
    (
        "69566ab7-960f-475b-8e7c-b3118f30c6bd",
        "Storage File Data Privileged Contributor",
        &[ReadFiles, WriteFiles],
    ),
    (
        "b8eda974-7b85-4f76-af95-65846b26df6d",
        "Storage File Data Privileged Reader",
        &[ReadFiles],
    ),
    (
        "a235d3ee-5935-4cfb-8cc5-a3303ad5995e",
        "Storage File Data SMB MI Admin",
        &[MountShare],
    ),
    (
        "4633458b-17de-408a-b874-0445c86b69e6",
        "Key Vault Secrets User",
        &[ReadSecrets],
    ),
    (
        "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
        "Key Vault Secrets Officer",
        &[ReadSecrets, WriteSecrets],
    ),
];

#[derive(Clone, Debug)]
pub struct Assignment {
    pub scope: String,
    pub name: String,
    pub role: String,
    pub principal_id: String,
    pub principal_type: Value,
    pub created_ms: u64,
}

/// Whether a role of this principal allows it there.
pub fn allows(storage: &Storage, principal: &Principal, deed: Deed, scope: &str) -> bool {
    let fits = |role: &str| {
        let id = role.rsplit('/').next().unwrap_or(role);
        ROLES
            .iter()
            .any(|(known, _, deeds)| known.eq_ignore_ascii_case(id) && deeds.contains(&deed))
    };
    storage.assignments.iter().any(|assignment| {
        assignment.principal_id == principal.object_id
            && covers(&assignment.scope, scope)
            && fits(&assignment.role)
    })
}

fn covers(outer: &str, inner: &str) -> bool {
    let (outer, inner) = (outer.to_lowercase(), inner.to_lowercase());
    inner
        .strip_prefix(outer.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn id(assignment: &Assignment) -> String {
    let Assignment { scope, name, .. } = assignment;
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}")
}

fn shown(assignment: &Assignment) -> Value {
    let created = rfc3339(assignment.created_ms);
    json!({
        "id": id(assignment),
        "name": assignment.name,
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": assignment.role,
            "principalId": assignment.principal_id,
            "principalType": assignment.principal_type,
            "scope": assignment.scope,
            "createdOn": created,
            "updatedOn": created,
        },
    })
}

fn find<'a>(storage: &'a Storage, scope: &str, name: &str) -> Option<&'a Assignment> {
    let same = |known: &&Assignment| {
        known.scope.eq_ignore_ascii_case(scope) && known.name.eq_ignore_ascii_case(name)
    };
    storage.assignments.iter().find(same)
}

pub fn get(call: Call<'_>, scope: &str, name: &str) -> Result<Reply, ArmError> {
    let world = call.azure.world();
    let found = find(&world.storage, scope, name).ok_or_else(|| {
        let message = format!("The role assignment '{name}' is not found.");
        ArmError::not_found("RoleAssignmentNotFound", message)
    })?;
    Ok(Reply::json(StatusCode::OK, &shown(found)))
}

/// Of the scope and of what stands above it; `$filter=principalId eq '…'` is known.
pub fn list(call: Call<'_>, scope: &str) -> Reply {
    let filter = field(&call.incoming.query, "$filter");
    let principal = filter
        .starts_with("principalId")
        .then(|| filter.split('\'').nth(1))
        .flatten();
    let world = call.azure.world();
    let found: Vec<_> = world
        .storage
        .assignments
        .iter()
        .filter(|known| covers(&known.scope, scope) || covers(scope, &known.scope))
        .filter(|known| principal.is_none_or(|id| known.principal_id == id))
        .map(shown)
        .collect();
    Reply::json(StatusCode::OK, &json!({ "value": found }))
}

pub fn put(call: Call<'_>, scope: &str, name: &str) -> Result<Reply, ArmError> {
    let body = call.body()?;
    let properties = &body["properties"];
    let text = |member: &str| {
        properties[member]
            .as_str()
            .filter(|text| !text.is_empty())
            .ok_or_else(|| {
                let message = format!("The request content was invalid: '{member}' is required.");
                ArmError::bad_request("InvalidCreateRoleAssignmentRequest", message)
            })
    };
    let (role, principal_id) = (text("roleDefinitionId")?, text("principalId")?);
    let role_id = role.rsplit('/').next().unwrap_or(role);
    if !ROLES
        .iter()
        .any(|(known, ..)| known.eq_ignore_ascii_case(role_id))
    {
        return Err(ArmError::bad_request(
            "RoleDefinitionDoesNotExist",
            format!("The specified role definition with ID '{role_id}' does not exist."),
        ));
    }
    let mut world = call.azure.world();
    if properties["principalType"].is_null() && world.settings.needs_principal_type {
        // "Troubleshoot Azure RBAC": a new identity may not be known yet where principalType does not say that it will be.
        let message = format!(
            "Principal {} does not exist in the directory {}. Check that you have the correct principal ID. If you are creating \
             this principal and then immediately assigning a role, this error might be related to a replication delay. In this \
             case, set the role assignment principalType property to a value, such as ServicePrincipal, User, or Group.",
            principal_id.replace('-', ""),
            call.azure.tenant
        );
        return Err(ArmError::bad_request("PrincipalNotFound", message));
    }
    let new = Assignment {
        scope: scope.to_owned(),
        name: name.to_owned(),
        role: role.to_owned(),
        principal_id: principal_id.to_owned(),
        principal_type: properties
            .get("principalType")
            .cloned()
            .unwrap_or_else(|| json!("ServicePrincipal")),
        created_ms: call.now_ms,
    };
    let storage = &mut world.storage;
    let is_same = |known: &Assignment| {
        known.scope.eq_ignore_ascii_case(scope)
            && known.principal_id == new.principal_id
            && known
                .role
                .rsplit('/')
                .next()
                .is_some_and(|known| known.eq_ignore_ascii_case(role_id))
    };
    if let Some(known) = find(storage, scope, name) {
        if is_same(known) {
            return Ok(Reply::json(StatusCode::OK, &shown(known)));
        }
        return Err(ArmError::bad_request(
            "RoleAssignmentUpdateNotPermitted",
            "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
        ));
    }
    if let Some(known) = storage.assignments.iter().find(|known| is_same(known)) {
        return Err(ArmError::new(
            StatusCode::CONFLICT,
            "RoleAssignmentExists",
            format!(
                "The role assignment already exists. The ID of the existing role assignment is {}.",
                known.name.replace('-', "")
            ),
        ));
    }
    let view = shown(&new);
    storage.assignments.push(new);
    Ok(Reply::json(StatusCode::CREATED, &view))
}

pub fn delete(call: Call<'_>, scope: &str, name: &str) -> Reply {
    let mut world = call.azure.world();
    let found = find(&world.storage, scope, name).cloned();
    let Some(found) = found else {
        return Reply::empty(StatusCode::NO_CONTENT);
    };
    world
        .storage
        .assignments
        .retain(|known| id(known) != id(&found));
    Reply::json(StatusCode::OK, &shown(&found))
}

/// `PermissionsForResource_List`: what the caller may do there, for managing.
pub fn permissions(call: Call<'_>, scope: &str) -> Reply {
    let settings = &call.azure.world().settings;
    let found = settings.permissions(call.principal, scope);
    Reply::json(StatusCode::OK, &json!({ "value": found }))
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_scope_covers_what_is_below_it_and_not_its_namesakes() {
        assert!(covers("/a/Shares/ada", "/A/shares/ada"));
        assert!(covers("/a", "/a/shares/ada"));
        assert!(!covers("/a/shares/ad", "/a/shares/ada"));
        assert!(!covers("/a/shares/ada", "/a"));
    }
}
