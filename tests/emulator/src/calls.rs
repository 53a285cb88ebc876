//! What was called: counts and the last calls for the admin endpoint, and one JSON line a request for the request log.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

/// How many of the last calls the admin endpoint shows.
const LAST: usize = 200;

#[derive(Debug, Default, Serialize)]
pub struct Calls {
    counts: BTreeMap<String, u64>,
    throttled: u64,
    last: VecDeque<Value>,
    /// Paths of request members that the emulator did not know and ignored.
    unknown_members: BTreeSet<String>,
    #[serde(skip)]
    log: Option<File>,
}

#[derive(Clone, Copy, Debug)]
pub struct HttpPath<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a Value,
    /// Counted under this name; the log's `action` is the method and the kind of resource.
    pub operation: &'a str,
}

/// One call, as it is logged.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub at_ms: u64,
    pub service: &'a str,
    pub action: &'a str,
    /// What the path says where it, and not the body, tells what is asked.
    pub path: Option<HttpPath<'a>>,
    pub body: &'a Value,
    /// The HTTP status; 0 if the connection ended without one.
    pub status: u16,
    pub code: Option<&'a str>,
}

impl Calls {
    /// # Errors
    /// If the log cannot be opened.
    pub fn open(log: Option<&Path>) -> std::io::Result<Self> {
        let append = |path| OpenOptions::new().create(true).append(true).open(path);
        Ok(Self {
            log: log.map(append).transpose()?,
            ..Self::default()
        })
    }

    pub fn reset(&mut self) {
        *self = Self {
            log: self.log.take(),
            ..Self::default()
        };
    }

    pub fn unknown_member(&mut self, path: String) {
        tracing::warn!(
            path,
            "the emulator does not know this member and ignores it"
        );
        self.unknown_members.insert(path);
    }

    pub fn record(&mut self, entry: Entry<'_>) {
        let Entry {
            at_ms,
            service,
            action,
            path,
            body,
            status,
            code,
        } = entry;
        let counted = path.map_or(action, |path| path.operation);
        *self.counts.entry(counted.to_owned()).or_default() += 1;
        self.throttled += u64::from(matches!(
            code,
            Some("ThrottlingException" | "TooManyRequests")
        ));
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(
            json!({ "at_ms": at_ms, "action": counted, "status": status, "code": code }),
        );
        if let Some(log) = &mut self.log {
            let mut line = json!({ "at_ms": at_ms, "service": service, "action": action, "body": body, "status": status });
            if let Some(path) = path {
                line["method"] = json!(path.method);
                line["path"] = json!(path.path);
                line["query"] = path.query.clone();
                line["operation"] = json!(path.operation);
            }
            // One write a line, so that a reader never sees half of one.
            if let Err(error) = log.write_all(format!("{line}\n").as_bytes()) {
                tracing::warn!(%error, "the request log cannot be written");
            }
        }
        tracing::debug!(service, action, status, code, "call");
    }
}
