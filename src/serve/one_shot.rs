//! One request a process: for people and CI.

use super::Service;
use super::framing::{Line, Lines, write_frames};
use super::reading::{self, Message, Rejected};
use crate::error::Failure;
use crate::ops::{Acks, Link, Output};
use crate::wire::{Code, Frame};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The request could not be read.
pub const EXIT_UNREADABLE: u8 = 2;
/// Any other error frame.
pub const EXIT_ERROR: u8 = 1;

/// Reads one request for the verb `command`, answers it, and gives the exit code. `interrupted` ends when the process is
/// asked to stop; a start is then cancelled and cleaned up.
pub async fn run<R, W>(
    service: Service,
    command: &str,
    from: R,
    to: W,
    interrupted: impl Future<Output = ()> + Send + 'static,
) -> u8
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let received = Instant::now();
    let (output, end) = Output::new();
    let writer = tokio::spawn(write_frames(end, to));
    let mut lines = Lines::new(from);
    let mut interrupted = tokio::spawn(interrupted);
    let line = tokio::select! {
        line = lines.next() => Some(line.unwrap_or_else(|| Ok(String::new()))),
        _ = &mut interrupted => None,
    };
    let incoming = line.map_or_else(|| Err(before_the_request()), |line| read(line, command));
    let (frame, exit_code) = match incoming {
        Err(Rejected {
            id,
            failure,
            unreadable,
        }) => {
            let exit_code = if unreadable {
                EXIT_UNREADABLE
            } else {
                EXIT_ERROR
            };
            (
                Frame::Error {
                    id,
                    error: *failure.0,
                },
                exit_code,
            )
        }
        Ok(incoming) => {
            let _held = service.redactor.hold(&incoming.request);
            let acks = incoming.ack.then(|| acks_from(lines, incoming.id.clone()));
            let link = Link::new(
                incoming.id.clone(),
                output.clone(),
                acks,
                CancellationToken::new(),
            );
            let cancelled = link.cancelled.clone();
            tokio::spawn(async move {
                let _ = interrupted.await;
                cancelled.cancel();
            });
            let deadline = received + service.time_for(&incoming.request, incoming.timeout_ms);
            match service.answer(incoming.request, &link, deadline).await {
                Ok(result) => (
                    Frame::Result {
                        id: incoming.id,
                        result,
                    },
                    0,
                ),
                Err(mut failure) => {
                    service.redactor.clean_error(&mut failure.0);
                    (
                        Frame::Error {
                            id: incoming.id,
                            error: *failure.0,
                        },
                        EXIT_ERROR,
                    )
                }
            }
        }
    };
    output.write(frame).await;
    drop(output);
    writer.abort();
    exit_code
}

/// A signal came before a whole request did.
fn before_the_request() -> Rejected {
    Rejected {
        id: None,
        failure: Failure::new(
            Code::Cancelled,
            "the program was interrupted before it had read a request",
        ),
        unreadable: false,
    }
}

fn read(line: Line, command: &str) -> Result<reading::Incoming, Rejected> {
    let rejected = |message: String| Rejected {
        id: None,
        failure: Failure::new(Code::BadRequest, message),
        unreadable: true,
    };
    let line = line.map_err(|why| rejected(format!("the request {why}")))?;
    match reading::read(&line, Some(command))? {
        Message::Request(incoming) => Ok(*incoming),
        Message::Ack { .. } | Message::Noise => Err(rejected("an ack is no request".to_owned())),
    }
}

/// Reads the request's acks until the end of stdin; they bear its id, or none.
fn acks_from<R>(mut lines: Lines<R>, own: Option<String>) -> watch::Sender<Acks>
where
    R: AsyncRead + Unpin + Send + 'static,
{
    let acks = watch::Sender::new(Acks::default());
    let sender = acks.clone();
    tokio::spawn(async move {
        while let Some(line) = lines.next().await {
            match line.ok().and_then(|l| reading::read(&l, Some("")).ok()) {
                Some(Message::Ack { id, seq }) if id == own => {
                    sender.send_modify(|acks| acks.take(seq));
                }
                _ => {}
            }
        }
        sender.send_modify(Acks::close);
    });
    acks
}
