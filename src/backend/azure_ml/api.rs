//! Azure Machine Learning's compute instances, as far as they are used.
//!
//! Bodies are JSON, so that any property passes; answers are read leniently.

use super::config::check_name;
use super::instance::Instance;
use crate::backend::Record;
use crate::cloud::CloudError;
use crate::cloud::azure::resource_manager::{Call, ResourceManager, typed};
use crate::cloud::error::Refusal;
use crate::cloud::shared_lists::SharedLists;
use crate::error::Failure;
use crate::lock::lock;
use crate::wire::Code;
use http::Method;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::time::Instant;

/// Stable, and the one whose JSON schema the tests hold our bodies against.
pub const VERSION: &str = "2025-12-01";

/// The resource provider of Azure Machine Learning.
const PROVIDER: &str = "Microsoft.MachineLearningServices";

/// The service, for one principal.
pub struct Service {
    arm: ResourceManager,
    /// By instance: the creation that Azure accepted and has not finished.
    creations: Mutex<HashMap<String, String>>,
    /// By workspace.
    lists: SharedLists<Vec<Instance>>,
}

/// A workspace as Azure describes it, as far as it is read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are Azure's own")]
pub struct WorkspaceView {
    pub id: String,
    pub name: String,
    pub kind: Option<String>,
    pub location: Option<String>,
    pub tags: Option<BTreeMap<String, String>>,
    pub properties: WorkspaceProperties,
}

/// A workspace's own properties.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are Azure's own")]
pub struct WorkspaceProperties {
    pub friendly_name: Option<String>,
    pub provisioning_state: Option<String>,
}

/// A size of machine, as far as it is read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are Azure's own")]
pub struct VmSize {
    pub name: String,
    pub family: Option<String>,
    #[serde(rename = "vCPUs")]
    pub vcpus: Option<u32>,
    pub gpus: Option<u32>,
    #[serde(rename = "memoryGB")]
    pub memory_gib: Option<f64>,
    #[serde(rename = "supportedComputeTypes")]
    pub supported: Option<Vec<String>>,
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
        for (name, text) in [
            ("subscription_id", &self.subscription_id),
            ("resource_group", &self.resource_group),
            ("workspace", &self.workspace),
        ] {
            check_name(name, text)?;
        }
        Ok(())
    }

    /// Its path in Resource Manager.
    pub fn path(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/{PROVIDER}/workspaces/{}",
            self.subscription_id, self.resource_group, self.workspace
        )
    }

    /// The path of an instance in it.
    pub fn compute(&self, name: &str) -> String {
        format!("{}/computes/{name}", self.path())
    }
}

impl Service {
    /// The service through this Resource Manager.
    pub fn new(arm: ResourceManager) -> Self {
        Self {
            arm,
            creations: Mutex::default(),
            lists: SharedLists::default(),
        }
    }

    /// Resource Manager itself, for what is no business of Azure Machine Learning's.
    pub fn resource_manager(&self) -> &ResourceManager {
        &self.arm
    }

    /// In whose name, and where, calls go.
    pub fn scope(&self) -> &str {
        &self.arm.scope
    }

    /// The workspace; none where Azure says that it is not there.
    pub async fn workspace(
        &self,
        place: &Place,
        deadline: Instant,
    ) -> Result<Option<WorkspaceView>, CloudError> {
        const OPERATION: &str = "arm:GET workspace";
        let path = place.path();
        match self.arm.call(&get(&path, OPERATION), deadline).await {
            Ok(answer) => typed(OPERATION, answer.body).map(Some),
            Err(error) if error.code() == Code::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates a workspace, once: PUT overwrites what is there, so GET comes first.
    pub async fn put_workspace(
        &self,
        place: &Place,
        body: &Value,
        deadline: Instant,
    ) -> Result<(), CloudError> {
        let path = place.path();
        let call = put(&path, body, "arm:PUT workspace");
        self.arm.call_once(&call, deadline).await.map(drop)
    }

    /// Every workspace that this principal can see in the resource group, or in the whole subscription.
    pub async fn workspaces(
        &self,
        subscription_id: &str,
        resource_group: Option<&str>,
        deadline: Instant,
    ) -> Result<Vec<WorkspaceView>, CloudError> {
        const OPERATION: &str = "arm:LIST workspaces";
        let group = resource_group.map_or_else(String::new, |g| format!("/resourceGroups/{g}"));
        let path =
            format!("/subscriptions/{subscription_id}{group}/providers/{PROVIDER}/workspaces");
        self.arm
            .list(&get(&path, OPERATION), deadline)
            .await?
            .into_iter()
            .map(|item| typed(OPERATION, item))
            .collect()
    }

    /// The sizes of compute instances that the region offers.
    pub async fn sizes(
        &self,
        subscription_id: &str,
        location: &str,
        deadline: Instant,
    ) -> Result<Vec<VmSize>, CloudError> {
        const OPERATION: &str = "arm:LIST vmSizes";
        let path = format!(
            "/subscriptions/{subscription_id}/providers/{PROVIDER}/locations/{location}/vmSizes"
        );
        let items = self.arm.list(&get(&path, OPERATION), deadline).await?;
        let sizes: Result<Vec<VmSize>, _> =
            items.into_iter().map(|i| typed(OPERATION, i)).collect();
        let fits = |size: &VmSize| {
            let types = size.supported.as_ref();
            types.is_none_or(|types| types.iter().any(|t| t == "ComputeInstance"))
        };
        Ok(sizes?.into_iter().filter(fits).collect())
    }

    /// An instance; none where Azure says that it is not there.
    pub async fn get(
        &self,
        place: &Place,
        name: &str,
        deadline: Instant,
    ) -> Result<Option<Instance>, CloudError> {
        let path = place.compute(name);
        const OPERATION: &str = "arm:GET compute";
        let told = |body: Value| {
            let instance: Instance = typed(OPERATION, body)?;
            if instance.name.is_empty() {
                return Err(CloudError::Unreadable {
                    operation: OPERATION.to_owned(),
                    why: "it lacks name".to_owned(),
                });
            }
            Ok(Some(instance))
        };
        let call = get(&path, OPERATION);
        match self.arm.call_and_read(&call, deadline, told).await {
            Err(error) if proves_absence(&error) => Ok(None),
            other => other,
        }
    }

    /// Every compute instance of the workspace; who asks at the same time is answered by the same list.
    pub async fn list(
        &self,
        place: &Place,
        deadline: Instant,
    ) -> Result<Arc<Vec<Instance>>, CloudError> {
        let path = format!("{}/computes", place.path());
        let anew = || self.list_anew(&path, deadline);
        self.lists.get(&path, deadline, anew).await
    }

    async fn list_anew(&self, path: &str, deadline: Instant) -> Result<Vec<Instance>, CloudError> {
        const OPERATION: &str = "arm:LIST computes";
        let items = self.arm.list(&get(path, OPERATION), deadline).await?;
        let mut instances = Vec::with_capacity(items.len());
        for item in items {
            let instance: Instance = typed(OPERATION, item)?;
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
        let answer = self
            .arm
            .call_once(&put(&path, body, "arm:PUT compute"), deadline)
            .await?;
        if let Some(operation) = answer.operation_url {
            self.creations().insert(path, operation);
        }
        Ok(())
    }

    /// Why the creation of an instance that is not there failed, where this process asked for it and Azure tells.
    pub async fn failed_creation(
        &self,
        place: &Place,
        name: &str,
        deadline: Instant,
    ) -> Result<Option<Refusal>, CloudError> {
        let path = place.compute(name);
        let Some(operation) = self.creations().get(&path).cloned() else {
            return Ok(None);
        };
        let failed = self
            .arm
            .failed_operation(&operation, "arm:PUT compute", deadline)
            .await?;
        if failed.is_some() {
            self.creations().remove(&path);
        }
        Ok(failed)
    }

    /// Forgets the creation of an instance that is there.
    pub fn created(&self, place: &Place, name: &str) {
        let mut creations = self.creations();
        // Each look tells of every instance, and hardly any is new.
        if !creations.is_empty() {
            creations.remove(&place.compute(name));
        }
    }

    fn creations(&self) -> MutexGuard<'_, HashMap<String, String>> {
        lock(&self.creations)
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
            query: &[("underlyingResourceAction", "Delete")],
            ..get(&path, "arm:DELETE compute").with(Method::DELETE, None)
        };
        match self.arm.call(&call, deadline).await {
            Err(error) if !proves_absence(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether Azure says that the thing itself is not there. A subscription or a group that is not found may be there for others:
/// Resource Manager also says so to those who have no right to see it ("Resolve errors for resource not found").
fn proves_absence(error: &CloudError) -> bool {
    error.code() == Code::NotFound
        && !matches!(
            error.cloud_code(),
            Some("SubscriptionNotFound" | "ResourceGroupNotFound")
        )
}

fn get<'a>(path: &'a str, operation: &'a str) -> Call<'a> {
    Call::get(path, VERSION, operation)
}

fn put<'a>(path: &'a str, body: &'a Value, operation: &'a str) -> Call<'a> {
    get(path, operation).with(Method::PUT, Some(body))
}

fn post<'a>(path: &'a str, operation: &'a str) -> Call<'a> {
    get(path, operation).with(Method::POST, None)
}
