//! Whether the settings can work: what can be told without Azure, and calls that change nothing.
//!
//! `permissions` are those that the settings need, `quota` is the cores that are left, `storage` is people's homes.

mod permissions;
mod quota;
mod storage;

use super::AzureMl;
use super::api::{Place, Service, WorkspaceView};
use super::config::Config;
use crate::backend::{Look, Settings, first_checks};
use crate::cloud::CloudError;
use crate::cloud::azure::AzureCredentials;
use crate::error::Failure;
use crate::wire::reply::Check;
use std::time::Duration;
use tokio::time::Instant;

/// A doctor that takes longer is not waited for.
const TIMEOUT: Duration = Duration::from_secs(20);

/// An address that is free is bound at once; a hub that restarts holds its own a little longer.
const BIND_TIMEOUT: Duration = Duration::from_secs(2);

/// All checks, the offline ones first.
pub async fn check(backend: &AzureMl, settings: Settings<'_>, look: Look<'_>) -> Vec<Check> {
    let credentials = AzureCredentials::read(settings.credentials);
    let (mut checks, config) = first_checks(Config::read(settings.config), &credentials);
    let Some(config) = config else { return checks };
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
        checks.push(storage::settings(&config));
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
    let deadline = Instant::now() + TIMEOUT;
    let service = match backend.service(config, settings) {
        Ok(service) => service,
        Err(failure) => {
            let redirect = redirect(backend, config).await;
            return vec![not_signed_in(&failure), redirect];
        }
    };
    let (identity, redirect, workspace) = tokio::join!(
        identity(&service),
        redirect(backend, config),
        service.workspace(place, deadline)
    );
    let mut checks = vec![
        identity,
        redirect,
        read_workspace(place, config, &workspace),
    ];
    let seen = workspace.ok().flatten();
    let location = seen.as_ref().and_then(|seen| seen.location.clone());
    let location = location.or(config.location.clone());
    let needs = permissions::needs(config, settings, place, seen.is_some());
    let (permissions, quota, storage) = tokio::join!(
        permissions::check(&service, needs, deadline),
        quota::check(&service, place, config, location.as_deref(), deadline),
        storage::check(backend, &service, config, settings, deadline)
    );
    checks.extend(permissions);
    checks.extend(quota);
    checks.extend(storage);
    checks.push(Check::unseen(
        "not tried",
        "whether the region has machines of that size now, and people's way to their instances",
        "Only a start shows these: cloudspawner start --user NAME",
    ));
    checks
}

fn read_workspace(
    place: &Place,
    config: &Config,
    asked: &Result<Option<WorkspaceView>, CloudError>,
) -> Check {
    const NAME: &str = "read the workspace";
    match asked {
        Ok(Some(workspace)) => {
            let location = workspace.location.as_deref().unwrap_or_default();
            Check::good(NAME, &format!("it is in {location}"))
        }
        Ok(None) if config.create_workspace == Some(true) => {
            Check::good(NAME, "it is not there; the first start creates it")
        }
        Ok(None) => Check::bad(
            NAME,
            &format!("not_found: {} is not there", place.workspace),
            "Create it, name another, or set create_workspace.",
        ),
        Err(error) => Check::bad(
            NAME,
            error,
            "The hub's identity needs Reader there, and the custom role to start.",
        ),
    }
}

fn not_signed_in(failure: &Failure) -> Check {
    Check::bad(
        "identity",
        failure,
        "Log in (az login), or set AMLSpawner.credential_kind and what it needs.",
    )
}

/// Whose credentials these are.
async fn identity(service: &Service) -> Check {
    match service.resource_manager().tokens.whose("sign in").await {
        Ok(whose) => Check::good("identity", &whose),
        Err(error) => not_signed_in(&error.into_failure()),
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
