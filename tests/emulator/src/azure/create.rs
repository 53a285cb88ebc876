//! `Compute_CreateOrUpdate`: what it refuses, and the instance that it makes. An instance of this name in this workspace is
//! overwritten, as by the real service.

use axum::http::StatusCode;
use serde_json::Value;

use super::arm::Call;
use super::call::Reply;
use super::error::ArmError;
use super::faults::Kind as FaultKind;
use super::instance::{Instance, LastOperation, Process};
use super::operations::{Addresses, Kind, Operation, Outcome};
use super::sizes::{self, Size};
use super::state::{self, Creation, State, Timeline};
use super::workspaces::Workspace;
use super::{AzureWorld, process, request, view};
use crate::cli::Run;

/// Swagger, `ComputeInstanceProperties` with the preview's additions; others are ignored and reported to the admin.
const MEMBERS: [&str; 21] = [
    "vmSize",
    "subnet",
    "applicationSharingPolicy",
    "sshSettings",
    "customServices",
    "computeInstanceAuthorizationType",
    "personalComputeInstanceSettings",
    "setupScripts",
    "schedules",
    "enableNodePublicIp",
    "idleTimeBeforeShutdown",
    "autologgerSettings",
    "enableSSO",
    "enableOSPatching",
    "enableRootAccess",
    "releaseQuotaOnStop",
    "osImageMetadata",
    "environmentVersion",
    "dataMounts",
    "connectivityEndpoints",
    "lastOperation",
];

pub fn put(call: Call<'_>, workspace: &str, name: &str) -> Result<Reply, ArmError> {
    let Call { azure, now_ms, .. } = call;
    let body = call.body()?;
    let mut world = azure.world();
    let workspace = world.workspaces.find(workspace, &azure.group)?.clone();
    let size = request::check(azure, &body, name)?.clone();
    let region = body["location"]
        .as_str()
        .unwrap_or(&workspace.location)
        .to_owned();
    let older = world.instances.find(&workspace.name, name, now_ms);
    check_room(call, &world, &region, name, &size, older)?;
    for member in body["properties"]["properties"]
        .as_object()
        .into_iter()
        .flatten()
    {
        if !MEMBERS.contains(&member.0.as_str()) {
            let path = format!("computes.put: properties.properties.{}", member.0);
            world.calls.unknown_member(path);
        }
    }
    if let Some(older) = older.and_then(|index| world.instances.at(index)) {
        older.overwritten = true;
        older.halt();
        older
            .timeline
            .replan(now_ms, vec![(now_ms, State::Deleted)]);
    }
    if let Some(index) = older {
        world.operations.cut_short(index, now_ms);
    }
    let (instance, outcome) = make(call, &world, &workspace, name, body, &size);
    let ends_ms = instance.last_operation.ends_ms;
    let index = world.instances.add(instance);
    let operation = Operation {
        kind: Kind::Put,
        location: workspace.location.clone(),
        started_ms: now_ms,
        ends_ms,
        outcome,
        instance: Some(index),
        workspace: None,
    };
    let id = world.operations.begin(operation);
    process::follow(azure, &mut world, index);
    let settings = &world.settings;
    let addresses = Addresses::new(
        &azure.base,
        &azure.subscription,
        &workspace.location,
        &id,
        call.version,
    );
    let headers = addresses.headers(settings.operations, Kind::Put, settings.retry_after_s);
    let status = if older.is_some() {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let shown = world
        .instances
        .at(index)
        .map(|instance| view::accepted(azure, instance, now_ms))
        .unwrap_or_default();
    Ok(Reply::json(status, &shown).with(headers))
}

/// What stands in the way: a name that is taken, a quota that is used up, an instance that is being deleted.
fn check_room(
    call: Call<'_>,
    world: &AzureWorld,
    region: &str,
    name: &str,
    size: &Size,
    older: Option<usize>,
) -> Result<(), ArmError> {
    let now_ms = call.now_ms;
    let deleting = older
        .and_then(|index| world.instances.all().get(index))
        .is_some_and(|instance| instance.state(now_ms) == State::Deleting);
    if deleting {
        return Err(ArmError::conflict(format!(
            "Compute {name} is being deleted. Wait until that has ended."
        )));
    }
    let mut count = 0;
    let mut cores = 0;
    for (index, instance) in world.instances.living(now_ms) {
        if !instance.region.eq_ignore_ascii_case(region) || Some(index) == older {
            continue;
        }
        if instance.name.eq_ignore_ascii_case(name) {
            return Err(ArmError::bad_request(
                "UserError",
                format!(
                    "Compute name '{name}' is not available. Reason: AlreadyExists. Message: The specified name {name} is already \
                     in use and is therefore unavailable"
                ),
            )
            .target("computeName"));
        }
        count += 1;
        if instance.family == size.family {
            cores += instance.cores;
        }
    }
    let settings = &world.settings;
    let fault = call
        .fault
        .filter(|fault| fault.kind == FaultKind::QuotaExceeded);
    if fault.is_none()
        && count < settings.instance_limit
        && cores + size.cores <= settings.family_cores
    {
        return Ok(());
    }
    let family = sizes::words(size.family);
    let told = format!(
        "The specified subscription has a {family} quota of {} and cannot accomodate for at least 1 requested managed compute nodes \
         which maps to {} vCPUs. Talk to your Subscription Admin or refer to \
         https://docs.microsoft.com/azure/machine-learning/how-to-manage-quotas#request-quota-increases to increase the family quota",
        settings.family_cores, size.cores
    );
    let code = fault.and_then(|fault| fault.code.as_deref());
    let message = fault.and_then(|fault| fault.message.clone());
    Err(ArmError::bad_request(
        code.unwrap_or("QuotaExceeded"),
        message.unwrap_or(told),
    ))
}

/// The instance with its plan, and how the operation will end.
fn make(
    call: Call<'_>,
    world: &AzureWorld,
    workspace: &Workspace,
    name: &str,
    body: Value,
    size: &Size,
) -> (Instance, Outcome) {
    let Call {
        azure,
        now_ms,
        principal,
        fault,
        ..
    } = call;
    let ending = match fault.map(|fault| fault.kind) {
        Some(FaultKind::CreateFailed) => Creation::Fails,
        Some(FaultKind::SetupFailed) => Creation::SetupFails,
        Some(FaultKind::Stuck) => Creation::NeverEnds,
        _ => Creation::Succeeds,
    };
    let plan = state::creation(
        now_ms,
        &world.settings.delays,
        Instance::has_scripts(&body),
        ending,
    );
    let timeline = Timeline::new(plan);
    let ends_ms = match ending {
        Creation::NeverEnds => None,
        _ => timeline.end().map(|(at_ms, _)| at_ms),
    };
    let failed = matches!(ending, Creation::Fails | Creation::SetupFails).then(|| {
        let said = |text: Option<&String>, otherwise: &str| {
            text.map_or_else(|| otherwise.to_owned(), Clone::clone)
        };
        (
            said(fault.and_then(|fault| fault.code.as_ref()), "AllocationFailed"),
            said(
                fault.and_then(|fault| fault.message.as_ref()),
                "Allocation failed. We do not have sufficient capacity for the requested VM size in this region.",
            ),
        )
    });
    let outcome = failed
        .clone()
        .map_or(Outcome::Succeeded, |(code, message)| Outcome::Failed {
            code,
            message,
        });
    let instance = Instance {
        workspace: workspace.name.clone(),
        name: name.to_owned(),
        region: body["location"]
            .as_str()
            .unwrap_or(&workspace.location)
            .to_owned(),
        body,
        cores: size.cores,
        family: size.family.to_owned(),
        created_by: principal.clone(),
        created_ms: now_ms,
        modified_ms: now_ms,
        timeline,
        last_operation: LastOperation {
            name: "Create",
            at_ms: now_ms,
            trigger: "User".to_owned(),
            failure: failed.is_some().then_some("CreateFailed"),
            ends_ms,
        },
        error: failed,
        address: world.instances.unused_address(azure.run == Run::Process),
        generation: world.instances.generations(name),
        overwritten: false,
        process: Process::default(),
    };
    (instance, outcome)
}
