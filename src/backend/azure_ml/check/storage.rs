//! People's homes: the account, and the secret by which instances mount where the settings say so.

use super::super::api::Service;
use super::super::config::Config;
use super::super::{AzureMl, home};
use crate::backend::{Settings, Surroundings};
use crate::cloud::CloudError;
use crate::cloud::azure::AzureCredentials;
use crate::cloud::azure::key_vault::{Asker, VaultSecret};
use crate::error::Failure;
use crate::mount::azure_files::{Credential, Files, Method, Storage};
use crate::wire::Code;
use crate::wire::reply::Check;
use std::time::Duration;
use tokio::time::Instant;

/// A vault that lets only its own network in is not waited for.
const VAULT_TIMEOUT: Duration = Duration::from_secs(3);

/// What the settings of storage open, and to whom.
pub fn settings(config: &Config) -> Check {
    match config.storage() {
        Err(failure) => Check::bad("storage", &failure, "Mend the field that is named."),
        Ok(storage) => match storage.hands_out_the_key() {
            None => Check::good(
                "storage",
                &format!(
                    "each person's identity opens their own share of {} alone",
                    storage.account
                ),
            ),
            Some((_, how)) => {
                let experimental = match storage.method {
                    Method::DataMounts => {
                        "; and data_mounts is an experiment, by a preview of Azure's API"
                    }
                    _ => "",
                };
                let found = format!(
                    "{how}, and it opens every share of the account: people can read each other's files{experimental}"
                );
                Check::bad(
                    "storage",
                    &found,
                    "Use method \"startup_script\" with credential \"identity\", or keep one account for each person.",
                )
            }
        },
    }
}

/// What Azure tells of the account, and of the secret that opens it.
pub async fn check(
    backend: &AzureMl,
    service: &Service,
    config: &Config,
    settings: Settings<'_>,
    deadline: Instant,
) -> Vec<Check> {
    let Ok(storage) = config.storage() else {
        return Vec::new();
    };
    let (account, secret) = tokio::join!(
        read_account(service, &storage, settings, deadline),
        read_secret(backend, config, &storage, settings)
    );
    std::iter::once(account).chain(secret).collect()
}

async fn read_account(
    service: &Service,
    storage: &Storage,
    settings: Settings<'_>,
    deadline: Instant,
) -> Check {
    const NAME: &str = "read the storage account";
    let reached = async {
        let secret = home::secret(settings.credentials)?;
        let files = Files::new(service.resource_manager(), storage, secret.as_ref())?;
        files.check(deadline).await
    };
    match reached.await {
        Ok(()) => Check::good(NAME, &storage.account),
        Err(failure) => Check::bad(
            NAME,
            &failure,
            "The hub's identity needs the storage part of the custom role on the account.",
        ),
    }
}

/// Whether the secret with the account's key is there. The instances read it, not the hub, so a hub that may not is no fault.
async fn read_secret(
    backend: &AzureMl,
    config: &Config,
    storage: &Storage,
    settings: Settings<'_>,
) -> Option<Check> {
    const NAME: &str = "read the key vault's secret";
    if storage.method != Method::StartupScript || storage.credential != Credential::KeyVault {
        return None;
    }
    let identity = storage.vault_identity.as_deref().unwrap_or_default();
    let needed = format!("instances need the role Key Vault Secrets User on it for {identity}");
    let Surroundings {
        context,
        door,
        limiter,
        ..
    } = backend.surroundings.clone();
    let asked = async {
        let (_, credentials) = AzureCredentials::read(settings.credentials)?.creator_and_service();
        let asker = Asker {
            credentials: &credentials,
            authority_host: config.authority_host.as_deref(),
            door,
            limiter,
            context,
        };
        let url = storage.vault_secret.as_deref().unwrap_or_default();
        let secret = VaultSecret::at(url, asker)?;
        let read = secret.read(Instant::now() + VAULT_TIMEOUT).await;
        read.map(drop).map_err(CloudError::into_failure)
    };
    let asked = tokio::time::timeout(VAULT_TIMEOUT, asked);
    let mend =
        "Name another in storage.vault_secret, or store the account's key: az keyvault secret set";
    Some(match asked.await {
        Ok(Ok(())) => Check::good(NAME, &format!("it is there; {needed}")),
        Ok(Err(failure)) if failure.code() == Code::NotFound => Check::bad(NAME, &failure, mend),
        Ok(Err(failure)) if failure.code() == Code::InvalidConfig => {
            Check::bad(NAME, &failure, mend)
        }
        Ok(Err(failure)) => unseen(NAME, &failure, &needed),
        Err(_) => unseen(
            NAME,
            &Failure::new(Code::Deadline, "the vault does not answer the hub"),
            &needed,
        ),
    })
}

fn unseen(name: &str, failure: &Failure, needed: &str) -> Check {
    let why = format!("could not be looked at: {failure}");
    Check::unseen(name, &why, &format!("The hub needs it not; {needed}."))
}
