//! What Azure tells of an instance: its state, what was done to it last, and each error of a set-up that failed.
//!
//! What notebooks and set-up scripts write stays on the machine, which Resource Manager does not read.

use super::api::{Place, Service};
use super::instance::Instance;
use super::status;
use crate::backend::{Lines, Record};
use crate::cloud::CloudError;
use crate::cloud::time::in_seconds;
use crate::error::Failure;
use crate::redact::Redactor;
use crate::wire::Code;
use crate::wire::reply::{LogLine, LogsResult};
use serde_json::Value;
use tokio::time::Instant;

/// What is told of the instance now; there is no log to follow.
pub async fn logs(
    service: &Service,
    record: &Record,
    wanted: Lines<'_>,
    deadline: Instant,
) -> Result<LogsResult, Failure> {
    let place = Place::of(record)?;
    let name = record.reference.as_deref().unwrap_or_default();
    let found = service.get(&place, name, deadline).await;
    let Some(instance) = found.map_err(CloudError::into_failure)? else {
        let message = format!("compute instance {name} is not there");
        return Err(Failure::new(Code::NotFound, message));
    };
    let mut lines = Redactor::clean_lines(&Value::Null, story(&instance));
    lines.truncate(wanted.most);
    Ok(LogsResult { lines, next: None })
}

fn story(instance: &Instance) -> Vec<LogLine> {
    let line = |time: Option<&str>, message: String| LogLine {
        time: time.and_then(in_seconds),
        message,
    };
    let created = instance.properties.created_on.as_deref();
    let mut lines = vec![line(
        created,
        format!("compute instance {} created", instance.name),
    )];
    let inner = instance.properties.properties.as_ref();
    if let Some(last) = inner.and_then(|inner| inner.last_operation.as_ref()) {
        let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
        let (name, status, by) = (word(&last.name), word(&last.status), word(&last.trigger));
        let message = format!("last operation: {name}: {status}, by {by}");
        lines.push(line(last.time.as_deref(), message));
    }
    let state = status::state_of(instance).unwrap_or("unknown");
    lines.push(line(None, format!("state: {state}")));
    let (_, problems) = instance.problems();
    lines.extend(problems.into_iter().map(|words| line(None, words)));
    lines
}
