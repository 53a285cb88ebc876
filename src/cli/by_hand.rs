//! Flags become the same JSON request that stdin would bring, so that both ways mean the same.

use super::arguments::{Command, Gc, List, Logs, Share, ShareAction, Start, Whose};
use crate::context::Context;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;

/// Servers that were started by hand belong to no hub, so that no hub's gc removes them.
const HUB: &str = "by-hand";

type Params = Map<String, Value>;

/// The requests that the flags describe: none where the request is to be read from stdin, several where several places are to be
/// asked.
///
/// # Errors
/// A sentence that names the flag or the file.
pub fn requests(command: &Command, context: &Context) -> Result<Vec<Value>, String> {
    let (place, params) = match command {
        Command::List(list) => return places(list),
        Command::Secret { .. }
        | Command::Serve
        | Command::Schema
        | Command::Completions { .. }
        | Command::Man => {
            return Ok(Vec::new());
        }
        Command::Start(start) => (&start.place, start_params(start, context)),
        Command::Poll(poll) => (&poll.place, poll_params(&poll.whose)),
        Command::Stop(stop) => (
            &stop.place,
            server_and_state(&stop.whose).map(|mut params| {
                params.insert("wait".to_owned(), stop.wait.into());
                params.insert("reason".to_owned(), json!(stop.reason));
                params
            }),
        ),
        Command::Logs(logs) => (&logs.place, logs_params(logs)),
        Command::Gc(gc) => (&gc.place, gc_params(gc)),
        Command::Check(check) => {
            let look = Params::from_iter([
                ("offline".to_owned(), check.offline.into()),
                ("hub_url".to_owned(), json!(check.hub_url)),
                ("port".to_owned(), json!(check.port)),
                ("hub_version".to_owned(), json!(check.hub_version)),
            ]);
            (&check.place, Ok(look))
        }
        Command::Share(share) => (&share.place, share_params(share)),
        Command::Options(place) => (place, Ok(Params::new())),
    };
    let (Some(backend), Some(config)) = (&place.backend, &place.config) else {
        return Ok(Vec::new());
    };
    let credentials = place.credentials.as_deref();
    let mut params = params?;
    params.extend(where_to(backend, config, credentials)?);
    Ok(vec![request(&params, place.timeout)])
}

fn request(params: &Params, timeout: Option<u64>) -> Value {
    let timeout_ms = timeout.map(|seconds| seconds.saturating_mul(1000));
    json!({"v": crate::wire::VERSION, "timeout_ms": timeout_ms, "params": params})
}

fn where_to(backend: &str, config: &Path, credentials: Option<&Path>) -> Result<Params, String> {
    let credentials = credentials.map(|file| read("--credentials", file));
    Ok(Params::from_iter([
        ("backend".to_owned(), backend.into()),
        ("config".to_owned(), read("--config", config)?),
        (
            "credentials".to_owned(),
            credentials.transpose()?.unwrap_or_default(),
        ),
    ]))
}

fn places(list: &List) -> Result<Vec<Value>, String> {
    let (backends, configs) = (&list.backend, &list.config);
    if backends.len() != configs.len() {
        return Err("--backend: give one for each --config, in the same order".to_owned());
    }
    let credentials = &list.credentials;
    if !credentials.is_empty() && credentials.len() != configs.len() {
        return Err("--credentials: give one for each --config, or none".to_owned());
    }
    let mut requests = Vec::new();
    for (index, (backend, config)) in backends.iter().zip(configs).enumerate() {
        let credentials = credentials
            .get(index)
            .filter(|file| *file != Path::new("-"));
        let mut params = where_to(backend, config, credentials.map(AsRef::as_ref))?;
        params.insert("hub".to_owned(), json!(list.hub));
        requests.push(request(&params, list.timeout));
    }
    Ok(requests)
}

fn server(whose: &Whose) -> Result<Value, String> {
    let Some(user) = &whose.user else {
        return Err("--user: is missing; name the person whose server it is".to_owned());
    };
    let hub = whose.hub.as_deref().unwrap_or(HUB);
    Ok(json!({"hub": hub, "user": user, "name": whose.server}))
}

fn state(whose: &Whose) -> Result<Value, String> {
    let state = whose.state.as_deref().map(|file| read("--state", file));
    Ok(state.transpose()?.unwrap_or_default())
}

fn server_and_state(whose: &Whose) -> Result<Params, String> {
    Ok(Params::from_iter([
        ("server".to_owned(), server(whose)?),
        ("state".to_owned(), state(whose)?),
    ]))
}

fn start_params(start: &Start, context: &Context) -> Result<Params, String> {
    let mut spec = json!({"command": [], "args": [], "env": {}, "port": 8888, "scheme": "http"});
    if let Some(file) = &start.spec {
        spec = read("--spec", file)?;
    }
    if !start.run.is_empty() {
        spec["command"] = json!(start.run);
    }
    // Fresh for each start: two in one millisecond differ by chance.
    let chance = context.share_of(Duration::from_nanos(0xff_ffff)).as_nanos();
    let attempt = format!("hand-{:x}-{chance:06x}", context.now_ms());
    let mut params = server_and_state(&start.whose)?;
    params.insert("attempt".to_owned(), attempt.into());
    params.insert("spec".to_owned(), spec);
    Ok(params)
}

fn poll_params(whose: &Whose) -> Result<Params, String> {
    let target = Value::Object(server_and_state(whose)?);
    Ok(Params::from_iter([("targets".to_owned(), json!([target]))]))
}

fn logs_params(logs: &Logs) -> Result<Params, String> {
    let mut params = server_and_state(&logs.whose)?;
    params.insert("lines".to_owned(), json!(logs.lines));
    Ok(params)
}

fn gc_params(gc: &Gc) -> Result<Params, String> {
    let Some(hub) = &gc.hub else {
        return Err("--hub: is missing; name the hub whose servers are looked at".to_owned());
    };
    let servers = gc.keep.iter().map(|whose| {
        let (user, name) = whose.split_once('/').unwrap_or((whose, ""));
        json!({"server": {"hub": hub, "user": user, "name": name}})
    });
    let references = gc
        .keep_ref
        .iter()
        .map(|reference| json!({"ref": reference}));
    let keep: Vec<Value> = servers.chain(references).collect();
    let min_age_ms = gc.min_age.map(|minutes| minutes.saturating_mul(60_000));
    Ok(Params::from_iter([
        ("hub".to_owned(), json!(hub)),
        ("keep".to_owned(), json!(keep)),
        ("min_age_ms".to_owned(), json!(min_age_ms)),
        ("force".to_owned(), gc.force.into()),
    ]))
}

fn share_params(share: &Share) -> Result<Params, String> {
    let Some(user) = &share.user else {
        return Err("--user: is missing; name the person whose storage it is".to_owned());
    };
    let action = match share.action.unwrap_or(ShareAction::Show) {
        ShareAction::Ensure => "ensure",
        ShareAction::Show => "show",
        ShareAction::Rename => "rename",
        ShareAction::Delete => "delete",
    };
    Ok(Params::from_iter([
        ("user".to_owned(), json!(user)),
        ("action".to_owned(), action.into()),
        ("to".to_owned(), json!(share.to)),
        ("storage_id".to_owned(), json!(share.storage_id)),
        ("hub".to_owned(), json!(share.hub)),
    ]))
}

pub fn read(flag: &str, file: &Path) -> Result<Value, String> {
    let wrong = |why: String| format!("{flag} {}: {why}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    // Where, and not what: a file of credentials is not repeated.
    serde_json::from_str(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        wrong(format!("is not JSON: line {line}, column {column}"))
    })
}
