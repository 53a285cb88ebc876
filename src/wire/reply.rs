//! The frames that the program writes.

use super::{Cleanup, ErrorObject, State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// One line on stdout.
// What reads it takes any JSON for a result, what writes it an `Outcome`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Frame")]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Frame<R = Value> {
    /// The first line of serve mode.
    Hello {
        /// The versions of the wire that are spoken.
        v: Vec<u64>,
        /// The program's version.
        version: String,
        /// The backends that are built in, sorted.
        backends: Vec<String>,
        /// The verbs and abilities beyond start, poll and stop, sorted.
        features: Vec<String>,
    },
    /// What to keep for this server from now on; never dropped, never merged.
    State {
        /// The request's id.
        id: Option<String>,
        /// Counts state and event frames of this request, from 1.
        seq: u64,
        /// The state.
        state: State,
    },
    /// How a start is getting on.
    Event {
        /// The request's id.
        id: Option<String>,
        /// Counts state and event frames of this request, from 1.
        seq: u64,
        /// What is told.
        #[serde(flatten)]
        event: Event,
    },
    /// The last frame of a request that succeeded.
    Result {
        /// The request's id.
        id: Option<String>,
        /// The verb's own result.
        result: R,
    },
    /// The last frame of a request that failed.
    Error {
        /// The request's id; null where it could not be read or none was given.
        id: Option<String>,
        /// The failure.
        error: ErrorObject,
    },
}

/// What a verb came to; only its own fields are written.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "each is a verb")]
pub enum Outcome {
    Start(StartResult),
    Poll(PollResult),
    Stop(StopResult),
    Gc(GcResult),
    Check(CheckResult),
    Share(ShareResult),
    Options(OptionsResult),
    Logs(LogsResult),
    List(ListResult),
    Stats(StatsResult),
    Cancel(CancelResult),
}

/// One step of a start, as the person who waits sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// A word for the step, for programs.
    pub stage: String,
    /// How far the start is, 0 to 100; it never falls within one start.
    pub percent: u8,
    /// A sentence for the person who waits.
    pub message: String,
    /// A page to visit, where one is needed.
    pub link: Option<String>,
}

/// Where a server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// On its way up.
    Pending,
    /// Up, with an address.
    Running,
    /// On its way down.
    Stopping,
    /// Ended, and seen to have ended.
    Exited,
    /// Not there any more, or never there.
    Gone,
    /// The cloud could not be asked, or gave no proof.
    Unknown,
}

/// The result of `start`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StartResult {
    /// Where the server answers: scheme, host and port.
    pub url: String,
    /// The server's own address, where `url` only leads there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_url: Option<String>,
    /// The state to keep.
    pub state: State,
}

/// The result of `poll`: one status a target, in the order of the targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PollResult {
    /// The statuses.
    pub servers: Vec<ServerStatus>,
}

/// One server, as poll found it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerStatus {
    /// The server's key; null only where neither state nor server tells one.
    pub key: Option<String>,
    /// Where it is in its life.
    pub phase: Phase,
    /// Its exit status; an integer for exited and gone, else null.
    pub exit_code: Option<i32>,
    /// Where it answers, once known.
    pub url: Option<String>,
    /// The server's own address, where `url` only leads there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_url: Option<String>,
    /// Whether `stop` has something left to do.
    pub cleanup: Cleanup,
    /// The cloud's own words for why it ended.
    pub reason: Option<String>,
    /// Why the phase is `unknown`; of a server that goes or went down, that the cloud itself took it away.
    pub error: Option<ErrorObject>,
    /// When it was last used, RFC 3339, where the cloud knows.
    pub last_activity: Option<String>,
    /// How long ago the cloud was asked, in milliseconds; only where the request has `ages`, and the cloud was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// The state to keep from now on; null where it has not changed.
    pub state: Option<State>,
}

/// The result of `stop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StopResult {
    /// How far down the server is.
    pub phase: Phase,
    /// `done` once the cloud accepted the removal.
    pub cleanup: Cleanup,
}

/// The result of `gc`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GcResult {
    /// What bears this hub's mark and nobody keeps.
    pub stale: Vec<StaleServer>,
    /// The `ref` of each that was removed; empty for a plan.
    pub removed: Vec<String>,
    /// What went wrong on the way.
    pub errors: Vec<ErrorObject>,
}

/// A server that gc would remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StaleServer {
    /// The server's key.
    pub key: String,
    /// The cloud's own name for it.
    #[serde(rename = "ref")]
    pub reference: String,
    /// How long ago it was created, in milliseconds.
    pub age_ms: u64,
}

/// The result of `stats`: of this process alone, since it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatsResult {
    /// Each action of a cloud that was called.
    pub actions: Vec<ActionStats>,
    /// Each watch group.
    pub watch_groups: Vec<WatchStats>,
    /// Each quota that was ever kept to.
    pub queues: Vec<QueueStats>,
}

/// How often an action was called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActionStats {
    /// As the cloud names it, with the service before it.
    pub action: String,
    /// Requests that were sent.
    pub calls: u64,
    /// Those that the cloud throttled.
    pub throttled: u64,
    /// Those that were made again after a failure.
    pub retries: u64,
}

/// Servers that are looked at together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WatchStats {
    /// How many.
    pub servers: usize,
    /// How long ago the cloud told of the one that it told of longest ago, in milliseconds.
    pub age_ms: u64,
}

/// Calls that wait for a quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueueStats {
    /// The quota's name.
    pub quota: String,
    /// How many wait now.
    pub waiting: usize,
}

/// The result of `check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckResult {
    /// Each thing that was looked at.
    pub checks: Vec<Check>,
}

/// One finding of `check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Check {
    /// It is as it should be.
    #[must_use]
    pub fn good(name: &str, message: &str) -> Self {
        Self {
            name: name.to_owned(),
            ok: true,
            message: message.to_owned(),
            hint: None,
        }
    }

    /// A part of the settings that could be read, or what to mend in it.
    #[must_use]
    pub fn read<T>(name: &str, read: &Result<T, impl ToString>, message: &str) -> Self {
        match read {
            Ok(_) => Self::good(name, message),
            Err(failure) => Self::bad(name, failure, "Mend the field that is named."),
        }
    }

    /// It could not be looked at, which is no fault of the settings.
    #[must_use]
    pub fn unseen(name: &str, why: &str, hint: &str) -> Self {
        Self {
            hint: Some(hint.to_owned()),
            ..Self::good(name, why)
        }
    }

    /// It is not, and this is what to do.
    #[must_use]
    pub fn bad(name: &str, failure: &impl ToString, hint: &str) -> Self {
        Self {
            name: name.to_owned(),
            ok: false,
            message: failure.to_string(),
            hint: Some(hint.to_owned()),
        }
    }
}

/// The result of `share`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShareResult {
    /// The storage.
    pub share: Share,
}

/// A person's own storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    /// The cloud's name for it: a file share's name, an access point's id.
    pub name: String,
    /// `azure_files` or `efs`.
    pub kind: String,
    /// Whether this request made it.
    pub created: bool,
}

/// The result of `options`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OptionsResult {
    /// Where a server may be put.
    pub projects: Vec<Project>,
    /// The sizes of machines, by region.
    pub sizes: BTreeMap<String, Vec<Size>>,
}

/// A workspace that a server may be put into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Project {
    /// Its resource group.
    pub resource_group: String,
    /// Its name.
    pub workspace: String,
    /// What people call it.
    pub display_name: String,
    /// Its region.
    pub location: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A size of machine; what the cloud does not tell is null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Size {
    /// The cloud's name for it.
    pub name: String,
    /// Virtual CPUs.
    pub vcpus: Option<u32>,
    /// GPUs.
    pub gpus: Option<u32>,
    /// Memory in GiB.
    pub memory_gib: Option<f64>,
}

/// The result of `logs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogsResult {
    /// The oldest first.
    pub lines: Vec<LogLine>,
    /// What to give as `after` for what comes later; null where nothing can.
    pub next: Option<String>,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// When it was written, RFC 3339, where the cloud tells.
    pub time: Option<String>,
    /// What was written, without secrets that are known.
    pub message: String,
}

/// The result of `list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListResult {
    /// Everything that bears the hub's mark and runs, is on its way up, or is kept.
    pub servers: Vec<ListedServer>,
    /// What went wrong on the way.
    pub errors: Vec<ErrorObject>,
}

/// One server, as the cloud alone describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListedServer {
    /// The backend that found it.
    pub backend: String,
    /// The server's key.
    pub key: String,
    /// The cloud's own name for it.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Where it is in its life.
    pub phase: Phase,
    /// How long ago it was created, in milliseconds, where the cloud tells.
    pub age_ms: Option<u64>,
    /// Whose it is, where the cloud tells.
    pub user: Option<String>,
    /// How large it is, as the cloud says it.
    pub size: Option<String>,
    /// The admin's own tags, by which costs are told apart.
    pub tags: BTreeMap<String, String>,
}

/// The result of a command with `--dry-run`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DryRunResult {
    /// In order; no secret stands in them.
    pub calls: Vec<PlannedCall>,
    /// Where it ended, and why.
    pub stopped: String,
}

/// A call to the cloud that a command makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedCall {
    /// Whether it was made in the dry run, since it changes nothing.
    pub made: bool,
    /// GET, POST and so on.
    pub method: String,
    /// Where to.
    pub url: String,
    /// The action, where the cloud names it so.
    pub action: Option<String>,
    /// The body; null where there is none.
    pub body: Value,
}

/// The result of `cancel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CancelResult {
    /// Whether a request of that id was under way.
    pub found: bool,
}
