//! The frames that the program reads.
//!
//! A request is read in two steps: the envelope, which every verb shares, then the verb's own params. Fields that may be
//! left out may also be null. Unknown fields are ignored.

use super::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;

/// What every request has.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Envelope {
    /// The version of the wire.
    pub v: u64,
    /// The caller's name for the request.
    pub id: Option<String>,
    /// What to do.
    pub verb: Option<String>,
    /// How long it may take, in milliseconds from receipt; by verb where left out.
    pub timeout_ms: Option<u64>,
    /// Whether each state frame is acknowledged before anything is created.
    #[serde(default, deserialize_with = "null_is_default")]
    #[schemars(with = "Option<bool>")]
    pub ack: bool,
    /// The verb's own fields.
    #[serde(default)]
    pub params: Value,
}

/// A request whose params are read.
#[derive(Debug)]
pub enum Request {
    /// Start a server.
    Start(Box<StartParams>),
    /// Ask how servers are.
    Poll(PollParams),
    /// Stop a server.
    Stop(StopParams),
    /// Find, and with `apply` remove, what nobody keeps.
    Gc(GcParams),
    /// Look whether everything is as it should be.
    Check(CheckParams),
    /// Find, or make, a person's own storage.
    Share(ShareParams),
    /// Tell what a person may choose from.
    Options(OptionsParams),
    /// Tell what a server wrote last.
    Logs(LogsParams),
    /// Tell what a hub has in the cloud.
    List(ListParams),
    /// Tell what this process has done (serve only, to any use).
    Stats(StatsParams),
    /// Cancel another request (serve only).
    Cancel(CancelParams),
}

/// Who a server belongs to; it alone determines the server's key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
pub struct Server {
    /// The hub's id.
    pub hub: String,
    /// The user's name, as the hub knows it.
    pub user: String,
    /// The named server's name; empty for the default server.
    #[serde(default, deserialize_with = "null_is_default")]
    #[schemars(with = "Option<String>")]
    pub name: String,
}

/// Params of `start`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct StartParams {
    /// The backend's name.
    pub backend: String,
    /// The server to start.
    pub server: Server,
    /// Fresh for each start: 8 to 48 of letters, digits and "-".
    pub attempt: String,
    /// The backend's own settings.
    pub config: Value,
    /// Explicit credentials; null for the cloud's own chain.
    #[serde(default)]
    pub credentials: Secret<Value>,
    /// What to run.
    pub spec: Spec,
    /// The last state of this server, if there is one.
    pub state: Option<Value>,
}

/// What a server runs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct Spec {
    /// The command; may be empty, for the image's own.
    pub command: Vec<String>,
    /// Arguments after the command.
    pub args: Vec<String>,
    /// Environment; it holds the server's token.
    pub env: Secret<BTreeMap<String, String>>,
    /// The port on which the server listens.
    pub port: u16,
    /// `http` or `https`.
    pub scheme: String,
    /// The path below which the server answers.
    #[serde(default = "root_path", deserialize_with = "null_is_root_path")]
    #[schemars(with = "Option<String>")]
    pub service_prefix: String,
    /// What the user chose, as the hub stores it.
    #[serde(default)]
    pub user_options: Value,
    /// CPUs, where the hub sets a limit.
    pub cpu_limit: Option<f64>,
    /// Memory in MiB, where the hub sets a limit.
    pub mem_limit_mib: Option<f64>,
    /// Storage to mount.
    #[serde(default, deserialize_with = "null_is_default")]
    #[schemars(with = "Option<Vec<Value>>")]
    pub mounts: Vec<Value>,
}

/// Params of `poll`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PollParams {
    /// The backend's name.
    pub backend: String,
    /// The backend's own settings.
    pub config: Value,
    /// Explicit credentials; null for the cloud's own chain.
    #[serde(default)]
    pub credentials: Secret<Value>,
    /// How old an observation may be, in milliseconds.
    #[serde(default, deserialize_with = "null_is_default")]
    #[schemars(with = "Option<u64>")]
    pub max_age_ms: u64,
    /// Whether each answer tells how long ago the cloud was asked.
    #[serde(default, deserialize_with = "null_is_default")]
    #[schemars(with = "Option<bool>")]
    pub ages: bool,
    /// The servers, answered in this order.
    pub targets: Vec<PollTarget>,
}

/// One server to poll.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PollTarget {
    /// Whose it is; needed where `state` is null.
    pub server: Option<Server>,
    /// Its last state.
    pub state: Option<Value>,
}

/// Params of `stop`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct StopParams {
    /// The backend's name.
    pub backend: String,
    /// The backend's own settings.
    pub config: Value,
    /// Explicit credentials; null for the cloud's own chain.
    #[serde(default)]
    pub credentials: Secret<Value>,
    /// Whose it is.
    pub server: Server,
    /// Its last state.
    pub state: Option<Value>,
    /// Why, for the cloud's own records.
    pub reason: Option<String>,
    /// Whether to answer only when the server has ended.
    #[serde(default, deserialize_with = "null_is_default")]
    #[schemars(with = "Option<bool>")]
    pub wait: bool,
}

/// Params of `gc`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GcParams {
    /// The backend's name.
    pub backend: String,
    /// The backend's own settings.
    pub config: Value,
    /// Explicit credentials; null for the cloud's own chain.
    #[serde(default)]
    pub credentials: Secret<Value>,
    /// The hub whose servers are looked at.
    pub hub: String,
    /// The servers that stay.
    pub keep: Vec<Keep>,
    /// What is younger stays too, in milliseconds.
    pub min_age_ms: Option<u64>,
    /// Whether to remove, or only to tell.
    #[serde(default, deserialize_with = "null_is_default")]
    #[schemars(with = "Option<bool>")]
    pub apply: bool,
    /// Of the stale ones, only those with these cloud's own names may be removed; all where left out.
    pub only: Option<Vec<String>>,
    /// Whether to remove although more than five, and more than half of all, would go.
    #[serde(default, deserialize_with = "null_is_default")]
    #[schemars(with = "Option<bool>")]
    pub force: bool,
}

/// A server that gc leaves alone: a match on any field keeps it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct Keep {
    /// By whose it is.
    pub server: Option<Server>,
    /// By key.
    pub key: Option<String>,
    /// By the cloud's own name.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
}

/// Params of `check`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CheckParams {
    /// The backend's name.
    pub backend: String,
    /// The backend's own settings.
    pub config: Value,
    /// Explicit credentials; null for the cloud's own chain.
    #[serde(default)]
    pub credentials: Secret<Value>,
    /// Where servers are to reach the hub; looked at where it is given.
    pub hub_url: Option<String>,
    /// The port that servers listen on; whether the hub can reach it is looked at where it is given.
    pub port: Option<u16>,
    /// The hub's JupyterHub, as "5.2.1"; compared with the image's where it is given and the image's name tells.
    pub hub_version: Option<String>,
    /// Whether to look at the config alone, without asking the cloud.
    #[serde(default, deserialize_with = "null_is_default")]
    #[schemars(with = "Option<bool>")]
    pub offline: bool,
}

/// Params of `share`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ShareParams {
    /// The backend's name.
    pub backend: String,
    /// The backend's own settings, with `storage`.
    pub config: Value,
    /// Explicit credentials; null for the cloud's own chain.
    #[serde(default)]
    pub credentials: Secret<Value>,
    /// The hub that it is recorded for; left out by hand, where no hub is to be compared.
    #[serde(default, deserialize_with = "null_is_default")]
    #[schemars(with = "Option<String>")]
    pub hub: String,
    /// The set of homes.
    #[serde(
        default = "default_storage_id",
        deserialize_with = "null_is_default_storage_id"
    )]
    #[schemars(with = "Option<String>")]
    pub storage_id: String,
    /// The person.
    pub user: String,
    /// What to do.
    pub action: ShareAction,
    /// The person's new name, for `rename`.
    pub to: Option<String>,
}

/// What `share` does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShareAction {
    /// Makes it where it is not there.
    Ensure,
    /// Tells of it; `not_found` where it is not there.
    Show,
    /// The person has another name from now on, `to`.
    Rename,
    /// Removes it, with all that is in it.
    Delete,
}

/// Params of `options`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OptionsParams {
    /// The backend's name.
    pub backend: String,
    /// The backend's own settings.
    pub config: Value,
    /// Explicit credentials; null for the cloud's own chain.
    #[serde(default)]
    pub credentials: Secret<Value>,
}

/// Params of `logs`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct LogsParams {
    /// The backend's name.
    pub backend: String,
    /// The backend's own settings.
    pub config: Value,
    /// Explicit credentials; null for the cloud's own chain.
    #[serde(default)]
    pub credentials: Secret<Value>,
    /// Whose it is.
    pub server: Server,
    /// Its last state.
    pub state: Option<Value>,
    /// How many lines at most, 1 to 10000; 100 where left out.
    pub lines: Option<u32>,
    /// The `next` of an earlier result: only what came after it.
    pub after: Option<String>,
}

/// Params of `list`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListParams {
    /// The backend's name.
    pub backend: String,
    /// The backend's own settings.
    pub config: Value,
    /// Explicit credentials; null for the cloud's own chain.
    #[serde(default)]
    pub credentials: Secret<Value>,
    /// The hub whose servers are listed.
    pub hub: String,
}

/// Params of `stats`: none yet.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct StatsParams {}

/// Params of `cancel`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CancelParams {
    /// The id of the request to cancel.
    pub id: String,
}

fn null_is_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Protocol, Names: `storage_id` is "jupyterhub" by default.
fn default_storage_id() -> String {
    "jupyterhub".to_owned()
}

fn null_is_default_storage_id<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_else(default_storage_id))
}

fn root_path() -> String {
    "/".to_owned()
}

fn null_is_root_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_else(root_path))
}
