//! A secret from a vault, for whoever configures a hub: AWS Secrets Manager, SSM's Parameter Store, Azure Key Vault.
//!
//! It is no verb of the wire: the value goes to the one who asked, and into no frame, log or tape.

use crate::backend::Surroundings;
use crate::cloud::CloudError;
use crate::cloud::aws::{
    Account, AccountSettings, Call, Credentials, JsonService, ServiceId, ServiceName,
};
use crate::cloud::azure::AzureCredentials;
use crate::cloud::azure::key_vault::{Asker, VaultSecret};
use crate::error::Failure;
use crate::wire::{Code, Secret};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Secrets Manager (botocore's model, metadata).
const SECRETS_MANAGER: (ServiceId, ServiceName) = (
    ServiceId {
        sdk: "Secrets Manager",
        host: "secretsmanager",
        endpoint_setting: "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    },
    ServiceName {
        target: "secretsmanager",
        signing: "secretsmanager",
    },
);
/// SSM (the same).
const SSM: (ServiceId, ServiceName) = (
    ServiceId {
        sdk: "SSM",
        host: "ssm",
        endpoint_setting: "AWS_ENDPOINT_URL_SSM",
    },
    ServiceName {
        target: "AmazonSSM",
        signing: "ssm",
    },
);
/// Where a secret is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// AWS Secrets Manager, by name or ARN.
    SecretsManager,
    /// SSM's Parameter Store, by name or ARN; it is decrypted.
    ParameterStore,
    /// Azure Key Vault, by the secret's URL.
    KeyVault,
}

/// Which secret.
#[derive(Debug)]
pub struct Wanted {
    /// Where it is kept.
    pub store: Store,
    /// Its name, ARN or URL.
    pub name: String,
    /// The key, where the secret is a JSON object and one value of it is wanted.
    pub key: Option<String>,
    /// AWS's region; else the environment's or the profile's.
    pub region: Option<String>,
    /// Explicit credentials; null for the cloud's own chain.
    pub credentials: Secret<Value>,
}

/// Reads the secret. May be repeated; nothing is changed.
///
/// # Errors
/// `not_found`, `permission_denied`, `unauthenticated`; `invalid_config` where it is binary, or has no such key.
pub async fn read(
    surroundings: &Surroundings,
    wanted: &Wanted,
    deadline: Instant,
) -> Result<Secret<String>, Failure> {
    let read = async {
        match wanted.store {
            Store::SecretsManager => {
                let request = json!({"SecretId": wanted.name});
                let call = Call::post("GetSecretValue", &request);
                let body = aws(surroundings, wanted, SECRETS_MANAGER, &call, deadline).await?;
                Ok(body["SecretString"].clone())
            }
            Store::ParameterStore => {
                let request = json!({"Name": wanted.name, "WithDecryption": true});
                let call = Call::post("GetParameter", &request);
                let body = aws(surroundings, wanted, SSM, &call, deadline).await?;
                Ok(body["Parameter"]["Value"].clone())
            }
            Store::KeyVault => key_vault(surroundings, wanted, deadline).await,
        }
    };
    let too_late = |_| Failure::new(Code::Deadline, "the time was up");
    let value = tokio::time::timeout_at(deadline, read)
        .await
        .map_err(too_late)??;
    let Value::String(text) = value else {
        let why = "is binary; only a text can be read";
        return Err(Failure::invalid_config(&wanted.name, why));
    };
    match &wanted.key {
        None => Ok(Secret::new(text)),
        Some(key) => of_key(&wanted.name, &text, key),
    }
}

async fn aws(
    surroundings: &Surroundings,
    wanted: &Wanted,
    (id, name): (ServiceId, ServiceName),
    call: &Call<'_>,
    deadline: Instant,
) -> Result<Value, Failure> {
    let settings = AccountSettings {
        credentials: Credentials::read(&wanted.credentials)?,
        region: wanted.region.clone(),
        endpoint_url: None,
    };
    let Surroundings {
        context,
        door,
        limiter,
        ..
    } = surroundings.clone();
    let service = JsonService {
        name,
        account: Account::open(&settings, id, door.clone()).await?,
        scope: name.signing.to_owned(),
        door,
        limiter,
        context,
    };
    let answer = service.call(call, &[], deadline).await;
    answer.map_err(|error| explained(error, wanted))
}

async fn key_vault(
    surroundings: &Surroundings,
    wanted: &Wanted,
    deadline: Instant,
) -> Result<Value, Failure> {
    let Surroundings {
        context,
        door,
        limiter,
        ..
    } = surroundings.clone();
    let asker = Asker {
        credentials: &AzureCredentials::read(&wanted.credentials)?,
        authority_host: surroundings.context.env("AZURE_AUTHORITY_HOST"),
        door,
        limiter,
        context,
    };
    let secret = VaultSecret::at(&wanted.name, asker)?;
    let value = secret.read(deadline).await;
    Ok(value
        .map_err(|error| explained(error, wanted))?
        .expose()
        .clone())
}

/// Names the secret, and what would let it be read.
fn explained(error: CloudError, wanted: &Wanted) -> Failure {
    let absent = matches!(
        error.cloud_code(),
        Some("ResourceNotFoundException" | "ParameterNotFound" | "ParameterVersionNotFound")
    );
    let name = &wanted.name;
    if absent || error.code() == Code::NotFound {
        let message = format!("{name:?} is not there, in this account and region");
        return Failure::new(Code::NotFound, message).because(error.to_string());
    }
    let needs = match wanted.store {
        Store::SecretsManager => {
            "secretsmanager:GetSecretValue, and kms:Decrypt for a key of your own"
        }
        Store::ParameterStore => "ssm:GetParameter, and kms:Decrypt for a key of your own",
        Store::KeyVault => "the role Key Vault Secrets User on the vault or the secret",
    };
    let failure = error.into_failure();
    if failure.code() == Code::PermissionDenied {
        return failure.because(format!("to read {name:?} the credentials need {needs}"));
    }
    failure
}

/// One value of a secret that is a JSON object.
fn of_key(name: &str, text: &str, key: &str) -> Result<Secret<String>, Failure> {
    let wrong = |why: String| Failure::invalid_config(name, why);
    let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
        return Err(wrong(format!(
            "is no JSON object, so it has no key {key:?}"
        )));
    };
    match fields.get(key) {
        Some(Value::String(value)) => Ok(Secret::new(value.clone())),
        Some(other) => Ok(Secret::new(other.to_string())),
        None => {
            let known: Vec<&str> = fields.keys().map(String::as_str).collect();
            Err(wrong(format!(
                "has no key {key:?}; it has {}",
                known.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_not_there_is_told_without_any_value() {
        let error = of_key("hub", r#"{"token": "canary-7f3a"}"#, "tokn").unwrap_err();
        assert!(
            error.0.message.contains("\"tokn\"; it has token"),
            "{error}"
        );
        assert!(!error.0.message.contains("canary"));
        let error = of_key("hub", "canary-7f3a", "token").unwrap_err();
        assert!(!error.0.message.contains("canary"), "{error}");
        assert_eq!(
            of_key("hub", r#"{"port": 7}"#, "port").unwrap().expose(),
            "7"
        );
    }
}
