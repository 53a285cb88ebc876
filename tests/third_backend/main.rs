//! A third cloud is one folder and one line: the verbs, the frames and the promises of start, poll, stop and gc are there already.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the finding")]

mod shed;

use cloudspawner::backend::Surroundings;
use cloudspawner::backend::registry::Registry;
use cloudspawner::context::Context;
use cloudspawner::net::limiter::Limiter;
use cloudspawner::net::live::Live;
use cloudspawner::ops::Ops;
use cloudspawner::redact::Redactor;
use cloudspawner::serve::{Service, daemon};
use serde_json::{Value, json};
use shed::Shed;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, split};
use tokio_util::sync::CancellationToken;

fn context() -> Context {
    Context::fixed(&[], SystemTime::UNIX_EPOCH)
}

/// `cloudspawner serve` with a third backend, as the Python shim talks to it.
struct Program {
    requests: tokio::io::WriteHalf<DuplexStream>,
    frames: Lines<BufReader<tokio::io::ReadHalf<DuplexStream>>>,
}

impl Program {
    fn over(shed: &Shed) -> Self {
        let hub_gone = CancellationToken::new();
        let surroundings = Surroundings {
            context: context(),
            door: Arc::new(Live::default()),
            limiter: Arc::new(Limiter::default()),
            serves: Some(hub_gone.clone()),
        };
        let registry = Registry::new(&surroundings).with(Arc::new(shed.clone()));
        let service = Service {
            ops: Ops::over(registry, &surroundings),
            redactor: Redactor::default(),
            hub_gone,
        };
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (from, to) = split(theirs);
        tokio::spawn(daemon::run(service, from, to));
        let (frames, requests) = split(ours);
        Self {
            requests,
            frames: BufReader::new(frames).lines(),
        }
    }

    async fn frame(&mut self) -> Value {
        let line = self.frames.next_line().await.unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    async fn ask(&mut self, verb: &str, more: Value) -> Vec<Value> {
        let mut params = json!({"backend": shed::NAME, "config": {"room": "behind the house"}});
        let fields = more.as_object().unwrap().clone();
        params.as_object_mut().unwrap().extend(fields);
        let request = json!({"v": 1, "id": verb, "verb": verb, "params": params});
        let line = format!("{request}\n");
        self.requests.write_all(line.as_bytes()).await.unwrap();
        let mut frames = Vec::new();
        loop {
            let frame = self.frame().await;
            let last = ["result", "error"].contains(&frame["type"].as_str().unwrap());
            frames.push(frame);
            if last {
                return frames;
            }
        }
    }
}

fn ada() -> Value {
    json!({"hub": "prod", "user": "ada", "name": ""})
}

fn start(attempt: &str) -> Value {
    let spec = json!({"command": [], "args": [], "env": {}, "port": 8888, "scheme": "http"});
    json!({"server": ada(), "attempt": attempt, "spec": spec})
}

#[tokio::test]
async fn a_third_backend_starts_polls_and_stops_a_server_through_the_frames_that_are_there() {
    let shed = Shed::new(context());
    let mut program = Program::over(&shed);
    let hello = program.frame().await;
    assert_eq!(hello["backends"], json!(["azure_ml", "fargate", "shed"]));

    let frames = program.ask("start", start("attempt-1")).await;
    assert_eq!(frames.first().unwrap()["type"], "event");
    assert!(frames.iter().any(|frame| frame["type"] == "state"));
    let started = &frames.last().unwrap()["result"];
    assert_eq!(started["url"], "http://machine-attempt-1:8888");
    let state = &started["state"];
    assert_eq!(state["backend"], "shed");

    let polled = program
        .ask(
            "poll",
            json!({"targets": [{"server": ada(), "state": state}]}),
        )
        .await;
    assert_eq!(polled[0]["result"]["servers"][0]["phase"], "running");

    let stopped = program
        .ask("stop", json!({"server": ada(), "state": state}))
        .await;
    assert_eq!(stopped[0]["result"]["cleanup"], "done");
    assert!(shed.machines().is_empty());
}

#[tokio::test]
async fn what_the_verbs_promise_holds_for_it_without_a_line_of_its_own() {
    let shed = Shed::new(context());
    let mut program = Program::over(&shed);
    program.frame().await;

    // A new attempt replaces the older machine, which is found by its key although its state was lost.
    program.ask("start", start("attempt-1")).await;
    program.ask("start", start("attempt-2")).await;
    assert_eq!(
        shed.machines().keys().collect::<Vec<_>>(),
        ["machine-attempt-2"]
    );

    // A hub that lost its database removes what nobody knows; this one has started nothing itself.
    let mut program = Program::over(&shed);
    program.frame().await;
    let kept = json!({"hub": "prod", "keep": [{"server": ada()}], "apply": true, "min_age_ms": 0});
    program.ask("gc", kept).await;
    assert_eq!(shed.machines().len(), 1);
    let lost = json!({"hub": "prod", "keep": [], "apply": true, "min_age_ms": 0, "force": true});
    program.ask("gc", lost).await;
    assert!(shed.machines().is_empty());

    // A mistake in its settings is told by the field's name.
    let refused = program.ask("check", json!({"config": {"rooms": 1}})).await;
    assert_eq!(refused[0]["result"]["checks"][0]["ok"], false);
}
