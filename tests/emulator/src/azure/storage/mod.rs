//! What lasts in Azure beside workspaces: storage accounts with their file shares and these with their files, user-assigned identities, role assignments,
//! and the secrets of key vaults. Resource Manager makes them; who may use their data, the roles decide.

mod accounts;
mod admin;
mod authorize;
mod content;
mod files;
mod identities;
mod limits;
pub mod mounting;
pub mod path;
mod roles;
mod shares;
mod state;
mod vault;

pub use admin::routes;
pub use files::{answer as answer_for_files, fault as fault_of_files, route as files_route};
pub use identities::{asked_for as identity_asked_for, complete as complete_identity, is_identity};
pub use state::Storage;
pub use vault::answer as answer_secret;

use super::arm::Call;
use super::call::Reply;
use super::error::ArmError;
use crate::quota::Quotas;
use axum::http::Method;
use path::Kind;

/// Resource Manager's part.
///
/// # Errors
/// What the resource providers refuse with.
pub fn answer(call: Call<'_>, kind: &Kind) -> Result<Reply, ArmError> {
    let method = &call.incoming.method;
    let of_storage = kind.permission(method).starts_with("Microsoft.Storage/");
    if of_storage && *method != Method::GET {
        let mut world = call.azure.world();
        if world.settings.quotas == Quotas::Documented {
            world
                .storage
                .writes
                .take(call.now_ms)
                .map_err(ArmError::throttled)?;
        }
    }
    match (kind, method.as_str()) {
        (Kind::Accounts, "GET") => Ok(accounts::list(call)),
        (Kind::Account(name) | Kind::Creation(name), "GET") => accounts::get(call, name),
        (Kind::Account(name), "PUT") => accounts::put(call, name),
        (Kind::Keys(name), "POST") => accounts::keys(call, name),
        (Kind::FileService(account), "GET") => accounts::file_service(call, account),
        (Kind::Shares(account), "GET") => shares::list(call, account),
        (Kind::Share(account, name), "GET") => shares::get(call, account, name),
        (Kind::Share(account, name), "PUT") => shares::put(call, account, name),
        (Kind::Share(account, name), "PATCH") => shares::patch(call, account, name),
        (Kind::Share(account, name), "DELETE") => shares::delete(call, account, name),
        (Kind::Identities, "GET") => Ok(identities::list(call)),
        (Kind::Identity(name), "GET") => identities::get(call, name),
        (Kind::Identity(name), "PUT") => identities::put(call, name),
        (Kind::Identity(name), "DELETE") => Ok(identities::delete(call, name)),
        (Kind::Assignments(scope), "GET") => Ok(roles::list(call, scope)),
        (Kind::Assignment(scope, name), "GET") => roles::get(call, scope, name),
        (Kind::Assignment(scope, name), "PUT") => roles::put(call, scope, name),
        (Kind::Assignment(scope, name), "DELETE") => Ok(roles::delete(call, scope, name)),
        (Kind::Permissions(scope), "GET") => Ok(roles::permissions(call, scope)),
        _ => Err(super::arm::not_allowed(call)),
    }
}
