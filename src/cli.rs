//! The command line, and how the rooms are put together for it.
//!
//! `arguments` is what may stand there, `by_hand` makes requests of it, `session` answers them, `secret` reads one, `documents` are
//! what the program tells of itself, `terminal` and `show` are what a
//! person sees.

mod arguments;
mod by_hand;
mod documents;
mod lines;
mod secret;
mod session;
mod show;
mod terminal;

pub use arguments::Cli;

use crate::backend::Surroundings;
use crate::context::Context;
use crate::error::Failure;
use crate::net::Door;
use crate::net::limiter::Limiter;
use crate::net::live::Live;
use crate::net::rehearsal::Rehearsal;
use crate::net::tape::{Recorder, Replayer};
use crate::ops::Ops;
use crate::redact::Redactor;
use crate::serve::{Service, daemon, one_shot, pipes};
use crate::wire::{Code, Frame};
use arguments::{Command, SecretAction};
use session::Session;
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// Runs the command that was given, and answers with the exit code.
///
/// # Errors
/// Where the runtime cannot start, or a tape's folder cannot be used.
pub fn run(cli: &Cli) -> std::io::Result<u8> {
    if let Some(document) = documents::of(&cli.command)? {
        // A reader that has seen enough is no failure.
        let _ = std::io::stdout().write_all(&document);
        return Ok(0);
    }
    let context = Context::of_this_process();
    let redactor = Redactor::default();
    let person = std::io::stdout().is_terminal() && !cli.json;
    log_to_stderr(&context, &redactor, least_to_log(cli, person), person);
    let requests = match by_hand::requests(&cli.command, &context) {
        Ok(requests) => requests,
        Err(why) => return Ok(refuse(&why, person)),
    };
    let mut door = door(cli, &context)?;
    let rehearsal = cli.command.dry_run().map(|asked| {
        let inner = (!asked.offline).then(|| door.clone());
        Arc::new(Rehearsal::new(inner))
    });
    if let Some(rehearsal) = &rehearsal {
        door = rehearsal.clone();
    }
    let hub_gone = CancellationToken::new();
    let mut surroundings = Surroundings {
        door,
        limiter: Arc::new(Limiter::default()),
        serves: matches!(cli.command, Command::Serve).then(|| hub_gone.clone()),
        context,
    };
    let service = Service {
        ops: Ops::new(&surroundings),
        redactor,
        hub_gone,
    };
    // One thread: the work is waiting, and a poll must stay cheap.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let exit_code = runtime.block_on(async {
        if matches!(cli.command, Command::Serve) {
            ignore_signals()?;
            daemon::run(service, pipes::input(), pipes::output()).await;
            return Ok(0);
        }
        if let Command::Secret {
            action: SecretAction::Get(asked),
        } = &cli.command
        {
            // No tape holds a secret.
            surroundings.door = Arc::new(Live::default());
            return Ok(secret::run(asked, &surroundings, person).await);
        }
        let session = Session {
            service,
            person,
            interrupted: interrupted()?,
            rehearsal,
        };
        Ok(session.run(&cli.command, &requests).await)
    });
    // A read of stdin may still be waiting in its thread; nobody waits for it.
    runtime.shutdown_background();
    exit_code
}

/// The flags do not make a request.
fn refuse(why: &str, person: bool) -> u8 {
    let failure = Failure::new(Code::BadRequest, why);
    let error = *failure.0;
    if person {
        terminal::write(&show::error(&error));
        return one_shot::EXIT_UNREADABLE;
    }
    let frame: Frame = Frame::Error { id: None, error };
    if let Ok(line) = serde_json::to_string(&frame) {
        terminal::write(&line);
    }
    one_shot::EXIT_UNREADABLE
}

/// A person reads results; a dry run fails on purpose.
fn least_to_log(cli: &Cli, person: bool) -> Level {
    match (cli.command.dry_run(), person) {
        (Some(_), _) => Level::ERROR,
        (None, true) => Level::WARN,
        (None, false) => Level::INFO,
    }
}

fn door(cli: &Cli, context: &Context) -> std::io::Result<Arc<dyn Door>> {
    let folder = |given: &Option<PathBuf>, name: &str| {
        given
            .clone()
            .or_else(|| context.env(name).map(PathBuf::from))
    };
    let record = folder(&cli.record, "CLOUDSPAWNER_RECORD");
    let replay = folder(&cli.replay, "CLOUDSPAWNER_REPLAY");
    match (record, replay) {
        (Some(_), Some(_)) => Err(std::io::Error::other(
            "record and replay exclude each other",
        )),
        (None, Some(folder)) => Ok(Arc::new(Replayer::new(&folder)?)),
        (Some(folder), None) => Ok(Arc::new(Recorder::new(Arc::new(Live::default()), &folder)?)),
        (None, None) => Ok(Arc::new(Live::default())),
    }
}

/// Only this crate speaks: the signer, HTTP/2 and the credential chain write headers and whole answers, with the credentials in
/// them, into their logs. What goes wrong there is in this crate's own errors.
fn log_to_stderr(context: &Context, redactor: &Redactor, least: Level, person: bool) {
    let level = context
        .env("CLOUDSPAWNER_LOG")
        .and_then(|level| level.parse().ok())
        .unwrap_or(least);
    let stderr = CleanStderr {
        redactor: redactor.clone(),
        // Where a start's progress may stand.
        before: if person && std::io::stderr().is_terminal() {
            terminal::ERASE
        } else {
            ""
        },
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        // It would tell of a full disk on the same full disk, and panic when that fails.
        .log_internal_errors(false)
        .with_writer(move || stderr.clone());
    let ours = Targets::new().with_target("cloudspawner", level);
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(ours))
        .try_init();
}

/// stderr behind the redactor; tracing writes a line at a time.
#[derive(Clone)]
struct CleanStderr {
    redactor: Redactor,
    before: &'static str,
}

impl Write for CleanStderr {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let line_over_progress = format!("{}{}", self.before, self.redactor.clean(&text));
        std::io::stderr().write_all(line_over_progress.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// SIGINT and SIGTERM reach a whole process group while the hub still wants its stops done: only stdin's end counts.
fn ignore_signals() -> std::io::Result<()> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signals = signal(kind)?;
        tokio::spawn(async move { while signals.recv().await.is_some() {} });
    }
    Ok(())
}

/// Cancelled when the process is asked to stop.
fn interrupted() -> std::io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let interrupted = CancellationToken::new();
    let token = interrupted.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        token.cancel();
    });
    Ok(interrupted)
}
