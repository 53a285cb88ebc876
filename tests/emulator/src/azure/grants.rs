//! `/oauth2/v2.0/token`: who asks, what for, and the tokens.

use axum::http::StatusCode;
use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::call::{Incoming, Pairs, Reply, field};
use super::entra::{self, Handout};
use super::error::EntraError;
use super::tokens::{self, GRAPH, Grant, MANAGEMENT, Principal};
use super::{Azure, client};
use crate::identity::random;

pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// "OAuth 2.0 authorization code flow": codes live about ten minutes.
const CODE_LIFETIME_MS: u64 = 10 * 60 * 1000;
/// Scopes that name no resource.
const OWN_SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];

pub fn answer(azure: &Azure, incoming: &Incoming, tenant: &str) -> Result<Reply, EntraError> {
    entra::check_tenant(azure, tenant)?;
    let form = incoming.form();
    let ask = Ask {
        azure,
        incoming,
        form: &form,
        client: client::check(azure, incoming, &form)?,
    };
    let answer = match field(&form, "grant_type") {
        "client_credentials" => ask.client_credentials()?,
        "authorization_code" => ask.authorization_code()?,
        "refresh_token" => ask.refresh_token()?,
        JWT_BEARER => ask.on_behalf_of()?,
        "" => {
            return Err(EntraError::new(
                "invalid_request",
                900_144,
                "The request body must contain the following parameter: 'grant_type'.",
            ));
        }
        other => {
            return Err(EntraError::new(
                "unsupported_grant_type",
                70003,
                format!("The app requested an unsupported grant type '{other}'."),
            ));
        }
    };
    Ok(Reply::json(StatusCode::OK, &answer))
}

struct Ask<'a> {
    azure: &'a Azure,
    incoming: &'a Incoming,
    form: &'a Pairs,
    client: String,
}

impl Ask<'_> {
    fn client_credentials(&self) -> Result<Value, EntraError> {
        let scope = field(self.form, "scope");
        let Some(resource) = scope
            .strip_suffix("/.default")
            .filter(|_| !scope.contains(' '))
        else {
            return Err(EntraError::new(
                "invalid_scope",
                1_002_012,
                format!(
                    "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with \
                         /.default suffixed to the resource identifier (application ID URI)."
                ),
            ));
        };
        let principal = Principal::application(&self.client);
        Ok(self.tokens(&principal, &audience(resource), "", None))
    }

    fn authorization_code(&self) -> Result<Value, EntraError> {
        let code = field(self.form, "code");
        let now_ms = self.incoming.at_ms;
        let invalid = |number, text: &str| EntraError::new("invalid_grant", number, text);
        let handout = {
            let mut world = self.azure.world();
            let handout = world.directory.codes.get_mut(code).ok_or_else(|| {
                invalid(
                    9_002_313,
                    "Invalid request. Request is malformed or invalid.",
                )
            })?;
            if handout.used {
                return Err(invalid(
                    54005,
                    "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.",
                ));
            }
            handout.used = true;
            handout.clone()
        };
        if handout.issued_ms + CODE_LIFETIME_MS <= now_ms {
            return Err(client::expired(self.form, now_ms));
        }
        if handout.user.client_id != self.client {
            return Err(invalid(70000, "Provided grant is invalid or malformed."));
        }
        if handout.redirect_uri != field(self.form, "redirect_uri") {
            return Err(invalid(
                50011,
                "The redirect URI specified in the request does not match the one of the authorization request.",
            ));
        }
        if let Some((challenge, method)) = &handout.challenge {
            let verifier = field(self.form, "code_verifier");
            let shown = match method.as_str() {
                "S256" => BASE64URL_NOPAD.encode(digest(&SHA256, verifier.as_bytes()).as_ref()),
                _ => verifier.to_owned(),
            };
            if shown != *challenge {
                return Err(invalid(
                    501_481,
                    "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
                ));
            }
        }
        self.for_user(&handout, &handout.scopes.clone())
    }

    fn refresh_token(&self) -> Result<Value, EntraError> {
        let now_ms = self.incoming.at_ms;
        let (handout, lifetime_ms) = {
            let world = self.azure.world();
            let token = field(self.form, "refresh_token");
            let known = world.directory.refresh_tokens.get(token).cloned();
            (known, world.settings.refresh_token_lifetime_ms)
        };
        let handout = handout
            .filter(|handout| handout.user.client_id == self.client)
            .ok_or_else(|| {
                EntraError::new(
                    "invalid_grant",
                    9_002_313,
                    "Invalid request. Request is malformed or invalid.",
                )
            })?;
        if handout.issued_ms + lifetime_ms <= now_ms {
            return Err(client::expired(self.form, now_ms));
        }
        let handout = Handout {
            issued_ms: now_ms,
            nonce: None,
            ..handout
        };
        self.for_user(&handout, &handout.scopes.clone())
    }

    fn on_behalf_of(&self) -> Result<Value, EntraError> {
        let refuse = |number, text: &str| Err(EntraError::new("invalid_grant", number, text));
        if field(self.form, "requested_token_use") != "on_behalf_of" {
            return Err(EntraError::new(
                "invalid_request",
                900_144,
                "The request body must contain the following parameter: 'requested_token_use'.",
            ));
        }
        let assertion = field(self.form, "assertion");
        let claims = match self.azure.signer.check(assertion) {
            Ok(claims) => claims,
            Err(tokens::Fault::Malformed) => {
                return refuse(50027, "JWT token is invalid or malformed.");
            }
            Err(tokens::Fault::Signature) => {
                return refuse(
                    50013,
                    "Assertion failed signature validation. [Reason - The key was not found.]",
                );
            }
        };
        if claims["exp"].as_u64().unwrap_or_default() * 1000 <= self.incoming.at_ms {
            return Err(client::expired(self.form, self.incoming.at_ms));
        }
        if claims["aud"] != json!(self.client) {
            return refuse(
                500_131,
                "Assertion audience does not match the Client app presenting the assertion. The audience in the assertion was \
                 another app's.",
            );
        }
        let Some(user) = tokens::principal(&claims).filter(|principal| principal.user.is_some())
        else {
            return refuse(50_010, "The assertion is not for a user.");
        };
        let handout = Handout {
            user: Principal {
                client_id: self.client.clone(),
                ..user
            },
            scopes: field(self.form, "scope").to_owned(),
            redirect_uri: String::new(),
            nonce: None,
            challenge: None,
            issued_ms: self.incoming.at_ms,
            used: false,
        };
        self.for_user(&handout, &handout.scopes.clone())
    }

    /// Tokens for a user: for the scopes of this request, or for those that he was asked for.
    fn for_user(&self, handout: &Handout, asked: &str) -> Result<Value, EntraError> {
        let scopes = match field(self.form, "scope") {
            "" => asked,
            given => given,
        };
        let (resource, permissions) = resource_of(scopes)?;
        let audience = resource
            .as_deref()
            .map_or_else(|| GRAPH.to_owned(), audience);
        let user = &handout.user;
        if audience == MANAGEMENT || field(self.form, "grant_type") == JWT_BEARER {
            self.check_interaction(user)?;
        }
        let handout = Handout {
            scopes: scopes.to_owned(),
            ..handout.clone()
        };
        Ok(self.tokens(user, &audience, &permissions, Some(handout)))
    }

    /// Users whom the options name must be asked first.
    fn check_interaction(&self, user: &Principal) -> Result<(), EntraError> {
        let world = self.azure.world();
        if world.directory.satisfied.contains(&user.object_id) {
            return Ok(());
        }
        if user.is_in(&world.settings.consent_needed) {
            return Err(EntraError::new(
                "invalid_grant",
                65001,
                format!(
                    "The user or administrator has not consented to use the application with ID '{}' named 'Emulated app'. Send an \
                     interactive authorization request for this user and resource.",
                    self.client
                ),
            )
            .suberror("consent_required"));
        }
        if user.is_in(&world.settings.interaction_needed) {
            return Err(EntraError {
                claims: Some("{\"access_token\":{\"capolids\":{\"essential\":true,\"values\":[\"emulated\"]}}}"),
                ..EntraError::new(
                    "interaction_required",
                    50076,
                    "Due to a configuration change made by your administrator, or because you moved to a new location, you must use \
                     multi-factor authentication to access the resource.",
                )
                .suberror("basic_action")
            });
        }
        Ok(())
    }

    fn tokens(
        &self,
        principal: &Principal,
        audience: &str,
        permissions: &str,
        handout: Option<Handout>,
    ) -> Value {
        let mut world = self.azure.world();
        let grant = Grant {
            principal,
            audience,
            scopes: permissions,
            tenant: &self.azure.tenant,
            authority: &self.incoming.base,
            now_ms: self.incoming.at_ms,
            lifetime_ms: world.settings.token_lifetime_ms,
        };
        let expires_in = grant.lifetime_ms / 1000;
        let mut answer = json!({
            "token_type": "Bearer",
            "expires_in": expires_in,
            "ext_expires_in": expires_in,
            "access_token": self.azure.signer.sign(&tokens::access_claims(grant)),
        });
        let Some(handout) = handout else {
            return answer;
        };
        let has = |scope: &str| handout.scopes.split_whitespace().any(|word| word == scope);
        answer["scope"] = json!(handout.scopes);
        if has("openid") {
            let claims = tokens::id_claims(grant, handout.nonce.as_deref());
            answer["id_token"] = json!(self.azure.signer.sign(&claims));
        }
        if has("offline_access") {
            let token = format!("1.{}", random(120));
            answer["refresh_token"] = json!(token);
            world.directory.refresh_tokens.insert(token, handout);
        }
        answer
    }
}

/// The resource that these scopes are of, and the permissions on it.
fn resource_of(scopes: &str) -> Result<(Option<String>, String), EntraError> {
    let mut resource: Option<&str> = None;
    let mut permissions = Vec::new();
    for scope in scopes
        .split_whitespace()
        .filter(|scope| !OWN_SCOPES.contains(scope))
    {
        let Some((of, permission)) = scope.rsplit_once('/') else {
            permissions.push(scope);
            continue;
        };
        if resource.is_some_and(|known| known != of) {
            return Err(EntraError::new(
                "invalid_request",
                28000,
                format!(
                    "Provided value for the input parameter scope is not valid because it contains more than one resource. Scope {scopes} is not valid."
                ),
            ));
        }
        resource = Some(of);
        permissions.push(if permission == ".default" {
            "user_impersonation"
        } else {
            permission
        });
    }
    Ok((resource.map(ToOwned::to_owned), permissions.join(" ")))
}

/// The `aud` of a token for a resource: Resource Manager by its address, an app by its id.
fn audience(resource: &str) -> String {
    let resource = resource.trim_end_matches('/');
    match resource {
        "https://management.azure.com" | "https://management.core.windows.net" => {
            MANAGEMENT.to_owned()
        }
        "https://graph.microsoft.com" => GRAPH.to_owned(),
        other => other.strip_prefix("api://").unwrap_or(other).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{audience, resource_of};

    #[test]
    fn scopes_name_one_resource_at_most() {
        let (resource, permissions) =
            resource_of("openid offline_access https://management.azure.com/user_impersonation")
                .unwrap();
        assert_eq!(resource.as_deref(), Some("https://management.azure.com"));
        assert_eq!(permissions, "user_impersonation");
        assert_eq!(resource_of("openid User.Read").unwrap().0, None);
        assert!(resource_of("https://a/x https://b/y").is_err());
        assert_eq!(audience("api://app"), "app");
        assert_eq!(
            audience("https://management.azure.com/"),
            "https://management.azure.com"
        );
    }
}
