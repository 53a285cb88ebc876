//! AWS's two JSON protocols: JSON 1.1, one signed POST a call, and REST-JSON, whose calls have methods and paths; and calls of the
//! query protocol, which take the same way (`query` has their forms and XML).

use super::account::Account;
use super::{error, query};
use crate::cloud::error::{CloudError, Refusal, retry_after};
use crate::context::Context;
use crate::net::limiter::{Limiter, Quota, Ticket, TooLate};
use crate::net::retry::{self, Pace};
use crate::net::{Door, Request, Response};
use crate::wire::Code;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use tokio::time::Instant;

/// How a service is spelt in its headers and signatures.
#[derive(Debug, Clone, Copy)]
pub struct ServiceName {
    /// The prefix of X-Amz-Target; empty for REST-JSON and the query protocol.
    pub target: &'static str,
    /// The signing name, which is also the prefix of operations in policies.
    pub signing: &'static str,
}

/// One service of one account.
pub struct JsonService {
    /// How the service is spelt.
    pub name: ServiceName,
    /// Whose it is, and where.
    pub account: Account,
    /// Calls of one scope share the quotas.
    pub scope: String,
    /// The way out.
    pub door: Arc<dyn Door>,
    /// The quotas.
    pub limiter: Arc<Limiter>,
    /// Clock and chance.
    pub context: Context,
}

/// One call: its action's name, and how the request looks.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    action: &'a str,
    method: http::Method,
    path: String,
    body: Body<'a>,
}

#[derive(Debug, Clone)]
enum Body<'a> {
    /// Null for none.
    Json(&'a Value),
    Form(String),
}

impl<'a> Call<'a> {
    /// A call of JSON 1.1.
    #[must_use]
    pub fn post(action: &'a str, body: &'a Value) -> Self {
        Self {
            action,
            method: http::Method::POST,
            path: "/".to_owned(),
            body: Body::Json(body),
        }
    }

    /// A call of the query protocol, with the API's version.
    #[must_use]
    pub fn query(action: &'a str, version: &str, members: &[(String, String)]) -> Self {
        Self {
            action,
            method: http::Method::POST,
            path: "/".to_owned(),
            body: Body::Form(query::form(action, version, members)),
        }
    }

    /// A call of REST-JSON; `path` begins with "/" and may hold a query, both escaped.
    #[must_use]
    pub fn rest(action: &'a str, method: http::Method, path: String, body: &'a Value) -> Self {
        Self {
            action,
            method,
            path,
            body: Body::Json(body),
        }
    }
}

/// A successful answer, not read yet: what is looked for in it is a small part of it.
#[derive(Debug, Clone)]
pub struct Answer {
    operation: String,
    body: Bytes,
    /// AWS's id of the request.
    pub request_id: Option<String>,
}

impl Answer {
    /// The answer as the type that the operation is documented to give.
    ///
    /// # Errors
    /// `Unreadable` where it is no JSON object, or else with the field that is of another type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, CloudError> {
        if !self.body.trim_ascii_start().starts_with(b"{") {
            return Err(self.unreadable(self.no_object()));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            // Paths are kept only once something is wrong: they cost as much as the reading itself.
            let mut text = serde_json::Deserializer::from_slice(&self.body);
            match serde_path_to_error::deserialize::<_, T>(&mut text) {
                Err(wrong) if error.is_data() => self.unreadable(format!(
                    "{} has another type than AWS documents",
                    wrong.path()
                )),
                _ => self.unreadable(self.no_object()),
            }
        })
    }

    /// The answer as it came, for protocols that are no JSON.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Success without the members that tell of it: something in between has answered, or nothing that can be relied on.
    #[must_use]
    pub fn lacks(&self, members: &str) -> CloudError {
        self.unreadable(format!("it lacks {members}"))
    }

    fn no_object(&self) -> String {
        format!("{} bytes that are no JSON object", self.body.len())
    }

    fn unreadable(&self, why: String) -> CloudError {
        CloudError::Unreadable {
            operation: self.operation.clone(),
            why,
        }
    }
}

impl JsonService {
    /// Makes one call, within `quotas`. It is not repeated, except once with fresh credentials where AWS refused the old.
    ///
    /// # Errors
    /// Every variant; `CloudError::had_no_effect` tells whether the call may have had one.
    pub async fn call_once(
        &self,
        call: &Call<'_>,
        quotas: &[Quota],
        ticket: &Ticket,
        deadline: Instant,
    ) -> Result<Answer, CloudError> {
        let operation = format!("{}:{}", self.name.signing, call.action);
        self.admit(&operation, quotas, ticket, deadline).await?;
        self.call_admitted(call, quotas).await
    }

    /// Makes one call that `admit` has let pass, like `call_once`.
    ///
    /// # Errors
    /// As `call_once`.
    pub async fn call_admitted(
        &self,
        call: &Call<'_>,
        quotas: &[Quota],
    ) -> Result<Answer, CloudError> {
        let operation = format!("{}:{}", self.name.signing, call.action);
        let first = self.exchange(call, &operation, quotas).await;
        match first {
            // Credentials may have been rotated or have ended early; refused calls had no effect.
            Err(error @ CloudError::Refused(_)) if error.code() == Code::Unauthenticated => {
                // Boxed: it is rare, and would make every future that holds a call ten times as large.
                Box::pin(self.account.forget_credentials()).await;
                self.exchange(call, &operation, quotas).await
            }
            other => other,
        }
    }

    /// Makes a call that may be repeated, with pauses, until `deadline`, and reads its answer; it keeps its place in the queue.
    ///
    /// # Errors
    /// The last attempt's error.
    pub async fn call<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        quotas: &[Quota],
        deadline: Instant,
    ) -> Result<T, CloudError> {
        let read = |answer: &Answer| answer.read();
        self.call_and_read(call, quotas, deadline, read).await
    }

    /// The same, for an answer that `read` understands; one that it does not is asked for again.
    ///
    /// # Errors
    /// The last attempt's error.
    pub async fn call_and_read<T>(
        &self,
        call: &Call<'_>,
        quotas: &[Quota],
        deadline: Instant,
        read: impl Fn(&Answer) -> Result<T, CloudError>,
    ) -> Result<T, CloudError> {
        let ticket = self.limiter.ticket();
        let attempt = || async {
            let answer = self.call_once(call, quotas, &ticket, deadline);
            read(&answer.await?)
        };
        retry::until(
            &self.context,
            &format!("{}:{}", self.name.signing, call.action),
            Pace::CALL,
            deadline,
            attempt,
            CloudError::again,
        )
        .await
    }

    /// Waits until `quotas` leave room for one call. Dropping the wait sends nothing.
    ///
    /// # Errors
    /// `Queue` where there is no room before `deadline`.
    pub async fn admit(
        &self,
        operation: &str,
        quotas: &[Quota],
        ticket: &Ticket,
        deadline: Instant,
    ) -> Result<(), CloudError> {
        let taken = self
            .limiter
            .take(ticket, &self.scope, quotas, deadline)
            .await;
        taken.map_err(|TooLate { ahead }| CloudError::Queue {
            operation: operation.to_owned(),
            ahead,
        })
    }

    async fn exchange(
        &self,
        call: &Call<'_>,
        operation: &str,
        quotas: &[Quota],
    ) -> Result<Answer, CloudError> {
        let mut request = self.request(call);
        self.account
            .sign(&mut request, self.name.signing, operation, &self.context)
            .await?;
        let secrets = secret_headers(&request);
        let sent = Instant::now();
        self.context.counts().called(operation);
        let answer = self.door.send(request).await;
        tracing::debug!(operation, status = ?answer.as_ref().map(|a| a.status().as_u16()), "cloud call");
        let answer = answer.map_err(|source| CloudError::NoAnswer {
            operation: operation.to_owned(),
            source,
        })?;
        let answer = read(&answer, operation, &self.context, self.is_rest());
        if let Err(CloudError::Refused(refusal)) = &answer
            && refusal.code == Code::Throttled
        {
            self.context.counts().throttled(operation);
            self.limiter
                .throttled(&self.scope, quotas, sent, refusal.retry_after);
        }
        answer.map_err(|error| error.without(&secrets))
    }

    fn is_rest(&self) -> bool {
        self.name.target.is_empty()
    }

    fn request(&self, call: &Call<'_>) -> Request {
        let body = match &call.body {
            Body::Json(Value::Null) => Bytes::new(),
            Body::Json(body) => Bytes::from(body.to_string()),
            Body::Form(form) => Bytes::from(form.clone()),
        };
        let mut request = Request::new(body);
        *request.method_mut() = call.method.clone();
        // `check_endpoint` has parsed the endpoint; what is added is "/" or a path that is escaped.
        *request.uri_mut() = format!("{}{}", self.account.endpoint, call.path)
            .parse()
            .unwrap_or_default();
        let headers = request.headers_mut();
        let content_type = match call.body {
            Body::Form(_) => "application/x-www-form-urlencoded",
            Body::Json(_) if self.is_rest() => "application/json",
            Body::Json(_) => "application/x-amz-json-1.1",
        };
        headers.insert(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static(content_type),
        );
        let target = format!("{}.{}", self.name.target, call.action);
        if let (false, Ok(target)) = (self.is_rest(), http::HeaderValue::try_from(target)) {
            headers.insert("x-amz-target", target);
        }
        request
    }
}

/// What a refusal may repeat: SigV4 errors quote the whole canonical request, session token and all.
fn secret_headers(request: &Request) -> Vec<String> {
    ["x-amz-security-token", "authorization"]
        .iter()
        .filter_map(|name| request.headers().get(*name)?.to_str().ok())
        .map(str::to_owned)
        .collect()
}

/// `nothing_is_fine`: REST-JSON answers with nothing where there is nothing to tell.
pub(crate) fn read(
    answer: &Response,
    operation: &str,
    context: &Context,
    nothing_is_fine: bool,
) -> Result<Answer, CloudError> {
    let header = |name: &str| {
        answer
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let request_id = header("x-amzn-requestid");
    if answer.status().is_success() {
        let body = if nothing_is_fine && answer.body().is_empty() {
            Bytes::from_static(b"{}")
        } else {
            answer.body().clone()
        };
        return Ok(Answer {
            operation: operation.to_owned(),
            body,
            request_id,
        });
    }
    let body: Option<Value> = serde_json::from_slice(answer.body()).ok();
    let body = body.or_else(|| query::error(answer.body()));
    let text = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| Some(body.as_ref()?.get(*name)?.as_str()?.to_owned()))
    };
    // "namespace#Code" in __type, or "Code:http://…" in the header: both forms are in the protocol's definition (Smithy,
    // "AWS JSON 1.1 protocol", Operation error serialization). EFS's errors have ErrorCode (its model's error shapes).
    let cloud_code = text(&["__type", "code", "ErrorCode"])
        .or_else(|| header("x-amzn-errortype"))
        .map(|code| {
            let code = code.rsplit('#').next().unwrap_or_default();
            code.split(':').next().unwrap_or_default().to_owned()
        });
    let http_status = answer.status().as_u16();
    let message = text(&["message", "Message"]).unwrap_or_else(|| format!("HTTP {http_status}"));
    Err(CloudError::Refused(Box::new(Refusal {
        operation: operation.to_owned(),
        http_status,
        code: error::code(cloud_code.as_deref(), &message, http_status),
        cloud_code,
        message,
        request_id,
        retry_after: header("retry-after").and_then(|value| retry_after(&value, context)),
        body: body.unwrap_or(Value::Null),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::time::SystemTime;

    #[test]
    fn html_from_something_in_between_is_an_error_of_its_status() {
        let mut answer = Response::new(Bytes::from_static(b"<html>502</html>"));
        *answer.status_mut() = http::StatusCode::BAD_GATEWAY;
        let context = Context::fixed(&[], SystemTime::UNIX_EPOCH);
        let error = read(&answer, "ecs:RunTask", &context, false).unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert!(!error.had_no_effect());
    }

    #[test]
    fn the_namespace_of_a_code_is_left_out() {
        let body = r#"{"__type":"com.amazonaws.ecs#ClientException","message":"m"}"#;
        let mut answer = Response::new(Bytes::from(body));
        *answer.status_mut() = http::StatusCode::BAD_REQUEST;
        let context = Context::fixed(&[], SystemTime::UNIX_EPOCH);
        let error = read(&answer, "ecs:RunTask", &context, false).unwrap_err();
        assert_eq!(error.cloud_code(), Some("ClientException"));
    }

    #[test]
    fn what_is_no_whole_object_is_no_answer() {
        let context = Context::fixed(&[], SystemTime::UNIX_EPOCH);
        for body in ["", "[]", "{\"tasks\":[", "null", "{} {}"] {
            let answer = Response::new(Bytes::from(body));
            let answer = read(&answer, "ecs:DescribeTasks", &context, false).unwrap();
            let error = answer.read::<Value>().unwrap_err();
            assert!(
                error.to_string().contains("no JSON object"),
                "{body}: {error}"
            );
        }
        let nothing = Response::new(Bytes::new());
        let answer = read(&nothing, "elasticfilesystem:TagResource", &context, true).unwrap();
        assert_eq!(answer.read::<Value>().unwrap(), serde_json::json!({}));
    }

    #[test]
    fn a_field_of_another_type_is_named() {
        let answer = Response::new(Bytes::from_static(br#"{"tasks":[{"arn":1}]}"#));
        let context = Context::fixed(&[], SystemTime::UNIX_EPOCH);
        let answer = read(&answer, "ecs:DescribeTasks", &context, false).unwrap();
        type Tasks = HashMap<String, Vec<HashMap<String, String>>>;
        let error = answer.read::<Tasks>().unwrap_err();
        assert!(error.to_string().contains("tasks[0].arn"), "{error}");
    }
}
