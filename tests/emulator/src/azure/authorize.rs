//! `/oauth2/v2.0/authorize`: a form that asks for a user's name and no password, or no form where the request names him.

use axum::http::{Method, StatusCode};

use super::Azure;
use super::call::{Incoming, Pairs, Reply, field};
use super::entra::{self, Handout};
use super::error::EntraError;
use super::tokens::Principal;
use crate::identity::random;

const PAGE: &str = include_str!("authorize.html");

/// `login_hint`, or the form's own `username`, signs in at once. `prompt=consent` and `prompt=login` do what they ask for.
pub fn answer(azure: &Azure, incoming: &Incoming, tenant: &str) -> Result<Reply, EntraError> {
    entra::check_tenant(azure, tenant)?;
    let mut asked = incoming.query.clone();
    if incoming.method == Method::POST {
        asked.extend(incoming.form());
    }
    let client = field(&asked, "client_id");
    if !azure.apps.iter().any(|app| app.client_id == client) {
        return Err(unknown_app(client));
    }
    let redirect_uri = field(&asked, "redirect_uri");
    if !redirect_uri.contains("://") {
        return Err(EntraError::new(
            "invalid_request",
            50011,
            format!(
                "The redirect URI '{redirect_uri}' specified in the request does not match the redirect URIs configured for the \
                 application '{client}'."
            ),
        ));
    }
    if field(&asked, "response_type") != "code" {
        return Err(EntraError::new(
            "unsupported_response_type",
            700_054,
            "The emulator has response_type 'code' alone.",
        ));
    }
    if !field(&asked, "decline").is_empty() {
        return Ok(declined(&asked));
    }
    let name = [field(&asked, "username"), field(&asked, "login_hint")]
        .into_iter()
        .find(|name| !name.trim().is_empty());
    Ok(match name {
        Some(name) => redirect(azure, incoming, &asked, name),
        None => Reply::html(form(&asked)),
    })
}

pub fn unknown_app(client: &str) -> EntraError {
    EntraError::new(
        "unauthorized_client",
        700_016,
        format!(
            "Application with identifier '{client}' was not found in the directory 'Emulator'. This can happen if the application \
             has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have \
             sent your authentication request to the wrong tenant."
        ),
    )
}

fn redirect(azure: &Azure, incoming: &Incoming, asked: &Pairs, name: &str) -> Reply {
    let user = Principal::user(name, field(asked, "client_id"));
    let text = |name: &str| Some(field(asked, name)).filter(|text| !text.is_empty());
    let handout = Handout {
        scopes: field(asked, "scope").to_owned(),
        redirect_uri: field(asked, "redirect_uri").to_owned(),
        nonce: text("nonce").map(ToOwned::to_owned),
        challenge: text("code_challenge").map(|challenge| {
            (
                challenge.to_owned(),
                text("code_challenge_method").unwrap_or("plain").to_owned(),
            )
        }),
        issued_ms: incoming.at_ms,
        used: false,
        user: user.clone(),
    };
    let code = format!("0.{}", random(60));
    {
        let mut world = azure.world();
        if ["consent", "login"].contains(&field(asked, "prompt")) {
            world.directory.satisfied.insert(user.object_id);
        }
        world.directory.codes.insert(code.clone(), handout);
    }
    back(asked, &[("code", &code)])
}

/// "OAuth 2.0 authorization code flow", error response: the app is told in the same way.
fn declined(asked: &Pairs) -> Reply {
    let why = "the user canceled the authentication";
    back(
        asked,
        &[("error", "access_denied"), ("error_description", why)],
    )
}

/// Back to the app, with its state.
fn back(asked: &Pairs, answer: &[(&str, &str)]) -> Reply {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(answer);
    let state = field(asked, "state");
    if !state.is_empty() {
        query.append_pair("state", state);
    }
    let redirect_uri = field(asked, "redirect_uri");
    let joint = if redirect_uri.contains('?') { '&' } else { '?' };
    let target = format!("{redirect_uri}{joint}{}", query.finish());
    Reply::empty(StatusCode::FOUND).with(vec![("location", target)])
}

fn form(asked: &Pairs) -> String {
    let hidden: Vec<String> = asked
        .iter()
        .map(|(name, value)| {
            let (name, value) = (escape(name), escape(value));
            format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">")
        })
        .collect();
    let scopes: Vec<String> = field(asked, "scope")
        .split_whitespace()
        .map(|scope| format!("<li>{}</li>", escape(scope)))
        .collect();
    PAGE.replace("{client}", &escape(field(asked, "client_id")))
        .replace("{scopes}", &scopes.concat())
        .replace("{hidden}", &hidden.concat())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
