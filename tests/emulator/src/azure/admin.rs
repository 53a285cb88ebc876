//! The unsigned endpoint under `/_emulator/azure/`, on the Azure listener.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::faults::Fault;
use super::instance::{Instance, LastOperation, Process};
use super::settings::Settings;
use super::state::{State as Life, Timeline};
use super::throttle::Throttle;
use super::tokens::Principal;
use super::{Azure, computes, process};
use crate::admin::{parse, refuse};
use crate::cli::Run;
use crate::world::merge;

type Az = State<Arc<Azure>>;

/// How long `reset` waits between SIGTERM and SIGKILL.
const RESET_PATIENCE: Duration = Duration::from_millis(500);

pub fn routes() -> Router<Arc<Azure>> {
    let at = |path: &str| format!("/_emulator/azure/{path}");
    Router::new()
        .route(
            &at("faults"),
            get(list_faults).post(add_fault).delete(clear_faults),
        )
        .route(&at("instances"), get(list_instances).post(add_instances))
        .route(&at("instances/{name}/state"), post(set_state))
        .route(&at("instances/{name}/stop"), post(stop))
        .route(&at("instances/{name}/forget"), post(forget))
        .route(&at("calls"), get(calls))
        .route(&at("calls/reset"), post(reset_calls))
        .route(&at("settings"), get(settings).post(change_settings))
        .route(&at("reset"), post(reset))
}

async fn add_fault(State(azure): Az, body: String) -> Response {
    match parse::<Fault>(&body) {
        Ok(fault) => Json(json!({ "id": azure.world().faults.add(fault) })).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn list_faults(State(azure): Az) -> Json<Value> {
    let world = azure.world();
    let faults: Vec<_> = world
        .faults
        .iter()
        .map(|(id, fault)| json!({ "id": id, "fault": fault }))
        .collect();
    Json(json!({ "faults": faults }))
}

async fn clear_faults(State(azure): Az) -> Json<Value> {
    azure.world().faults.clear();
    Json(json!({}))
}

async fn list_instances(State(azure): Az) -> Json<Value> {
    let now_ms = azure.clock.now_ms();
    let world = azure.world();
    Json(
        world
            .instances
            .all()
            .iter()
            .map(|instance| computes::row(instance, now_ms))
            .collect(),
    )
}

/// Instances that are there at once, made by nobody's call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seed {
    name: String,
    /// More than one are named NAME and a letter and a number.
    #[serde(default = "one")]
    count: usize,
    workspace: String,
    #[serde(default = "running")]
    state: Life,
    #[serde(default)]
    tags: Value,
    #[serde(default = "small")]
    vm_size: String,
    /// A user's name.
    #[serde(default = "somebody")]
    owner: String,
}

fn one() -> usize {
    1
}

fn running() -> Life {
    Life::Running
}

fn small() -> String {
    "Standard_DS2_v2".to_owned()
}

fn somebody() -> String {
    "somebody".to_owned()
}

async fn add_instances(State(azure): Az, body: String) -> Response {
    let seed = match parse::<Seed>(&body) {
        Ok(seed) => seed,
        Err(refusal) => return refusal.into_response(),
    };
    let now_ms = azure.clock.now_ms();
    let mut world = azure.world();
    let Ok(workspace) = world
        .workspaces
        .find(&seed.workspace, &azure.group)
        .cloned()
    else {
        return refuse(StatusCode::NOT_FOUND, "no such workspace");
    };
    for number in 0..seed.count {
        let name = if seed.count == 1 {
            seed.name.clone()
        } else {
            format!("{}n{number}", seed.name)
        };
        let body = json!({
            "location": workspace.location,
            "tags": seed.tags,
            "properties": { "computeType": "ComputeInstance", "properties": { "vmSize": seed.vm_size } },
        });
        let instance = Instance {
            workspace: workspace.name.clone(),
            region: workspace.location.clone(),
            body,
            cores: 2,
            family: "standardDSv2Family".to_owned(),
            created_by: Principal::user(&seed.owner, "portal"),
            created_ms: now_ms,
            modified_ms: now_ms,
            timeline: Timeline::new(vec![(now_ms, seed.state)]),
            last_operation: LastOperation {
                name: "Create",
                at_ms: now_ms,
                trigger: "User".to_owned(),
                failure: None,
                ends_ms: Some(now_ms),
            },
            error: None,
            address: world.instances.unused_address(azure.run == Run::Process),
            generation: 0,
            overwritten: false,
            process: Process::default(),
            name,
        };
        let index = world.instances.add(instance);
        process::follow(&azure, &mut world, index);
    }
    Json(json!({})).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetState {
    state: Life,
    /// Shown in `errors` in a failed or unusable state.
    code: Option<String>,
    message: Option<String>,
    /// `lastOperation`'s, if it is to change.
    trigger: Option<String>,
}

async fn set_state(State(azure): Az, Path(name): Path<String>, body: String) -> Response {
    let wanted = match parse::<SetState>(&body) {
        Ok(wanted) => wanted,
        Err(refusal) => return refusal.into_response(),
    };
    let now_ms = azure.clock.now_ms();
    let mut world = azure.world();
    let Some(index) = world.instances.find_anywhere(&name, now_ms) else {
        return refuse(StatusCode::NOT_FOUND, "no such instance");
    };
    world.operations.cut_short(index, now_ms);
    if let Some(instance) = world.instances.at(index) {
        instance
            .timeline
            .replan(now_ms, vec![(now_ms, wanted.state)]);
        instance.last_operation.ends_ms = Some(now_ms);
        if let Some(code) = wanted.code {
            instance.error = Some((code, wanted.message.unwrap_or_default()));
        }
        if let Some(trigger) = wanted.trigger {
            instance.last_operation.trigger = trigger;
        }
    }
    process::follow(&azure, &mut world, index);
    shown(&world.instances.all()[index], now_ms)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StopRequest {
    #[serde(default = "idle")]
    trigger: String,
}

fn idle() -> String {
    "IdleShutdown".to_owned()
}

/// As idle shutdown, a schedule or a person does it.
async fn stop(State(azure): Az, Path(name): Path<String>, body: String) -> Response {
    let request = match parse::<StopRequest>(&body) {
        Ok(request) => request,
        Err(refusal) => return refusal.into_response(),
    };
    let now_ms = azure.clock.now_ms();
    let mut world = azure.world();
    let Some(index) = world.instances.find_anywhere(&name, now_ms) else {
        return refuse(StatusCode::NOT_FOUND, "no such instance");
    };
    computes::stop_by(&mut world, index, &request.trigger, now_ms);
    shown(&world.instances.all()[index], now_ms)
}

/// Gone at once.
async fn forget(State(azure): Az, Path(name): Path<String>) -> Response {
    let now_ms = azure.clock.now_ms();
    let mut world = azure.world();
    let Some(index) = world.instances.find_anywhere(&name, now_ms) else {
        return refuse(StatusCode::NOT_FOUND, "no such instance");
    };
    world.operations.cut_short(index, now_ms);
    if let Some(instance) = world.instances.at(index) {
        instance
            .timeline
            .replan(now_ms, vec![(now_ms, Life::Deleted)]);
        instance.halt();
    }
    shown(&world.instances.all()[index], now_ms)
}

fn shown(instance: &Instance, now_ms: u64) -> Response {
    Json(computes::row(instance, now_ms)).into_response()
}

async fn calls(State(azure): Az) -> Response {
    Json(&azure.world().calls).into_response()
}

async fn reset_calls(State(azure): Az) -> Json<Value> {
    azure.world().calls.reset();
    Json(json!({}))
}

async fn settings(State(azure): Az) -> Response {
    Json(&azure.world().settings).into_response()
}

async fn change_settings(State(azure): Az, body: String) -> Response {
    let change = match parse::<Value>(&body) {
        Ok(change) => change,
        Err(refusal) => return refusal.into_response(),
    };
    let mut world = azure.world();
    let changed = serde_json::to_value(&world.settings).and_then(|mut all| {
        merge(&mut all, &change);
        serde_json::from_value::<Settings>(all)
    });
    match changed {
        Ok(settings) => {
            if settings.quotas != world.settings.quotas {
                world.throttle = Throttle::default();
            }
            world.settings = settings;
            Json(&world.settings).into_response()
        }
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

/// Ends and forgets all instances, faults, counts, codes and tokens. Settings stay.
async fn reset(State(azure): Az) -> Json<Value> {
    azure.reset(RESET_PATIENCE).await;
    Json(json!({}))
}
