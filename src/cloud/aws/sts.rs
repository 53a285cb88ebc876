//! Whose credentials these are: STS GetCallerIdentity, which every identity may call.

use super::account::ServiceId;
use super::json::{Call, JsonService, ServiceName};
use super::query;
use crate::cloud::error::CloudError;
use tokio::time::Instant;

/// How STS is spelt (botocore's model, metadata).
pub const SERVICE_ID: ServiceId = ServiceId {
    sdk: "STS",
    host: "sts",
    endpoint_setting: "AWS_ENDPOINT_URL_STS",
};
/// How STS is spelt in signatures.
pub const SERVICE: ServiceName = ServiceName {
    target: "",
    signing: "sts",
};
const VERSION: &str = "2011-06-15";

/// The ARN of whoever the credentials of `sts` belong to. It is asked once; may be repeated.
///
/// # Errors
/// `Credentials` where there are none, `Refused` where AWS does not take them, `NoAnswer` where STS cannot be reached.
pub async fn caller(sts: &JsonService, deadline: Instant) -> Result<String, CloudError> {
    let call = Call::query("GetCallerIdentity", VERSION, &[]);
    let ticket = sts.limiter.ticket();
    let answer = sts.call_once(&call, &[], &ticket, deadline).await?;
    query::anywhere(answer.body(), "Arn").ok_or_else(|| answer.lacks("Arn"))
}
