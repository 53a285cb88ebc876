//! One command from its request to its exit code: what was asked for by flags may take several requests, and is shown to a person
//! or written as JSON lines.

use super::arguments::{Command, DryRun, Gc};
use super::lines::EachLine;
use super::terminal::{self, Progress};
use crate::lock::lock;
use crate::net::rehearsal::Rehearsal;
use crate::serve::{Service, one_shot};
use crate::wire::reply::{DryRunResult, GcResult, ListResult, PlannedCall};
use crate::wire::{Code, ErrorObject, Frame};
use serde_json::{Value, json};
use std::io::{Cursor, IsTerminal as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio_util::sync::CancellationToken;

/// CloudWatch Logs shows a line some seconds after it was written, and an account has 5 looks a second for all who look.
const FOLLOW_PAUSE: Duration = Duration::from_secs(2);
/// What comes at once while a log is followed; the most that one answer holds.
const FOLLOW_LINES: u32 = 10_000;

/// A command that runs.
pub struct Session {
    /// The verbs.
    pub service: Service,
    /// Whether a person reads the output.
    pub person: bool,
    /// The wish to stop.
    pub interrupted: CancellationToken,
    /// What a dry run notes its calls in.
    pub rehearsal: Option<Arc<Rehearsal>>,
}

type LastFrame = Arc<Mutex<Option<Frame>>>;

impl Session {
    /// Answers these requests, or the one on stdin where there are none, and gives the exit code.
    pub async fn run(&self, command: &Command, requests: &[Value]) -> u8 {
        let verb = command.verb();
        match (command, requests) {
            (_, []) => self.answer_stdin(verb).await,
            (Command::List(_), requests) => self.list(requests).await,
            (Command::Logs(logs), [request, ..]) if logs.follow => self.follow(request).await,
            (Command::Gc(gc), [request, ..]) => self.gc(gc, request).await,
            (command, [request, ..]) => match (command.dry_run(), &self.rehearsal) {
                (Some(asked), Some(rehearsal)) => {
                    self.rehearse(verb, request, asked, rehearsal).await
                }
                _ => self.show(verb, request).await,
            },
        }
    }

    async fn answer_stdin(&self, verb: &'static str) -> u8 {
        if self.person && std::io::stdin().is_terminal() {
            tracing::warn!(
                "reading one JSON request from stdin; see --help for --backend and --config"
            );
        }
        let stop = self.interrupted.clone().cancelled_owned();
        let to = self.output(verb);
        one_shot::run(self.service.clone(), verb, tokio::io::stdin(), to, stop).await
    }

    /// Answers a request and shows every frame as it comes.
    async fn show(&self, verb: &'static str, request: &Value) -> u8 {
        let to = self.output(verb);
        self.answer(verb, request, to).await
    }

    /// Answers a request and keeps the last frame for what comes next.
    async fn ask(&self, verb: &'static str, request: &Value) -> (u8, Option<Frame>) {
        let kept = LastFrame::default();
        let last = kept.clone();
        let keep = EachLine::new(move |line| {
            *lock(&last) = serde_json::from_str(line).ok();
        });
        let exit_code = self.answer(verb, request, Box::new(keep)).await;
        let frame = lock(&kept).take();
        (exit_code, frame)
    }

    async fn answer(
        &self,
        verb: &'static str,
        request: &Value,
        to: Box<dyn AsyncWrite + Send + Unpin>,
    ) -> u8 {
        let stop = self.interrupted.clone().cancelled_owned();
        let from = Cursor::new(format!("{request}\n"));
        one_shot::run(self.service.clone(), verb, from, to, stop).await
    }

    fn output(&self, verb: &'static str) -> Box<dyn AsyncWrite + Send + Unpin> {
        if !self.person {
            return Box::new(tokio::io::stdout());
        }
        let mut progress = Progress::default();
        Box::new(EachLine::new(move |line| {
            if let Ok(frame) = serde_json::from_str(line) {
                terminal::show(verb, &frame, &mut progress);
            }
        }))
    }

    fn emit(&self, verb: &str, frame: &Frame) {
        if self.person {
            terminal::show(verb, frame, &mut Progress::default());
        } else if let Ok(line) = serde_json::to_string(frame) {
            terminal::write(&line);
        }
    }

    /// All places together; one that fails does not hide the others.
    async fn list(&self, requests: &[Value]) -> u8 {
        let mut all = ListResult {
            servers: Vec::new(),
            errors: Vec::new(),
        };
        let mut worst = 0;
        for request in requests {
            let (exit_code, frame) = self.ask("list", request).await;
            worst = worst.max(exit_code);
            match frame {
                Some(Frame::Result { result, .. }) => {
                    if let Ok(listed) = serde_json::from_value::<ListResult>(result) {
                        all.servers.extend(listed.servers);
                        all.errors.extend(listed.errors);
                    }
                }
                Some(Frame::Error { error, .. }) if requests.len() > 1 => all.errors.push(error),
                Some(other) => {
                    self.emit("list", &other);
                    return exit_code;
                }
                None => {}
            }
        }
        self.emit("list", &result(&all));
        worst
    }

    /// Until it is interrupted; a log that does not exist yet is waited for.
    async fn follow(&self, request: &Value) -> u8 {
        let mut request = request.clone();
        loop {
            let (exit_code, frame) = self.ask("logs", &request).await;
            match frame {
                Some(Frame::Result { result, id }) => {
                    let next = result["next"].clone();
                    if result["lines"].as_array().is_some_and(|l| !l.is_empty()) {
                        self.emit("logs", &Frame::Result { result, id });
                    }
                    if next.is_null() {
                        return exit_code;
                    }
                    request["params"]["after"] = next;
                    request["params"]["lines"] = FOLLOW_LINES.into();
                }
                Some(Frame::Error { error, .. }) if is_no_log_yet(&error) => {}
                Some(other) if !self.interrupted.is_cancelled() => {
                    self.emit("logs", &other);
                    return exit_code;
                }
                _ => return 0,
            }
            tokio::select! {
                () = tokio::time::sleep(FOLLOW_PAUSE) => {}
                () = self.interrupted.cancelled() => return 0,
            }
        }
    }

    /// A plan; on a terminal, what it shows is removed if the person says so.
    async fn gc(&self, gc: &Gc, request: &Value) -> u8 {
        const VERB: &str = "gc";
        let mut applied = request.clone();
        applied["params"]["apply"] = true.into();
        if gc.yes {
            return self.show(VERB, &applied).await;
        }
        let (exit_code, frame) = self.ask(VERB, request).await;
        let Some(frame) = frame else { return exit_code };
        self.emit(VERB, &frame);
        let Frame::Result { result, .. } = frame else {
            return exit_code;
        };
        let stale = serde_json::from_value::<GcResult>(result).map(|plan| plan.stale);
        let stale = stale.unwrap_or_default();
        if stale.is_empty() || !self.person || !std::io::stdin().is_terminal() {
            return exit_code;
        }
        let question = format!("Remove these {}? [y/N] ", stale.len());
        if !terminal::confirmed(question, &self.interrupted).await {
            terminal::write("Nothing was removed.");
            return exit_code;
        }
        // What became stale meanwhile was not shown, and stays.
        let references: Vec<&str> = stale.iter().map(|s| s.reference.as_str()).collect();
        applied["params"]["only"] = json!(references);
        self.show(VERB, &applied).await
    }

    async fn rehearse(
        &self,
        verb: &'static str,
        request: &Value,
        asked: &DryRun,
        rehearsal: &Rehearsal,
    ) -> u8 {
        let (exit_code, frame) = self.ask(verb, request).await;
        let noted = rehearsal.noted();
        let met_a_change = noted.last().is_some_and(|last| last.changes);
        let calls: Vec<PlannedCall> = noted
            .into_iter()
            .map(|noted| PlannedCall {
                made: noted.made,
                method: noted.method,
                url: noted.url,
                action: noted.action,
                body: noted.body,
            })
            .collect();
        let stopped = match frame {
            _ if met_a_change => "It ends here: the last call may change something, so it is not made, and what follows depends on its answer.".to_owned(),
            Some(Frame::Error { id, mut error }) if calls.is_empty() || !asked.offline => {
                let made = calls.iter().map(|call| {
                    let action = call.action.clone().unwrap_or_default();
                    format!("after {} {} {action}", call.method, call.url)
                });
                error.causes.extend(made);
                self.emit(verb, &Frame::Error { id, error });
                return exit_code;
            }
            Some(Frame::Error { error, .. }) => format!("It ends here: {}", error.message),
            _ => "Nothing would be changed.".to_owned(),
        };
        let told = DryRunResult { calls, stopped };
        self.emit("dry run", &result(&told));
        0
    }
}

fn result(result: &impl serde::Serialize) -> Frame {
    Frame::Result {
        id: None,
        result: serde_json::to_value(result).unwrap_or_default(),
    }
}

/// The stream begins with the container's first line.
fn is_no_log_yet(error: &ErrorObject) -> bool {
    error.code == Code::NotFound && error.context.operation.as_deref() == Some("logs:GetLogEvents")
}
