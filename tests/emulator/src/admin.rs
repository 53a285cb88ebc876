//! The unsigned endpoint under `/_emulator/` by which a test sets faults and settings and sees what happened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ec2::Networks;
use crate::efs;
use crate::faults::Fault;
use crate::lifecycle::{End, Status};
use crate::policy::Policy;
use crate::quota::Buckets;
use crate::run::process;
use crate::secrets::Secrets;
use crate::tasks::{Process, Task};
use crate::world::Emulator;

type Emu = State<Arc<Emulator>>;

/// How long `reset` waits between SIGTERM and SIGKILL.
const RESET_PATIENCE: Duration = Duration::from_millis(500);

pub fn routes() -> Router<Arc<Emulator>> {
    Router::new()
        .route(
            "/_emulator/faults",
            get(list_faults).post(add_fault).delete(clear_faults),
        )
        .route("/_emulator/tasks", get(list_tasks))
        .route("/_emulator/tasks/{id}/end", post(end_task))
        .route("/_emulator/tasks/{id}/forget", post(forget_task))
        .route("/_emulator/tasks/{id}/log", post(write_log))
        .route("/_emulator/calls", get(calls))
        .route("/_emulator/calls/reset", post(reset_calls))
        .route("/_emulator/settings", get(settings).post(change_settings))
        .route("/_emulator/roles/{name}", put(set_role))
        .route("/_emulator/networks", post(say_of_networks))
        .route(
            "/_emulator/secrets",
            get(secrets).post(add_secrets).delete(forget_secrets),
        )
        .route("/_emulator/reset", post(reset))
        .merge(efs::admin::routes())
}

/// A body as JSON whatever its content type, so that curl needs no header; an empty one is `{}`.
pub fn parse<T: for<'a> Deserialize<'a>>(body: &str) -> Result<T, BadBody> {
    let body = if body.trim().is_empty() { "{}" } else { body };
    serde_json::from_str(body).map_err(BadBody)
}

pub struct BadBody(serde_json::Error);

impl IntoResponse for BadBody {
    fn into_response(self) -> Response {
        refuse(StatusCode::BAD_REQUEST, &self.0.to_string())
    }
}

pub fn refuse(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

async fn add_fault(State(emulator): Emu, body: String) -> Response {
    match parse::<Fault>(&body) {
        Ok(fault) => Json(json!({ "id": emulator.world().faults.add(fault) })).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn list_faults(State(emulator): Emu) -> Json<Value> {
    let world = emulator.world();
    let faults: Vec<_> = world
        .faults
        .iter()
        .map(|(id, fault)| json!({ "id": id, "fault": fault }))
        .collect();
    Json(json!({ "faults": faults }))
}

async fn clear_faults(State(emulator): Emu) -> Json<Value> {
    emulator.world().faults.clear();
    Json(json!({}))
}

async fn list_tasks(State(emulator): Emu) -> Json<Value> {
    let now_ms = emulator.clock.now_ms();
    let world = emulator.world();
    Json(world.tasks.iter().map(|task| row(task, now_ms)).collect())
}

fn row(task: &Task, now_ms: u64) -> Value {
    let end = task.timeline.end(now_ms);
    let pid = match task.process {
        Process::Running { pid, .. } | Process::Gone { pid } => Some(pid),
        Process::None | Process::Waiting(_) => None,
    };
    json!({
        "id": task.id,
        "arn": task.arn,
        "status": task.status(now_ms).as_str(),
        "desired_status": task.desired_status(now_ms),
        "started_by": task.started_by(),
        "tags": task.request["tags"],
        "client_token": task.request["clientToken"],
        "created_at_ms": task.created_ms,
        "running_at_ms": task.timeline.entered(Status::Running, now_ms),
        "stopped_at_ms": task.timeline.entered(Status::Stopped, now_ms),
        "address": task.address.to_string(),
        "stop_code": end.map(|end| &end.stop_code),
        "stopped_reason": end.map(|end| &end.stopped_reason),
        "exit_code": end.and_then(|end| end.exit_code),
        "pid": pid,
        "mounts": task.mounts,
        "secrets": task.secrets.iter().cloned().collect::<BTreeMap<_, _>>(),
        "forgotten": task.forgotten,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndRequest {
    #[serde(default = "spot")]
    stop_code: String,
    #[serde(default = "interrupted")]
    stopped_reason: String,
    exit_code: Option<i32>,
    container_reason: Option<String>,
}

fn spot() -> String {
    "SpotInterruption".to_owned()
}

fn interrupted() -> String {
    "Your Spot Task was interrupted.".to_owned()
}

async fn end_task(State(emulator): Emu, Path(id): Path<String>, body: String) -> Response {
    let request = match parse::<EndRequest>(&body) {
        Ok(request) => request,
        Err(refusal) => return refusal.into_response(),
    };
    let now_ms = emulator.clock.now_ms();
    let mut world = emulator.world();
    let delays = world.settings.delays;
    let Some(task) = world.tasks.get_mut(&id) else {
        return refuse(StatusCode::NOT_FOUND, "no such task");
    };
    let EndRequest {
        stop_code,
        stopped_reason,
        exit_code,
        container_reason,
    } = request;
    task.end(
        End {
            at_ms: now_ms,
            stop_code,
            stopped_reason,
            exit_code,
            container_reason,
        },
        &delays,
    );
    Json(row(task, now_ms)).into_response()
}

async fn forget_task(State(emulator): Emu, Path(id): Path<String>) -> Response {
    let now_ms = emulator.clock.now_ms();
    let mut world = emulator.world();
    let Some(task) = world.tasks.get_mut(&id) else {
        return refuse(StatusCode::NOT_FOUND, "no such task");
    };
    task.forgotten = true;
    Json(row(task, now_ms)).into_response()
}

/// The body is a list of lines.
async fn write_log(State(emulator): Emu, Path(id): Path<String>, body: String) -> Response {
    let lines = match parse::<Vec<String>>(&body) {
        Ok(lines) => lines,
        Err(refusal) => return refusal.into_response(),
    };
    let now_ms = emulator.clock.now_ms();
    emulator.world().logs.write(&id, lines, now_ms);
    Json(json!({})).into_response()
}

async fn calls(State(emulator): Emu) -> Response {
    Json(&emulator.world().calls).into_response()
}

async fn reset_calls(State(emulator): Emu) -> Json<Value> {
    emulator.world().calls.reset();
    Json(json!({}))
}

async fn settings(State(emulator): Emu) -> Response {
    Json(emulator.world().settings).into_response()
}

async fn change_settings(State(emulator): Emu, body: String) -> Response {
    let change = match parse::<Value>(&body) {
        Ok(change) => change,
        Err(refusal) => return refusal.into_response(),
    };
    let mut world = emulator.world();
    match world.settings.changed(&change) {
        Ok(settings) => {
            if settings.quotas != world.settings.quotas {
                world.buckets = Buckets::default();
            }
            world.settings = settings;
            Json(settings).into_response()
        }
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

/// The body is the role's whole policy.
async fn set_role(State(emulator): Emu, Path(name): Path<String>, body: String) -> Response {
    match parse::<Policy>(&body) {
        Ok(policy) => {
            emulator.world().keys.set_role_policy(name, policy);
            Json(json!({})).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// What EC2 tells of networks from now on.
async fn say_of_networks(State(emulator): Emu, body: String) -> Response {
    match parse::<Networks>(&body) {
        Ok(more) => {
            emulator.world().networks.extend(more);
            Json(json!({})).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// Every secret with all that is known of it.
async fn secrets(State(emulator): Emu) -> Json<Secrets> {
    Json(emulator.world().secrets.clone())
}

/// None is there any more, as after the time in which they could be restored.
async fn forget_secrets(State(emulator): Emu) -> Json<Value> {
    emulator.world().secrets.clear();
    Json(json!({}))
}

/// Secrets by their names: each has a `SecretString` or a `SecretBinary`.
async fn add_secrets(State(emulator): Emu, body: String) -> Response {
    match parse::<Secrets>(&body) {
        Ok(more) => {
            emulator.world().secrets.extend(more);
            Json(json!({})).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// Stops and forgets all tasks, faults and counts, and EFS as it became. Keys, settings and task definitions stay.
async fn reset(State(emulator): Emu) -> Json<Value> {
    let tasks = {
        let mut world = emulator.world();
        world.faults.clear();
        world.calls.reset();
        world.buckets = Buckets::default();
        world.logs.clear();
        world.tasks.clear()
    };
    process::end_all(tasks, RESET_PATIENCE).await;
    emulator.world().efs.reset();
    Json(json!({}))
}
