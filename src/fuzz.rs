//! What reads bytes that others wrote, behind one door for each kind: whatever comes, nothing panics, hangs or grows without end.
//!
//! `fuzz/` gives these to cargo-fuzz, which learns from the code's own branches; the tests below give them the golden files and
//! tapes with something changed, for seconds. Not part of the program.

#![expect(clippy::missing_panics_doc, reason = "a panic is the finding")]

use crate::backend::{Record, azure_ml, fargate, names, tags};
use crate::cloud::aws::json;
use crate::cloud::azure::resource_manager;
use crate::cloud::error::retry_after;
use crate::cloud::time;
use crate::context::Context;
use crate::mount::Owner;
use crate::net::Response;
use crate::redact::{Redactor, without_value};
use crate::serve::reading::{self, Message};
use crate::wire::{Request, Server};
use bytes::Bytes;
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// A kind of input, and what reads it.
pub type Target = (&'static str, fn(&[u8]));

/// All kinds.
pub const TARGETS: [Target; 5] = [
    ("wire", wire),
    ("state", state),
    ("aws", aws),
    ("azure", azure),
    ("text", text),
];

/// A line that a caller sends.
pub fn wire(data: &[u8]) {
    let Ok(line) = std::str::from_utf8(data) else {
        return;
    };
    for command in [None, Some("start"), Some("stop")] {
        match reading::read(line, command) {
            Ok(Message::Request(incoming)) => {
                let held = Redactor::default().hold(&incoming.request);
                drop(held);
                if let Request::Start(params) = &incoming.request {
                    check_names(&params.server);
                    azure_ml::digest_config(&params.config);
                }
            }
            Ok(Message::Ack { .. } | Message::Noise) => {}
            Err(rejected) => assert!(!rejected.failure.0.message.is_empty()),
        }
    }
}

/// A state that a hub kept, perhaps of another version: what is taken is given back the same.
pub fn state(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    for backend in ["fargate", "azure_ml"] {
        let Ok(record) = Record::read(value.clone(), backend) else {
            continue;
        };
        if let Ok(written) = record.write(backend) {
            let again = serde_json::to_value(written).unwrap_or_default();
            assert!(Record::read(again, backend).is_ok_and(|same| same == record));
        }
    }
}

/// An answer of ECS; its first byte chooses the HTTP status.
pub fn aws(data: &[u8]) {
    let Some(answer) = answer(data) else { return };
    match json::read(&answer, "ecs:RunTask", &context(), false) {
        Ok(answer) => {
            let _ = answer.read().map(|body: Value| fargate::digest(&body));
        }
        Err(error) => drop(error.without(&["canary".to_owned()]).into_failure()),
    }
}

/// An answer of Resource Manager; its first byte chooses the HTTP status.
pub fn azure(data: &[u8]) {
    let Some(answer) = answer(data) else { return };
    match resource_manager::read(&answer, "arm:PUT compute", &context()) {
        Ok(answer) => azure_ml::digest(&answer.body),
        Err(error) => drop(error.into_failure()),
    }
}

/// Short texts: names of people, times, headers.
pub fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Some(pause) = retry_after(text, &context()) {
        assert!(pause <= Duration::from_hours(1));
    }
    let _ = (time::milliseconds(text), time::in_seconds(text));
    let _ = without_value(text);
    let (hub, rest) = text.split_once('\n').unwrap_or((text, ""));
    let (user, name) = rest.split_once('\n').unwrap_or((rest, ""));
    check_names(&Server {
        hub: hub.to_owned(),
        user: user.to_owned(),
        name: name.to_owned(),
    });
}

/// Keys, tags and names of storage keep to what the clouds allow (protocol, Names), whoever the person is.
fn check_names(server: &Server) {
    let plain = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let key = names::key(server);
    assert!(key.len() <= 52 && plain(&key), "{key}");
    assert!(key.starts_with(&names::hub_mark(&server.hub)));
    // ECS: a tag's value has at most 256 characters.
    assert!(tags::value(&server.hub).chars().count() <= 256);
    let owner = Owner {
        hub: server.hub.clone(),
        storage_id: server.name.clone(),
        user: server.user.clone(),
    };
    for nth in [0, 1, u32::MAX] {
        let name = owner.name(nth);
        assert!((3..=63).contains(&name.len()) && plain(&name), "{name}");
    }
    for (_, mark) in owner.marks() {
        assert!(mark.is_ascii());
    }
}

fn answer(data: &[u8]) -> Option<Response> {
    const STATUSES: [u16; 8] = [200, 201, 202, 400, 404, 409, 429, 503];
    let (first, body) = data.split_first()?;
    let mut answer = Response::new(Bytes::copy_from_slice(body));
    let status = STATUSES[usize::from(*first) % STATUSES.len()];
    *answer.status_mut() = http::StatusCode::from_u16(status).ok()?;
    Some(answer)
}

fn context() -> Context {
    Context::fixed(&[], SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
