//! Servers' tokens in AWS Secrets Manager: a secret for each server, by its key.
//!
//! A stop deletes it with the shortest window in which it could be restored, and the next start restores it: so it keeps its ARN, and
//! one copy of the task definition serves all starts of a server (ECS registers one a second). Until then nobody can read it
//! (DeleteSecret: "When a secret is scheduled for deletion, you cannot retrieve the secret value"), AWS asks no money for it, and
//! the hub has ended the token. To delete it for good at once would also keep its name from being used for a while.

use super::services::{Later, Opener};
use crate::backend::{Tidying, names, tags};
use crate::cloud::CloudError;
use crate::cloud::aws::{Call, ServiceId, ServiceName};
use crate::error::Failure;
use crate::net::limiter::Quota;
use crate::wire::Code;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// Secrets Manager (botocore's model, metadata).
const SERVICE_ID: ServiceId = ServiceId {
    sdk: "Secrets Manager",
    host: "secretsmanager",
    endpoint_setting: "AWS_ENDPOINT_URL_SECRETS_MANAGER",
};
const SERVICE: ServiceName = ServiceName {
    target: "secretsmanager",
    signing: "secretsmanager",
};
/// "AWS Secrets Manager quotas": DescribeSecret has 10,000 a second, ListSecrets 100, and each of the others 50.
const CHANGE: Quota = Quota {
    name: "secrets manager",
    burst: 50.0,
    per_second: 50.0,
};
/// All our secrets' names begin so, by which policies know them.
const PREFIX: &str = "cloudspawner/";
/// DeleteSecret, "RecoveryWindowInDays": 7 to 30.
const RECOVERY_DAYS: u8 = 7;
/// Between the tries to use a name that somebody is deleting for good (DeleteSecret: "use appropriate back off and retry logic").
const PAUSE: Duration = Duration::from_millis(500);
const POLICY: &str =
    "deployments/fargate/token-policy.json has what token_in \"secrets_manager\" needs";

/// What to keep for a server.
pub struct Kept<'a> {
    /// The server's key.
    pub key: &'a str,
    /// The hub.
    pub hub: &'a str,
    /// The start that it is for.
    pub attempt: &'a str,
    /// The secret itself.
    pub text: String,
    /// The admin's KMS key, else the account's own for Secrets Manager.
    pub kms_key: Option<&'a str>,
    /// The admin's tags, as ECS spells them.
    pub tags: &'a [Value],
}

/// The Secrets Manager of one account and region.
pub struct Vault(Later);

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Described {
    #[serde(rename = "ARN")]
    arn: String,
    name: String,
    deleted_date: Option<f64>,
    created_date: Option<f64>,
    last_changed_date: Option<f64>,
    tags: Vec<Tag>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Tag {
    key: String,
    value: String,
}

impl Described {
    fn tag(&self, key: &str) -> Option<&str> {
        let tag = self.tags.iter().find(|tag| tag.key == key)?;
        Some(&tag.value)
    }

    fn is_of(&self, key: &str) -> bool {
        self.name == name(key) && self.tag(tags::KEY) == Some(key)
    }
}

/// The secret's name for a server.
pub fn name(key: &str) -> String {
    format!("{PREFIX}{key}")
}

impl Vault {
    /// Asks nobody yet.
    pub fn new(opener: &Opener, region: &str) -> Self {
        Self(Later::new(opener, region, SERVICE_ID, SERVICE))
    }

    /// Makes the server's secret, or gives the one that is there this text; its whole ARN. May be repeated.
    ///
    /// # Errors
    /// `conflict` where the name is somebody else's; whatever kept Secrets Manager from it.
    pub async fn put(&self, kept: &Kept<'_>, deadline: Instant) -> Result<String, Failure> {
        loop {
            let taken = match self.create(kept, deadline).await {
                Ok(arn) => return Ok(arn),
                // The name is in use; of a secret that is being deleted the code is InvalidRequestException.
                Err(error) if names_what_is_there(&error) => error,
                Err(error) => return Err(explained(error)),
            };
            let used = match self.describe(kept.key, deadline).await? {
                Some(there) if !there.is_of(kept.key) => {
                    let message = format!("secret {} is not of this server", there.arn);
                    return Err(Failure::new(Code::Conflict, message));
                }
                Some(there) => self.use_again(&there, kept, deadline).await,
                None => Err(taken),
            };
            match used {
                Ok(arn) => return Ok(arn),
                Err(error) if names_what_is_there(&error) && Instant::now() + PAUSE < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(explained(error)),
            }
        }
    }

    async fn create(&self, kept: &Kept<'_>, deadline: Instant) -> Result<String, CloudError> {
        let ours = [
            (tags::HUB, tags::value(kept.hub)),
            (tags::KEY, kept.key.to_owned()),
            (tags::ATTEMPT, kept.attempt.to_owned()),
        ];
        let ours = ours.map(|(key, value)| json!({"Key": key, "Value": value}));
        let theirs = kept.tags.iter();
        let theirs = theirs.map(|tag| json!({"Key": tag["key"], "Value": tag["value"]}));
        let mut request = json!({
            "Name": name(kept.key), "SecretString": kept.text, "ClientRequestToken": version(kept),
            "Description": "The token of a JupyterHub server, made by cloudspawner",
            "Tags": theirs.chain(ours).collect::<Vec<_>>(),
        });
        if let Some(key) = kept.kms_key {
            request["KmsKeyId"] = Value::from(key);
        }
        let made: Described = self.call("CreateSecret", &request, deadline).await?;
        Ok(made.arn)
    }

    async fn use_again(
        &self,
        there: &Described,
        kept: &Kept<'_>,
        deadline: Instant,
    ) -> Result<String, CloudError> {
        if there.deleted_date.is_some() {
            let request = json!({"SecretId": there.arn});
            let restored = self.call::<IgnoredAny>("RestoreSecret", &request, deadline);
            restored.await?;
        }
        let request = json!({"SecretId": there.arn, "SecretString": kept.text, "ClientRequestToken": version(kept)});
        let put = self.call::<IgnoredAny>("PutSecretValue", &request, deadline);
        put.await?;
        Ok(there.arn.clone())
    }

    async fn describe(&self, key: &str, deadline: Instant) -> Result<Option<Described>, Failure> {
        let request = json!({"SecretId": name(key)});
        match self.call("DescribeSecret", &request, deadline).await {
            Ok(described) => Ok(Some(described)),
            Err(error) if error.code() == Code::NotFound => Ok(None),
            Err(error) => Err(explained(error)),
        }
    }

    /// Deletes the server's secret, so that nobody can read it any more; what is gone, and what is somebody else's, is left alone.
    /// May be repeated.
    ///
    /// # Errors
    /// Whatever kept Secrets Manager from it.
    pub async fn remove(&self, key: &str, deadline: Instant) -> Result<(), Failure> {
        let Some(there) = self.describe(key, deadline).await? else {
            return Ok(());
        };
        if there.deleted_date.is_some() {
            return Ok(());
        }
        if !there.is_of(key) {
            tracing::warn!(
                key,
                "a secret of the server's name is not the server's, and stays"
            );
            return Ok(());
        }
        self.delete(&there.arn, deadline).await
    }

    async fn delete(&self, arn: &str, deadline: Instant) -> Result<(), Failure> {
        let request = json!({"SecretId": arn, "RecoveryWindowInDays": RECOVERY_DAYS});
        let deleted = self.call::<IgnoredAny>("DeleteSecret", &request, deadline);
        match deleted.await {
            Err(error) if error.code() != Code::NotFound => Err(explained(error)),
            _ => Ok(()),
        }
    }

    /// Deletes the secrets of this hub that no server needs; the failures. May be repeated.
    pub async fn sweep(
        &self,
        tidying: &Tidying<'_>,
        now_ms: u64,
        deadline: Instant,
    ) -> Vec<Failure> {
        let left = match self.list(tidying.hub, deadline).await {
            Ok(left) => left,
            Err(failure) => return vec![failure],
        };
        let mut errors = Vec::new();
        for secret in left {
            let changed = secret.last_changed_date.or(secret.created_date);
            let age_ms = changed.map(|at| now_ms.saturating_sub(super::task::epoch_ms(at)));
            let old = age_ms.is_some_and(|age| u128::from(age) >= tidying.min_age.as_millis());
            let key = secret.tag(tags::KEY).unwrap_or_default();
            if !old || (tidying.spares)(key) {
                continue;
            }
            match self.delete(&secret.arn, deadline).await {
                Ok(()) => tracing::info!(key, "a secret that no server needs is deleted"),
                Err(failure) => errors.push(failure),
            }
        }
        errors
    }

    async fn list(&self, hub: &str, deadline: Instant) -> Result<Vec<Described>, Failure> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        struct Page {
            secret_list: Vec<Described>,
            next_token: Option<String>,
        }
        let mut found = Vec::new();
        let mut request = json!({"Filters": [
            {"Key": "name", "Values": [format!("{PREFIX}{}-", names::hub_mark(hub))]},
            {"Key": "tag-key", "Values": [tags::HUB]},
        ]});
        let of_hub = tags::value(hub);
        loop {
            let page = self.call::<Page>("ListSecrets", &request, deadline).await;
            let page = page.map_err(explained)?;
            // The filters match the beginnings of names and values (ListSecrets, "Filter"), which is not enough.
            found.extend(page.secret_list.into_iter().filter(|secret| {
                let key = secret.tag(tags::KEY).unwrap_or_default();
                secret.is_of(key) && secret.tag(tags::HUB) == Some(of_hub.as_str())
            }));
            match page.next_token {
                // A page that names itself as the next one would never end.
                Some(token) if !token.is_empty() && request["NextToken"] != token.as_str() => {
                    request["NextToken"] = Value::from(token);
                }
                _ => return Ok(found),
            }
        }
    }

    /// Whether it lets us look, by a secret that is none.
    ///
    /// # Errors
    /// As `put`.
    pub async fn look(&self, deadline: Instant) -> Result<(), Failure> {
        self.describe("check", deadline).await.map(drop)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        action: &str,
        request: &Value,
        deadline: Instant,
    ) -> Result<T, CloudError> {
        let service = self
            .0
            .service()
            .await
            .map_err(|failure| CloudError::Unreadable {
                operation: format!("secretsmanager:{action}"),
                why: failure.to_string(),
            })?;
        let call = Call::post(action, request);
        service.call(&call, &[CHANGE], deadline).await
    }
}

/// The same for one start, so that a repeated call makes no second version (CreateSecret, "ClientRequestToken": 32 to 64).
fn version(kept: &Kept<'_>) -> String {
    format!(
        "cloudspawner-{}",
        names::fingerprint(&[kept.key, kept.attempt])
    )
}

fn names_what_is_there(error: &CloudError) -> bool {
    matches!(
        error.cloud_code(),
        Some("ResourceExistsException" | "InvalidRequestException" | "ResourceNotFoundException")
    )
}

fn explained(error: CloudError) -> Failure {
    let denied = error.code() == Code::PermissionDenied;
    let failure = error.into_failure();
    if denied {
        return failure.because(POLICY);
    }
    failure
}
