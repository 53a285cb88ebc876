//! Whether the settings can work: what can be told without Azure, and calls that change nothing.

use super::AzureMl;
use super::api::Place;
use super::config::Config;
use crate::backend::{Look, Settings};
use crate::cloud::azure::AzureCredentials;
use crate::error::Failure;
use crate::mount::azure_files::{Files, Method};
use crate::wire::reply::Check;
use std::time::Duration;
use tokio::time::Instant;

/// A doctor that takes longer is not waited for.
const TIMEOUT: Duration = Duration::from_secs(20);

/// An address that is free is bound at once; a hub that restarts holds its own a little longer.
const BIND_TIMEOUT: Duration = Duration::from_secs(2);

/// All checks, the offline ones first.
pub async fn check(backend: &AzureMl, settings: Settings<'_>, look: Look<'_>) -> Vec<Check> {
    let config = match Config::read(settings.config) {
        Ok(config) => config,
        Err(failure) => {
            return vec![Check::bad(
                "config",
                &failure,
                "Mend the field that is named.",
            )];
        }
    };
    let mut checks = vec![Check::good(
        "config",
        "every field is known and has the right type",
    )];
    match AzureCredentials::read(settings.credentials) {
        Ok(_) => checks.push(Check::good("credentials", "well formed")),
        Err(failure) => {
            checks.push(Check::bad(
                "credentials",
                &failure,
                "Mend the field that is named.",
            ));
            return checks;
        }
    }
    let Some(place) = config.place() else {
        let failure = Failure::invalid_config(
            "config.workspace",
            "subscription_id, resource_group and workspace are needed",
        );
        checks.push(Check::bad("workspace", &failure, "Name all three."));
        return checks;
    };
    match place.check() {
        Ok(()) => checks.push(Check::good("workspace", &place.workspace)),
        Err(failure) => checks.push(Check::bad("workspace", &failure, "Mend the name.")),
    }
    if config.storage.is_some() {
        checks.push(storage_settings(&config));
        if let Some(files) = config.storage.as_ref().and_then(|own| own.ssh.as_ref()) {
            checks.push(match files.check() {
                Ok(()) => Check::good("ssh", "the hub's key and its file of host keys can be used"),
                Err(failure) => Check::bad("ssh", &failure, "Mend the file that is named."),
            });
        }
    }
    if !look.offline {
        checks.extend(ask(backend, settings, &config, &place).await);
    }
    checks
}

/// What Azure tells.
async fn ask(
    backend: &AzureMl,
    settings: Settings<'_>,
    config: &Config,
    place: &Place,
) -> Vec<Check> {
    let mut checks = Vec::new();
    checks.push(identity(backend, config, settings).await);
    checks.push(redirect(backend, config).await);
    let deadline = Instant::now() + TIMEOUT;
    let asked = match backend.service(config, settings) {
        Ok(service) => service
            .workspace(place, deadline)
            .await
            .map_err(crate::cloud::CloudError::into_failure),
        Err(failure) => Err(failure),
    };
    checks.push(match asked {
        Ok(Some(workspace)) => Check::good(
            "read the workspace",
            &format!("it is in {}", workspace.location.unwrap_or_default()),
        ),
        Ok(None) if config.create_workspace == Some(true) => Check::good(
            "read the workspace",
            "it is not there; the first start creates it",
        ),
        Ok(None) => Check::bad(
            "read the workspace",
            &format!("not_found: {} is not there", place.workspace),
            "Create it, name another, or set create_workspace.",
        ),
        Err(failure) => Check::bad(
            "read the workspace",
            &failure,
            "The hub's identity needs Reader there, and the custom role to start.",
        ),
    });
    if let (Some(_), Ok(storage), Ok(service)) = (
        &config.storage,
        config.storage(),
        backend.service(config, settings),
    ) {
        let reached = async {
            let secret = super::home::secret(settings.credentials)?;
            let files = Files::new(service.resource_manager(), &storage, secret.as_ref())?;
            files.check(deadline).await
        };
        checks.push(match reached.await {
            Ok(()) => Check::good("read the storage account", &storage.account),
            Err(failure) => Check::bad(
                "read the storage account",
                &failure,
                "The hub's identity needs the storage part of the custom role on the account.",
            ),
        });
    }
    checks.push(Check::unseen(
        "not tried",
        "the permissions to create, start, stop and delete instances, and the quota of cores",
        "Only a start shows these; deployments/aml_role.json is the custom role with all that it needs.",
    ));
    checks
}

/// Whose credentials these are.
async fn identity(backend: &AzureMl, config: &Config, settings: Settings<'_>) -> Check {
    const NAME: &str = "identity";
    let told = match backend.service(config, settings) {
        Ok(service) => {
            let tokens = &service.resource_manager().tokens;
            tokens
                .whose("sign in")
                .await
                .map_err(crate::cloud::CloudError::into_failure)
        }
        Err(failure) => Err(failure),
    };
    match told {
        Ok(whose) => Check::good(NAME, &whose),
        Err(failure) => Check::bad(
            NAME,
            &failure,
            "Log in (az login), or set AMLSpawner.credential_kind and what it needs.",
        ),
    }
}

/// The listener that leads people to their instances: a process that serves is about to need it.
async fn redirect(backend: &AzureMl, config: &Config) -> Check {
    const NAME: &str = "redirect";
    let address = match config.redirect() {
        Ok((address, _)) => address,
        Err(failure) => return Check::bad(NAME, &failure, "Mend the field that is named."),
    };
    let bound = tokio::time::timeout(BIND_TIMEOUT, backend.way(config)).await;
    match bound {
        Ok(Ok(_)) => Check::good(NAME, &address.to_string()),
        Ok(Err(failure)) => Check::bad(NAME, &failure, "Name another address in redirect_listen."),
        Err(_) => Check::bad(
            NAME,
            &format!("{address} is taken by another program"),
            "End that program, or name another port in redirect_listen.",
        ),
    }
}

/// What the settings of storage open, and to whom.
fn storage_settings(config: &Config) -> Check {
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
