//! CloudWatch Logs: GetLogEvents of what tasks wrote, where their main container has the awslogs driver.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::api_error::ApiError;
use crate::ecs::Call;
use crate::ecs::shape::{self, Shape};
use crate::lifecycle::Status;
use crate::policy::Ask;
use crate::tasks::Task;
use crate::world::World;

/// Model, GetLogEvents.
const GET_LOG_EVENTS: Shape = Shape::Structure(&[
    ("logGroupName", Shape::String),
    ("logGroupIdentifier", Shape::String),
    ("logStreamName", Shape::String),
    ("startTime", Shape::Integer),
    ("endTime", Shape::Integer),
    ("nextToken", Shape::String),
    ("limit", Shape::Integer),
    ("startFromHead", Shape::Boolean),
    ("unmask", Shape::Boolean),
]);
/// Model, `EventsLimit`.
const MOST_EVENTS: i64 = 10_000;

/// The lines that tasks have written, and when each was first read or given.
#[derive(Debug, Default)]
pub struct Logs {
    given: HashMap<String, Vec<(u64, String)>>,
    first_read_ms: HashMap<String, Vec<u64>>,
}

impl Logs {
    /// A simulated task writes these lines.
    pub fn write(&mut self, task: &str, lines: Vec<String>, now_ms: u64) {
        let log = self.given.entry(task.to_owned()).or_default();
        log.extend(lines.into_iter().map(|line| (now_ms, line)));
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// What the task's process has written and what was given; no line in a file has a time, so it gets that of the first look.
    fn of(&mut self, task: &Task, data: &Path, now_ms: u64) -> Vec<(u64, String)> {
        let file = data.join("tasks").join(&task.id).join("log");
        let text = std::fs::read(file).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let times = self.first_read_ms.entry(task.id.clone()).or_default();
        let mut events = Vec::new();
        for (number, line) in text.lines().filter(|line| !line.is_empty()).enumerate() {
            if number >= times.len() {
                times.push(now_ms);
            }
            events.push((times[number], line.to_owned()));
        }
        events.extend(self.given.get(&task.id).into_iter().flatten().cloned());
        events
    }
}

/// Answers an action.
///
/// # Errors
/// What CloudWatch Logs would refuse with.
pub fn answer(call: Call<'_>, action: &str, mut request: Value) -> Result<Value, ApiError> {
    if action != "GetLogEvents" {
        let message = format!("The emulator has no {action}.");
        return Err(ApiError::new("UnknownOperationException", message));
    }
    let mut unknown = Vec::new();
    shape::check(&mut request, &GET_LOG_EVENTS, action, &mut unknown)?;
    let mut world = call.emulator.world();
    let world = &mut *world;
    for path in unknown {
        world.calls.unknown_member(path);
    }
    let group = request["logGroupName"].as_str().unwrap_or_default();
    let stream = request["logStreamName"].as_str().unwrap_or_default();
    if group.is_empty() || stream.is_empty() {
        return Err(ApiError::invalid(
            "logGroupName and logStreamName are needed.",
        ));
    }
    may_read(call, group, stream)?;
    let task = find(world, group, stream, call.now_ms)?;
    let events = world.logs.of(&task, &call.emulator.data, call.now_ms);
    page(&request, &events, world.settings.log_page_events)
}

/// Service authorization reference, "Amazon CloudWatch Logs": GetLogEvents is allowed on log streams.
fn may_read(call: Call<'_>, group: &str, stream: &str) -> Result<(), ApiError> {
    let (region, account) = (&call.emulator.region, &call.emulator.account);
    let ask = Ask {
        action: "logs:GetLogEvents",
        resource: &format!("arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:{stream}"),
        context: &[],
    };
    call.key.check(ask).map_err(ApiError::access_denied)
}

/// The stream is called prefix/container/task id ("Send Amazon ECS logs to CloudWatch" in the ECS developer guide) and is there once
/// the container runs.
fn find(world: &World, group: &str, stream: &str, now_ms: u64) -> Result<Task, ApiError> {
    let absent = |what: &str| {
        let message = format!("The specified log {what} does not exist.");
        Err(ApiError::new("ResourceNotFoundException", message))
    };
    let of_group = |container: &Value| {
        let log = &container["logConfiguration"];
        log["logDriver"] == "awslogs" && log["options"]["awslogs-group"] == group
    };
    if !world
        .definitions
        .iter()
        .any(|d| d.containers().iter().any(of_group))
    {
        return absent("group");
    }
    let id = stream.rsplit('/').next().unwrap_or_default();
    let named = |task: &&Task| {
        task.definition.main_container().is_some_and(|container| {
            let prefix = &container["logConfiguration"]["options"]["awslogs-stream-prefix"];
            let name = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            of_group(container)
                && stream == format!("{}/{}/{id}", name(prefix), name(&container["name"]))
        })
    };
    let ran = |task: &&Task| task.timeline.highest_reached(now_ms) == Status::Running;
    match world.tasks.get(id).filter(named).filter(ran) {
        Some(task) => Ok(task.clone()),
        None => absent("stream"),
    }
}

/// Events in the order of time, with the tokens of both directions; at an end the token is the same again (model, GetLogEvents).
fn page(request: &Value, events: &[(u64, String)], most: usize) -> Result<Value, ApiError> {
    let limit = request["limit"].as_i64().unwrap_or(MOST_EVENTS);
    if !(1..=MOST_EVENTS).contains(&limit) {
        return Err(ApiError::invalid("limit must be between 1 and 10000."));
    }
    let size = usize::try_from(limit).unwrap_or_default().min(most);
    let from_head = request["startFromHead"].as_bool().unwrap_or(false);
    let token = match request["nextToken"].as_str() {
        None => None,
        Some(token) => Some(position(token, events.len())?),
    };
    let (begin, end) = match token {
        Some((true, _)) if !from_head => {
            return Err(ApiError::invalid(
                "startFromHead must be true with a forward token.",
            ));
        }
        Some((true, at)) => (at, (at + size).min(events.len())),
        Some((false, at)) => (at.saturating_sub(size), at),
        None if from_head => (0, size.min(events.len())),
        None => (events.len().saturating_sub(size), events.len()),
    };
    let in_time = |ms: u64| {
        let bound = |name: &str| request[name].as_u64();
        bound("startTime").is_none_or(|start| ms >= start)
            && bound("endTime").is_none_or(|end| ms < end)
    };
    let shown: Vec<Value> = events[begin..end]
        .iter()
        .filter(|(ms, _)| in_time(*ms))
        .map(|(ms, line)| json!({"timestamp": ms, "ingestionTime": ms, "message": line}))
        .collect();
    Ok(json!({
        "events": shown,
        "nextForwardToken": format!("f/{end}"),
        "nextBackwardToken": format!("b/{begin}"),
    }))
}

fn position(token: &str, events: usize) -> Result<(bool, usize), ApiError> {
    let wrong = || ApiError::invalid("The specified nextToken is invalid.");
    let (direction, at) = token.split_once('/').ok_or_else(wrong)?;
    let at: usize = at.parse().map_err(|_| wrong())?;
    match direction {
        "f" | "b" if at <= events => Ok((direction == "f", at)),
        _ => Err(wrong()),
    }
}
