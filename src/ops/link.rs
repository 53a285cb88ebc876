//! What a verb sees of its caller: frames out, acks in, and the wish to stop.

use crate::error::Failure;
use crate::wire::reply::Outcome;
use crate::wire::{Code, Event, Frame, State};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Where frames go; the one writer of stdout is at its end.
#[derive(Clone)]
pub struct Output {
    frames: mpsc::UnboundedSender<(Frame<Outcome>, Option<oneshot::Sender<bool>>)>,
}

/// The writer's end of an [`Output`]: each frame, and whom to tell whether it was written.
pub type OutputEnd = mpsc::UnboundedReceiver<(Frame<Outcome>, Option<oneshot::Sender<bool>>)>;

impl Output {
    /// An output and its end.
    #[must_use]
    pub fn new() -> (Self, OutputEnd) {
        let (frames, end) = mpsc::unbounded_channel();
        (Self { frames }, end)
    }

    /// Hands a frame to the writer. Where the reader is gone the frame is lost, which is the reader's choice.
    pub fn send(&self, frame: Frame<Outcome>) {
        let _ = self.frames.send((frame, None));
    }

    /// Writes and flushes a frame; false where it could not be written.
    pub async fn write(&self, frame: Frame<Outcome>) -> bool {
        let (done, written) = oneshot::channel();
        self.frames.send((frame, Some(done))).is_ok() && written.await.unwrap_or(false)
    }
}

/// The ack that a request waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Acks {
    /// The state frame that was sent and not acknowledged yet.
    awaited: Option<u64>,
    /// Whether no further ack can come.
    closed: bool,
}

impl Acks {
    /// Takes an ack; one that matches nothing sent is ignored.
    pub fn take(&mut self, seq: u64) {
        if self.awaited == Some(seq) {
            self.awaited = None;
        }
    }

    /// No further ack can come.
    pub fn close(&mut self) {
        self.closed = true;
    }
}

/// One request's connection to its caller.
pub struct Link {
    id: Option<String>,
    output: Output,
    seq: AtomicU64,
    percent: AtomicU8,
    acks: Option<watch::Sender<Acks>>,
    /// The caller does not want the result any more: remove what was created.
    pub cancelled: CancellationToken,
    /// The program ends: create nothing more, and leave what there is to be found again.
    pub ending: CancellationToken,
}

impl Link {
    /// A link for the request `id`; with `acks`, each state frame is awaited before anything is created.
    #[must_use]
    pub fn new(
        id: Option<String>,
        output: Output,
        acks: Option<watch::Sender<Acks>>,
        ending: CancellationToken,
    ) -> Self {
        Self {
            id,
            output,
            seq: AtomicU64::new(0),
            percent: AtomicU8::new(0),
            acks,
            cancelled: CancellationToken::new(),
            ending,
        }
    }

    /// Tells how a start is getting on; `percent` never falls.
    pub fn tell(&self, stage: &str, percent: u8, message: impl Into<String>) {
        self.tell_of(stage, percent, message, None);
    }

    /// The same, with the server's page in the cloud's own console.
    pub fn tell_of(
        &self,
        stage: &str,
        percent: u8,
        message: impl Into<String>,
        link: Option<String>,
    ) {
        let percent = self
            .percent
            .fetch_max(percent, Ordering::Relaxed)
            .max(percent);
        self.output.send(Frame::Event {
            id: self.id.clone(),
            seq: self.next(),
            event: Event {
                stage: stage.to_owned(),
                percent,
                message: message.into(),
                link,
            },
        });
    }

    /// Hands out a state that the caller must keep.
    pub fn announce(&self, state: State) {
        self.output.send(Frame::State {
            id: self.id.clone(),
            seq: self.next(),
            state,
        });
    }

    /// Hands out a state and waits until the caller has it: something is about to be created.
    ///
    /// # Errors
    /// `cancelled` where the frame cannot be written, or no ack can come any more.
    pub async fn announce_and_wait(&self, state: State) -> Result<(), Failure> {
        let seq = self.next();
        let gone = || {
            Failure::new(
                Code::Cancelled,
                "the caller went away before the state was acknowledged",
            )
        };
        let frame = Frame::State {
            id: self.id.clone(),
            seq,
            state,
        };
        if let Some(acks) = &self.acks {
            acks.send_modify(|acks| acks.awaited = Some(seq));
        }
        if !self.output.write(frame).await {
            return Err(gone());
        }
        let Some(acks) = &self.acks else {
            return Ok(());
        };
        let mut acks = acks.subscribe();
        let answered = acks
            .wait_for(|acks| acks.awaited.is_none() || acks.closed)
            .await;
        match answered {
            Ok(acks) if acks.awaited.is_none() => Ok(()),
            _ => Err(gone()),
        }
    }

    fn next(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed) + 1
    }
}
