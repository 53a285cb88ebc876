//! RunTask: checks, idempotency, and new tasks.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::definitions::Definition;
use super::{Call, clusters, permission, validate, view};
use crate::api_error::ApiError;
use crate::cli::Run;
use crate::efs::mount;
use crate::faults::{Fault, Kind};
use crate::identity::random_hex;
use crate::lifecycle::{End, Timeline};
use crate::run;
use crate::secrets;
use crate::tasks::{Process, Task, TokenUse};
use crate::world::World;

const NO_CAPACITY: &str = "Capacity is unavailable at this time. Please try again later or in a different availability zone";

pub fn run_task(call: Call<'_>, request: Value, world: &mut World) -> Result<Value, ApiError> {
    validate::run_task(&request)?;
    let (cluster, cluster_arn) = clusters::named(call.emulator, &request);
    let name = request["taskDefinition"].as_str().unwrap_or_default();
    // The official model, RunTask: the revision is resolved before authorization.
    let definition = world.definitions.find(name);
    check_permissions(call, &request, definition.as_deref(), &cluster)?;
    clusters::must_exist(call.emulator, &cluster, &cluster_arn)?;
    let definition = definition.ok_or_else(|| ApiError::client("TaskDefinition not found."))?;
    if !definition.is_active() {
        return Err(ApiError::client("TaskDefinition is inactive"));
    }
    validate::against_definition(&request, &definition)?;
    let token = request["clientToken"].as_str().map(ToOwned::to_owned);
    if let Some(token) = &token {
        match world
            .tasks
            .look_up_token(&cluster, token, &request, call.now_ms)
        {
            TokenUse::Same(tasks) => return Ok(answer(call, &tasks)),
            TokenUse::Conflict(arns) => return Err(ApiError::conflict(arns)),
            TokenUse::Free => {}
        }
    }
    if let Some(failure) = call
        .fault
        .and_then(|fault| failure(fault.kind, &cluster_arn))
    {
        return Ok(json!({ "tasks": [], "failures": [failure] }));
    }
    let count = usize::try_from(request["count"].as_i64().unwrap_or(1)).unwrap_or(1);
    let request = Arc::new(request);
    let new = New {
        cluster: &cluster,
        definition: &definition,
        request: &request,
    };
    let tasks: Vec<_> = (0..count).map(|_| start(call, new, world)).collect();
    if let Some(token) = token {
        world
            .tasks
            .keep_token(&cluster, &token, Arc::clone(&request), count, call.now_ms);
    }
    Ok(answer(call, &tasks))
}

fn answer(call: Call<'_>, tasks: &[Task]) -> Value {
    let views: Vec<_> = tasks
        .iter()
        .map(|task| view::task(call.emulator, task, true, call.now_ms))
        .collect();
    json!({ "tasks": views, "failures": [] })
}

fn check_permissions(
    call: Call<'_>,
    request: &Value,
    definition: Option<&Definition>,
    cluster: &str,
) -> Result<(), ApiError> {
    let name = request["taskDefinition"].as_str().unwrap_or_default();
    let named = || call.emulator.arn(&format!("task-definition/{name}"));
    let resource = definition.map_or_else(named, |definition| definition.arn.clone());
    let cluster_arn = call.emulator.cluster_arn(cluster);
    permission::check(call, "ecs:RunTask", &resource, Some(&cluster_arn))?;
    if request["tags"]
        .as_array()
        .is_some_and(|tags| !tags.is_empty())
    {
        let tasks = call.emulator.arn(&format!("task/{cluster}/*"));
        permission::check_tags(call, &tasks, "RunTask", Some(&cluster_arn))?;
    }
    let none = Value::Null;
    let defined = definition.map_or(&none, |definition| &definition.body);
    permission::pass_roles(call, &[&request["overrides"], defined])
}

fn failure(kind: Kind, cluster_arn: &str) -> Option<Value> {
    match kind {
        Kind::Capacity => Some(json!({ "reason": NO_CAPACITY })),
        Kind::ResourceEni => Some(json!({ "arn": cluster_arn, "reason": "RESOURCE:ENI" })),
        _ => None,
    }
}

/// What the tasks of one call share.
#[derive(Clone, Copy)]
struct New<'a> {
    cluster: &'a str,
    definition: &'a Arc<Definition>,
    request: &'a Arc<Value>,
}

/// Until when a fault of this kind hides an address.
fn hides_until(kind: Kind, fault: Option<&Fault>, now_ms: u64) -> u64 {
    match fault.filter(|fault| fault.kind == kind) {
        None => 0,
        Some(fault) if fault.delay_ms == 0 => u64::MAX,
        Some(fault) => now_ms + fault.delay_ms,
    }
}

fn start(call: Call<'_>, new: New<'_>, world: &mut World) -> Task {
    let emulator = call.emulator;
    let delays = world.settings.delays;
    let (mut timeline, running_ms) = Timeline::begin(call.now_ms, &delays);
    let early = call.fault.filter(|fault| fault.kind == Kind::EarlyStop);
    let mounts = mount::of_task(emulator, world, new.definition, new.request, running_ms);
    let secrets = secrets::of_task(emulator, world, new.definition, new.request);
    let failed = mounts.as_ref().err().or(secrets.as_ref().err()).cloned();
    let end = early.map_or_else(
        || failed.map(End::failed_to_start),
        |fault| Some(early_end(fault)),
    );
    let mut process = Process::None;
    if let Some(end) = end {
        let at_ms = running_ms;
        timeline.stop(End { at_ms, ..end }, &delays);
    } else if emulator.run == Run::Process {
        process = Process::Waiting(Arc::new(Notify::new()));
    } else {
        timeline.run(running_ms);
    }
    let id = random_hex(32);
    let subnets = &new.request["networkConfiguration"]["awsvpcConfiguration"]["subnets"];
    let address = match (emulator.run, emulator.unique_addresses) {
        (Run::Process, _) => run::address::unused(&world.tasks, call.now_ms),
        (Run::Simulate, true) => Ipv4Addr::new(
            10,
            fastrand::u8(..),
            fastrand::u8(..),
            fastrand::u8(1..=254),
        ),
        (Run::Simulate, false) => Ipv4Addr::LOCALHOST,
    };
    let task = Task {
        arn: emulator.arn(&format!("task/{}/{id}", new.cluster)),
        cluster: new.cluster.to_owned(),
        definition: Arc::clone(new.definition),
        request: Arc::clone(new.request),
        capacity_provider: capacity_provider(new.request),
        subnet: subnets[0].as_str().map(ToOwned::to_owned),
        mounts: mounts.unwrap_or_default(),
        secrets: secrets.unwrap_or_default(),
        attachment_id: uuid(),
        network_interface_id: format!("eni-{}", random_hex(17)),
        mac: format!(
            "0a:{}",
            (0..5).map(|_| random_hex(2)).collect::<Vec<_>>().join(":")
        ),
        address: IpAddr::V4(address),
        ipv6: emulator
            .ipv6
            .then(|| format!("2001:db8::{}:{}", random_hex(4), random_hex(4))),
        hides_address_until_ms: hides_until(Kind::NoAddress, call.fault, call.now_ms),
        hides_public_until_ms: hides_until(Kind::NoPublicAddress, call.fault, call.now_ms),
        runtime_id: fastrand::u32(..).to_string(),
        created_ms: call.now_ms,
        timeline,
        process,
        stopped_by_call: false,
        forgotten: false,
        id,
    };
    world.tasks.add(task.clone());
    if let Process::Waiting(stop) = &task.process {
        tokio::spawn(run::process::supervise(
            Arc::clone(emulator),
            task.id.clone(),
            running_ms,
            Arc::clone(stop),
        ));
    }
    task
}

/// Without a strategy, the cluster's default one, unless a launch type was named.
fn capacity_provider(request: &Value) -> Option<String> {
    let strategy = request["capacityProviderStrategy"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    if strategy.is_empty() {
        return request["launchType"]
            .is_null()
            .then(|| "FARGATE".to_owned());
    }
    let weight = |item: &&Value| {
        (
            item["base"].as_i64().unwrap_or(0),
            item["weight"].as_i64().unwrap_or(0),
        )
    };
    strategy
        .iter()
        .max_by_key(weight)
        .and_then(|item| item["capacityProvider"].as_str())
        .map(ToOwned::to_owned)
}

fn early_end(fault: &Fault) -> End {
    let text =
        |given: &Option<String>, default: &str| given.clone().unwrap_or_else(|| default.to_owned());
    let mut end = End::failed_to_start(text(&fault.stopped_reason, "Task failed to start"));
    end.stop_code = text(&fault.stop_code, &end.stop_code);
    end.exit_code = fault.exit_code;
    end.container_reason.clone_from(&fault.container_reason);
    end
}

fn uuid() -> String {
    let hex = random_hex(32);
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
