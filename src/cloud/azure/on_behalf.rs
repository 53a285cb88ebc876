//! A person's own token for Resource Manager, got with what their log-in left to the hub.
//!
//! azure_identity has no on-behalf-of flow, so the two token requests are made here, through the same door: "Microsoft
//! identity platform and OAuth 2.0 On-Behalf-Of flow", and "Refresh the access token" of the authorization code flow.

use crate::cloud::CloudError;
use crate::error::Failure;
use crate::net::{CredentialTraffic, Door};
use crate::wire::Secret;
use bytes::Bytes;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// What a log-in leaves to the hub, and the app that people log in to.
#[derive(Debug, Clone, Deserialize)]
pub struct UserAssertion {
    /// The app's tenant.
    pub tenant_id: String,
    /// The app.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret<String>,
    /// The person's access token for the app.
    pub assertion: Option<Secret<String>>,
    /// The person's refresh token.
    pub refresh_token: Option<Secret<String>>,
}

impl UserAssertion {
    /// Refuses one that leads nowhere.
    ///
    /// # Errors
    /// `invalid_config` with the field's name; no value is repeated.
    pub fn check(&self) -> Result<(), Failure> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
        if self.tenant_id.is_empty() || !self.tenant_id.chars().all(plain) {
            let message = "must be a tenant's id or domain";
            return Err(Failure::invalid_config("credentials.tenant_id", message));
        }
        if self.assertion.is_none() && self.refresh_token.is_none() {
            let message = "user_assertion needs assertion or refresh_token";
            return Err(Failure::invalid_config("credentials", message));
        }
        Ok(())
    }
}

/// The person's token, asked for when it is first needed and kept until shortly before it ends.
pub struct UserToken {
    user: UserAssertion,
    url: String,
    scope: String,
    door: Arc<dyn Door>,
    kept: Mutex<Option<(Secret<String>, Instant)>>,
}

/// Entra ID's answer, as far as it is read.
#[derive(Deserialize)]
struct Granted {
    access_token: Secret<String>,
    #[serde(default)]
    expires_in: u64,
}

/// Entra ID's refusal ("Microsoft identity platform error codes": `error` and `error_codes` are for programs).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refused {
    error: String,
    suberror: Option<String>,
    error_description: String,
    error_codes: Vec<u64>,
}

impl UserToken {
    /// Asks nobody yet. `audience` is Resource Manager's.
    #[must_use]
    pub fn new(user: UserAssertion, authority: &str, audience: &str, door: Arc<dyn Door>) -> Self {
        Self {
            url: format!("{authority}/{}/oauth2/v2.0/token", user.tenant_id),
            scope: format!("{audience}/user_impersonation offline_access"),
            user,
            door,
            kept: Mutex::default(),
        }
    }

    /// A token to put after "Bearer ".
    ///
    /// # Errors
    /// `SignIn`: the person has to do something; `Credentials`: the hub's admin has, or it passes by itself.
    pub async fn bearer(&self, operation: &str) -> Result<Secret<String>, CloudError> {
        // A token that ends while the call is on its way would be refused.
        const MARGIN: Duration = Duration::from_mins(1);
        let mut kept = self.kept.lock().await;
        if let Some((token, until)) = kept.as_ref()
            && *until > Instant::now() + MARGIN
        {
            return Ok(token.clone());
        }
        let granted = self.ask(operation).await?;
        let until = Instant::now() + Duration::from_secs(granted.expires_in);
        *kept = Some((granted.access_token.clone(), until));
        Ok(granted.access_token)
    }

    /// The next call gets a new token.
    pub async fn forget(&self) {
        *self.kept.lock().await = None;
    }

    async fn ask(&self, operation: &str) -> Result<Granted, CloudError> {
        let failed = |why: String, transient: bool| CloudError::Credentials {
            operation: operation.to_owned(),
            why,
            transient,
        };
        let request = http::Request::post(&self.url)
            .header(
                http::header::CONTENT_TYPE,
                "application/x-www-form-urlencoded",
            )
            .extension(CredentialTraffic)
            .body(Bytes::from(self.form()))
            .map_err(|e| failed(e.to_string(), false))?;
        let answer = self.door.send(request).await;
        let answer = answer.map_err(|error| failed(error.to_string(), true))?;
        if answer.status().is_success() {
            return serde_json::from_slice(answer.body())
                .map_err(|_| failed("Entra ID's answer holds no token".to_owned(), true));
        }
        let refused: Refused = serde_json::from_slice(answer.body()).unwrap_or_default();
        let why = format!(
            "Entra ID: {}: {}",
            refused.error,
            super::auth::first_line(&refused.error_description)
        );
        if let Some(sentence) = refused.sentence() {
            return Err(CloudError::SignIn {
                operation: operation.to_owned(),
                why,
                sentence,
            });
        }
        let status = answer.status().as_u16();
        Err(failed(why, status == 429 || status >= 500))
    }

    fn form(&self) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("client_id", &self.user.client_id)
            .append_pair("client_secret", self.user.client_secret.expose())
            .append_pair("scope", &self.scope);
        match (&self.user.refresh_token, &self.user.assertion) {
            // A refresh token outlives the hour that an access token lasts.
            (Some(token), _) => form
                .append_pair("grant_type", "refresh_token")
                .append_pair("refresh_token", token.expose()),
            (None, assertion) => form
                .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
                .append_pair("requested_token_use", "on_behalf_of")
                .append_pair("assertion", assertion.as_ref().map_or("", |a| a.expose())),
        };
        form.finish()
    }
}

impl Refused {
    /// What the person has to do, where it is theirs to do something.
    fn sentence(&self) -> Option<&'static str> {
        // AADSTS65001: the user or administrator has not consented.
        const NO_CONSENT: u64 = 65001;
        let suberror = self.suberror.as_deref().unwrap_or_default();
        if suberror == "consent_required"
            || self.error == "consent_required"
            || self.error_codes.contains(&NO_CONSENT)
        {
            return Some(
                "This hub may not yet act for you in Azure. Log out and log in again to give your consent; if that is not offered, ask your administrator for it.",
            );
        }
        match self.error.as_str() {
            "interaction_required" | "login_required" => Some(
                "Your organisation asks you to confirm who you are. Log out, log in again, and start your server.",
            ),
            "invalid_grant" => {
                Some("Your log-in has ended. Log out, log in again, and start your server.")
            }
            _ => None,
        }
    }
}
