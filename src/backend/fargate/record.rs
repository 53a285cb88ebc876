//! Fargate's own fields in a server's record, and what a task alone tells of it.

use super::NAME;
use super::config::Address;
use super::task::Task;
use crate::backend::{Record, tags};
use crate::error::Failure;
use crate::wire::StartParams;
use serde_json::Value;

/// The region that the task runs in.
pub const REGION: &str = "region";
/// The ECS endpoint that knows the task.
pub const ENDPOINT: &str = "endpoint";
/// The cluster that the task runs in.
pub const CLUSTER: &str = "cluster";
/// `http` or `https`.
pub const SCHEME: &str = "scheme";
/// The port on which the server listens.
pub const PORT: &str = "port";
/// The container that is the server, where the admin named it.
pub const CONTAINER: &str = "container_name";
/// Which of the task's addresses is meant.
pub const ADDRESS: &str = "address";
/// The number at the end of clientToken: it rises only after a definite answer.
pub const RUN: &str = "run";
/// Whether RunTask carries our tags.
pub const TAGGED: &str = "tagged";
/// The task definition with the mounts, where there are some: RunTask asks for it in place of the admin's.
pub const TASK_DEFINITION: &str = "task_definition";

/// Whether its token is kept in Secrets Manager, in a secret that is named after the key; else not there.
pub const SECRET: &str = "secret";

/// Whether a secret may be left of this server.
pub fn has_secret(record: &Record) -> bool {
    record.own.get(SECRET).and_then(Value::as_bool) == Some(true)
}

/// The record in a start's state, if there is one.
pub fn earlier(params: &StartParams) -> Result<Option<Record>, Failure> {
    params
        .state
        .as_ref()
        .map(|state| Record::read(state.clone(), NAME))
        .transpose()
}

/// What RunTask number this record has reached; 1 for the first.
pub fn run(record: &Record) -> u64 {
    record.own.get(RUN).and_then(Value::as_u64).unwrap_or(1)
}

/// The address that the server answers at, from its record and what the cloud tells of the task.
pub fn url(record: &Record, task: &Task) -> Option<String> {
    let port = record.own.get(PORT)?.as_u64()?;
    let scheme = record.text(SCHEME)?;
    let kind = Address::from_record(record.text(ADDRESS));
    let Some(address) = task.address(kind) else {
        // A task keeps its public address, and EC2 need not be asked for it again.
        return record.url.clone().filter(|_| kind == Address::PublicIpv4);
    };
    Some(if address.is_ipv6() {
        format!("{scheme}://[{address}]:{port}")
    } else {
        format!("{scheme}://{address}:{port}")
    })
}

/// Whether the address is all that the URL lacks; a lost state may leave the port unknown for ever.
pub fn knows_port(record: &Record) -> bool {
    record.own.get(PORT).is_some_and(Value::is_u64)
}

/// A record for a task whose state was lost: what the task itself tells.
///
/// Scheme, port and prefix stand in the JUPYTERHUB_SERVICE_URL that the task was started with, where it was.
pub fn from_task(task: &Task, key: &str, place: &[(&str, &str)]) -> Record {
    let mut record = Record {
        key: key.to_owned(),
        attempt: task.tag(tags::ATTEMPT).unwrap_or_default().to_owned(),
        attempted_at_ms: task.created_at_ms().unwrap_or_default(),
        reference: Some(task.task_arn.clone()),
        ..Record::default()
    };
    for (name, value) in place {
        record.own.insert((*name).to_owned(), Value::from(*value));
    }
    let service_url = task.environment("JUPYTERHUB_SERVICE_URL");
    if let Some(uri) = service_url.and_then(|url| url.parse::<http::Uri>().ok()) {
        if let (Some(scheme), Some(port)) = (uri.scheme_str(), uri.port_u16()) {
            record.own.insert(SCHEME.to_owned(), Value::from(scheme));
            record.own.insert(PORT.to_owned(), Value::from(port));
        }
        uri.path().clone_into(&mut record.service_prefix);
    }
    record
}
