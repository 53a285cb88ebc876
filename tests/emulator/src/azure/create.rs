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
use super::{Azure, AzureWorld, process, view};
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
/// "Create and manage a compute instance": 15 minutes to 3 days.
const IDLE_S: std::ops::RangeInclusive<u64> = 15 * 60..=3 * 24 * 3600;

pub fn put(call: Call<'_>, workspace: &str, name: &str) -> Result<Reply, ArmError> {
    let Call { azure, now_ms, .. } = call;
    let body = call.body()?;
    let mut world = azure.world();
    let workspace = world.workspaces.find(workspace, &azure.group)?.clone();
    let size = check(azure, &body, name)?.clone();
    let older = world.instances.find(&workspace.name, name, now_ms);
    check_room(call, &world, &workspace, name, &size, older)?;
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

/// What is wrong with a request by itself.
fn check<'a>(azure: &'a Azure, body: &Value, name: &str) -> Result<&'a Size, ArmError> {
    let properties = &body["properties"];
    if properties["computeType"] != "ComputeInstance" {
        return Err(ArmError::bad_request(
            "UserError",
            format!(
                "The emulator has no compute type {}.",
                properties["computeType"]
            ),
        ));
    }
    if !is_name(name) {
        return Err(ArmError::bad_request(
            "UserError",
            format!(
                "Compute name '{name}' is not available. Reason: Invalid. Message: A name for an Azure ML Compute Instance must \
                 be between 3 and 24 characters in length and must use only numbers, letters and minus symbol (-), must start \
                 with letters. Numbers cannot be the ending of the name if the previous character is a minus symbol (-). Please \
                 specify a different Azure ML Instance name"
            ),
        )
        .target("computeName"));
    }
    let given = &properties["properties"];
    let wanted = given["vmSize"].as_str().unwrap_or_default();
    let size = azure
        .sizes
        .iter()
        .find(|size| size.name.eq_ignore_ascii_case(wanted) && size.for_instances)
        .ok_or_else(|| {
            ArmError::bad_request(
                "UserError",
                format!(
                    "STANDARD size '{wanted}' is not a supported VM size for a compute instance in this region. Use the list of \
                     supported VM sizes."
                ),
            )
            .target("vmSize")
        })?;
    check_settings(given)?;
    Ok(size)
}

fn check_settings(given: &Value) -> Result<(), ArmError> {
    let wrong = |target: &str, message: String| {
        Err(ArmError::bad_request("UserError", message).target(target))
    };
    if let Some(idle) = given
        .get("idleTimeBeforeShutdown")
        .filter(|idle| !idle.is_null())
    {
        let seconds = idle.as_str().and_then(duration_s);
        if !seconds.is_some_and(|seconds| IDLE_S.contains(&seconds)) {
            return wrong(
                "idleTimeBeforeShutdown",
                format!(
                    "idleTimeBeforeShutdown {idle} must be an ISO 8601 duration from PT15M to P3D."
                ),
            );
        }
    }
    for script in ["creationScript", "startupScript"] {
        let data = &given["setupScripts"]["scripts"][script]["scriptData"];
        if let Some(data) = data.as_str()
            && data_encoding::BASE64.decode(data.as_bytes()).is_err()
        {
            return wrong(
                "setupScripts",
                format!("{script}: scriptData is not base64."),
            );
        }
    }
    let assigned = &given["personalComputeInstanceSettings"]["assignedUser"];
    if assigned.is_object()
        && !["objectId", "tenantId"]
            .iter()
            .all(|member| assigned[member].as_str().is_some_and(is_guid))
    {
        return wrong(
            "personalComputeInstanceSettings",
            "assignedUser needs the objectId and tenantId of a user.".to_owned(),
        );
    }
    Ok(())
}

/// What stands in the way: a name that is taken, a quota that is used up, an instance that is being deleted.
fn check_room(
    call: Call<'_>,
    world: &AzureWorld,
    workspace: &Workspace,
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
        if !instance.region.eq_ignore_ascii_case(&workspace.location) || Some(index) == older {
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

/// Swagger, `computeName`, of an instance: `^[a-zA-Z](?![a-zA-Z0-9-]*-\d+$)[a-zA-Z0-9\-]{2,23}$`
pub fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let digits = bytes
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let number_after_dash =
        digits > 0 && digits < bytes.len() && bytes[bytes.len() - digits - 1] == b'-';
    (3..=24).contains(&bytes.len())
        && bytes[0].is_ascii_alphabetic()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        && !number_after_dash
}

fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// `PT1H30M`, `P3D`: days, hours, minutes and seconds.
fn duration_s(text: &str) -> Option<u64> {
    let rest = text.strip_prefix('P')?;
    let (date, time) = rest.split_once('T').unwrap_or((rest, ""));
    let mut total = 0;
    for (part, units) in [
        (date, &[('D', 86_400)][..]),
        (time, &[('H', 3600), ('M', 60), ('S', 1)]),
    ] {
        let mut number = String::new();
        for letter in part.chars() {
            if letter.is_ascii_digit() {
                number.push(letter);
            } else {
                let (_, seconds) = units.iter().find(|(unit, _)| *unit == letter)?;
                total += number.parse::<u64>().ok()?.checked_mul(*seconds)?;
                number.clear();
            }
        }
        if !number.is_empty() {
            return None;
        }
    }
    (rest.len() > 1).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::{duration_s, is_guid, is_name};

    #[test]
    fn a_name_follows_the_swaggers_pattern() {
        for good in [
            "abc",
            "cs-ada-b3x7q",
            "a1b",
            "abc-1a",
            "a23",
            "abcdefghijklmnopqrstuvwx",
        ] {
            assert!(is_name(good), "{good}");
        }
        for bad in [
            "ab",
            "1abc",
            "cpu-cluster-1",
            "a_bc",
            "abcdefghijklmnopqrstuvwxy",
            "",
            "abc-12",
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(duration_s("PT15M"), Some(900));
        assert_eq!(duration_s("P1DT1H"), Some(90_000));
        for wrong in ["15M", "P", "PT", "PT5", "P1M"] {
            assert_ne!(duration_s(wrong), Some(0), "{wrong}");
        }
        assert_eq!(duration_s("P1M"), None);
        assert!(is_guid("00000000-0000-0000-0000-000000000000"));
        assert!(!is_guid("00000000"));
    }
}
