//! EFS as far as it is used: access points, mount targets, and whether a file system is there.
//!
//! Answers are read leniently, so that a field that AWS adds or leaves out breaks nothing.

use crate::cloud::CloudError;
use crate::cloud::aws::{Call, JsonService, ServiceId, ServiceName};
use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;
use url::form_urlencoded;

/// How EFS is spelt in signatures and policies (botocore's model, metadata); it has no X-Amz-Target.
pub const SERVICE: ServiceName = ServiceName {
    target: "",
    signing: "elasticfilesystem",
};
/// How the SDKs and hosts spell it.
pub const SERVICE_ID: ServiceId = ServiceId {
    sdk: "EFS",
    host: "elasticfilesystem",
    endpoint_setting: "config.storage.endpoint_url",
};

const VERSION: &str = "/2015-02-01";

/// An access point, as far as it is read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the fields are EFS's own")]
pub struct AccessPoint {
    pub access_point_id: String,
    pub client_token: String,
    pub file_system_id: String,
    pub life_cycle_state: String,
    pub tags: Vec<Tag>,
}

/// A tag, as EFS spells it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the fields are EFS's own")]
pub struct Tag {
    pub key: String,
    pub value: String,
}

/// A mount target, as far as it is read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the fields are EFS's own")]
pub struct MountTarget {
    pub subnet_id: String,
    pub vpc_id: String,
    pub life_cycle_state: String,
}

impl AccessPoint {
    /// The value of a tag.
    #[must_use]
    pub fn tag(&self, key: &str) -> Option<&str> {
        let tag = self.tags.iter().find(|tag| tag.key == key)?;
        Some(&tag.value)
    }
}

/// The EFS of one account.
pub struct Api {
    service: JsonService,
}

impl Api {
    /// EFS through this service.
    #[must_use]
    pub fn new(service: JsonService) -> Self {
        Self { service }
    }

    /// The region that calls go to.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.service.account.region
    }

    /// Now, in milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.service.context.now_ms()
    }

    /// CreateAccessPoint; the client token makes it safe to repeat.
    ///
    /// # Errors
    /// `AccessPointAlreadyExists` where the token was used, with its id (see [`existing`]).
    pub async fn create_access_point(
        &self,
        request: &Value,
        deadline: Instant,
    ) -> Result<AccessPoint, CloudError> {
        let path = format!("{VERSION}/access-points");
        let call = Call::rest("CreateAccessPoint", Method::POST, path, request);
        self.call(&call, deadline).await
    }

    /// All access points of a file system, a page of 100 a call (API Reference, "MaxResults").
    ///
    /// # Errors
    /// `FileSystemNotFound`, and whatever kept EFS from telling.
    pub async fn access_points_of(
        &self,
        file_system: &str,
        deadline: Instant,
    ) -> Result<Vec<AccessPoint>, CloudError> {
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page = self.page("FileSystemId", file_system, next.as_deref(), deadline);
            let page = page.await?;
            all.extend(page.access_points);
            // A page that names itself as the next one would never end.
            match page.next_token {
                Some(token) if !token.is_empty() && next.as_ref() != Some(&token) => {
                    next = Some(token);
                }
                _ => return Ok(all),
            }
        }
    }

    /// One access point; none where it is gone.
    ///
    /// # Errors
    /// Whatever kept EFS from telling.
    pub async fn access_point(
        &self,
        id: &str,
        deadline: Instant,
    ) -> Result<Option<AccessPoint>, CloudError> {
        match self.page("AccessPointId", id, None, deadline).await {
            Ok(page) => Ok(page.access_points.into_iter().next()),
            Err(error) if error.cloud_code() == Some("AccessPointNotFound") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// TagResource; may be repeated.
    ///
    /// # Errors
    /// Whatever kept EFS from doing it.
    pub async fn tag(
        &self,
        id: &str,
        key: &str,
        value: &str,
        deadline: Instant,
    ) -> Result<(), CloudError> {
        let body = json!({"Tags": [{"Key": key, "Value": value}]});
        let path = format!("{VERSION}/resource-tags/{id}");
        let call = Call::rest("TagResource", Method::POST, path, &body);
        self.call::<Value>(&call, deadline).await.map(|_| ())
    }

    /// DeleteAccessPoint; one that is gone already is a success.
    ///
    /// # Errors
    /// Whatever kept EFS from doing it.
    pub async fn delete_access_point(&self, id: &str, deadline: Instant) -> Result<(), CloudError> {
        let path = format!("{VERSION}/access-points/{id}");
        let call = Call::rest("DeleteAccessPoint", Method::DELETE, path, &Value::Null);
        match self.call::<Value>(&call, deadline).await {
            Err(error) if error.cloud_code() != Some("AccessPointNotFound") => Err(error),
            _ => Ok(()),
        }
    }

    /// The mount targets of a file system; there is at most one an availability zone, so they fit a page.
    ///
    /// # Errors
    /// `FileSystemNotFound`, and whatever kept EFS from telling.
    pub async fn mount_targets(
        &self,
        file_system: &str,
        deadline: Instant,
    ) -> Result<Vec<MountTarget>, CloudError> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "PascalCase", default)]
        struct Page {
            mount_targets: Vec<MountTarget>,
        }
        let path = format!(
            "{VERSION}/mount-targets?{}",
            query(&[("FileSystemId", file_system)])
        );
        let call = Call::rest("DescribeMountTargets", Method::GET, path, &Value::Null);
        Ok(self.call::<Page>(&call, deadline).await?.mount_targets)
    }

    async fn page(
        &self,
        by: &str,
        id: &str,
        next: Option<&str>,
        deadline: Instant,
    ) -> Result<Page, CloudError> {
        let mut members = vec![(by, id)];
        members.extend(next.map(|token| ("NextToken", token)));
        let path = format!("{VERSION}/access-points?{}", query(&members));
        let call = Call::rest("DescribeAccessPoints", Method::GET, path, &Value::Null);
        self.call(&call, deadline).await
    }

    /// EFS's rates are not documented: what it throttles is repeated after a pause.
    async fn call<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        deadline: Instant,
    ) -> Result<T, CloudError> {
        self.service.call(call, &[], deadline).await
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Page {
    access_points: Vec<AccessPoint>,
    next_token: Option<String>,
}

fn query(members: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(members)
        .finish()
}

/// The access point that was made under the same client token before (API Reference, `AccessPointAlreadyExists`).
#[must_use]
pub fn existing(error: &CloudError) -> Option<&str> {
    let CloudError::Refused(refusal) = error else {
        return None;
    };
    if refusal.cloud_code.as_deref() != Some("AccessPointAlreadyExists") {
        return None;
    }
    refusal.body.get("AccessPointId")?.as_str()
}
