//! DescribeTasks, ListTasks and StopTask: the actions that look for tasks.

use serde_json::{Value, json};

use super::{Call, clusters, permission, validate, view};
use crate::api_error::ApiError;
use crate::lifecycle::{End, Status};
use crate::tasks::{Task, Tasks};
use crate::world::World;

/// API reference, DescribeTasks, `tasks`.
const TASKS_A_CALL: usize = 100;
/// API reference, ListTasks, `maxResults`.
const PAGE: i64 = 100;
/// What a container gives that ended by SIGTERM, as a shell counts it.
const SIGTERM_EXIT: i32 = 128 + 15;

/// The task's id in a given id or ARN. One that is malformed fails the whole call.
fn task_id(call: Call<'_>, cluster: &str, given: &str) -> Result<String, ApiError> {
    let id = if given.starts_with("arn:") {
        let Some(rest) = given.strip_prefix(&call.emulator.arn("task/")) else {
            return Err(ApiError::invalid(
                "Invalid identifier: Identifier is for a different region, account or kind.",
            ));
        };
        match rest.split_once('/') {
            Some((of, id)) if of == cluster => id,
            Some((of, _)) => {
                return Err(ApiError::invalid(format!(
                    "Invalid identifier: Identifier is for {of}. Your cluster is {cluster}"
                )));
            }
            None => rest,
        }
    } else {
        given
    };
    if !matches!(id.len(), 32 | 36) {
        return Err(ApiError::invalid("taskId length should be one of [32,36]"));
    }
    if !id.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        return Err(ApiError::invalid(
            "Invalid identifier: taskId has characters that no id has.",
        ));
    }
    Ok(id.to_owned())
}

pub fn describe_tasks(call: Call<'_>, request: &Value, world: &World) -> Result<Value, ApiError> {
    let (cluster, cluster_arn) = clusters::named(call.emulator, request);
    let given: Vec<_> = request["tasks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if given.is_empty() {
        return Err(ApiError::invalid("Tasks cannot be empty."));
    }
    if given.len() > TASKS_A_CALL {
        return Err(ApiError::invalid(
            "Tasks cannot have more than 100 elements.",
        ));
    }
    let when = world.settings.visibility(call.now_ms);
    let with_tags = validate::includes_tags(request);
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    let mut checked = false;
    for given in given {
        let id = task_id(call, &cluster, given)?;
        let arn = call.emulator.arn(&format!("task/{cluster}/{id}"));
        permission::check(call, "ecs:DescribeTasks", &arn, Some(&cluster_arn))?;
        if !checked {
            clusters::must_exist(call.emulator, &cluster, &cluster_arn)?;
            checked = true;
        }
        match world
            .tasks
            .get(&id)
            .filter(|task| task.cluster == cluster && Tasks::can_be_seen(task, when))
        {
            Some(task) => tasks.push(view::task(call.emulator, task, with_tags, call.now_ms)),
            None => failures.push(json!({ "arn": arn, "reason": "MISSING" })),
        }
    }
    Ok(json!({ "tasks": tasks, "failures": failures }))
}

/// ListTasks's filters.
struct Filter<'a> {
    cluster: &'a str,
    started_by: Option<&'a str>,
    family: Option<&'a str>,
    launch_type: Option<&'a str>,
    desired_status: &'a str,
}

impl Filter<'_> {
    fn passes(&self, task: &Task, now_ms: u64) -> bool {
        task.cluster == self.cluster
            && self
                .started_by
                .is_none_or(|wanted| task.started_by() == Some(wanted))
            && self
                .family
                .is_none_or(|wanted| task.definition.family == wanted)
            && self.launch_type.is_none_or(|wanted| wanted == "FARGATE")
            && task.desired_status(now_ms) == self.desired_status
    }
}

pub fn list_tasks(call: Call<'_>, request: &Value, world: &World) -> Result<Value, ApiError> {
    let (cluster, cluster_arn) = clusters::named(call.emulator, request);
    let resource = call
        .emulator
        .arn(&format!("container-instance/{cluster}/*"));
    permission::check(call, "ecs:ListTasks", &resource, Some(&cluster_arn))?;
    clusters::must_exist(call.emulator, &cluster, &cluster_arn)?;
    let text = |name: &str| request[name].as_str();
    let others = [
        "containerInstance",
        "family",
        "serviceName",
        "launchType",
        "daemonName",
    ];
    if text("startedBy").is_some() && others.iter().any(|name| text(name).is_some()) {
        return Err(ApiError::invalid(
            "When you specify startedBy as the filter, it must be the only filter that you use.",
        ));
    }
    let desired_status = text("desiredStatus").unwrap_or("RUNNING");
    if !matches!(desired_status, "RUNNING" | "PENDING" | "STOPPED") {
        return Err(ApiError::invalid(format!(
            "Unknown desired status: {desired_status}"
        )));
    }
    let page = request["maxResults"].as_i64().unwrap_or(PAGE);
    if !(1..=PAGE).contains(&page) {
        return Err(ApiError::invalid("maxResults must be between 1 and 100."));
    }
    let start = match text("nextToken") {
        Some(token) => parse_token(token).ok_or_else(|| ApiError::invalid("Invalid token"))?,
        None => 0,
    };
    let filter = Filter {
        cluster: &cluster,
        started_by: text("startedBy"),
        family: text("family"),
        launch_type: text("launchType"),
        desired_status,
    };
    let when = world.settings.visibility(call.now_ms);
    // Fargate tasks belong to no container instance, service or daemon.
    let none = ["containerInstance", "serviceName", "daemonName"]
        .iter()
        .any(|name| text(name).is_some());
    let mut found = world
        .tasks
        .iter()
        .enumerate()
        .skip(start)
        .filter(|(_, task)| {
            !none && Tasks::can_be_seen(task, when) && filter.passes(task, call.now_ms)
        });
    let size = usize::try_from(page).unwrap_or(1);
    let arns: Vec<_> = found
        .by_ref()
        .take(size)
        .map(|(_, task)| task.arn.as_str())
        .collect();
    let mut answer = json!({ "taskArns": arns });
    if let Some((next, _)) = found.next() {
        answer["nextToken"] = json!(token(next));
    }
    Ok(answer)
}

/// Opaque to callers: the position of the next task.
fn token(position: usize) -> String {
    format!("next-{position:016x}")
}

fn parse_token(token: &str) -> Option<usize> {
    usize::from_str_radix(token.strip_prefix("next-")?, 16).ok()
}

pub fn stop_task(call: Call<'_>, request: &Value, world: &mut World) -> Result<Value, ApiError> {
    let (cluster, cluster_arn) = clusters::named(call.emulator, request);
    let given = request["task"].as_str().unwrap_or_default();
    if given.is_empty() {
        return Err(ApiError::invalid("Task cannot be empty."));
    }
    let id = task_id(call, &cluster, given)?;
    let arn = call.emulator.arn(&format!("task/{cluster}/{id}"));
    permission::check(call, "ecs:StopTask", &arn, Some(&cluster_arn))?;
    clusters::must_exist(call.emulator, &cluster, &cluster_arn)?;
    let settings = world.settings;
    let when = settings.visibility(call.now_ms);
    let found = world
        .tasks
        .get_mut(&id)
        .filter(|task| task.cluster == cluster && Tasks::can_be_seen(task, when));
    let task = found.ok_or_else(|| ApiError::invalid("The referenced task was not found."))?;
    if task.timeline.end(call.now_ms).is_none() {
        let reason = request["reason"].as_str().unwrap_or("Task stopped by user");
        let simulated = matches!(task.process, crate::tasks::Process::None);
        let ran = task.status(call.now_ms) == Status::Running;
        task.stopped_by_call = true;
        let end = End {
            at_ms: call.now_ms,
            stop_code: "UserInitiated".to_owned(),
            stopped_reason: reason.to_owned(),
            exit_code: (simulated && ran).then_some(SIGTERM_EXIT),
            container_reason: None,
        };
        task.end(end, &settings.delays);
    }
    Ok(json!({ "task": view::task(call.emulator, task, true, call.now_ms) }))
}
