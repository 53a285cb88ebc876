//! Compute instances: read, list, start, stop, restart and delete; and the long operations that these begin.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::arm::Call;
use super::call::{Reply, field};
use super::error::ArmError;
use super::faults::Kind as FaultKind;
use super::instance::{Instance, LastOperation};
use super::operations::{Addresses, Kind, Operation, Outcome};
use super::path::Action;
use super::state::{self, Change, Fitness, State};
use super::{AzureWorld, process, view, workspaces};

/// A living instance that can be seen.
fn find(
    call: Call<'_>,
    world: &AzureWorld,
    workspace: &str,
    name: &str,
) -> Result<Option<usize>, ArmError> {
    world.workspaces.find(workspace, &call.azure.group)?;
    let index = world.instances.find(workspace, name, call.now_ms);
    Ok(index.filter(|index| is_visible(call, world, &world.instances.all()[*index])))
}

fn is_visible(call: Call<'_>, world: &AzureWorld, instance: &Instance) -> bool {
    instance.created_ms + world.settings.visible_after_ms <= call.now_ms
}

fn not_found(workspace: &str, name: &str) -> ArmError {
    ArmError::not_found(
        "ResourceNotFound",
        format!("Compute '{name}' was not found in workspace '{workspace}'."),
    )
}

pub fn get(call: Call<'_>, workspace: &str, name: &str) -> Result<Reply, ArmError> {
    let world = call.azure.world();
    let index = find(call, &world, workspace, name)?.ok_or_else(|| not_found(workspace, name))?;
    let instance = &world.instances.all()[index];
    let shown = view::whole(call.azure, &world.settings, instance, call.now_ms, true);
    Ok(Reply::json(StatusCode::OK, &shown))
}

pub fn list(call: Call<'_>, workspace: &str) -> Result<Reply, ArmError> {
    let after = call.after()?;
    let world = call.azure.world();
    world.workspaces.find(workspace, &call.azure.group)?;
    let settings = &world.settings;
    let mut left = world
        .instances
        .listed(workspace, &after, call.now_ms)
        .filter(|instance| is_visible(call, &world, instance))
        .peekable();
    let page: Vec<&Instance> = left.by_ref().take(settings.page_size).collect();
    let last = page.last().filter(|_| left.peek().is_some());
    let items: Vec<_> = page
        .iter()
        .map(|instance| {
            view::whole(
                call.azure,
                settings,
                instance,
                call.now_ms,
                settings.list_states,
            )
        })
        .collect();
    Ok(call.page(&items, last.map(|instance| instance.name.as_str())))
}

/// What a start, stop, restart or delete does.
struct Verb {
    name: &'static str,
    passing: State,
    delay_ms: u64,
    reached: State,
    failure: &'static str,
}

impl Verb {
    fn of(action: Action, world: &AzureWorld) -> Self {
        let delays = &world.settings.delays;
        let (name, passing, delay_ms, reached, failure) = match action {
            Action::Start => (
                "Start",
                State::Starting,
                delays.starting,
                State::Running,
                "StartFailed",
            ),
            Action::Stop => (
                "Stop",
                State::Stopping,
                delays.stopping,
                State::Stopped,
                "StopFailed",
            ),
            Action::Restart => (
                "Restart",
                State::Restarting,
                delays.restarting,
                State::Running,
                "RestartFailed",
            ),
        };
        Self {
            name,
            passing,
            delay_ms,
            reached,
            failure,
        }
    }

    fn delete(world: &AzureWorld) -> Self {
        Self {
            name: "Delete",
            passing: State::Deleting,
            delay_ms: world.settings.delays.deleting,
            reached: State::Deleted,
            failure: "DeleteFailed",
        }
    }
}

pub fn act(call: Call<'_>, workspace: &str, name: &str, action: Action) -> Result<Reply, ArmError> {
    let mut world = call.azure.world();
    let index = find(call, &world, workspace, name)?.ok_or_else(|| not_found(workspace, name))?;
    let state = world.instances.all()[index].state(call.now_ms);
    let fitness = match action.fitness(state) {
        Fitness::Already if world.settings.strict_actions => Fitness::Conflict,
        fitness => fitness,
    };
    match fitness {
        Fitness::Fits => {
            let verb = Verb::of(action, &world);
            Ok(begin(call, &mut world, index, &verb, Kind::Post))
        }
        Fitness::Already => Ok(already(call, &mut world, index, Kind::Post)),
        Fitness::Conflict => Err(ArmError::conflict(format!(
            "Cannot {} compute instance '{name}': it is in state {}.",
            action.name(),
            state.name()
        ))),
    }
}

/// Swagger, `Compute_Delete`: 202, or 204 for one that is not there.
pub fn delete(call: Call<'_>, workspace: &str, name: &str) -> Result<Reply, ArmError> {
    match field(&call.incoming.query, "underlyingResourceAction") {
        "Delete" => {}
        "Detach" => {
            return Err(ArmError::bad_request(
                "UserError",
                "A compute instance cannot be detached.",
            ));
        }
        other => {
            return Err(ArmError::bad_request(
                "BadArgument",
                format!("underlyingResourceAction must be Delete or Detach, not '{other}'."),
            ));
        }
    }
    let mut world = call.azure.world();
    let Some(index) = find(call, &world, workspace, name)? else {
        return Ok(Reply::empty(StatusCode::NO_CONTENT));
    };
    if world.instances.all()[index].state(call.now_ms) == State::Deleting {
        return Ok(already(call, &mut world, index, Kind::Delete));
    }
    let verb = Verb::delete(&world);
    Ok(begin(call, &mut world, index, &verb, Kind::Delete))
}

fn begin(call: Call<'_>, world: &mut AzureWorld, index: usize, verb: &Verb, kind: Kind) -> Reply {
    let now_ms = call.now_ms;
    let fault = call.fault;
    let Some(instance) = world.instances.at(index) else {
        return Reply::empty(StatusCode::NO_CONTENT);
    };
    let ending = match fault.map(|fault| fault.kind) {
        Some(FaultKind::Stuck) => Change::NeverEnds,
        Some(FaultKind::OperationFailed) => Change::Fails(instance.state(now_ms)),
        _ => Change::Succeeds,
    };
    let plan = state::change(now_ms, verb.passing, verb.delay_ms, verb.reached, ending);
    let ends_ms = plan
        .last()
        .map(|(at_ms, _)| *at_ms)
        .filter(|_| ending != Change::NeverEnds);
    let outcome = if matches!(ending, Change::Fails(_)) {
        let said = |text: Option<&String>, otherwise: &str| {
            text.map_or_else(|| otherwise.to_owned(), Clone::clone)
        };
        Outcome::Failed {
            code: said(fault.and_then(|fault| fault.code.as_ref()), verb.failure),
            message: said(
                fault.and_then(|fault| fault.message.as_ref()),
                "The operation on the compute instance failed.",
            ),
        }
    } else {
        Outcome::Succeeded
    };
    instance.timeline.replan(now_ms, plan);
    instance.modified_ms = now_ms;
    instance.last_operation = LastOperation {
        name: verb.name,
        at_ms: now_ms,
        trigger: "User".to_owned(),
        failure: matches!(ending, Change::Fails(_)).then_some(verb.failure),
        ends_ms,
    };
    let location = instance.region.clone();
    let operation = Operation {
        kind,
        location,
        started_ms: now_ms,
        ends_ms,
        outcome,
        instance: Some(index),
        workspace: None,
    };
    let reply = accepted(call, world, operation);
    process::follow(call.azure, world, index);
    reply
}

/// It is so already, or will be: an operation that ends with what is under way.
fn already(call: Call<'_>, world: &mut AzureWorld, index: usize, kind: Kind) -> Reply {
    let instance = &world.instances.all()[index];
    let operation = Operation {
        kind,
        location: instance.region.clone(),
        started_ms: call.now_ms,
        ends_ms: instance.last_operation.ends_ms,
        outcome: Outcome::Succeeded,
        instance: None,
        workspace: None,
    };
    accepted(call, world, operation)
}

fn accepted(call: Call<'_>, world: &mut AzureWorld, operation: Operation) -> Reply {
    let azure = call.azure;
    let (kind, location) = (operation.kind, operation.location.clone());
    let id = world.operations.begin(operation);
    let settings = &world.settings;
    let addresses = Addresses::new(
        &azure.base,
        &azure.subscription,
        &location,
        &id,
        call.version,
    );
    let headers = addresses.headers(settings.operations, kind, settings.retry_after_s);
    Reply::empty(StatusCode::ACCEPTED).with(headers)
}

fn unknown_operation(id: &str) -> ArmError {
    ArmError::not_found(
        "OperationNotFound",
        format!("Operation {id} was not found."),
    )
}

/// Behind `Azure-AsyncOperation`: 200 with a status.
pub fn status(call: Call<'_>, id: &str) -> Result<Reply, ArmError> {
    let world = call.azure.world();
    let operation = world
        .operations
        .get(id)
        .ok_or_else(|| unknown_operation(id))?;
    let wait = if operation.is_over(call.now_ms) {
        Vec::new()
    } else {
        vec![("retry-after", world.settings.retry_after_s.to_string())]
    };
    Ok(Reply::json(StatusCode::OK, &operation.status(id, call.now_ms)).with(wait))
}

/// Behind `Location`: 202 until it ends, then what the call would have answered at once.
pub fn result(call: Call<'_>, id: &str) -> Result<Reply, ArmError> {
    let azure = call.azure;
    let world = azure.world();
    let operation = world
        .operations
        .get(id)
        .ok_or_else(|| unknown_operation(id))?;
    if !operation.is_over(call.now_ms) {
        let addresses = Addresses::new(
            &azure.base,
            &azure.subscription,
            &operation.location,
            id,
            call.version,
        );
        return Ok(Reply::empty(StatusCode::ACCEPTED).with(vec![
            ("location", addresses.result),
            ("retry-after", world.settings.retry_after_s.to_string()),
        ]));
    }
    match &operation.outcome {
        Outcome::Failed { code, message } => {
            return Err(ArmError::new(StatusCode::CONFLICT, code, message.clone()));
        }
        Outcome::Canceled => {
            return Err(ArmError::new(
                StatusCode::CONFLICT,
                "OperationCanceled",
                "Another operation on the compute took the place of this one.",
            ));
        }
        Outcome::Succeeded => {}
    }
    let instance = operation
        .instance
        .and_then(|index| world.instances.all().get(index));
    let workspace = operation
        .workspace
        .as_ref()
        .and_then(|name| world.workspaces.find(name, &azure.group).ok());
    Ok(match (operation.kind, instance, workspace) {
        (Kind::Delete, ..) => Reply::empty(StatusCode::NO_CONTENT),
        (Kind::Put, Some(instance), _) => {
            let shown = view::whole(azure, &world.settings, instance, call.now_ms, true);
            Reply::json(StatusCode::OK, &shown)
        }
        (Kind::Put, _, Some(workspace)) => Reply::json(
            StatusCode::OK,
            &workspaces::shown(azure, workspace, call.now_ms),
        ),
        _ => Reply::json(StatusCode::OK, &json!({})),
    })
}

/// Ends an instance's programs and stops it, as idle shutdown and schedules do.
pub fn stop_by(world: &mut AzureWorld, index: usize, trigger: &str, now_ms: u64) {
    let delay_ms = world.settings.delays.stopping;
    world.operations.cut_short(index, now_ms);
    let Some(instance) = world.instances.at(index) else {
        return;
    };
    let plan = state::change(
        now_ms,
        State::Stopping,
        delay_ms,
        State::Stopped,
        Change::Succeeds,
    );
    let ends_ms = plan.last().map(|(at_ms, _)| *at_ms);
    instance.timeline.replan(now_ms, plan);
    instance.last_operation = LastOperation {
        name: "Stop",
        at_ms: now_ms,
        trigger: trigger.to_owned(),
        failure: None,
        ends_ms,
    };
    instance.halt();
}

/// `{"name", "state", …}` of every instance that ever was, for the admin endpoint.
pub fn row(instance: &Instance, now_ms: u64) -> Value {
    let history: Vec<Value> = instance
        .timeline
        .history(now_ms)
        .iter()
        .map(|(at_ms, state)| json!({ "at_ms": at_ms, "state": state.name() }))
        .collect();
    let created_by = &instance.created_by;
    json!({
        "name": instance.name,
        "workspace": instance.workspace,
        "location": instance.region,
        "state": instance.state(now_ms).name(),
        "tags": instance.body["tags"],
        "vm_size": instance.settings()["vmSize"],
        "properties": instance.settings(),
        "created_at_ms": instance.created_ms,
        "history": history,
        "owner": created_by.user.as_deref().unwrap_or(&created_by.client_id),
        "owner_object_id": created_by.object_id,
        "assigned_user": instance.settings()["personalComputeInstanceSettings"]["assignedUser"],
        "last_operation": {
            "name": instance.last_operation.name,
            "trigger": instance.last_operation.trigger,
            "status": instance.last_operation.status(now_ms),
        },
        "overwritten": instance.overwritten,
        "address": instance.address.to_string(),
        "pid": instance.process.pid,
        "generation": instance.generation,
    })
}
