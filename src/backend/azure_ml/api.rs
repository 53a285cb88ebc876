//! Azure Machine Learning's compute instances, as far as they are used.
//!
//! Bodies are JSON, so that any property passes; answers are read leniently.

use crate::backend::Record;
use crate::cloud::CloudError;
use crate::cloud::azure::resource_manager::{Call, ResourceManager};
use crate::error::Failure;
use crate::wire::Code;
use http::Method;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use tokio::time::Instant;

/// Stable, and the one whose JSON schema the tests hold our bodies against.
pub const VERSION: &str = "2025-12-01";

/// The service, for one principal.
pub struct Service {
    arm: ResourceManager,
}

/// A workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The subscription.
    pub subscription_id: String,
    /// The resource group.
    pub resource_group: String,
    /// The workspace.
    pub workspace: String,
}

/// An instance, as far as it is read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are Azure's own")]
pub struct Instance {
    pub name: String,
    pub location: Option<String>,
    pub tags: Option<BTreeMap<String, String>>,
    pub properties: Outer,
}

/// What every kind of compute has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Azure's own")]
pub struct Outer {
    pub compute_type: Option<String>,
    pub provisioning_state: Option<String>,
    pub provisioning_errors: Option<Vec<Problem>>,
    pub created_on: Option<String>,
    pub properties: Option<Inner>,
}

/// What a compute instance has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Azure's own")]
pub struct Inner {
    pub state: Option<String>,
    pub vm_size: Option<String>,
    pub applications: Option<Vec<Application>>,
    pub last_operation: Option<LastOperation>,
    pub errors: Option<Vec<Problem>>,
}

/// A page of the instance.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Azure's own")]
pub struct Application {
    pub display_name: Option<String>,
    pub endpoint_uri: Option<String>,
}

/// Who last did something to it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Azure's own")]
pub struct LastOperation {
    #[serde(rename = "operationTrigger")]
    pub trigger: Option<String>,
}

/// One of Azure's errors; it stands in an envelope or by itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are Azure's own")]
pub struct Problem {
    pub error: Option<Box<Problem>>,
    pub code: Option<String>,
    pub message: Option<String>,
}

impl Place {
    /// The workspace that a record names.
    ///
    /// # Errors
    /// `state_unreadable` where it names none.
    pub fn of(record: &Record) -> Result<Self, Failure> {
        let text = |name: &str| {
            record.text(name).map(str::to_owned).ok_or_else(|| {
                Failure::new(
                    Code::StateUnreadable,
                    format!("the stored state has no good data.{name}"),
                )
            })
        };
        Ok(Self {
            subscription_id: text("subscription_id")?,
            resource_group: text("resource_group")?,
            workspace: text("workspace")?,
        })
    }

    /// Refuses names that Azure does not allow: they become part of a path.
    ///
    /// # Errors
    /// `invalid_config` with the field's name.
    pub fn check(&self) -> Result<(), Failure> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.()".contains(c);
        for (name, text) in [
            ("subscription_id", &self.subscription_id),
            ("resource_group", &self.resource_group),
            ("workspace", &self.workspace),
        ] {
            if text.is_empty() || !text.chars().all(plain) || text.chars().all(|c| c == '.') {
                let message = format!("{text:?} has characters that Azure's names do not have");
                return Err(Failure::invalid_config(&format!("config.{name}"), message));
            }
        }
        Ok(())
    }

    fn path(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.MachineLearningServices/workspaces/{}",
            self.subscription_id, self.resource_group, self.workspace
        )
    }

    fn compute(&self, name: &str) -> String {
        format!("{}/computes/{name}", self.path())
    }
}

impl Service {
    /// The service through this Resource Manager.
    pub fn new(arm: ResourceManager) -> Self {
        Self { arm }
    }

    /// In whose name, and where, calls go.
    pub fn scope(&self) -> &str {
        &self.arm.scope
    }

    /// The region of the workspace.
    pub async fn location(
        &self,
        place: &Place,
        deadline: Instant,
    ) -> Result<Option<String>, CloudError> {
        let path = place.path();
        let answer = self
            .arm
            .call(&get(&path, "arm:GET workspace"), deadline)
            .await?;
        Ok(answer
            .body
            .get("location")
            .and_then(Value::as_str)
            .map(str::to_owned))
    }

    /// An instance; none where Azure says that it is not there.
    pub async fn get(
        &self,
        place: &Place,
        name: &str,
        deadline: Instant,
    ) -> Result<Option<Instance>, CloudError> {
        let path = place.compute(name);
        match self
            .arm
            .call(&get(&path, "arm:GET compute"), deadline)
            .await
        {
            Ok(answer) => read("arm:GET compute", answer.body).map(Some),
            Err(error) if error.code() == Code::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every compute instance of the workspace.
    pub async fn list(
        &self,
        place: &Place,
        deadline: Instant,
    ) -> Result<Vec<Instance>, CloudError> {
        const OPERATION: &str = "arm:LIST computes";
        let path = format!("{}/computes", place.path());
        let items = self.arm.list(&path, OPERATION, deadline).await?;
        let mut instances = Vec::with_capacity(items.len());
        for item in items {
            let instance: Instance = read(OPERATION, item)?;
            if instance.properties.compute_type.as_deref() == Some("ComputeInstance") {
                instances.push(instance);
            }
        }
        Ok(instances)
    }

    /// Creates an instance, once: PUT overwrites what is there, so GET comes first.
    pub async fn put(
        &self,
        place: &Place,
        name: &str,
        body: &Value,
        deadline: Instant,
    ) -> Result<(), CloudError> {
        let path = place.compute(name);
        let call = Call {
            method: Method::PUT,
            path: &path,
            query: &[],
            body: Some(body),
            operation: "arm:PUT compute",
        };
        self.arm.call_once(&call, deadline).await.map(drop)
    }

    /// Starts a stopped instance; may be repeated.
    pub async fn start(
        &self,
        place: &Place,
        name: &str,
        deadline: Instant,
    ) -> Result<(), CloudError> {
        let path = format!("{}/start", place.compute(name));
        self.arm
            .call_once(&post(&path, "arm:POST start"), deadline)
            .await
            .map(drop)
    }

    /// Stops an instance; may be repeated.
    pub async fn stop(
        &self,
        place: &Place,
        name: &str,
        deadline: Instant,
    ) -> Result<(), CloudError> {
        let path = format!("{}/stop", place.compute(name));
        self.arm
            .call(&post(&path, "arm:POST stop"), deadline)
            .await
            .map(drop)
    }

    /// Deletes an instance and its machine; may be repeated.
    pub async fn delete(
        &self,
        place: &Place,
        name: &str,
        deadline: Instant,
    ) -> Result<(), CloudError> {
        let path = place.compute(name);
        let call = Call {
            method: Method::DELETE,
            path: &path,
            query: &[("underlyingResourceAction", "Delete")],
            body: None,
            operation: "arm:DELETE compute",
        };
        match self.arm.call(&call, deadline).await {
            Err(error) if error.code() != Code::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Instance {
    /// Its state, where this answer tells it.
    pub fn state(&self) -> Option<&str> {
        self.properties.properties.as_ref()?.state.as_deref()
    }

    /// The value of a tag.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.as_ref()?.get(name).map(String::as_str)
    }

    /// JupyterLab's address. Its entry is called "Jupyter Lab" or "Jupyter", by the age of the instance.
    pub fn lab_url(&self) -> Option<String> {
        let applications = self.properties.properties.as_ref()?.applications.as_ref()?;
        let named = |word: &str| {
            applications.iter().find(|a| {
                let name = a
                    .display_name
                    .as_deref()
                    .unwrap_or_default()
                    .to_ascii_lowercase();
                name.contains("jupyter") && name.contains(word)
            })
        };
        let url = named("lab").or_else(|| named(""))?.endpoint_uri.clone()?;
        let uri = url.parse::<http::Uri>().ok()?;
        let loopback = uri
            .host()?
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
        (uri.scheme_str() == Some("https") || loopback).then_some(url)
    }

    /// What Azure says went wrong, with the code of the first.
    pub fn problems(&self) -> (Option<String>, Vec<String>) {
        let inner = self
            .properties
            .properties
            .as_ref()
            .and_then(|p| p.errors.as_ref());
        let all = self
            .properties
            .provisioning_errors
            .iter()
            .chain(inner)
            .flatten();
        let flat: Vec<&Problem> = all.map(|p| p.error.as_deref().unwrap_or(p)).collect();
        let code = flat.iter().find_map(|p| p.code.clone());
        let mut words: Vec<String> = flat
            .iter()
            .map(|p| {
                [p.code.as_deref(), p.message.as_deref()]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join(": ")
            })
            .collect();
        // The same error stands in both places.
        let mut told = std::collections::HashSet::new();
        words.retain(|word| told.insert(word.clone()));
        (code, words)
    }
}

fn get<'a>(path: &'a str, operation: &'a str) -> Call<'a> {
    Call {
        method: Method::GET,
        path,
        query: &[],
        body: None,
        operation,
    }
}

fn post<'a>(path: &'a str, operation: &'a str) -> Call<'a> {
    Call {
        method: Method::POST,
        path,
        query: &[],
        body: None,
        operation,
    }
}

fn read<T: for<'de> Deserialize<'de>>(operation: &str, body: Value) -> Result<T, CloudError> {
    serde_path_to_error::deserialize(body).map_err(|error| CloudError::Unreadable {
        operation: operation.to_owned(),
        why: format!("{} has another type than Azure documents", error.path()),
    })
}
