//! ECS as far as it is used: RunTask, DescribeTasks, ListTasks, StopTask.
//!
//! Requests are JSON, so that any argument passes; answers are read leniently, so that a field that AWS adds or leaves out
//! breaks nothing.

use super::config::Address;
use crate::cloud::CloudError;
use crate::cloud::aws::{JsonService, ServiceName};
use crate::net::limiter::Quota;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::Instant;

/// How ECS is spelt in headers and signatures (botocore's model, metadata).
pub const SERVICE: ServiceName = ServiceName {
    target: "AmazonEC2ContainerServiceV20141113",
    signing: "ecs",
};

/// DescribeTasks takes at most 100 tasks (API Reference, "tasks").
pub const MOST_TASKS_A_CALL: usize = 100;

/// "Request throttling for the Amazon ECS API": cluster resource read actions, burst and sustained rate.
const READ: Quota = Quota {
    name: "ecs cluster read",
    burst: 100.0,
    per_second: 20.0,
};
/// The same page: cluster resource modify actions; and "AWS Fargate service quotas": RunTask at 20 a second.
const MODIFY: Quota = Quota {
    name: "ecs cluster modify",
    burst: 100.0,
    per_second: 40.0,
};
const LAUNCH: Quota = Quota {
    name: "fargate launch",
    burst: 100.0,
    per_second: 20.0,
};

/// The ECS of one account.
pub struct Ecs {
    service: JsonService,
    tags_refused: AtomicBool,
}

/// RunTask's answer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunTaskAnswer {
    /// What was created.
    pub tasks: Vec<Task>,
    /// Why nothing was.
    pub failures: Vec<NotRun>,
    /// AWS's id of the request.
    #[serde(skip)]
    pub request_id: Option<String>,
}

/// One entry of `failures`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NotRun {
    /// What it is about.
    pub arn: Option<String>,
    /// The reason: a code such as `RESOURCE:ENI` or MISSING, or a sentence.
    pub reason: Option<String>,
    /// More about it.
    pub detail: Option<String>,
}

/// A task, as far as it is read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(
    missing_docs,
    clippy::struct_field_names,
    reason = "the fields are ECS's own"
)]
pub struct Task {
    pub task_arn: String,
    pub last_status: Option<String>,
    pub desired_status: Option<String>,
    pub started_by: Option<String>,
    /// Seconds since 1970, with a fraction.
    pub created_at: Option<f64>,
    pub stop_code: Option<String>,
    pub stopped_reason: Option<String>,
    pub containers: Vec<Container>,
    pub attachments: Vec<Attachment>,
    pub overrides: Overrides,
    pub tags: Vec<Tag>,
}

/// A container of a task.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are ECS's own")]
pub struct Container {
    pub name: Option<String>,
    pub exit_code: Option<i32>,
    pub reason: Option<String>,
    pub network_interfaces: Vec<NetworkInterface>,
}

/// A container's network interface.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are ECS's own")]
pub struct NetworkInterface {
    pub private_ipv4_address: Option<String>,
    pub ipv6_address: Option<String>,
}

/// An attachment of a task; its network interface is one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are ECS's own")]
pub struct Attachment {
    pub r#type: Option<String>,
    pub details: Vec<Detail>,
}

/// A name and a value.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are ECS's own")]
pub struct Detail {
    pub name: Option<String>,
    pub value: Option<String>,
}

/// A tag.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are ECS's own")]
pub struct Tag {
    pub key: Option<String>,
    pub value: Option<String>,
}

/// What RunTask was given to override.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are ECS's own")]
pub struct Overrides {
    pub container_overrides: Vec<ContainerOverride>,
}

/// One container's override, as far as it is read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are ECS's own")]
pub struct ContainerOverride {
    pub environment: Vec<Detail>,
}

impl Ecs {
    /// ECS through this service.
    pub fn new(service: JsonService) -> Self {
        Self {
            service,
            tags_refused: AtomicBool::new(false),
        }
    }

    /// Where calls go to, and in whose name: the same for all requests that mean the same account.
    pub fn scope(&self) -> &str {
        &self.service.scope
    }

    /// The region that calls go to.
    pub fn region(&self) -> &str {
        &self.service.account.region
    }

    /// The endpoint that calls go to.
    pub fn endpoint(&self) -> &str {
        &self.service.account.endpoint
    }

    /// Whether this account's policy was found to lack ecs:TagResource.
    pub fn refuses_tags(&self) -> bool {
        self.tags_refused.load(Ordering::Relaxed)
    }

    /// Remembers that the policy lacks ecs:TagResource, so that later starts do not ask in vain.
    pub fn remember_that_tags_are_refused(&self) {
        self.tags_refused.store(true, Ordering::Relaxed);
    }

    /// Waits until the quota leaves room for one RunTask. Dropping the wait creates nothing.
    pub async fn admit_run_task(&self, deadline: Instant) -> Result<(), CloudError> {
        self.service
            .admit("ecs:RunTask", &[LAUNCH, MODIFY], deadline)
            .await
    }

    /// RunTask, once and after `admit_run_task`: only the same clientToken with the same body makes a repetition safe.
    pub async fn run_task(
        &self,
        request: &Value,
        deadline: Instant,
    ) -> Result<RunTaskAnswer, CloudError> {
        let answer = self
            .service
            .call_once("RunTask", request, &[], deadline)
            .await?;
        let mut tasks: RunTaskAnswer = read("ecs:RunTask", answer.body)?;
        tasks.request_id = answer.request_id;
        Ok(tasks)
    }

    /// DescribeTasks for at most 100; whatever is missing is in the second list.
    pub async fn describe_tasks(
        &self,
        cluster: &str,
        arns: &[&str],
        with_tags: bool,
        deadline: Instant,
    ) -> Result<(Vec<Task>, Vec<NotRun>), CloudError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Described {
            tasks: Vec<Task>,
            failures: Vec<NotRun>,
        }
        let mut request = json!({"cluster": cluster, "tasks": arns});
        if with_tags {
            request["include"] = json!(["TAGS"]);
        }
        let answer = self
            .service
            .call("DescribeTasks", &request, &[READ], deadline)
            .await?;
        let described: Described = read("ecs:DescribeTasks", answer.body)?;
        Ok((described.tasks, described.failures))
    }

    /// The ARNs of all tasks that run or are on their way up; of one startedBy, or of the whole cluster.
    pub async fn list_tasks(
        &self,
        cluster: &str,
        started_by: Option<&str>,
        deadline: Instant,
    ) -> Result<Vec<String>, CloudError> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Page {
            task_arns: Vec<String>,
            next_token: Option<String>,
        }
        let mut arns = Vec::new();
        let mut next_token: Option<String> = None;
        loop {
            // startedBy must be the only filter (API Reference, "startedBy"); desiredStatus RUNNING is the default.
            let mut request = json!({"cluster": cluster});
            if let Some(started_by) = started_by {
                request["startedBy"] = Value::from(started_by);
            }
            if let Some(token) = &next_token {
                request["nextToken"] = Value::from(token.as_str());
            }
            let answer = self
                .service
                .call("ListTasks", &request, &[READ], deadline)
                .await?;
            let page: Page = read("ecs:ListTasks", answer.body)?;
            arns.extend(page.task_arns);
            // A page that names itself as the next one would never end.
            match page.next_token {
                Some(token) if !token.is_empty() && next_token.as_ref() != Some(&token) => {
                    next_token = Some(token);
                }
                _ => return Ok(arns),
            }
        }
    }

    /// The tasks themselves, in the largest batches, with their tags.
    pub async fn list_and_describe(
        &self,
        cluster: &str,
        started_by: Option<&str>,
        deadline: Instant,
    ) -> Result<Vec<Task>, CloudError> {
        let arns = self.list_tasks(cluster, started_by, deadline).await?;
        let mut tasks = Vec::with_capacity(arns.len());
        for batch in arns.chunks(MOST_TASKS_A_CALL) {
            let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
            tasks.extend(
                self.describe_tasks(cluster, &batch, true, deadline)
                    .await?
                    .0,
            );
        }
        Ok(tasks)
    }

    /// StopTask; may be repeated.
    pub async fn stop_task(
        &self,
        cluster: &str,
        arn: &str,
        reason: &str,
        deadline: Instant,
    ) -> Result<Task, CloudError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Stopped {
            task: Task,
        }
        let request = json!({"cluster": cluster, "task": arn, "reason": reason});
        let answer = self
            .service
            .call("StopTask", &request, &[MODIFY], deadline)
            .await?;
        Ok(read::<Stopped>("ecs:StopTask", answer.body)?.task)
    }
}

impl Task {
    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags
            .iter()
            .find(|tag| tag.key.as_deref() == Some(key))?
            .value
            .as_deref()
    }

    /// A variable of the first container override that has it.
    pub fn environment(&self, name: &str) -> Option<&str> {
        self.overrides
            .container_overrides
            .iter()
            .flat_map(|c| &c.environment)
            .find(|e| e.name.as_deref() == Some(name))?
            .value
            .as_deref()
    }

    /// When it was created, in milliseconds since 1970.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float's cast saturates, and the value is a date"
    )]
    pub fn created_at_ms(&self) -> Option<u64> {
        self.created_at.map(|seconds| (seconds * 1000.0) as u64)
    }

    /// The address of that kind, once the network interface has it; what is no address does not count.
    pub fn address(&self, kind: Address) -> Option<IpAddr> {
        let wanted = match kind {
            Address::PrivateIpv4 => "privateIPv4Address",
            Address::Ipv6 => "privateIPv6Address",
        };
        let of_attachments = self
            .attachments
            .iter()
            .flat_map(|attachment| &attachment.details)
            .filter(|detail| detail.name.as_deref() == Some(wanted))
            .filter_map(|detail| detail.value.as_deref());
        let of_containers = self
            .containers
            .iter()
            .flat_map(|container| &container.network_interfaces)
            .filter_map(|interface| match kind {
                Address::PrivateIpv4 => interface.private_ipv4_address.as_deref(),
                Address::Ipv6 => interface.ipv6_address.as_deref(),
            });
        of_attachments
            .chain(of_containers)
            .filter_map(|text| text.parse::<IpAddr>().ok())
            .find(|address| address.is_ipv6() == (kind == Address::Ipv6))
    }
}

fn read<T: for<'de> Deserialize<'de>>(operation: &str, body: Value) -> Result<T, CloudError> {
    serde_path_to_error::deserialize(body).map_err(|error| CloudError::Unreadable {
        operation: operation.to_owned(),
        why: format!("{} has another type than ECS documents", error.path()),
    })
}
