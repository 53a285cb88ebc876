//! What a task's state means for a server.

use super::api::NotRun;
use super::record::{self, CONTAINER};
use super::task::Task;
use crate::backend::{Record, Report};
use crate::error::Failure;
use crate::wire::{Cleanup, Code, ErrorPlace, Phase};
use std::time::Duration;

/// One row for each lastStatus ("Amazon ECS task lifecycle" in the ECS Developer Guide): the phase, progress in percent,
/// the sentence for the person who waits, and how soon it is worth looking again.
///
/// A task spends tens of seconds in PROVISIONING and then may change within one.
const STATES: &[(&str, &str, Phase, u8, &str, u64)] = &[
    (
        "PROVISIONING",
        "provisioning",
        Phase::Pending,
        20,
        "Task accepted, waiting for capacity and a network interface",
        1000,
    ),
    (
        "PENDING",
        "pending",
        Phase::Pending,
        50,
        "The image is being pulled and the container started",
        400,
    ),
    (
        "ACTIVATING",
        "activating",
        Phase::Pending,
        80,
        "The container runs, the network is being set up",
        400,
    ),
    (
        "RUNNING",
        "running",
        Phase::Running,
        90,
        "The server is running",
        400,
    ),
    (
        "DEACTIVATING",
        "deactivating",
        Phase::Stopping,
        90,
        "The task is being taken down",
        1000,
    ),
    (
        "STOPPING",
        "stopping",
        Phase::Stopping,
        90,
        "The task is being stopped",
        1000,
    ),
    (
        "DEPROVISIONING",
        "deprovisioning",
        Phase::Stopping,
        90,
        "The task's network interface is being removed",
        1000,
    ),
    (
        "STOPPED",
        "stopped",
        Phase::Exited,
        100,
        "The task has stopped",
        1000,
    ),
    (
        "DELETED",
        "deleted",
        Phase::Exited,
        100,
        "The task has been deleted",
        1000,
    ),
];

/// How the stoppedReason of a task begins whose EFS volumes were not mounted (aws/copilot-cli issue 5419).
const NOT_MOUNTED: &str =
    "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes";
/// The same of a task whose secrets or whose image's credentials could not be read (the page below).
const NOT_PULLED: &str = "ResourceInitializationError: unable to pull secrets or registry auth";
/// The same then ("Resolve ResourceInitializationError errors when you pull secrets" in AWS re:Post, ecs-unable-to-pull-secrets).
const NOT_PULLED_ADVICE: &str = "see that the execution role may secretsmanager:GetSecretValue of the secrets cloudspawner/* (deployments/fargate/token-execution-role-policy.json; with a KMS key of your own kms:Decrypt, too), and that the tasks' subnets and security groups have a way to Secrets Manager and to the image's registry";
/// What an admin can look at then ("Amazon EFS volumes" in the ECS Developer Guide; EFS User Guide, "Troubleshooting mount
/// issues").
const NOT_MOUNTED_ADVICE: &str = "see that the file system has a mount target in each availability zone of the task's subnets and in their VPC, that its security group lets the tasks in on port 2049, and that the task role's and the file system's policies allow elasticfilesystem:ClientMount through this access point";

/// How a stoppedReason, a container's reason or a RunTask failure begins when it means something by itself. ECS gives
/// these as sentences only, so the beginning is all there is to go by. Sources: "Amazon ECS stopped tasks error messages"
/// and "Amazon ECS API failures messages" in the ECS Developer Guide.
const REASONS: &[(&str, Code, &str)] = &[
    (
        "Capacity is unavailable",
        Code::CapacityUnavailable,
        "The cloud has no capacity right now. Try again in a few minutes.",
    ),
    (
        "Timeout waiting for network interface provisioning",
        Code::CapacityUnavailable,
        "The cloud could not set up the network in time. Try again in a few minutes.",
    ),
    (
        "RESOURCE:",
        Code::CapacityUnavailable,
        "The cloud has no capacity right now. Try again in a few minutes.",
    ),
    (
        "OutOfMemory",
        Code::StartFailed,
        "Your server ran out of memory while it started. Choose a larger one, or tell your administrator.",
    ),
    (
        "CannotPull",
        Code::StartFailed,
        "The server's image could not be fetched. Tell your administrator.",
    ),
    (
        NOT_MOUNTED,
        Code::StartFailed,
        "Your files could not be mounted. Tell your administrator; nothing is lost.",
    ),
    (
        "ResourceInitializationError",
        Code::StartFailed,
        "The server's environment could not be set up. Tell your administrator.",
    ),
    (
        "CannotStartContainerError",
        Code::StartFailed,
        "The server's container could not be started. Tell your administrator.",
    ),
    (
        "CannotCreateContainerError",
        Code::StartFailed,
        "The server's container could not be created. Tell your administrator.",
    ),
];

/// stopCodes that speak for themselves (API Reference, Task, "stopCode").
const STOP_CODES: &[(&str, Code, &str)] = &[
    (
        "SpotInterruption",
        Code::CapacityUnavailable,
        "The cloud took its spare capacity back. Try again.",
    ),
    (
        "TerminationNotice",
        Code::CapacityUnavailable,
        "The cloud retired the machine. Try again.",
    ),
    (
        "InfrastructureHealth",
        Code::CapacityUnavailable,
        "The cloud's machine failed. Try again.",
    ),
];

/// What is asked to be reported where ECS names a state that is newer than this table: on its way, and no proof of more.
const UNKNOWN_STATE: (&str, &str, Phase, u8, &str, u64) = (
    "",
    "waiting",
    Phase::Pending,
    20,
    "The cloud is preparing the server",
    1000,
);

/// How a server is, by its task.
pub fn report(task: &Task, record: &Record) -> Report {
    let last_status = task.last_status.as_deref().unwrap_or_default();
    let &(_, stage, mut phase, percent, message, look_again_ms) = STATES
        .iter()
        .find(|(name, ..)| *name == last_status)
        .unwrap_or(&UNKNOWN_STATE);
    if matches!(phase, Phase::Pending | Phase::Running)
        && task.desired_status.as_deref() == Some("STOPPED")
    {
        phase = Phase::Stopping;
    }
    let url = (phase == Phase::Running)
        .then(|| record::url(record, task))
        .flatten();
    // A server whose port is known and whose address is not cannot be used yet.
    if phase == Phase::Running && url.is_none() && record::knows_port(record) {
        phase = Phase::Pending;
    }
    let down = matches!(phase, Phase::Stopping | Phase::Exited);
    Report {
        phase,
        stage,
        percent,
        message,
        exit_code: (phase == Phase::Exited).then(|| exit_code(task, record)),
        url,
        target_url: None,
        reason: down.then(|| reason(task)).flatten(),
        ending: down.then(|| ending(task, record)),
        look_again: Duration::from_millis(look_again_ms),
        // Its token is still kept.
        cleanup: if phase == Phase::Exited && record::has_secret(record) {
            Cleanup::Needed
        } else {
            Cleanup::None
        },
        last_activity: None,
    }
}

/// The failure that a RunTask answer without tasks means.
pub fn not_run(failures: &[NotRun], request_id: Option<String>) -> Failure {
    let first = failures.first().cloned().unwrap_or_default();
    let reason = first
        .reason
        .unwrap_or_else(|| "no task and no reason".to_owned());
    let (code, user_message) = meaning_of(&reason).unwrap_or((Code::StartFailed, None));
    let detail = first.detail.map(|d| format!(" ({d})")).unwrap_or_default();
    let failure = Failure::new(code, format!("RunTask: {reason}{detail}")).at(ErrorPlace {
        backend: None,
        operation: Some("ecs:RunTask".to_owned()),
        http_status: Some(200),
        cloud_code: Some(code_word(&reason)),
        request_id,
    });
    let failure = failures
        .iter()
        .skip(1)
        .filter_map(|f| f.reason.clone())
        .fold(failure, Failure::because);
    match user_message {
        Some(message) => failure.with_user_message(message),
        None => failure,
    }
}

/// The container that is the server: the one that the admin named, else the first that failed, else the first.
fn exit_code(task: &Task, record: &Record) -> i32 {
    let named = record.text(CONTAINER);
    let codes = || task.containers.iter().filter_map(|c| c.exit_code);
    task.containers
        .iter()
        .find(|c| named.is_some() && c.name.as_deref() == named)
        .and_then(|c| c.exit_code)
        .or_else(|| codes().find(|code| *code != 0))
        .or_else(|| codes().next())
        // It ended without ever running: nothing was found that exited well.
        .unwrap_or(1)
}

/// ECS's own words, of the task and of its containers.
fn reason(task: &Task) -> Option<String> {
    let containers = task.containers.iter().filter_map(|c| c.reason.as_deref());
    let words: Vec<&str> = task
        .stopped_reason
        .as_deref()
        .into_iter()
        .chain(containers)
        .collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// Why a start failed whose task went down.
fn ending(task: &Task, record: &Record) -> Failure {
    let words = reason(task).unwrap_or_else(|| "ECS gives no reason".to_owned());
    let stop_code = task.stop_code.as_deref();
    let of_containers = task.containers.iter().filter_map(|c| c.reason.as_deref());
    let meaning = STOP_CODES
        .iter()
        .find(|(code, ..)| Some(*code) == stop_code)
        .map(|(_, code, user)| (*code, Some(*user)))
        .or_else(|| {
            of_containers
                .chain(task.stopped_reason.as_deref())
                .find_map(meaning_of)
        });
    let (code, user_message) = meaning.unwrap_or((Code::StartFailed, None));
    let exit = if task.containers.iter().any(|c| c.exit_code.is_some()) {
        format!(", exit code {}", exit_code(task, record))
    } else {
        String::new()
    };
    let failure =
        Failure::new(code, format!("task {}: {words}{exit}", task.task_arn)).at(ErrorPlace {
            operation: Some("ecs:DescribeTasks".to_owned()),
            cloud_code: task.stop_code.clone(),
            ..ErrorPlace::default()
        });
    let failure = match task.stopped_reason.as_deref() {
        Some(reason) if reason.starts_with(NOT_MOUNTED) => failure.because(NOT_MOUNTED_ADVICE),
        Some(reason) if reason.starts_with(NOT_PULLED) && record::has_secret(record) => {
            failure.because(NOT_PULLED_ADVICE)
        }
        _ => failure,
    };
    match user_message {
        Some(message) => failure.with_user_message(message),
        None => failure,
    }
}

fn meaning_of(reason: &str) -> Option<(Code, Option<&'static str>)> {
    REASONS
        .iter()
        .find(|(beginning, ..)| reason.starts_with(beginning))
        .map(|(_, code, user)| (*code, Some(*user)))
}

/// A failure's reason where it is one word, such as `RESOURCE:ENI`; a sentence is no code.
fn code_word(reason: &str) -> String {
    if reason.contains(' ') {
        "failures".to_owned()
    } else {
        reason.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn record() -> Record {
        let mut record = Record::default();
        record.own.insert("scheme".to_owned(), Value::from("http"));
        record.own.insert("port".to_owned(), Value::from(8888));
        record
            .own
            .insert("container_name".to_owned(), Value::from("notebook"));
        record
    }

    fn task(value: Value) -> Task {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_state_of_a_task_has_a_meaning() {
        let phases: Vec<_> = STATES
            .iter()
            .map(|(state, ..)| {
                report(&task(json!({"lastStatus": state})), &Record::default()).phase
            })
            .collect();
        use Phase::{Exited, Pending, Running, Stopping};
        assert_eq!(
            phases,
            [
                Pending, Pending, Pending, Running, Stopping, Stopping, Stopping, Exited, Exited
            ]
        );
    }

    #[test]
    fn a_state_that_aws_adds_later_is_no_proof_of_death() {
        assert_eq!(
            report(&task(json!({"lastStatus": "DREAMING"})), &record()).phase,
            Phase::Pending
        );
        assert_eq!(report(&task(json!({})), &record()).phase, Phase::Pending);
    }

    #[test]
    fn a_running_task_that_is_wanted_stopped_is_stopping() {
        let task = task(json!({"lastStatus": "RUNNING", "desiredStatus": "STOPPED"}));
        assert_eq!(report(&task, &record()).phase, Phase::Stopping);
    }

    #[test]
    fn the_address_is_the_network_interfaces_and_an_ipv6_one_stands_in_brackets() {
        let attachment = json!({"type": "ElasticNetworkInterface", "details": [
            {"name": "subnetId", "value": "subnet-1"},
            {"name": "privateIPv4Address", "value": "10.0.3.17"}]});
        let running = task(json!({"lastStatus": "RUNNING", "attachments": [attachment],
            "containers": [{"networkInterfaces": [{"ipv6Address": "2001:db8::7"}]}]}));
        assert_eq!(
            report(&running, &record()).url.as_deref(),
            Some("http://10.0.3.17:8888")
        );
        let mut ipv6 = record();
        ipv6.own.insert("address".to_owned(), Value::from("ipv6"));
        assert_eq!(
            report(&running, &ipv6).url.as_deref(),
            Some("http://[2001:db8::7]:8888")
        );
    }

    #[test]
    fn an_address_that_is_none_is_not_taken() {
        let attachment =
            json!({"details": [{"name": "privateIPv4Address", "value": "evil.example/x"}]});
        let running = task(json!({"lastStatus": "RUNNING", "attachments": [attachment]}));
        let report = report(&running, &record());
        assert_eq!((report.phase, report.url), (Phase::Pending, None));
    }

    #[test]
    fn the_exit_code_is_the_named_containers() {
        let task = task(json!({"lastStatus": "STOPPED", "containers": [
            {"name": "proxy", "exitCode": 0}, {"name": "notebook", "exitCode": 137}]}));
        assert_eq!(report(&task, &record()).exit_code, Some(137));
    }

    #[test]
    fn a_task_that_never_ran_did_not_exit_well() {
        let task = task(
            json!({"lastStatus": "STOPPED", "stopCode": "TaskFailedToStart",
            "stoppedReason": "CannotPullContainerError: no such image"}),
        );
        let report = report(&task, &record());
        assert_eq!(report.exit_code, Some(1));
        let ending = report.ending.unwrap();
        assert_eq!(ending.code(), Code::StartFailed);
        assert!(
            ending
                .0
                .message
                .contains("CannotPullContainerError: no such image")
        );
        assert!(ending.0.user_message.contains("image"));
    }

    #[test]
    fn missing_capacity_is_told_from_other_failures() {
        for reason in [
            "RESOURCE:ENI",
            "Capacity is unavailable at this time. Please try again later",
        ] {
            let failure = not_run(
                &[NotRun {
                    reason: Some(reason.to_owned()),
                    ..NotRun::default()
                }],
                None,
            );
            assert_eq!(failure.code(), Code::CapacityUnavailable, "{reason}");
        }
        let failure = not_run(
            &[NotRun {
                reason: Some("MISSING".to_owned()),
                ..NotRun::default()
            }],
            None,
        );
        assert_eq!(
            (failure.code(), failure.0.context.cloud_code.as_deref()),
            (Code::StartFailed, Some("MISSING"))
        );
    }
}
