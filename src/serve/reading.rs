//! A line becomes a request, or an error that names the field.

use crate::error::Failure;
use crate::redact::without_value;
use crate::wire::{Code, Envelope, PollParams, Request, VERSION};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

/// What a line says.
#[derive(Debug)]
pub enum Message {
    /// A request to answer.
    Request(Box<Incoming>),
    /// A state frame has been committed.
    Ack {
        /// The request's id.
        id: Option<String>,
        /// The state frame's number.
        seq: u64,
    },
    /// An ack that means nothing: it gets no answer.
    Noise,
}

/// A request and its envelope.
#[derive(Debug)]
pub struct Incoming {
    /// The caller's name for it.
    pub id: Option<String>,
    /// How long it may take.
    pub timeout_ms: Option<u64>,
    /// Whether state frames are acknowledged.
    pub ack: bool,
    /// What to do.
    pub request: Request,
}

/// A line that is no request.
#[derive(Debug)]
pub struct Rejected {
    /// The request's id, where it could be read.
    pub id: Option<String>,
    /// What is wrong.
    pub failure: Failure,
    /// Whether the envelope itself was at fault (exit code 2), rather than what it holds.
    pub unreadable: bool,
}

/// Reads a line. In one-shot mode `command` is the verb that the command line names, and id and verb may be left out.
pub fn read(line: &str, command: Option<&str>) -> Result<Message, Rejected> {
    let unreadable = |id: Option<String>, failure: Failure| Rejected {
        id,
        failure,
        unreadable: true,
    };
    let bad = |message: String| Failure::new(Code::BadRequest, message);
    if command.is_none()
        && let Some(poll) = poll(line)
    {
        return Ok(poll);
    }
    let value: Value = serde_json::from_str(line)
        .map_err(|e| unreadable(None, bad(format!("the request is not JSON: {e}"))))?;
    let Value::Object(fields) = &value else {
        return Err(unreadable(
            None,
            bad("the request is not a JSON object".to_owned()),
        ));
    };
    let id = fields.get("id").and_then(Value::as_str).map(str::to_owned);
    if fields.get("type").and_then(Value::as_str) == Some("ack") {
        return Ok(fields
            .get("seq")
            .and_then(Value::as_u64)
            .map_or(Message::Noise, |seq| Message::Ack { id, seq }));
    }
    match fields.get("v").map(|v| (v, v.as_u64())) {
        Some((_, Some(VERSION))) => {}
        Some((v, _)) if v.is_number() => {
            let failure = Failure::new(
                Code::UnsupportedVersion,
                format!("v: {v} is not spoken here; use {VERSION}"),
            );
            return Err(unreadable(id, failure));
        }
        _ => {
            return Err(unreadable(
                id,
                bad(format!("v: must be the number {VERSION}")),
            ));
        }
    }
    let envelope: Envelope = typed(value, "").map_err(|f| unreadable(id.clone(), f))?;
    if command.is_none() && envelope.id.is_none() {
        return Err(unreadable(None, bad("id: must be a string".to_owned())));
    }
    let verb = match (envelope.verb.as_deref(), command) {
        (None, None) => return Err(unreadable(id, bad("verb: is missing".to_owned()))),
        (Some(verb), Some(command)) if verb != command => {
            return Err(unreadable(
                id,
                bad(format!("verb: is {verb:?}, and the command is {command:?}")),
            ));
        }
        (Some(verb), _) | (None, Some(verb)) => verb,
    };
    let request = params(verb, envelope.params).map_err(|failure| Rejected {
        id: id.clone(),
        failure,
        unreadable: false,
    })?;
    Ok(Message::Request(Box::new(Incoming {
        id,
        timeout_ms: envelope.timeout_ms,
        ack: envelope.ack,
        request,
    })))
}

/// A poll without faults, read in one go: almost all that a hub ever asks. Whatever else it is, `read` says.
fn poll(line: &str) -> Option<Message> {
    #[derive(Deserialize)]
    struct Poll {
        r#type: Option<IgnoredAny>,
        v: u64,
        id: String,
        verb: String,
        timeout_ms: Option<u64>,
        ack: Option<bool>,
        params: PollParams,
    }
    let poll: Poll = serde_json::from_str(line).ok()?;
    let usual = poll.r#type.is_none() && poll.v == VERSION && poll.verb == "poll";
    usual.then(|| {
        Message::Request(Box::new(Incoming {
            id: Some(poll.id),
            timeout_ms: poll.timeout_ms,
            ack: poll.ack.unwrap_or_default(),
            request: Request::Poll(poll.params),
        }))
    })
}

fn params(verb: &str, params: Value) -> Result<Request, Failure> {
    const AT: &str = "params.";
    Ok(match verb {
        "start" => Request::Start(Box::new(typed(params, AT)?)),
        "poll" => Request::Poll(typed(params, AT)?),
        "stop" => Request::Stop(typed(params, AT)?),
        "gc" => Request::Gc(typed(params, AT)?),
        "check" => Request::Check(typed(params, AT)?),
        "share" => Request::Share(typed(params, AT)?),
        "options" => Request::Options(typed(params, AT)?),
        "logs" => Request::Logs(typed(params, AT)?),
        "list" => Request::List(typed(params, AT)?),
        "stats" => Request::Stats(typed(params, AT)?),
        "cancel" => Request::Cancel(typed(params, AT)?),
        unknown => {
            return Err(Failure::new(
                Code::UnknownVerb,
                format!(
                    "verb: {unknown:?} is not known; use start, poll, stop, gc, check, share, options, logs, list, stats or cancel"
                ),
            ));
        }
    })
}

fn typed<T: DeserializeOwned>(value: Value, at: &str) -> Result<T, Failure> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let field = match path.as_str() {
            "." => at.trim_end_matches('.').to_owned(),
            path => format!("{at}{path}"),
        };
        let why = without_value(&error.inner().to_string());
        let message = if field.is_empty() {
            why
        } else {
            format!("{field}: {why}")
        };
        Failure::new(Code::BadRequest, message)
    })
}
