//! The command line, and how the rooms are put together for it.

use crate::backend::Surroundings;
use crate::context::Context;
use crate::net::Door;
use crate::net::limiter::Limiter;
use crate::net::live::Live;
use crate::net::tape::{Recorder, Replayer};
use crate::ops::Ops;
use crate::redact::Redactor;
use crate::serve::{Service, daemon, one_shot};
use clap::{Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Starts, polls and stops JupyterHub's single-user servers in the cloud.
///
/// Each command reads one JSON request from stdin and writes JSON lines to stdout, the last of which is the result or the
/// error. Logs go to stderr; CLOUDSPAWNER_LOG sets how much (error, warn, info, debug).
#[derive(Debug, Parser)]
#[command(name = "cloudspawner", version)]
pub struct Cli {
    /// Write every exchange with the cloud into this folder, without secrets [env: CLOUDSPAWNER_RECORD]
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "replay")]
    record: Option<PathBuf>,
    /// Answer from the recordings in this folder instead of the cloud [env: CLOUDSPAWNER_REPLAY]
    #[arg(long, global = true, value_name = "DIR")]
    replay: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Command {
    /// Start a server and wait until it runs
    Start,
    /// Tell how servers are
    Poll,
    /// Stop a server
    Stop,
    /// Tell (and with "apply" remove) what no server of the hub needs
    Gc,
    /// Tell whether the settings can work
    Check,
    /// Find, or make, a person's own storage
    Share,
    /// Tell what a person may choose from: projects and sizes
    Options,
    /// Tell what a server wrote last
    Logs,
    /// Answer many requests at once until stdin ends; this is what the Python shim uses
    Serve,
}

impl Command {
    fn verb(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Poll => "poll",
            Self::Stop => "stop",
            Self::Gc => "gc",
            Self::Check => "check",
            Self::Share => "share",
            Self::Options => "options",
            Self::Logs => "logs",
            Self::Serve => "serve",
        }
    }
}

/// Runs the command that was given, and answers with the exit code.
///
/// # Errors
/// Where the runtime cannot start, or a tape's folder cannot be used.
pub fn run(cli: &Cli) -> std::io::Result<u8> {
    let context = Context::of_this_process();
    let redactor = Redactor::default();
    log_to_stderr(&context, &redactor);
    let service = Service {
        ops: Ops::new(&Surroundings {
            door: door(cli, &context)?,
            limiter: Arc::new(Limiter::default()),
            serves: matches!(cli.command, Command::Serve),
            context,
        }),
        redactor,
    };
    // One thread: the work is waiting, and a poll must stay cheap.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let exit_code = runtime.block_on(async {
        match cli.command {
            Command::Serve => {
                ignore_signals()?;
                daemon::run(service, tokio::io::stdin(), tokio::io::stdout()).await;
                Ok(0)
            }
            verb => {
                let interrupted = interrupted()?;
                let (from, to) = (tokio::io::stdin(), tokio::io::stdout());
                Ok(one_shot::run(service, verb.verb(), from, to, interrupted).await)
            }
        }
    });
    // A read of stdin may still be waiting in its thread; nobody waits for it.
    runtime.shutdown_background();
    exit_code
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
fn log_to_stderr(context: &Context, redactor: &Redactor) {
    let level = context
        .env("CLOUDSPAWNER_LOG")
        .filter(|level| ["error", "warn", "info", "debug", "trace"].contains(level))
        .unwrap_or("info");
    let redactor = redactor.clone();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("off,cloudspawner={level}")))
        .with_ansi(false)
        // It would tell of a full disk on the same full disk, and panic when that fails.
        .log_internal_errors(false)
        .with_writer(move || CleanStderr(redactor.clone()))
        .try_init();
}

/// stderr behind the redactor; tracing writes a line at a time.
struct CleanStderr(Redactor);

impl Write for CleanStderr {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        std::io::stderr().write_all(self.0.clean(&text).as_bytes())?;
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

fn interrupted() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
