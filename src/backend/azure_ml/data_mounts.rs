//! Data mounts, a preview of Azure Machine Learning's API: a datastore that opens a share, and an instance that mounts it.

use super::api::{Place, Service, VERSION};
use super::instance::{DataMount, Instance};
use crate::cloud::CloudError;
use crate::cloud::azure::resource_manager::{Call, typed};
use crate::mount::Mount;
use crate::mount::azure_files::Storage;
use crate::wire::Secret;
use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

/// The preview whose swagger and example the tests hold our calls against.
const PREVIEW: &str = "2024-04-01-preview";
/// The home of an instance's user; a data mount knows no "~".
const HOME: &str = "/home/azureuser";

impl Service {
    /// Makes the datastore of a share, or gives it today's key. May be repeated.
    pub async fn put_datastore(
        &self,
        place: &Place,
        storage: &Storage,
        share: &str,
        key: &Secret<String>,
        deadline: Instant,
    ) -> Result<(), CloudError> {
        let body = datastore(storage, share, key);
        let path = format!("{}/datastores/{}", place.path(), name(share));
        let call = Call::get(&path, VERSION, "arm:PUT datastore").with(Method::PUT, Some(&body));
        self.resource_manager()
            .call(&call, deadline)
            .await
            .map(drop)
    }

    /// Asks an instance to mount a share's datastore. May be repeated.
    pub async fn put_data_mount(
        &self,
        place: &Place,
        instance: &str,
        share: &str,
        mount: &Mount,
        deadline: Instant,
    ) -> Result<(), CloudError> {
        let body = data_mounts(place, share, mount);
        let path = format!("{}/updateDataMounts", place.compute(instance));
        let call =
            Call::get(&path, PREVIEW, "arm:POST data mounts").with(Method::POST, Some(&body));
        self.resource_manager()
            .call(&call, deadline)
            .await
            .map(drop)
    }

    /// What an instance mounts, as far as it shows that.
    pub async fn data_mounts(
        &self,
        place: &Place,
        instance: &str,
        deadline: Instant,
    ) -> Result<Vec<DataMount>, CloudError> {
        const OPERATION: &str = "arm:GET data mounts";
        let path = place.compute(instance);
        let call = Call::get(&path, PREVIEW, OPERATION);
        let answer = self.resource_manager().call(&call, deadline).await?;
        let instance: Instance = typed(OPERATION, answer.body)?;
        let inner = instance.properties.properties.unwrap_or_default();
        Ok(inner.data_mounts.unwrap_or_default())
    }
}

/// A datastore's name has "_" where a share's has "-", which the swagger allows and the documentation does not.
fn name(share: &str) -> String {
    share.replace('-', "_")
}

/// `Datastores_CreateOrUpdate`, `AzureFileDatastore`.
fn datastore(storage: &Storage, share: &str, key: &Secret<String>) -> Value {
    let server = storage.server();
    let own = format!("{}.file.", storage.account);
    let endpoint = server.strip_prefix(&own).unwrap_or("core.windows.net");
    json!({"properties": {
        "datastoreType": "AzureFile",
        "accountName": storage.account,
        "fileShareName": share,
        "endpoint": endpoint,
        "protocol": "https",
        "credentials": {
            "credentialsType": "AccountKey",
            "secrets": {"secretsType": "AccountKey", "key": key.expose()},
        },
    }})
}

/// `Compute_UpdateDataMounts`.
fn data_mounts(place: &Place, share: &str, mount: &Mount) -> Value {
    let Place {
        subscription_id,
        resource_group,
        workspace,
    } = place;
    let path = mount.path.strip_prefix('~');
    let path = path.map_or_else(|| mount.path.clone(), |below| format!("{HOME}{below}"));
    json!([{
        "source": format!(
            "azureml://subscriptions/{subscription_id}/resourcegroups/{resource_group}/workspaces/{workspace}/datastores/{}/paths/",
            name(share)
        ),
        "sourceType": "URI",
        "mountName": share,
        "mountAction": "Mount",
        "mountMode": if mount.read_only { "ReadOnly" } else { "ReadWrite" },
        "mountPath": path,
    }])
}
