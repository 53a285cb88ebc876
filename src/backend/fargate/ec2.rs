//! EC2 as far as it is used: what tells of networks, and changes nothing.

use super::services::{Later, Opener};
use crate::cloud::CloudError;
use crate::cloud::aws::{Call, ServiceId, ServiceName, query};
use crate::context::Context;
use crate::error::Failure;
use crate::net::limiter::Quota;
use roxmltree::Node;
use tokio::time::Instant;

/// How EC2 is spelt (botocore's model, metadata).
const SERVICE_ID: ServiceId = ServiceId {
    sdk: "EC2",
    host: "ec2",
    endpoint_setting: "AWS_ENDPOINT_URL_EC2",
};
const SERVICE: ServiceName = ServiceName {
    target: "",
    signing: "ec2",
};
const VERSION: &str = "2016-11-15";
/// "Request throttling for the Amazon EC2 API": non-mutating actions.
const DESCRIBE: Quota = Quota {
    name: "ec2 describe",
    burst: 100.0,
    per_second: 20.0,
};

/// The EC2 of one account and region.
pub struct Ec2(Later);

impl Ec2 {
    /// Asks nobody yet.
    pub fn new(opener: &Opener, region: &str) -> Self {
        Self(Later::new(opener, region, SERVICE_ID, SERVICE))
    }

    /// What `read` makes of each item in the `set` that `action` answers with, where each filter has one of its values. As filters,
    /// since a list of ids is refused as a whole where one of them is not there. May be repeated.
    ///
    /// # Errors
    /// Whatever kept EC2 from telling.
    pub async fn describe<T>(
        &self,
        (action, set): (&str, &str),
        filters: &[(&str, &[&str])],
        deadline: Instant,
        read: impl Fn(Node<'_, '_>) -> Option<T>,
    ) -> Result<Vec<T>, CloudError> {
        // Credentials are found once, and make each call's future large.
        let service = Box::pin(self.0.service()).await;
        let service = service.map_err(|failure| CloudError::Unreadable {
            operation: format!("ec2:{action}"),
            why: failure.to_string(),
        })?;
        let mut members = Vec::new();
        for ((filter, values), f) in filters.iter().zip(1..) {
            members.push((format!("Filter.{f}.Name"), (*filter).to_owned()));
            let values = values.iter().zip(1..);
            let value =
                |(value, v): (&&str, i32)| (format!("Filter.{f}.Value.{v}"), (*value).to_owned());
            members.extend(values.map(value));
        }
        let call = Call::query(action, VERSION, &members);
        let told = service.call_and_read(&call, &[DESCRIBE], deadline, |answer| {
            query::items(answer, set, &read)
        });
        told.await
    }

    /// The clock.
    ///
    /// # Errors
    /// As `services::Opener::open`.
    pub async fn context(&self) -> Result<&Context, Failure> {
        Ok(&self.0.service().await?.context)
    }
}
