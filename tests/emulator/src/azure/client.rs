//! Which app asks for a token, and that it is the one: by a secret, or by an outside token of workload identity.

use serde_json::Value;

use super::authorize::unknown_app;
use super::call::{Incoming, Pairs, field};
use super::error::EntraError;
use super::grants::JWT_BEARER;
use super::{Azure, tokens, view};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// "Workload identity federation": the recommended audience of an outside token.
const EXCHANGE: &str = "api://AzureADTokenExchange";

pub fn wrong_secret(app: &str) -> EntraError {
    EntraError::new(
        "invalid_client",
        7_000_215,
        format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the \
             client secret ID, for a secret added to app '{app}'."
        ),
    )
    .unauthorized()
}

/// What was shown is too old: a secret, a code, a refresh token or an assertion, by the kind of request.
pub fn expired(form: &Pairs, now_ms: u64) -> EntraError {
    let app = field(form, "client_id");
    match field(form, "grant_type") {
        "refresh_token" => EntraError::new(
            "invalid_grant",
            700_082,
            format!(
                "The refresh token has expired due to inactivity. The token was issued on {} and was inactive for 90.00:00:00.",
                view::date(now_ms.saturating_sub(91 * 24 * 3600 * 1000))
            ),
        ),
        "authorization_code" => EntraError::new(
            "invalid_grant",
            70008,
            "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive \
             authorization request for this user and resource.",
        ),
        JWT_BEARER => EntraError::new(
            "invalid_grant",
            500_133,
            "Assertion is not within its valid time range. Ensure that the access token is not expired before using it for user \
             assertion, or request a new token.",
        ),
        _ => EntraError::new(
            "invalid_client",
            7_000_222,
            format!("The provided client secret keys for app '{app}' are expired."),
        )
        .unauthorized(),
    }
}

/// The app that asks, by its secret (in the body or as Basic) or by an assertion.
pub fn check(azure: &Azure, incoming: &Incoming, form: &Pairs) -> Result<String, EntraError> {
    let basic = incoming
        .header("authorization")
        .and_then(|value| value.strip_prefix("Basic "))
        .and_then(|value| data_encoding::BASE64.decode(value.as_bytes()).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let (basic_id, basic_secret) = basic
        .as_deref()
        .and_then(|text| text.split_once(':'))
        .unwrap_or_default();
    let either = |name, other: &str| {
        Some(field(form, name))
            .filter(|text| !text.is_empty())
            .unwrap_or(other)
            .to_owned()
    };
    let client = either("client_id", basic_id);
    let secret = either("client_secret", basic_secret);
    let app = azure
        .apps
        .iter()
        .find(|app| app.client_id == client)
        .ok_or_else(|| unknown_app(&client))?;
    let assertion = field(form, "client_assertion");
    if !assertion.is_empty() {
        check_assertion(azure, incoming, form, assertion)?;
    } else if secret.is_empty() {
        return Err(EntraError::new(
            "invalid_client",
            7_000_218,
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        )
        .unauthorized());
    } else if secret != app.secret {
        return Err(wrong_secret(&client));
    }
    Ok(client)
}

/// An outside token of workload identity. Its issuer is unknown here, so its signature is not checked.
fn check_assertion(
    azure: &Azure,
    incoming: &Incoming,
    form: &Pairs,
    assertion: &str,
) -> Result<(), EntraError> {
    let refuse = |number, message: String| {
        Err(EntraError::new("invalid_client", number, message).unauthorized())
    };
    if field(form, "client_assertion_type") != ASSERTION_TYPE {
        return refuse(
            900_144,
            "The request body must contain the following parameter: 'client_assertion_type'."
                .to_owned(),
        );
    }
    let Some(claims) = tokens::claims(assertion) else {
        return refuse(50027, "JWT token is invalid or malformed.".to_owned());
    };
    let expires_ms = claims["exp"].as_u64().map(|seconds| seconds * 1000);
    if expires_ms.is_some_and(|at_ms| at_ms <= incoming.at_ms) {
        return refuse(
            700_024,
            "Client assertion is not within its valid time range.".to_owned(),
        );
    }
    let audiences: Vec<&str> = match &claims["aud"] {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let ours = |audience: &&&str| **audience == EXCHANGE || audience.contains(&azure.tenant);
    if audiences.iter().find(ours).is_none() {
        return refuse(
            700_212,
            format!(
                "No matching federated identity record found for presented assertion audience '{}'.",
                audiences.join(",")
            ),
        );
    }
    Ok(())
}
