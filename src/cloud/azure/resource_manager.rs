//! Resource Manager: bearer tokens, one pinned api-version, pages, long operations, quotas.

use super::auth::{Clouds, Tokens};
use super::error;
use crate::cloud::error::{CloudError, Refusal, retry_after};
use crate::context::Context;
use crate::net::limiter::{Limiter, Quota, TooLate};
use crate::net::retry::{self, Pace};
use crate::net::{Door, Response};
use crate::wire::Code;
use bytes::Bytes;
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use tokio::time::Instant;

/// "Understand how Azure Resource Manager throttles requests": token buckets for a subscription, region and principal.
const READ: Quota = Quota {
    name: "arm read",
    burst: 250.0,
    per_second: 25.0,
};
const WRITE: Quota = Quota {
    name: "arm write",
    burst: 200.0,
    per_second: 10.0,
};

/// Resource Manager, for one principal.
pub struct ResourceManager {
    /// Where it is.
    pub clouds: Clouds,
    /// Who asks.
    pub tokens: Tokens,
    /// Calls of one scope share the quotas.
    pub scope: String,
    /// The way out.
    pub door: Arc<dyn Door>,
    /// The quotas.
    pub limiter: Arc<Limiter>,
    /// Clock and chance.
    pub context: Context,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// The HTTP method; all but GET count as writes.
    pub method: Method,
    /// The resource, from `/subscriptions` on.
    pub path: &'a str,
    /// Query parameters beside `api-version`.
    pub query: &'a [(&'a str, &'a str)],
    /// The body, if there is one.
    pub body: Option<&'a Value>,
    /// The name of the operation in errors and logs, such as `arm:PUT computes`.
    pub operation: &'a str,
    /// The version of the provider's interface.
    pub api_version: &'a str,
    /// The provider's own quotas, the tightest first, beside Resource Manager's.
    pub quotas: &'a [Quota],
}

impl<'a> Call<'a> {
    /// A GET without quotas of the provider's own.
    #[must_use]
    pub fn get(path: &'a str, api_version: &'a str, operation: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            query: &[],
            body: None,
            operation,
            api_version,
            quotas: &[],
        }
    }

    /// Any other method on the same resource.
    #[must_use]
    pub fn with(mut self, method: Method, body: Option<&'a Value>) -> Self {
        self.method = method;
        self.body = body;
        self
    }
}

/// A successful answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// 200, 201, 202 or 204.
    pub http_status: u16,
    /// The JSON, or null.
    pub body: Value,
    /// Where to ask how a long operation is: Azure-AsyncOperation, else Location.
    pub operation_url: Option<String>,
}

/// One request as it is sent.
struct Exchange<'a> {
    method: &'a Method,
    url: &'a str,
    body: Option<&'a Value>,
    operation: &'a str,
}

impl ResourceManager {
    /// Makes one call, within the quotas, and does not repeat it.
    ///
    /// # Errors
    /// Every variant; `CloudError::had_no_effect` tells whether it may have had one.
    pub async fn call_once(
        &self,
        call: &Call<'_>,
        deadline: Instant,
    ) -> Result<Answer, CloudError> {
        let mut url = format!(
            "{}{}?api-version={}",
            self.clouds.management_endpoint, call.path, call.api_version
        );
        for (name, value) in call.query {
            url.push('&');
            url.push_str(name);
            url.push('=');
            url.extend(url::form_urlencoded::byte_serialize(value.as_bytes()));
        }
        let general = if call.method == Method::GET {
            READ
        } else {
            WRITE
        };
        // The provider's own are the tighter ones, and a throttle is put down to the first.
        let quotas: Vec<Quota> = call.quotas.iter().copied().chain([general]).collect();
        let asked = Exchange {
            method: &call.method,
            url: &url,
            body: call.body,
            operation: call.operation,
        };
        let first = self.exchange(&asked, &quotas, deadline).await;
        let refused = |error: &CloudError| error.code() == Code::Unauthenticated;
        if let Err(CloudError::Refused(_)) = &first
            && first.as_ref().is_err_and(refused)
        {
            // A token may have been revoked before its end, or ended early by somebody's clock; what is refused had no effect.
            self.tokens.forget().await;
            return self.exchange(&asked, &quotas, deadline).await;
        }
        first
    }

    /// Makes a call that may be repeated, with pauses, until `deadline`.
    ///
    /// # Errors
    /// The last attempt's error.
    pub async fn call(&self, call: &Call<'_>, deadline: Instant) -> Result<Answer, CloudError> {
        retry::until(
            &self.context,
            call.operation,
            Pace::CALL,
            deadline,
            || self.call_once(call, deadline),
            CloudError::again,
        )
        .await
    }

    /// The same, for an answer that `read` understands; one that it does not is asked for again.
    ///
    /// # Errors
    /// The last attempt's error.
    pub async fn call_and_read<T>(
        &self,
        call: &Call<'_>,
        deadline: Instant,
        read: impl Fn(Value) -> Result<T, CloudError>,
    ) -> Result<T, CloudError> {
        retry::until(
            &self.context,
            call.operation,
            Pace::CALL,
            deadline,
            || async { read(self.call_once(call, deadline).await?.body) },
            CloudError::again,
        )
        .await
    }

    /// Why a long operation failed; none while it runs, when it succeeded, and where it cannot be asked about any more.
    ///
    /// # Errors
    /// Whatever kept Resource Manager from telling.
    pub async fn failed_operation(
        &self,
        url: &str,
        operation: &str,
        deadline: Instant,
    ) -> Result<Option<Refusal>, CloudError> {
        // A link to elsewhere would give our token away.
        if !self.is_ours(url) {
            return Ok(None);
        }
        let answer = match self.follow(url, operation, deadline).await {
            Err(CloudError::Refused(refusal)) => {
                return match refusal.code {
                    Code::NotFound => Ok(None),
                    // These tell of the question, not of the operation.
                    Code::Throttled
                    | Code::Unavailable
                    | Code::Unauthenticated
                    | Code::PermissionDenied => Err(CloudError::Refused(refusal)),
                    // A Location ends in the failure's own answer.
                    _ => Ok(Some(*refusal)),
                };
            }
            other => other?,
        };
        // "Track asynchronous Azure operations": anything but these three is still running; a Location's answer has no status.
        let status = answer.body.get("status").and_then(Value::as_str);
        if !matches!(status, Some("Failed" | "Canceled")) {
            return Ok(None);
        }
        let error = answer.body.get("error");
        Ok(Some(refusal_of(error, operation, answer.http_status)))
    }

    /// One GET of a link that Resource Manager gave.
    async fn follow(
        &self,
        url: &str,
        operation: &str,
        deadline: Instant,
    ) -> Result<Answer, CloudError> {
        let asked = Exchange {
            method: &Method::GET,
            url,
            body: None,
            operation,
        };
        retry::until(
            &self.context,
            operation,
            Pace::CALL,
            deadline,
            || self.exchange(&asked, &[READ], deadline),
            CloudError::again,
        )
        .await
    }

    /// Every item of a list, through all its pages.
    ///
    /// # Errors
    /// The error of the page that could not be had; what came before is given up.
    pub async fn list(
        &self,
        first: &Call<'_>,
        deadline: Instant,
    ) -> Result<Vec<Value>, CloudError> {
        let operation = first.operation;
        let mut answer = self.call(first, deadline).await?;
        let mut items = Vec::new();
        let mut seen = std::collections::HashSet::new();
        loop {
            let Some(page) = answer.body.get_mut("value").and_then(Value::as_array_mut) else {
                return Err(CloudError::Unreadable {
                    operation: operation.to_owned(),
                    why: "it lacks value".to_owned(),
                });
            };
            items.append(page);
            let Some(next) = answer
                .body
                .get("nextLink")
                .and_then(Value::as_str)
                .map(str::to_owned)
            else {
                return Ok(items);
            };
            // A page that comes twice would never end; a link to elsewhere would give our token away.
            if !self.is_ours(&next) || !seen.insert(next.clone()) {
                return Err(CloudError::Unreadable {
                    operation: operation.to_owned(),
                    why: "nextLink leads elsewhere, or in a circle".to_owned(),
                });
            }
            answer = self.follow(&next, operation, deadline).await?;
        }
    }

    fn is_ours(&self, url: &str) -> bool {
        url.strip_prefix(&self.clouds.management_endpoint)
            .is_some_and(|rest| rest.starts_with('/'))
    }

    async fn exchange(
        &self,
        asked: &Exchange<'_>,
        quotas: &[Quota],
        deadline: Instant,
    ) -> Result<Answer, CloudError> {
        let Exchange {
            method,
            url,
            body,
            operation,
        } = *asked;
        let taken = self
            .limiter
            .take(&self.limiter.ticket(), &self.scope, quotas, deadline)
            .await;
        taken.map_err(|TooLate { ahead }| CloudError::Queue {
            operation: operation.to_owned(),
            ahead,
        })?;
        let bearer = self.tokens.bearer(operation).await?;
        let text = body.map(ToString::to_string).unwrap_or_default();
        let request = http::Request::builder()
            .method(method)
            .uri(url)
            .header(
                http::header::AUTHORIZATION,
                format!("Bearer {}", bearer.expose()),
            )
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::CONTENT_LENGTH, text.len())
            .body(Bytes::from(text))
            .map_err(|e| CloudError::Unreadable {
                operation: operation.to_owned(),
                why: e.to_string(),
            })?;
        let sent = Instant::now();
        self.context.counts().called(operation);
        let answer = self.door.send(request).await;
        tracing::debug!(operation, status = ?answer.as_ref().map(|a| a.status().as_u16()), "cloud call");
        let answer = answer.map_err(|source| CloudError::NoAnswer {
            operation: operation.to_owned(),
            source,
        })?;
        let answer = read(&answer, operation, &self.context);
        if let Err(CloudError::Refused(refusal)) = &answer
            && refusal.code == Code::Throttled
        {
            self.context.counts().throttled(operation);
            self.limiter
                .throttled(&self.scope, quotas, sent, refusal.retry_after);
        }
        answer
    }
}

pub(crate) fn read(
    answer: &Response,
    operation: &str,
    context: &Context,
) -> Result<Answer, CloudError> {
    let header = |name: &str| {
        answer
            .headers()
            .get(name)
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned)
    };
    let http_status = answer.status().as_u16();
    let body: Option<Value> = serde_json::from_slice(answer.body()).ok();
    if answer.status().is_success() {
        if !answer.body().is_empty() && body.is_none() {
            let why = format!("{} bytes that are no JSON", answer.body().len());
            return Err(CloudError::Unreadable {
                operation: operation.to_owned(),
                why,
            });
        }
        return Ok(Answer {
            http_status,
            body: body.unwrap_or(Value::Null),
            operation_url: header("azure-asyncoperation").or_else(|| header("location")),
        });
    }
    let error = body.as_ref().and_then(|b| b.get("error"));
    Err(CloudError::Refused(Box::new(Refusal {
        request_id: header("x-ms-request-id").or_else(|| header("x-ms-correlation-request-id")),
        retry_after: header("retry-after").and_then(|value| retry_after(&value, context)),
        ..refusal_of(error, operation, http_status)
    })))
}

/// An answer's JSON as what is read of it.
///
/// # Errors
/// `Unreadable`, with the member that has another type than Azure documents.
pub fn typed<T: DeserializeOwned>(operation: &str, body: Value) -> Result<T, CloudError> {
    serde_path_to_error::deserialize(body).map_err(|error| CloudError::Unreadable {
        operation: operation.to_owned(),
        why: format!("{} has another type than Azure documents", error.path()),
    })
}

/// Resource Manager's error object: {code, message, target, details}.
fn refusal_of(error: Option<&Value>, operation: &str, http_status: u16) -> Refusal {
    let text = |name: &str| Some(error?.get(name)?.as_str()?.to_owned());
    let cloud_code = innermost_code(error).or_else(|| text("code"));
    Refusal {
        operation: operation.to_owned(),
        http_status,
        code: error::code(cloud_code.as_deref(), http_status),
        message: text("message").unwrap_or_else(|| format!("HTTP {http_status}")),
        request_id: None,
        retry_after: None,
        cloud_code,
        body: error.cloned().unwrap_or(Value::Null),
    }
}

/// Azure Machine Learning wraps what it means ("QuotaExceeded") into "UserError" and "details".
fn innermost_code(error: Option<&Value>) -> Option<String> {
    let details = error?.get("details")?.as_array()?;
    let known = |code: &&str| error::code(Some(code), 0) != error::code(None, 0);
    details
        .iter()
        .filter_map(|d| d.get("code")?.as_str())
        .find(known)
        .map(str::to_owned)
}
