//! Whose credentials these are: STS GetCallerIdentity, which every identity may call.
//!
//! STS speaks the query protocol: a form goes in, XML comes back. Two of its texts are all that is read.

use super::account::{Account, ServiceId};
use super::{error, query};
use crate::cloud::error::{CloudError, Refusal};
use crate::context::Context;
use crate::net::{Door, Request};
use bytes::Bytes;
use std::sync::Arc;

/// How STS is spelt (botocore's model, metadata).
pub const SERVICE_ID: ServiceId = ServiceId {
    sdk: "STS",
    host: "sts",
    endpoint_setting: "AWS_ENDPOINT_URL_STS",
};
const OPERATION: &str = "sts:GetCallerIdentity";

/// The ARN of whoever the account's credentials belong to. May be repeated.
///
/// # Errors
/// `Credentials` where there are none, `Refused` where AWS does not take them, `NoAnswer` where STS cannot be reached.
pub async fn caller(
    account: &Account,
    door: &Arc<dyn Door>,
    context: &Context,
) -> Result<String, CloudError> {
    let unreadable = |why: &str| CloudError::Unreadable {
        operation: OPERATION.to_owned(),
        why: why.to_owned(),
    };
    let mut request = Request::new(Bytes::from_static(
        b"Action=GetCallerIdentity&Version=2011-06-15",
    ));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = format!("{}/", account.endpoint).parse().unwrap_or_default();
    request.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    account
        .sign(&mut request, "sts", OPERATION, context)
        .await?;
    context.counts().called(OPERATION);
    let answer = door.send(request).await;
    let answer = answer.map_err(|source| CloudError::NoAnswer {
        operation: OPERATION.to_owned(),
        source,
    })?;
    let text = |name| query::anywhere(answer.body(), name);
    if answer.status().is_success() {
        return text("Arn").ok_or_else(|| unreadable("it lacks Arn"));
    }
    let http_status = answer.status().as_u16();
    let cloud_code = text("Code");
    Err(CloudError::Refused(Box::new(Refusal {
        operation: OPERATION.to_owned(),
        http_status,
        code: error::code(cloud_code.as_deref(), "", http_status),
        cloud_code,
        // The sentence of a bad signature repeats what was signed.
        message: format!("HTTP {http_status}"),
        request_id: text("RequestId"),
        retry_after: None,
        body: serde_json::Value::Null,
    })))
}
