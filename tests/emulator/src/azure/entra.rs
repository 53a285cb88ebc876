//! Entra ID: what it says of itself, and what it remembers. `authorize` and `grants` hand out codes and tokens.

use std::collections::{BTreeSet, HashMap};

use axum::http::StatusCode;
use serde_json::json;

use super::Azure;
use super::call::{Incoming, Reply};
use super::error::EntraError;
use super::tokens::Principal;

/// A code or refresh token that was handed out.
#[derive(Clone, Debug)]
pub struct Handout {
    pub user: Principal,
    pub scopes: String,
    pub redirect_uri: String,
    pub nonce: Option<String>,
    /// PKCE: the challenge and its method.
    pub challenge: Option<(String, String)>,
    pub issued_ms: u64,
    pub used: bool,
}

#[derive(Debug, Default)]
pub struct Directory {
    pub codes: HashMap<String, Handout>,
    pub refresh_tokens: HashMap<String, Handout>,
    /// Object ids of users who were asked, and consented or signed in again.
    pub satisfied: BTreeSet<String>,
}

/// # Errors
/// `AADSTS90002`, if this is another tenant.
pub fn check_tenant(azure: &Azure, tenant: &str) -> Result<(), EntraError> {
    let is_ours = [azure.tenant.as_str(), "common", "organizations"]
        .iter()
        .any(|name| name.eq_ignore_ascii_case(tenant));
    if is_ours {
        return Ok(());
    }
    Err(EntraError::new(
        "invalid_request",
        90002,
        format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct \
             cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant."
        ),
    ))
}

/// OpenID Connect's discovery.
pub fn configuration(
    azure: &Azure,
    incoming: &Incoming,
    tenant: &str,
) -> Result<Reply, EntraError> {
    check_tenant(azure, tenant).map_err(|error| EntraError {
        error: "invalid_tenant",
        ..error
    })?;
    let base = format!("{}/{}", incoming.base, azure.tenant);
    let host = incoming.base.split("://").nth(1).unwrap_or_default();
    Ok(Reply::json(
        StatusCode::OK,
        &json!({
            "token_endpoint": format!("{base}/oauth2/v2.0/token"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": format!("{base}/discovery/v2.0/keys"),
            "response_modes_supported": ["query"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": format!("{base}/v2.0"),
            "request_uri_parameter_supported": false,
            "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
            "claims_supported": [
                "sub", "iss", "aud", "exp", "iat", "nonce", "preferred_username", "name", "tid", "ver"
            ],
            "tenant_region_scope": "WW",
            "cloud_instance_name": host,
        }),
    ))
}

pub fn keys(azure: &Azure, incoming: &Incoming, tenant: &str) -> Result<Reply, EntraError> {
    check_tenant(azure, tenant)?;
    let issuer = format!("{}/{}/v2.0", incoming.base, azure.tenant);
    Ok(Reply::json(StatusCode::OK, &azure.signer.key_set(&issuer)))
}

/// Which authorities are one cloud: this one alone.
pub fn instance_discovery(azure: &Azure, incoming: &Incoming) -> Reply {
    let host = incoming.base.split("://").nth(1).unwrap_or_default();
    let tenant = &azure.tenant;
    Reply::json(
        StatusCode::OK,
        &json!({
            "tenant_discovery_endpoint":
                format!("{}/{tenant}/v2.0/.well-known/openid-configuration", incoming.base),
            "api-version": "1.1",
            "metadata": [{ "preferred_network": host, "preferred_cache": host, "aliases": [host] }],
        }),
    )
}
