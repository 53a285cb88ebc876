//! What an instance's state means: one table, for start, poll and stop.

use super::instance::Instance;
use crate::backend::{Record, Report};
use crate::cloud::CloudError;
use crate::cloud::error::Refusal;
use crate::error::Failure;
use crate::wire::{Cleanup, Code, ErrorPlace, Phase};
use std::time::Duration;

/// Azure's own operations take minutes; nobody notices two seconds after Running.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What a start does with an instance that it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStart {
    /// It is up or on its way: wait for it.
    Join,
    /// It is stopped: start it.
    Start,
    /// It is on its way down: wait, then look again.
    Wait,
    /// It is a wreck: delete it, then make a new one.
    Delete,
}

/// What a stop does with an instance that it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStopFound {
    /// Ask Azure to stop it.
    Stop,
    /// It is down or on its way: nothing.
    Nothing,
    /// It never was a server: delete it.
    Delete,
}

/// A state's row.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Azure's name.
    pub state: &'static str,
    /// For poll; the exit status is the predecessor's: 1 a known error, 2 failed, 3 stopped, 0 not known why.
    pub phase: Phase,
    /// For poll, once ended.
    pub exit_code: Option<i32>,
    /// Progress in percent.
    pub percent: u8,
    /// Progress in words.
    pub message: &'static str,
    /// For start.
    pub on_start: OnStart,
    /// For stop.
    pub on_stop: OnStopFound,
}

const fn row(
    state: &'static str,
    phase: Phase,
    exit_code: Option<i32>,
    percent: u8,
    message: &'static str,
    on_start: OnStart,
    on_stop: OnStopFound,
) -> Row {
    Row {
        state,
        phase,
        exit_code,
        percent,
        message,
        on_start,
        on_stop,
    }
}

/// The sixteen states (swagger, `ComputeInstanceState`).
pub const STATES: &[Row] = &[
    row(
        "Creating",
        Phase::Pending,
        None,
        20,
        "Your machine is being created",
        OnStart::Join,
        OnStopFound::Stop,
    ),
    row(
        "SettingUp",
        Phase::Pending,
        None,
        60,
        "Your machine is being set up",
        OnStart::Join,
        OnStopFound::Stop,
    ),
    row(
        "UserSettingUp",
        Phase::Pending,
        None,
        70,
        "Your machine runs its set-up script",
        OnStart::Join,
        OnStopFound::Stop,
    ),
    row(
        "Starting",
        Phase::Pending,
        None,
        40,
        "Your machine is starting",
        OnStart::Join,
        OnStopFound::Stop,
    ),
    row(
        "Restarting",
        Phase::Pending,
        None,
        40,
        "Your machine is restarting",
        OnStart::Join,
        OnStopFound::Stop,
    ),
    row(
        "Resizing",
        Phase::Pending,
        None,
        30,
        "Your machine is being resized",
        OnStart::Join,
        OnStopFound::Stop,
    ),
    row(
        "Running",
        Phase::Running,
        None,
        90,
        "Your machine is running",
        OnStart::Join,
        OnStopFound::Stop,
    ),
    row(
        "JobRunning",
        Phase::Running,
        None,
        90,
        "Your machine is running a job",
        OnStart::Join,
        OnStopFound::Stop,
    ),
    row(
        "Stopping",
        Phase::Stopping,
        None,
        90,
        "Your machine is stopping",
        OnStart::Wait,
        OnStopFound::Nothing,
    ),
    row(
        "Deleting",
        Phase::Stopping,
        None,
        90,
        "Your machine is being deleted",
        OnStart::Wait,
        OnStopFound::Nothing,
    ),
    row(
        "Stopped",
        Phase::Exited,
        Some(3),
        100,
        "Your machine is stopped",
        OnStart::Start,
        OnStopFound::Nothing,
    ),
    row(
        "CreateFailed",
        Phase::Exited,
        Some(2),
        100,
        "Your machine could not be created",
        OnStart::Delete,
        OnStopFound::Delete,
    ),
    row(
        "SetupFailed",
        Phase::Exited,
        Some(2),
        100,
        "Your machine could not be set up",
        OnStart::Delete,
        OnStopFound::Stop,
    ),
    row(
        "UserSetupFailed",
        Phase::Exited,
        Some(2),
        100,
        "Your machine's set-up script failed",
        OnStart::Delete,
        OnStopFound::Stop,
    ),
    row(
        "Unusable",
        Phase::Exited,
        Some(1),
        100,
        "Your machine is unusable",
        OnStart::Delete,
        OnStopFound::Delete,
    ),
    row(
        "Unknown",
        Phase::Unknown,
        None,
        20,
        "The cloud does not know how your machine is",
        OnStart::Wait,
        OnStopFound::Stop,
    ),
];

/// The row of a state; one that Azure adds later is no proof of anything.
pub fn row_of(state: Option<&str>) -> Row {
    let unknown = STATES[STATES.len() - 1];
    STATES
        .iter()
        .find(|row| Some(row.state) == state)
        .copied()
        .unwrap_or(unknown)
}

/// The state, or what the provisioning says where there is none yet.
pub fn state_of(instance: &Instance) -> Option<&str> {
    instance
        .state()
        .or(match instance.properties.provisioning_state.as_deref() {
            Some("Creating" | "Updating") => Some("Creating"),
            Some("Deleting") => Some("Deleting"),
            Some("Failed" | "Canceled") => Some("CreateFailed"),
            _ => None,
        })
}

/// How a server is, by its instance; none where Azure gave no proof.
pub fn report(instance: &Instance, record: &Record) -> Report {
    let row = row_of(state_of(instance));
    let failed = row.phase == Phase::Exited && row.on_start == OnStart::Delete;
    let target_url = (row.phase == Phase::Running)
        .then(|| instance.lab_url())
        .flatten();
    let phase = if row.phase == Phase::Running && target_url.is_none() {
        Phase::Pending
    } else {
        row.phase
    };
    let down = matches!(phase, Phase::Exited | Phase::Stopping);
    Report {
        phase,
        stage: row.state,
        percent: row.percent,
        message: row.message,
        exit_code: row.exit_code,
        url: target_url.clone(),
        target_url,
        reason: down.then(|| reason(instance, row)),
        ending: down.then(|| ending(instance, record, row)),
        cleanup: if failed {
            Cleanup::Needed
        } else {
            Cleanup::None
        },
        look_again: LOOK_AGAIN,
        last_activity: (row.phase == Phase::Running)
            .then(|| last_activity(instance))
            .flatten(),
    }
}

/// How a server is whose creation Azure accepted and then gave up: there is nothing to remove.
pub fn never_created(name: &str, refusal: Refusal) -> Report {
    let row = row_of(Some("CreateFailed"));
    let error = CloudError::Refused(Box::new(refusal));
    let reason = format!("compute instance {name}: its creation failed: {error}");
    let code = match error.code() {
        code @ (Code::QuotaExceeded | Code::CapacityUnavailable) => code,
        _ => Code::StartFailed,
    };
    let mut ending = Failure::new(code, reason.clone());
    ending.0.context = error.into_failure().0.context;
    Report {
        phase: row.phase,
        stage: row.state,
        percent: row.percent,
        message: row.message,
        exit_code: row.exit_code,
        url: None,
        target_url: None,
        reason: Some(reason),
        ending: Some(ending),
        cleanup: Cleanup::None,
        look_again: LOOK_AGAIN,
        last_activity: None,
    }
}

/// When it was last used, as far as Resource Manager knows: a job keeps it busy, or a person started it. What is done in
/// its notebooks is told to nobody.
fn last_activity(instance: &Instance) -> Option<String> {
    let last = instance
        .properties
        .properties
        .as_ref()?
        .last_operation
        .as_ref()?;
    let by_a_person = last.trigger.as_deref() == Some("User");
    let at = last.time.as_deref().filter(|_| by_a_person)?;
    crate::cloud::time::in_seconds(at)
}

/// Why it went down: who did it, and what Azure says went wrong.
fn reason(instance: &Instance, row: Row) -> String {
    let last = instance
        .properties
        .properties
        .as_ref()
        .and_then(|p| p.last_operation.as_ref());
    let trigger = last.and_then(|l| l.trigger.as_deref());
    let by = match trigger {
        Some("IdleShutdown") => Some("it was idle"),
        Some("Schedule") => Some("by its schedule"),
        Some("User") => Some("by its user or by an operator"),
        _ => None,
    };
    let (_, words) = instance.problems();
    let mut reason = row.state.to_owned();
    for part in by.map(str::to_owned).into_iter().chain(words) {
        reason.push_str("; ");
        reason.push_str(&part);
    }
    reason
}

fn ending(instance: &Instance, record: &Record, row: Row) -> Failure {
    let (cloud_code, _) = instance.problems();
    let code = match cloud_code
        .as_deref()
        .map(|c| crate::cloud::azure::error::code(Some(c), 0))
    {
        Some(code @ (Code::QuotaExceeded | Code::CapacityUnavailable)) => code,
        _ => Code::StartFailed,
    };
    let name = record.reference.as_deref().unwrap_or_default();
    Failure::new(
        code,
        format!("compute instance {name}: {}", reason(instance, row)),
    )
    .at(ErrorPlace {
        operation: Some("arm:GET compute".to_owned()),
        cloud_code,
        ..ErrorPlace::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn instance(state: &str) -> Instance {
        serde_json::from_value(json!({"name": "i", "properties": {"properties": {"state": state}}}))
            .unwrap()
    }

    #[test]
    fn every_state_has_the_meaning_that_the_table_gives() {
        use Phase::{Exited, Pending, Running, Stopping, Unknown};
        for (state, phase, exit_code, on_start) in [
            ("Creating", Pending, None, OnStart::Join),
            ("SettingUp", Pending, None, OnStart::Join),
            ("UserSettingUp", Pending, None, OnStart::Join),
            ("Starting", Pending, None, OnStart::Join),
            ("Restarting", Pending, None, OnStart::Join),
            ("Resizing", Pending, None, OnStart::Join),
            ("Running", Running, None, OnStart::Join),
            ("JobRunning", Running, None, OnStart::Join),
            ("Stopping", Stopping, None, OnStart::Wait),
            ("Deleting", Stopping, None, OnStart::Wait),
            ("Stopped", Exited, Some(3), OnStart::Start),
            ("CreateFailed", Exited, Some(2), OnStart::Delete),
            ("SetupFailed", Exited, Some(2), OnStart::Delete),
            ("UserSetupFailed", Exited, Some(2), OnStart::Delete),
            ("Unusable", Exited, Some(1), OnStart::Delete),
            ("Unknown", Unknown, None, OnStart::Wait),
        ] {
            let row = row_of(Some(state));
            assert_eq!(
                (row.phase, row.exit_code, row.on_start),
                (phase, exit_code, on_start),
                "{state}"
            );
        }
        assert_eq!(STATES.len(), 16);
    }

    #[test]
    fn a_state_that_azure_adds_later_or_leaves_out_is_unknown() {
        assert_eq!(row_of(Some("Dreaming")).phase, Phase::Unknown);
        assert_eq!(row_of(None).phase, Phase::Unknown);
    }

    #[test]
    fn an_instance_without_an_address_is_not_running_yet() {
        assert_eq!(
            report(&instance("Running"), &Record::default()).phase,
            Phase::Pending
        );
    }

    #[test]
    fn a_wreck_has_to_be_removed_and_a_stopped_one_not() {
        assert_eq!(
            report(&instance("CreateFailed"), &Record::default()).cleanup,
            Cleanup::Needed
        );
        assert_eq!(
            report(&instance("Stopped"), &Record::default()).cleanup,
            Cleanup::None
        );
    }

    #[test]
    fn jupyterlabs_entry_is_found_under_either_name_and_only_over_https() {
        let with = |name: &str, url: &str| -> Instance {
            let app = json!({"displayName": name, "endpointUri": url});
            serde_json::from_value(
                json!({"properties": {"properties": {"state": "Running", "applications": [app]}}}),
            )
            .unwrap()
        };
        let url = "https://i.eastus2.instances.azureml.ms/lab";
        assert_eq!(with("Jupyter Lab", url).lab_url().as_deref(), Some(url));
        assert_eq!(with("Jupyter", url).lab_url().as_deref(), Some(url));
        assert_eq!(with("RStudio", url).lab_url(), None);
        assert_eq!(
            with("Jupyter Lab", "http://elsewhere.example/lab").lab_url(),
            None
        );
    }
}
