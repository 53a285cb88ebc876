//! What a task's container wrote: CloudWatch Logs, by the awslogs options of the task definition.
//!
//! Other log drivers keep their logs elsewhere, which is told and not followed.

use super::Fargate;
use super::api::Ecs;
use super::config::Config;
use super::record::{CLUSTER, CONTAINER, TASK_DEFINITION};
use super::task::Task;
use crate::backend::{Lines, Record, Settings};
use crate::cloud::CloudError;
use crate::cloud::aws::{
    AccountSettings, Answer, Call, Credentials, JsonService, ServiceId, ServiceName,
};
use crate::cloud::time::of_milliseconds;
use crate::error::Failure;
use crate::net::limiter::Quota;
use crate::redact::Redactor;
use crate::wire::Code;
use crate::wire::reply::{LogLine, LogsResult};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

/// How CloudWatch Logs is spelt (botocore's model, metadata).
const SERVICE_ID: ServiceId = ServiceId {
    sdk: "CloudWatch Logs",
    host: "logs",
    endpoint_setting: "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS",
};
const SERVICE: ServiceName = ServiceName {
    target: "Logs_20140328",
    signing: "logs",
};
/// "How do I determine throttling in my CloudWatch logs?" (AWS re:Post): 5 a second for each account and region.
const READ: Quota = Quota {
    name: "logs read",
    burst: 5.0,
    per_second: 5.0,
};
/// GetLogEvents: a page may be "partially full, or even empty" though there are more; so many are asked for.
const MOST_PAGES: usize = 20;

/// The last lines of the server's container.
pub async fn logs(
    backend: &Fargate,
    settings: Settings<'_>,
    record: &Record,
    wanted: Lines<'_>,
    deadline: Instant,
) -> Result<LogsResult, Failure> {
    let config = Config::read(settings.config)?;
    let ecs = backend.ecs(&config, settings, Some(record)).await?;
    let task = describe(&ecs, &config, record, deadline).await?;
    let definition = definition(&ecs, &config, record, task.as_ref(), deadline).await?;
    let container = container(&definition, &config, record)?;
    let place = Place::of(container, record, task.as_ref(), ecs.region())?;
    let account = AccountSettings {
        credentials: Credentials::read(settings.credentials)?,
        region: Some(place.region.clone()),
        endpoint_url: None,
    };
    let service = backend
        .service(&account, SERVICE_ID, SERVICE, ecs.scope())
        .await?;
    let read = Stream {
        service,
        place: &place,
    }
    .read(wanted, deadline)
    .await;
    let read = read.map_err(|error| explained(error, &place, task.as_ref()))?;
    Ok(LogsResult {
        lines: Redactor::clean_lines(&place.description, read.lines),
        ..read
    })
}

/// Where a container's log is.
struct Place {
    region: String,
    group: String,
    stream: String,
    /// The container as it was defined and overridden, whose secrets may stand in its log.
    description: Value,
}

/// The task; none where ECS does not know it any more, about an hour after its end.
async fn describe(
    ecs: &Ecs,
    config: &Config,
    record: &Record,
    deadline: Instant,
) -> Result<Option<Task>, Failure> {
    let Some(arn) = record.reference.as_deref() else {
        let message = "no task of this server is known yet";
        return Err(Failure::new(Code::NotFound, message));
    };
    let clusters = config.known_clusters();
    let cluster = record
        .text(CLUSTER)
        .or(clusters.first().map(String::as_str));
    let arns = [arn];
    let described = ecs.describe_tasks(cluster.unwrap_or_default(), &arns, false, deadline);
    let (mut tasks, _) = described.await.map_err(CloudError::into_failure)?;
    Ok(tasks.pop())
}

/// The task definition that the server was made from, as ECS tells it.
async fn definition(
    ecs: &Ecs,
    config: &Config,
    record: &Record,
    task: Option<&Task>,
    deadline: Instant,
) -> Result<Value, Failure> {
    let run_task = config.run_task.as_ref();
    let of_config = run_task.and_then(|r| r.get("taskDefinition"));
    let name = task
        .and_then(|task| task.task_definition_arn.as_deref())
        .or(record.text(TASK_DEFINITION))
        .or(of_config.and_then(Value::as_str));
    let Some(name) = name else {
        let message =
            "ECS does not know the task any more, and the settings name no task definition";
        return Err(Failure::new(Code::NotFound, message));
    };
    let described = ecs.describe_task_definition(name, deadline).await;
    let described = described.map_err(|error| {
        const NEEDS: &str = "logs needs ecs:DescribeTaskDefinition and logs:GetLogEvents; see deployments/fargate for the policy";
        let failure = error.into_failure();
        if failure.code() == Code::PermissionDenied {
            return failure.because(NEEDS);
        }
        failure
    })?;
    described.ok_or_else(|| {
        let message = format!("task definition {name} is not there");
        Failure::new(Code::NotFound, message)
    })
}

/// The server's container: the one that is named, else the first essential one, as ECS's default for "essential" is true (API
/// Reference, ContainerDefinition).
fn container<'a>(
    definition: &'a Value,
    config: &Config,
    record: &Record,
) -> Result<&'a Value, Failure> {
    let named = record.text(CONTAINER).or(config.container_name.as_deref());
    let all = definition["taskDefinition"]["containerDefinitions"].as_array();
    let fits = |container: &&Value| match named {
        Some(name) => container["name"] == name,
        None => container["essential"] != json!(false),
    };
    all.into_iter().flatten().find(fits).ok_or_else(|| {
        let message = format!("the task definition has no container {named:?}");
        Failure::new(Code::NotFound, message)
    })
}

impl Place {
    /// By the awslogs options. "Send Amazon ECS logs to CloudWatch" in the Developer Guide: the prefix is required on Fargate, and a
    /// stream is called prefix/container/task id.
    fn of(
        container: &Value,
        record: &Record,
        task: Option<&Task>,
        region: &str,
    ) -> Result<Self, Failure> {
        let name = container["name"].as_str().unwrap_or_default();
        let log = &container["logConfiguration"];
        let option = |name: &str| {
            let text = log["options"][name].as_str();
            text.filter(|text| !text.is_empty())
        };
        let wrong = |why: String| {
            let message = format!("container {name:?} of the task definition {why}");
            Err(Failure::new(Code::InvalidConfig, message))
        };
        if log["logDriver"] != "awslogs" {
            let driver = &log["logDriver"];
            return wrong(format!("has logDriver {driver}; only awslogs can be read"));
        }
        let (group, prefix) = (option("awslogs-group"), option("awslogs-stream-prefix"));
        let (Some(group), Some(prefix)) = (group, prefix) else {
            return wrong("names no awslogs-group and awslogs-stream-prefix".to_owned());
        };
        let arn = record.reference.as_deref().unwrap_or_default();
        let id = arn.rsplit('/').next().unwrap_or_default();
        let overrides = task.map(Task::overrides).unwrap_or_default();
        let environment: Vec<Value> = overrides
            .container_overrides
            .iter()
            .flat_map(|container| &container.environment)
            .map(|variable| json!({"name": variable.name, "value": variable.value}))
            .collect();
        Ok(Self {
            region: option("awslogs-region").unwrap_or(region).to_owned(),
            group: group.to_owned(),
            stream: format!("{prefix}/{name}/{id}"),
            description: json!([container, environment]),
        })
    }
}

/// A log stream that is read.
struct Stream<'a> {
    service: JsonService,
    place: &'a Place,
}

/// GetLogEvents' answer, as far as it is read; leniently.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Page {
    events: Option<Vec<LogEvent>>,
    next_forward_token: Option<String>,
    next_backward_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LogEvent {
    timestamp: Option<u64>,
    message: Option<String>,
}

impl Stream<'_> {
    async fn read(&self, wanted: Lines<'_>, deadline: Instant) -> Result<LogsResult, CloudError> {
        if let Some(after) = wanted.after {
            let page = self.page(Some(after), true, wanted.most, deadline).await?;
            return Ok(LogsResult {
                next: page.next_forward_token.or_else(|| Some(after.to_owned())),
                lines: page.events.into_iter().flatten().map(line).collect(),
            });
        }
        let mut lines: Vec<LogLine> = Vec::new();
        let mut next = None;
        let mut token: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let left = wanted.most - lines.len();
            let page = self.page(token.as_deref(), false, left, deadline).await?;
            next = next.or(page.next_forward_token);
            let mut older: Vec<LogLine> = page.events.into_iter().flatten().map(line).collect();
            older.append(&mut lines);
            lines = older;
            // The same token again is the beginning of the stream.
            let ended = page.next_backward_token.is_none() || page.next_backward_token == token;
            if ended || lines.len() >= wanted.most {
                break;
            }
            token = page.next_backward_token;
        }
        let too_many = lines.len().saturating_sub(wanted.most);
        lines.drain(..too_many);
        Ok(LogsResult { lines, next })
    }

    /// Forward needs `startFromHead` (GetLogEvents, "startFromHead").
    async fn page(
        &self,
        token: Option<&str>,
        forward: bool,
        limit: usize,
        deadline: Instant,
    ) -> Result<Page, CloudError> {
        let mut request = json!({"logGroupName": self.place.group, "logStreamName": self.place.stream,
            "startFromHead": forward, "limit": limit});
        if let Some(token) = token {
            request["nextToken"] = Value::from(token);
        }
        let told = |answer: &Answer| {
            let page: Page = answer.read()?;
            if page.events.is_none() {
                return Err(answer.lacks("events"));
            }
            Ok(page)
        };
        let call = Call::post("GetLogEvents", &request);
        self.service
            .call_and_read(&call, &[READ], deadline, told)
            .await
    }
}

fn line(event: LogEvent) -> LogLine {
    LogLine {
        time: event.timestamp.and_then(of_milliseconds),
        message: event.message.unwrap_or_default(),
    }
}

/// A stream begins with the container's first line: that it is not there says something of the task.
fn explained(error: CloudError, place: &Place, task: Option<&Task>) -> Failure {
    let absent = error.code() == Code::NotFound;
    let failure = error.into_failure();
    if !absent {
        return failure;
    }
    let Place { group, stream, .. } = place;
    let message = format!(
        "CloudWatch Logs has no stream {stream:?} in group {group:?}: the container has not written anything yet, or never ran"
    );
    let mut told = Failure::new(Code::NotFound, message).because(failure.0.message.clone());
    told.0.context = failure.0.context;
    let reasons = task.into_iter().flat_map(|task| {
        let of_containers = task.containers.iter().filter_map(|c| c.reason.clone());
        task.stopped_reason.clone().into_iter().chain(of_containers)
    });
    reasons.fold(told, Failure::because)
}
