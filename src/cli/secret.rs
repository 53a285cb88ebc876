//! `secret get`: the value goes to stdout as it is, and what is wrong to stderr.
//!
//! Nothing of it is recorded, whatever the command line says.

use super::arguments::{GetSecret, StoreArgument};
use super::{one_shot, show};
use crate::backend::Surroundings;
use crate::error::Failure;
use crate::ops::secret::{Store, Wanted, read};
use crate::wire::Secret;
use std::io::Write;
use std::time::Duration;
use tokio::time::Instant;

/// A hub that starts waits for it.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Reads the secret and gives the exit code. On a terminal a newline follows the value.
pub async fn run(asked: &GetSecret, surroundings: &Surroundings, person: bool) -> u8 {
    let mut told = match find(asked, surroundings).await {
        Ok(value) => value.expose().clone(),
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "{}", show::error(&failure.0));
            return one_shot::EXIT_ERROR;
        }
    };
    if person {
        told.push('\n');
    }
    let written = std::io::stdout().write_all(told.as_bytes());
    if written.is_err() {
        return one_shot::EXIT_ERROR;
    }
    0
}

async fn find(asked: &GetSecret, surroundings: &Surroundings) -> Result<Secret<String>, Failure> {
    let credentials = asked.credentials.as_deref();
    let credentials = credentials.map(|file| super::by_hand::read("--credentials", file));
    let credentials = credentials
        .transpose()
        .map_err(|why| Failure::new(crate::wire::Code::BadRequest, why))?;
    let is_url = asked.name.contains("://");
    let wanted = Wanted {
        store: match asked.store {
            Some(StoreArgument::ParameterStore) => Store::ParameterStore,
            Some(StoreArgument::KeyVault) => Store::KeyVault,
            None if is_url => Store::KeyVault,
            Some(StoreArgument::SecretsManager) | None => Store::SecretsManager,
        },
        name: asked.name.clone(),
        key: asked.key.clone(),
        region: asked.region.clone(),
        credentials: Secret::new(credentials.unwrap_or_default()),
    };
    read(surroundings, &wanted, Instant::now() + TIMEOUT).await
}
