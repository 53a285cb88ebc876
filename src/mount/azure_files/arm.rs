//! File shares through Resource Manager (Microsoft.Storage, FileShares).

use super::settings::Storage;
use super::{Marks, Shares};
use crate::cloud::CloudError;
use crate::cloud::azure::ResourceManager;
use crate::cloud::azure::resource_manager::{Call, typed};
use crate::net::limiter::Quota;
use crate::wire::Code;
use async_trait::async_trait;
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tokio::time::Instant;

/// Stable, and the one whose swagger and examples the tests hold our calls against.
const VERSION: &str = "2023-05-01";
/// "Scalability targets for the Azure Storage resource provider": 10 writes a second and 1,200 an hour for an account and
/// region. A class that begins meets the first.
const WRITES: &[Quota] = &[
    Quota {
        name: "storage write",
        // Calls arrive closer together than they left.
        burst: 5.0,
        per_second: 10.0,
    },
    Quota {
        name: "storage write of an hour",
        burst: 1200.0,
        per_second: 1200.0 / 3600.0,
    },
];

/// The shares of one account.
pub struct ByResourceManager<'a> {
    arm: &'a ResourceManager,
    storage: &'a Storage,
    path: String,
}

/// A share, as far as it is read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct FileShare {
    /// Its name.
    pub name: String,
    properties: Properties,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Properties {
    metadata: Option<BTreeMap<String, String>>,
}

impl FileShare {
    /// A share with what is recorded on it.
    pub fn of(name: &str, metadata: BTreeMap<String, String>) -> Self {
        Self {
            name: name.to_owned(),
            properties: Properties {
                metadata: Some(metadata),
            },
        }
    }

    /// What is recorded on it, where this answer tells.
    pub fn metadata(&self) -> Option<&BTreeMap<String, String>> {
        self.properties.metadata.as_ref()
    }

    /// One thing that is recorded; names do not tell capitals apart.
    pub fn mark(&self, name: &str) -> Option<&str> {
        let found = self
            .metadata()?
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        Some(found?.1)
    }
}

impl<'a> ByResourceManager<'a> {
    /// Of the account that `storage` names.
    pub fn new(arm: &'a ResourceManager, storage: &'a Storage) -> Self {
        let path = format!("{}/fileServices/default/shares", account(storage));
        Self { arm, storage, path }
    }

    async fn write(
        &self,
        method: Method,
        name: &str,
        body: &Value,
        operation: &str,
        deadline: Instant,
    ) -> Result<(), CloudError> {
        let path = self.at(name);
        let call = Call {
            quotas: WRITES,
            ..Call::get(&path, VERSION, operation).with(method, Some(body))
        };
        self.arm.call(&call, deadline).await.map(drop)
    }

    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }
}

#[async_trait]
impl Shares for ByResourceManager<'_> {
    async fn get(&self, name: &str, deadline: Instant) -> Result<Option<FileShare>, CloudError> {
        const OPERATION: &str = "arm:GET share";
        let path = self.at(name);
        match self
            .arm
            .call(&Call::get(&path, VERSION, OPERATION), deadline)
            .await
        {
            Ok(answer) => typed(OPERATION, answer.body).map(Some),
            // An account that is not there is no missing share.
            Err(error) if error.cloud_code() == Some("ShareNotFound") => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn list(&self, deadline: Instant) -> Result<Vec<FileShare>, CloudError> {
        const OPERATION: &str = "arm:LIST shares";
        let call = Call::get(&self.path, VERSION, OPERATION);
        let items = self.arm.list(&call, deadline).await?;
        items
            .into_iter()
            .map(|item| typed(OPERATION, item))
            .collect()
    }

    async fn create(&self, name: &str, marks: &Marks, deadline: Instant) -> Result<(), CloudError> {
        let mut properties = json!({
            "shareQuota": self.storage.quota_gib(),
            "enabledProtocols": self.storage.protocol.name(),
            "metadata": object(marks),
        });
        if let Some(tier) = &self.storage.tier {
            properties["accessTier"] = tier.as_str().into();
        }
        self.write(
            Method::PUT,
            name,
            &json!({"properties": properties}),
            "arm:PUT share",
            deadline,
        )
        .await
    }

    async fn mark(&self, name: &str, marks: &Marks, deadline: Instant) -> Result<(), CloudError> {
        let body = json!({"properties": {"metadata": object(marks)}});
        self.write(Method::PATCH, name, &body, "arm:PATCH share", deadline)
            .await
    }

    async fn delete(&self, name: &str, deadline: Instant) -> Result<(), CloudError> {
        let path = self.at(name);
        let call = Call {
            quotas: WRITES,
            ..Call::get(&path, VERSION, "arm:DELETE share").with(Method::DELETE, None)
        };
        match self.arm.call(&call, deadline).await {
            Err(error) if error.code() != Code::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    async fn check(&self, deadline: Instant) -> Result<(), CloudError> {
        let path = format!("{}/fileServices/default", account(self.storage));
        let call = Call::get(&path, VERSION, "arm:GET file service");
        self.arm.call(&call, deadline).await.map(drop)
    }
}

/// The storage account's resource id.
#[must_use]
pub fn account(storage: &Storage) -> String {
    let (subscription, group) = (&storage.subscription_id, &storage.resource_group);
    format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Storage/storageAccounts/{}",
        subscription.as_deref().unwrap_or_default(),
        group.as_deref().unwrap_or_default(),
        storage.account
    )
}

fn object(marks: &Marks) -> Map<String, Value> {
    let pairs = marks
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())));
    pairs.collect()
}
