//! Record and replay: a folder with one JSON file an exchange.
//!
//! What is written is scrubbed first (`scrub`); traffic that carries or fetches credentials is never written. In replay a
//! request is compared with the tape after the same scrubbing, and one that differs is an error that shows where.

mod scrub;

use super::{CredentialTraffic, Door, DoorError, Request, Response};
use crate::lock::lock;
use bytes::Bytes;
use futures_util::future::BoxFuture;
pub(super) use scrub::Scrubber;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// The only headers that matter to a reader, in either direction.
const KEPT_HEADERS: [&str; 8] = [
    "content-type",
    "retry-after",
    "x-amz-target",
    "x-amzn-requestid",
    "x-amzn-errortype",
    "x-ms-request-id",
    "azure-asyncoperation",
    "location",
];

/// The headers whose values must stand nowhere on a tape.
const SECRET_HEADERS: [&str; 2] = ["authorization", "x-amz-security-token"];

/// One exchange on tape.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Exchange {
    request: Side,
    /// The answer; absent where it was lost.
    response: Option<Side>,
    /// Why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Side {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    headers: BTreeMap<String, String>,
    body: Value,
}

/// Passes everything on, and writes down each exchange.
pub struct Recorder {
    inner: Arc<dyn Door>,
    folder: PathBuf,
    next: Arc<AtomicU32>,
}

impl Recorder {
    /// Records what passes `inner` into `folder`, after what is there already.
    ///
    /// # Errors
    /// Where the folder cannot be made or read.
    pub fn new(inner: Arc<dyn Door>, folder: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder).map_err(|error| of_folder(folder, &error))?;
        let there = tape_files(folder)?.len();
        Ok(Self {
            inner,
            folder: folder.to_owned(),
            next: Arc::new(AtomicU32::new(u32::try_from(there).unwrap_or(0) + 1)),
        })
    }

    async fn write(&self, label: &str, exchange: Exchange) {
        let (folder, next, label) = (self.folder.clone(), self.next.clone(), label.to_owned());
        let written = tokio::task::spawn_blocking(move || -> std::io::Result<()> {
            use std::io::Write as _;
            let text = serde_json::to_vec_pretty(&exchange)?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let path = folder.join(format!("{number:04}-{label}.json"));
                // Two processes may record into one folder: the first to take a name has it.
                match std::fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .open(path)
                {
                    Ok(mut file) => return file.write_all(&text),
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error),
                }
            }
        })
        .await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "an exchange could not be recorded");
        }
    }
}

impl Door for Recorder {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, DoorError>> {
        Box::pin(async move {
            if request.extensions().get::<CredentialTraffic>().is_some() {
                return self.inner.send(request).await;
            }
            let mut scrubber = Scrubber::default();
            // An answer may repeat them, though they are not kept themselves.
            for name in SECRET_HEADERS {
                let value = request.headers().get(name).and_then(|v| v.to_str().ok());
                let value = value.unwrap_or_default();
                scrubber.hunt(value);
                // A bearer token may be repeated without the word before it.
                scrubber.hunt(value.rsplit(' ').next().unwrap_or_default());
            }
            let label = label(&request);
            let asked = request_side(&request, &mut scrubber);
            let answer = self.inner.send(request).await;
            let exchange = match &answer {
                Ok(response) => Exchange {
                    request: asked,
                    response: Some(Side {
                        status: Some(response.status().as_u16()),
                        headers: kept_headers(response.headers(), &scrubber),
                        body: body_on_tape(response.body(), &mut scrubber),
                        ..Side::default()
                    }),
                    lost: None,
                },
                Err(error) => Exchange {
                    request: asked,
                    response: None,
                    lost: Some(scrubber.text(&error.to_string())),
                },
            };
            self.write(&label, exchange).await;
            answer
        })
    }
}

/// Answers from a folder of recordings; the network is never asked.
pub struct Replayer {
    left: Mutex<Vec<(String, Exchange)>>,
}

impl Replayer {
    /// Reads every recording in `folder`, in order.
    ///
    /// # Errors
    /// Where the folder cannot be read, or a file in it is no recording.
    pub fn new(folder: &Path) -> std::io::Result<Self> {
        let mut left = Vec::new();
        for path in tape_files(folder)? {
            let exchange: Exchange = serde_json::from_slice(&std::fs::read(&path)?)
                .map_err(|e| std::io::Error::other(format!("{}: {e}", path.display())))?;
            left.push((lane(&exchange.request), exchange));
        }
        Ok(Self {
            left: Mutex::new(left),
        })
    }

    fn answer(&self, request: &Request) -> Result<Response, DoorError> {
        let asked = request_side(request, &mut Scrubber::default());
        let wanted = lane(&asked);
        let mut left = lock(&self.left);
        let mut of_this_kind = left
            .iter()
            .enumerate()
            .filter(|(_, (lane, _))| *lane == wanted);
        let Some((first, _)) = of_this_kind.clone().next() else {
            return Err(DoorError::Tape(format!("no further answer for {wanted}")));
        };
        let Some((index, _)) = of_this_kind.find(|(_, (_, e))| e.request.body == asked.body) else {
            let differences = differences(&left[first].1.request.body, &asked.body);
            return Err(DoorError::Tape(format!(
                "{wanted} differs from the tape: {differences}"
            )));
        };
        let (_, exchange) = left.remove(index);
        let Some(recorded) = exchange.response else {
            return Err(DoorError::Interrupted {
                host: "tape".to_owned(),
                why: exchange.lost.unwrap_or_default(),
            });
        };
        let body = match recorded.body {
            Value::String(text) => text,
            Value::Null => String::new(),
            value => value.to_string(),
        };
        // A request that names its account is answered about that account, so that what was recorded can be asked again.
        let asked = String::from_utf8_lossy(request.body());
        let body = match scrub::account_in(&asked) {
            Some(account) => body.replace(scrub::NO_ACCOUNT, account),
            None => body,
        };
        let mut response = http::Response::builder().status(recorded.status.unwrap_or(200));
        for (name, value) in &recorded.headers {
            response = response.header(name, value);
        }
        response
            .body(Bytes::from(body))
            .map_err(|e| DoorError::Tape(e.to_string()))
    }
}

impl Door for Replayer {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, DoorError>> {
        Box::pin(async move {
            // As with a network, nobody is answered before the others had their turn: polls join one look.
            tokio::task::yield_now().await;
            self.answer(&request)
        })
    }

    fn is_replay(&self) -> bool {
        true
    }
}

fn of_folder(folder: &Path, error: &std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("{}: {error}", folder.display()))
}

fn tape_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| of_folder(folder, &error))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A short name for the file: the action, or the method.
fn label(request: &Request) -> String {
    let target = request
        .headers()
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok());
    let name = target
        .and_then(|t| t.rsplit('.').next())
        .unwrap_or(request.method().as_str());
    name.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// Requests of one lane are compared with each other.
fn lane(side: &Side) -> String {
    let target = side.headers.get("x-amz-target");
    format!(
        "{} {}{}",
        side.method.as_deref().unwrap_or_default(),
        side.path.as_deref().unwrap_or_default(),
        target.map(|t| format!(" {t}")).unwrap_or_default()
    )
}

fn request_side(request: &Request, scrubber: &mut Scrubber) -> Side {
    let body = body_on_tape(request.body(), scrubber);
    Side {
        method: Some(request.method().to_string()),
        path: Some(scrubber.path(request.uri())),
        status: None,
        headers: kept_headers(request.headers(), scrubber),
        body,
    }
}

fn kept_headers(headers: &http::HeaderMap, scrubber: &Scrubber) -> BTreeMap<String, String> {
    KEPT_HEADERS
        .iter()
        .filter_map(|name| {
            let value = headers.get(*name)?.to_str().ok()?;
            Some(((*name).to_owned(), scrubber.text(value)))
        })
        .collect()
}

fn body_on_tape(body: &[u8], scrubber: &mut Scrubber) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    match serde_json::from_slice(body) {
        Ok(value) => scrubber.json(value),
        Err(_) => Value::String(scrubber.text(&String::from_utf8_lossy(body))),
    }
}

/// Where two bodies differ, at most five places.
fn differences(taped: &Value, asked: &Value) -> String {
    let mut found = Vec::new();
    compare("body", taped, asked, &mut found);
    found.truncate(5);
    found.join("; ")
}

fn compare(path: &str, taped: &Value, asked: &Value, found: &mut Vec<String>) {
    match (taped, asked) {
        (Value::Object(a), Value::Object(b)) => {
            for name in a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))) {
                let (a, b) = (a.get(name), b.get(name));
                compare(
                    &format!("{path}.{name}"),
                    a.unwrap_or(&Value::Null),
                    b.unwrap_or(&Value::Null),
                    found,
                );
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}[{index}]"), a, b, found);
            }
        }
        _ if taped == asked => {}
        _ => found.push(format!("{path}: the tape has {taped}, the request {asked}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Canned(Response);

    impl Door for Canned {
        fn send(&self, _: Request) -> BoxFuture<'_, Result<Response, DoorError>> {
            Box::pin(std::future::ready(Ok(self.0.clone())))
        }
    }

    fn request(body: &Value) -> Request {
        http::Request::post("https://ecs.eu-west-1.amazonaws.com/")
            .header("x-amz-target", "AmazonEC2ContainerServiceV20141113.RunTask")
            .header("authorization", "Bearer canary-signature")
            .header("x-amz-security-token", "canary-session")
            .body(Bytes::from(body.to_string()))
            .unwrap()
    }

    fn run_task(command: &str) -> Value {
        json!({"overrides": {"containerOverrides": [{
            "command": [command],
            "environment": [{"name": "JUPYTERHUB_API_TOKEN", "value": "canary-api-token"}]}]},
            "clientToken": "attempt-1",
            "taskRoleArn": "arn:aws:iam::123456789012:role/x"})
    }

    async fn recorded(folder: &Path) {
        let answer = json!({"message": "canary-api-token and canary-signature are bad", "arn": "arn:aws:ecs:x:123456789012:task/1"});
        let canned = Canned(http::Response::new(Bytes::from(answer.to_string())));
        let recorder = Recorder::new(Arc::new(canned), folder).unwrap();
        recorder.send(request(&run_task("a"))).await.unwrap();
    }

    #[tokio::test]
    async fn what_was_recorded_is_replayed_once() {
        let folder = tempfile::tempdir().unwrap();
        recorded(folder.path()).await;
        let tape = Replayer::new(folder.path()).unwrap();
        let answer = tape.send(request(&run_task("a"))).await.unwrap();
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        // The tape holds no account number; the answer is about the account that this request names.
        assert_eq!(body["arn"], "arn:aws:ecs:x:123456789012:task/1");
        let error = tape.send(request(&run_task("a"))).await.unwrap_err();
        assert!(error.to_string().contains("no further answer"));
    }

    #[tokio::test]
    async fn a_request_that_differs_is_an_error_that_shows_the_difference() {
        let folder = tempfile::tempdir().unwrap();
        recorded(folder.path()).await;
        let tape = Replayer::new(folder.path()).unwrap();
        let error = tape.send(request(&run_task("b"))).await.unwrap_err();
        assert!(
            error.to_string().contains(
                "body.overrides.containerOverrides[0].command[0]: the tape has \"a\", the request \"b\""
            ),
            "{error}"
        );
    }

    #[tokio::test]
    async fn no_token_key_signature_or_account_number_is_on_the_tape() {
        let folder = tempfile::tempdir().unwrap();
        recorded(folder.path()).await;
        for path in tape_files(folder.path()).unwrap() {
            let text = std::fs::read_to_string(path).unwrap();
            assert!(!text.contains("canary"), "{text}");
            assert!(!text.contains("123456789012"), "{text}");
            assert!(text.contains("attempt-1"), "{text}");
        }
    }

    #[tokio::test]
    async fn credential_traffic_is_never_on_the_tape() {
        let folder = tempfile::tempdir().unwrap();
        let canned = Canned(http::Response::new(Bytes::from_static(b"{}")));
        let recorder = Recorder::new(Arc::new(canned), folder.path()).unwrap();
        let mut request = request(&json!({}));
        request.extensions_mut().insert(CredentialTraffic);
        recorder.send(request).await.unwrap();
        assert!(tape_files(folder.path()).unwrap().is_empty());
    }
}
