//! Key Vault's secrets, by their URLs.

use super::resource_manager::Call;
use super::{AzureCredentials, Clouds, ResourceManager, Tokens};
use crate::cloud::CloudError;
use crate::context::Context;
use crate::error::Failure;
use crate::net::Door;
use crate::net::limiter::Limiter;
use crate::wire::Secret;
use serde_json::Value;
use std::sync::Arc;
use tokio::time::Instant;

/// Key Vault's stable version (Key Vault REST API reference, Get Secret).
const VERSION: &str = "7.4";
/// The domains of Key Vault, by cloud: a token is shown to no other host ("About keys, secrets and certificates", DNS suffixes).
const DOMAINS: [&str; 3] = [
    "vault.azure.net",
    "vault.azure.cn",
    "vault.usgovcloudapi.net",
];

/// Who asks, and by which way.
pub struct Asker<'a> {
    /// Who.
    pub credentials: &'a AzureCredentials,
    /// Entra ID; the public cloud's by default.
    pub authority_host: Option<&'a str>,
    /// The way out.
    pub door: Arc<dyn Door>,
    /// The quotas.
    pub limiter: Arc<Limiter>,
    /// Clock and chance.
    pub context: Context,
}

/// One secret of a vault.
pub struct VaultSecret {
    // A vault answers as Resource Manager does, to a token of its own.
    vault: ResourceManager,
    path: String,
}

impl VaultSecret {
    /// The secret at `url`, such as `https://lab.vault.azure.net/secrets/db-password`; nobody is asked yet.
    ///
    /// # Errors
    /// `invalid_config` where the URL is no secret's, or the credentials cannot be used.
    pub fn at(url: &str, asker: Asker<'_>) -> Result<Self, Failure> {
        let wrong = || {
            let why =
                "is no secret's URL, such as \"https://lab.vault.azure.net/secrets/db-password\"";
            Failure::invalid_config(url, why)
        };
        let parsed: http::Uri = url.parse().map_err(|_| wrong())?;
        let scheme = parsed.scheme_str().unwrap_or_default();
        let host = parsed.host().unwrap_or_default();
        let of_vaults = |domain: &&str| host.ends_with(&format!(".{domain}"));
        let domain = DOMAINS.into_iter().find(of_vaults);
        // Plain http is taken on loopback alone (`Clouds::read`), where a stand-in is.
        if scheme != "http" && domain.is_none() || !parsed.path().starts_with("/secrets/") {
            return Err(wrong());
        }
        let authority = parsed.authority().map(http::uri::Authority::as_str);
        let origin = format!("{scheme}://{}", authority.unwrap_or_default());
        let clouds = Clouds::read(Some(&origin), asker.authority_host)?;
        let audience = format!("https://{}", domain.unwrap_or(DOMAINS[0]));
        let vault = ResourceManager {
            tokens: Tokens::open_for(asker.credentials, &clouds, &asker.door, &audience)?,
            clouds,
            scope: origin,
            door: asker.door,
            limiter: asker.limiter,
            context: asker.context,
        };
        let path = parsed.path().to_owned();
        Ok(Self { vault, path })
    }

    /// Its value. May be repeated.
    ///
    /// # Errors
    /// `not_found`, `permission_denied`; whatever kept the vault from telling.
    pub async fn read(&self, deadline: Instant) -> Result<Secret<Value>, CloudError> {
        let call = Call::get(&self.path, VERSION, "vault:GetSecret");
        let mut answer = self.vault.call(&call, deadline).await?;
        Ok(Secret::new(answer.body["value"].take()))
    }
}
