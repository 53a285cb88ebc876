//! One request a process: for people and CI.

use super::framing::{Line, Lines, write_frames};
use super::reading::{self, Message, Rejected};
use super::{Service, time_for};
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
    let line = lines.next().await.unwrap_or_else(|| Ok(String::new()));
    let (frame, exit_code) = match read(line, command) {
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
            let inbox = incoming.ack.then(|| acks_from(lines));
            let link = Link::new(
                incoming.id.clone(),
                output.clone(),
                inbox,
                CancellationToken::new(),
            );
            let cancelled = link.cancelled.clone();
            tokio::spawn(async move {
                interrupted.await;
                cancelled.cancel();
            });
            let deadline = received + time_for(&incoming.request, incoming.timeout_ms);
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

/// Reads acks until the end of stdin. The one request may have an id or none, so every ack is its.
fn acks_from<R: AsyncRead + Unpin + Send + 'static>(mut lines: Lines<R>) -> watch::Receiver<Acks> {
    let (acks, receiver) = watch::channel(Acks::default());
    tokio::spawn(async move {
        while let Some(line) = lines.next().await {
            if let Some(Message::Ack { seq, .. }) =
                line.ok().and_then(|l| reading::read(&l, Some("")).ok())
            {
                acks.send_modify(|acks| acks.seq = acks.seq.max(seq));
            }
        }
        acks.send_modify(|acks| acks.closed = true);
    });
    receiver
}
