//! The permissions that the settings need, asked for by what Resource Manager itself says of the caller at a scope.

use super::super::api::{Place, Service};
use super::super::config::{Config, Identity};
use super::super::home;
use crate::backend::Settings;
use crate::cloud::azure::permissions::Granted;
use crate::mount::azure_files::{self, Credential, Method, Storage};
use crate::wire::Code;
use crate::wire::reply::Check;
use futures_util::future::join_all;
use tokio::time::Instant;

/// A server's whole life, less its creation.
const LIFE: [&str; 5] = [
    "Microsoft.MachineLearningServices/workspaces/read",
    "Microsoft.MachineLearningServices/workspaces/computes/read",
    "Microsoft.MachineLearningServices/workspaces/computes/start/action",
    "Microsoft.MachineLearningServices/workspaces/computes/stop/action",
    "Microsoft.MachineLearningServices/workspaces/computes/delete",
];
const CREATE: &str = "Microsoft.MachineLearningServices/workspaces/computes/write";
const CREATE_WORKSPACE: &str = "Microsoft.MachineLearningServices/workspaces/write";
/// Of shares that are made by Resource Manager.
const SHARES: [&str; 3] = [
    "Microsoft.Storage/storageAccounts/fileServices/read",
    "Microsoft.Storage/storageAccounts/fileServices/shares/read",
    "Microsoft.Storage/storageAccounts/fileServices/shares/write",
];
/// Of an identity that opens a share.
const LET_IN: &str = "Microsoft.Authorization/roleAssignments/write";
const SEE_IDENTITY: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/read";
const MAKE_IDENTITY: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/write";
const GIVE_IDENTITY: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action";

const ROLE: &str = "deployments/aml_role.json";
const STORAGE_ROLE: &str = "deployments/aml_storage_role.json";

/// What is needed at one scope.
pub struct Need {
    scope: String,
    actions: Vec<&'static str>,
    /// The role's file to which a missing action is added.
    role: &'static str,
}

/// What these settings need. A workspace that is not there is asked about at its resource group.
pub fn needs(config: &Config, settings: Settings<'_>, place: &Place, is_there: bool) -> Vec<Need> {
    let mut actions = LIFE.to_vec();
    // Otherwise the person creates.
    if config.identity == Identity::Service {
        actions.push(CREATE);
    }
    let creates = !is_there && config.create_workspace == Some(true);
    if creates {
        actions.push(CREATE_WORKSPACE);
    }
    let scope = if creates {
        group(&place.subscription_id, &place.resource_group)
    } else {
        place.path()
    };
    let mut needs = vec![Need {
        scope,
        actions,
        role: ROLE,
    }];
    let given = config.managed_identities.iter().flatten();
    needs.extend(given.filter(|id| id.starts_with('/')).map(|id| Need {
        scope: id.trim_end_matches('/').to_owned(),
        actions: vec![GIVE_IDENTITY],
        role: ROLE,
    }));
    if let Ok(storage) = config.storage() {
        let by_secret = !matches!(home::secret(settings.credentials), Ok(None));
        needs.extend(of_storage(&storage, by_secret));
    }
    needs
}

fn of_storage(storage: &Storage, by_secret: bool) -> Vec<Need> {
    let need = |scope, actions| Need {
        scope,
        actions,
        role: STORAGE_ROLE,
    };
    let mut on_account = if by_secret {
        Vec::new()
    } else {
        SHARES.to_vec()
    };
    let identities = match (storage.method, storage.credential) {
        (Method::StartupScript, Credential::Identity) => {
            on_account.push(LET_IN);
            let text = |part: &Option<String>| part.clone().unwrap_or_default();
            let group = group(
                &text(&storage.subscription_id),
                &text(&storage.resource_group),
            );
            Some(need(
                group,
                vec![SEE_IDENTITY, MAKE_IDENTITY, GIVE_IDENTITY],
            ))
        }
        (Method::StartupScript, Credential::KeyVault) => {
            let identity = storage.vault_identity.clone().unwrap_or_default();
            Some(need(identity, vec![SEE_IDENTITY, GIVE_IDENTITY]))
        }
        (Method::Ssh | Method::DataMounts, _) => None,
    };
    let account = need(azure_files::account(storage), on_account);
    std::iter::once(account)
        .chain(identities)
        .filter(|need| !need.actions.is_empty())
        .collect()
}

fn group(subscription_id: &str, resource_group: &str) -> String {
    format!("/subscriptions/{subscription_id}/resourceGroups/{resource_group}")
}

/// A finding for each action that is missing, and one for each scope where none is.
pub async fn check(service: &Service, needs: Vec<Need>, deadline: Instant) -> Vec<Check> {
    let asked = needs.iter().map(|need| one(service, need, deadline));
    join_all(asked).await.into_iter().flatten().collect()
}

async fn one(service: &Service, need: &Need, deadline: Instant) -> Vec<Check> {
    let Need {
        scope,
        actions,
        role,
    } = need;
    let of = scope.rsplit('/').next().unwrap_or_default();
    let name = format!("permissions on {of}");
    let arm = service.resource_manager();
    let granted = match Granted::at(arm, scope, deadline).await {
        Ok(granted) => granted,
        Err(error) => {
            let hint = if error.code() == Code::PermissionDenied {
                add("Microsoft.Authorization/permissions/read", role)
            } else {
                "Only a start shows these: cloudspawner start --user NAME".to_owned()
            };
            let why = format!("could not be looked at: {}", error.into_failure());
            return vec![Check::unseen(&name, &why, &hint)];
        }
    };
    let missing = actions.iter().filter(|action| !granted.allows(action));
    let missing: Vec<Check> = missing
        .map(|action| {
            let why = format!("permission_denied: not allowed at {scope}");
            Check::bad(&format!("permission {action}"), &why, &add(action, role))
        })
        .collect();
    if missing.is_empty() {
        let all = format!("all {} that are needed are given", actions.len());
        return vec![Check::good(&name, &all)];
    }
    missing
}

/// How a role comes to allow it.
pub fn add(action: &str, role: &str) -> String {
    format!(
        "Add the line \"{action}\" to the role's \"Actions\", as {role} has them: az role definition update --role-definition @FILE"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Secret;
    use serde_json::{Value, json};

    fn needed(config: &Value) -> Vec<(String, Vec<&'static str>)> {
        let credentials = Secret::new(Value::Null);
        let settings = Settings {
            config,
            credentials: &credentials,
        };
        let config = Config::read(config).unwrap();
        let needs = needs(&config, settings, &config.place().unwrap(), false);
        needs.into_iter().map(|n| (n.scope, n.actions)).collect()
    }

    fn config(more: Value) -> Value {
        let mut config = json!({"subscription_id": "s", "resource_group": "g", "workspace": "lab"});
        let Value::Object(more) = more else { panic!() };
        config.as_object_mut().unwrap().extend(more);
        config
    }

    fn file(text: &str) -> Vec<String> {
        let role: Value = serde_json::from_str(text).unwrap();
        serde_json::from_value(role["Actions"].clone()).unwrap()
    }

    #[test]
    fn the_roles_that_are_handed_out_have_what_is_needed() {
        let storage = json!({"storage": {"account": "homes"}});
        let roles = [
            file(include_str!("../../../../deployments/aml_role.json")),
            file(include_str!(
                "../../../../deployments/aml_storage_role.json"
            )),
        ]
        .concat();
        for (scope, actions) in needed(&config(storage)) {
            for action in actions {
                assert!(
                    roles.iter().any(|known| known == action),
                    "{scope} {action}"
                );
            }
        }
    }

    #[test]
    fn a_person_who_creates_needs_the_permission_that_the_hub_then_does_not() {
        let (_, actions) = needed(&config(json!({"identity": "user"}))).remove(0);
        assert!(!actions.contains(&CREATE));
    }

    #[test]
    fn a_workspace_that_is_created_is_asked_about_at_its_group() {
        let (scope, actions) = needed(&config(json!({"create_workspace": true}))).remove(0);
        assert_eq!(scope, "/subscriptions/s/resourceGroups/g");
        assert!(actions.contains(&CREATE_WORKSPACE));
    }

    #[test]
    fn an_identity_that_the_admin_named_is_given_and_not_made() {
        let own = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/x";
        let storage = json!({
            "account": "homes", "credential": "key_vault", "account_key_opens_every_share": true,
            "vault_secret": "https://v.vault.azure.net/secrets/k", "vault_identity": own,
        });
        let needs = needed(&config(
            json!({"storage": storage, "managed_identities": ["system", own]}),
        ));
        let on_it: Vec<_> = needs.iter().filter(|(scope, _)| scope == own).collect();
        assert_eq!(on_it.len(), 2);
        assert!(
            on_it
                .iter()
                .all(|(_, actions)| actions.contains(&GIVE_IDENTITY))
        );
        assert!(!needs.iter().any(|(_, actions)| actions.contains(&LET_IN)));
    }
}
