//! Where code in Azure finds the token of its managed identity: the instance metadata service of a virtual machine, and the
//! identity endpoint of App Service ("How to use managed identities … to acquire an access token").

use axum::http::{Method, StatusCode};
use serde_json::json;

use super::call::{Incoming, Reply, field};
use super::path::Route;
use super::tokens::{Grant, MANAGEMENT, Principal, access_claims};
use super::{Azure, storage};

pub fn answer(azure: &Azure, incoming: &Incoming) -> Reply {
    let refuse = |error: &str, description: &str| {
        let body = json!({ "error": error, "error_description": description });
        Reply {
            code: Some(error.to_owned()),
            ..Reply::json(StatusCode::BAD_REQUEST, &body)
        }
    };
    if incoming.method != Method::GET {
        return Reply::empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    let machine = matches!(incoming.route, Route::MachineIdentity { .. });
    let marked = if machine {
        incoming
            .header("metadata")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    } else {
        incoming.header("x-identity-header").is_some()
    };
    if !marked {
        return refuse("invalid_request", "Required metadata header not specified");
    }
    if field(&incoming.query, "api-version").is_empty() {
        return refuse(
            "invalid_request",
            "Required query variable 'api-version' is missing",
        );
    }
    let resource = field(&incoming.query, "resource").trim_end_matches('/');
    if resource.is_empty() {
        return refuse(
            "invalid_request",
            "Required query variable 'resource' is missing",
        );
    }
    let Some(principal) = principal(azure, incoming) else {
        return refuse("invalid_request", "Identity not found");
    };
    let lifetime_ms = azure.world().settings.token_lifetime_ms;
    let audience = if resource == "https://management.core.windows.net" {
        MANAGEMENT
    } else {
        resource
    };
    let claims = access_claims(Grant {
        principal: &principal,
        audience,
        scopes: "",
        tenant: &azure.tenant,
        authority: &incoming.base,
        now_ms: incoming.at_ms,
        lifetime_ms,
    });
    let expires_on = ((incoming.at_ms + lifetime_ms) / 1000).to_string();
    let mut body = json!({
        "access_token": azure.signer.sign(&claims),
        "client_id": principal.client_id,
        "expires_on": expires_on,
        "resource": resource,
        "token_type": "Bearer",
    });
    if machine {
        body["expires_in"] = json!((lifetime_ms / 1000).to_string());
        body["ext_expires_in"] = body["expires_in"].clone();
        body["not_before"] = json!((incoming.at_ms / 1000).to_string());
    }
    Reply::json(StatusCode::OK, &body)
}

/// Of an instance, one of its own identities; elsewhere also one of the apps, the first unless the call names another.
fn principal(azure: &Azure, incoming: &Incoming) -> Option<Principal> {
    let query = &incoming.query;
    let instance = match &incoming.route {
        Route::MachineIdentity { instance } => instance.as_deref(),
        _ => None,
    };
    if instance.is_none() {
        let asked = field(query, "client_id");
        let others = ["object_id", "mi_res_id", "msi_res_id"];
        let unnamed = asked.is_empty() && others.iter().all(|name| field(query, name).is_empty());
        let app = azure
            .apps
            .iter()
            .find(|app| unnamed || asked == app.client_id);
        if let Some(app) = app {
            return Some(Principal::application(&app.client_id));
        }
    }
    let world = azure.world();
    storage::identity_asked_for(azure, &world, instance, query, incoming.at_ms)
}
