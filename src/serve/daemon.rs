//! Many requests at once, matched by id, until stdin ends.

use super::Service;
use super::framing::{Lines, write_frames};
use super::reading::{self, Incoming, Message, Rejected};
use crate::error::Failure;
use crate::ops::{Acks, Link, Output};
use crate::wire::reply::{CancelResult, Outcome};
use crate::wire::{Code, Frame, Request, VERSION};
use std::collections::HashMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What this program can do beyond start, poll and stop, sorted.
const FEATURES: [&str; 9] = [
    "ack", "cancel", "check", "gc", "list", "logs", "options", "share", "stats",
];

/// Answers requests until `from` ends; then starts go no further, stops are finished, and every request that was read
/// gets its last frame.
pub async fn run<R, W>(service: Service, from: R, to: W)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (output, end) = Output::new();
    let writer = tokio::spawn(write_frames(end, to));
    output.send(Frame::Hello {
        v: vec![VERSION],
        version: env!("CARGO_PKG_VERSION").to_owned(),
        backends: service.ops.backends(),
        features: FEATURES.map(str::to_owned).to_vec(),
    });
    let mut daemon = Daemon {
        service,
        output,
        running: HashMap::new(),
        tasks: JoinSet::new(),
        ids: HashMap::new(),
    };
    let mut lines = Lines::new(from);
    loop {
        tokio::select! {
            // First what has ended, so that an id is free once its last frame was written.
            biased;
            Some(ended) = daemon.tasks.join_next_with_id() => daemon.reap(ended),
            line = lines.next() => match line {
                Some(Ok(line)) if line.trim().is_empty() => {}
                Some(Ok(line)) => daemon.receive(&line),
                Some(Err(why)) => daemon.reject(None, Failure::new(Code::BadRequest, format!("the request {why}"))),
                None => break,
            },
        }
    }
    daemon.service.hub_gone.cancel();
    for request in daemon.running.values() {
        request.acks.send_modify(Acks::close);
    }
    while let Some(ended) = daemon.tasks.join_next_with_id().await {
        daemon.reap(ended);
    }
    drop(daemon);
    // Every sender is gone now, so the writer ends after the last frame.
    let _ = writer.await;
}

struct Daemon {
    service: Service,
    output: Output,
    running: HashMap<String, Running>,
    tasks: JoinSet<()>,
    ids: HashMap<Id, String>,
}

/// A request that has not had its last frame.
struct Running {
    cancelled: CancellationToken,
    acks: watch::Sender<Acks>,
}

impl Daemon {
    fn receive(&mut self, line: &str) {
        let received = Instant::now();
        match reading::read(line, None) {
            Err(Rejected { id, failure, .. }) => self.reject(id, failure),
            Ok(Message::Ack { id, seq }) => {
                if let Some(request) = id.and_then(|id| self.running.get(&id)) {
                    request.acks.send_modify(|acks| acks.take(seq));
                }
            }
            Ok(Message::Noise) => {}
            Ok(Message::Request(incoming)) => self.begin(*incoming, received),
        }
    }

    fn begin(&mut self, incoming: Incoming, received: Instant) {
        let Incoming {
            id,
            timeout_ms,
            ack,
            request,
        } = incoming;
        let Some(id) = id else {
            return self.reject(None, Failure::new(Code::BadRequest, "id: must be a string"));
        };
        if self.running.contains_key(&id) {
            let failure = Failure::new(
                Code::BadRequest,
                format!("id: {id:?} is still being answered"),
            );
            return self.reject(Some(id), failure);
        }
        if let Request::Cancel(params) = &request {
            let target = self.running.get(&params.id);
            if let Some(target) = target {
                target.cancelled.cancel();
            }
            let found = target.is_some();
            self.output.send(Frame::Result {
                id: Some(id),
                result: Outcome::Cancel(CancelResult { found }),
            });
            return;
        }
        let acks = watch::Sender::new(Acks::default());
        let link = Link::new(
            Some(id.clone()),
            self.output.clone(),
            ack.then(|| acks.clone()),
            self.service.hub_gone.clone(),
        );
        self.running.insert(
            id.clone(),
            Running {
                cancelled: link.cancelled.clone(),
                acks,
            },
        );
        let deadline = received + self.service.time_for(&request, timeout_ms);
        let (service, output, frame_id) = (self.service.clone(), self.output.clone(), id.clone());
        let task = self.tasks.spawn(async move {
            let _held = service.redactor.hold(&request);
            let frame = match service.answer(request, &link, deadline).await {
                Ok(result) => Frame::Result {
                    id: Some(frame_id),
                    result,
                },
                Err(mut failure) => {
                    service.redactor.clean_error(&mut failure.0);
                    Frame::Error {
                        id: Some(frame_id),
                        error: *failure.0,
                    }
                }
            };
            output.send(frame);
        });
        self.ids.insert(task.id(), id);
    }

    fn reap(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let (task, broken) = match ended {
            Ok((task, ())) => (task, None),
            Err(error) => (error.id(), Some(error)),
        };
        let id = self.ids.remove(&task);
        if let Some(id) = &id {
            self.running.remove(id);
        }
        if let Some(error) = broken {
            let failure = Failure::new(Code::Internal, format!("the request broke off: {error}"))
                .with_cleanup(crate::wire::Cleanup::Needed);
            self.reject(id, failure);
        }
    }

    fn reject(&self, id: Option<String>, failure: Failure) {
        self.output.send(Frame::Error {
            id,
            error: *failure.0,
        });
    }
}
