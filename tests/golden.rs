//! The golden files in `tests/wire`: every frame is read and written as it stands there. The Python shim reads them, too.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the finding")]

use cloudspawner::backend::Record;
use cloudspawner::wire::reply::{
    CancelResult, CheckResult, DryRunResult, GcResult, ListResult, LogsResult, OptionsResult,
    PollResult, ShareResult, StartResult, StatsResult, StopResult,
};
use cloudspawner::wire::{
    CancelParams, CheckParams, Envelope, Frame, GcParams, ListParams, LogsParams, OptionsParams,
    PollParams, ShareAction, ShareParams, StartParams, StatsParams, StopParams,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/wire")
        .join(name)
}

fn golden(name: &str) -> Value {
    let text = std::fs::read_to_string(folder("v1").join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Reads as `T`, writes again, and nothing is lost, added or renamed.
fn round_trip<T: DeserializeOwned + Serialize>(value: &Value) -> T {
    let read: T = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), *value);
    read
}

fn request<P: DeserializeOwned>(name: &str) -> (Envelope, P) {
    let envelope: Envelope = serde_json::from_value(golden(name)).unwrap();
    assert_eq!(envelope.v, 1);
    let params = serde_json::from_value(envelope.params.clone()).unwrap();
    (envelope, params)
}

#[test]
fn every_reply_is_read_and_written_as_it_stands() {
    for name in ["hello", "state", "event", "error_start", "error_unreadable"] {
        round_trip::<Frame>(&golden(name));
    }
    let result = |name: &str| golden(name)["result"].clone();
    round_trip::<StartResult>(&result("result_start"));
    round_trip::<PollResult>(&result("result_poll"));
    round_trip::<StopResult>(&result("result_stop"));
    round_trip::<GcResult>(&result("result_gc"));
    round_trip::<CheckResult>(&result("result_check"));
    round_trip::<ShareResult>(&result("result_share"));
    round_trip::<OptionsResult>(&result("result_options"));
    round_trip::<LogsResult>(&result("result_logs"));
    round_trip::<ListResult>(&result("result_list"));
    round_trip::<DryRunResult>(&result("result_dry_run"));
    round_trip::<StatsResult>(&result("result_stats"));
    round_trip::<CancelResult>(&result("result_cancel"));
}

#[test]
fn every_request_is_read_with_all_that_it_says() {
    let (envelope, start) = request::<StartParams>("request_start");
    assert_eq!(
        (envelope.id.as_deref(), envelope.verb.as_deref()),
        (Some("7"), Some("start"))
    );
    assert!(envelope.ack && envelope.timeout_ms == Some(290_000));
    assert_eq!(
        (start.spec.port, start.spec.service_prefix.as_str()),
        (8888, "/user/ada/")
    );
    assert_eq!(start.spec.env.expose()["JUPYTERHUB_USER"], "ada");
    assert_eq!(start.spec.mem_limit_mib, Some(4096.0));
    let (_, poll) = request::<PollParams>("request_poll");
    assert_eq!((poll.max_age_ms, poll.targets.len()), (27_000, 1));
    let (_, stop) = request::<StopParams>("request_stop");
    assert_eq!(
        (stop.reason.as_deref(), stop.wait),
        (Some("stopped by ada"), false)
    );
    let (_, gc) = request::<GcParams>("request_gc");
    assert_eq!(
        (gc.keep.len(), gc.min_age_ms, gc.apply, gc.force),
        (2, Some(900_000), false, false)
    );
    assert!(gc.keep[0].server.is_some() && gc.keep[1].reference.is_some());
    let (_, gc) = request::<GcParams>("request_gc_apply");
    assert!(gc.apply && gc.only.is_some_and(|only| only.len() == 1));
    let (_, check) = request::<CheckParams>("request_check");
    assert!(check.offline && check.hub_url.is_some() && check.port == Some(8888));
    assert_eq!(check.hub_version.as_deref(), Some("6.1.1"));
    let (_, share) = request::<ShareParams>("request_share");
    assert_eq!(
        (share.storage_id.as_str(), share.action),
        ("jupyterhub", ShareAction::Ensure)
    );
    let (_, options) = request::<OptionsParams>("request_options");
    assert_eq!(options.config["resource_group"], "research");
    let (_, logs) = request::<LogsParams>("request_logs");
    assert_eq!(
        (logs.lines, logs.after.as_deref()),
        (Some(50), Some("f/39215"))
    );
    let (_, list) = request::<ListParams>("request_list");
    assert_eq!(list.hub, "prod");
    let (_, StatsParams {}) = request::<StatsParams>("request_stats");
    let (_, cancel) = request::<CancelParams>("request_cancel");
    assert_eq!(cancel.id, "7");
}

#[test]
fn what_may_be_left_out_may_be_null() {
    let (envelope, stop) = request::<StopParams>("request_stop_minimal");
    assert_eq!((envelope.timeout_ms, envelope.ack), (None, false));
    assert_eq!(
        (stop.server.name.as_str(), stop.state, stop.wait),
        ("", None, false)
    );
}

#[test]
fn every_golden_file_is_read_by_a_test() {
    let there: BTreeSet<String> = std::fs::read_dir(folder("v1"))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let here = include_str!("golden.rs");
    for name in there.iter().filter(|name| *name != "ack") {
        assert!(
            here.contains(&format!("\"{name}\"")),
            "no test reads {name}.json"
        );
    }
}

#[test]
fn every_state_that_was_ever_released_loads() {
    for entry in std::fs::read_dir(folder("state")).unwrap() {
        let path = entry.unwrap().path();
        let state: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let backend = state["backend"].as_str().unwrap();
        let record = Record::read(state.clone(), backend)
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(
            record.key.starts_with("cs-") && record.reference.is_some(),
            "{}",
            path.display()
        );
    }
}
