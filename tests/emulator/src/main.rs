//! A local ECS, EFS, CloudWatch Logs, STS and credentials endpoint, and a local Azure, for cloudspawner's demo, tests and benches. README.md says what it does and on
//! what each behaviour rests. It is a test tool: it listens on loopback alone, and runs the commands it is given.

mod admin;
mod api_error;
mod azure;
mod call;
mod calls;
mod cli;
mod clock;
mod credentials;
mod ec2;
mod ecs;
mod efs;
mod faults;
mod identity;
mod lifecycle;
mod logs;
mod policy;
mod quota;
mod run;
mod secrets;
mod server;
mod signature;
mod sts;
mod tasks;
mod vault;
mod world;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::azure::Azure;
use crate::cli::Cli;
use crate::world::Emulator;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

fn main() -> ExitCode {
    if let Some(command) = run::leash::asked_for(std::env::args_os()) {
        return run::leash::become_task(command);
    }
    let wanted = std::env::var("RUST_LOG").ok();
    let wanted = wanted.and_then(|targets| targets.parse::<Targets>().ok());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry()
        .with(lines.with_filter(wanted.unwrap_or(Targets::new().with_default(Level::WARN))))
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime.and_then(|runtime| runtime.block_on(emulate(Cli::parse()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the emulator cannot run");
            ExitCode::FAILURE
        }
    }
}

async fn emulate(cli: Cli) -> std::io::Result<()> {
    let listener = TcpListener::bind(cli.listen).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let until_stdin_closes = cli.until_stdin_closes;
    let options = cli.clone();
    let emulator = Arc::new(Emulator::new(cli)?);
    let azure = if options.azure.azure {
        Some(second_listener(&options, &emulator).await?)
    } else {
        None
    };
    let cluster = emulator
        .clusters
        .first()
        .map(|name| emulator.cluster_arn(name));
    let mut ready = json!({
        "url": url,
        "region": emulator.region,
        "account": emulator.account,
        "cluster": cluster,
        "credentials_url": format!("{url}/credentials"),
        "data": emulator.data,
        "file_system": emulator.world().efs.first_file_system(),
    });
    if let Some((_, azure)) = &azure {
        ready["azure"] = azure.ready();
    }
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    writeln!(std::io::stdout(), "{ready}")?;
    std::io::stdout().flush()?;
    let azure_serves = async {
        match &azure {
            Some((listener, azure)) => {
                server::serve(listener, azure::routes(Arc::clone(azure))).await;
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = server::serve(&listener, server::aws(Arc::clone(&emulator))) => {}
        () = azure_serves => {}
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
        () = stdin_closed(until_stdin_closes) => {}
    }
    let (tasks, patience_ms) = {
        let mut world = emulator.world();
        (world.tasks.clear(), world.settings.stop_timeout_ms)
    };
    let patience = Duration::from_millis(patience_ms);
    run::process::end_all(tasks, patience).await;
    emulator.world().efs.clean_up();
    if let Some((_, azure)) = &azure {
        azure.reset(patience).await;
    }
    Ok(())
}

async fn second_listener(
    cli: &Cli,
    emulator: &Emulator,
) -> std::io::Result<(TcpListener, Arc<Azure>)> {
    let listener = TcpListener::bind(cli.azure.azure_listen).await?;
    let base = format!("http://{}", listener.local_addr()?);
    let azure = Azure::new(cli, base, emulator.data.clone(), emulator.clock)?;
    Ok((listener, Arc::new(azure)))
}

/// Completes when standard input closes, or never. A thread of its own, because a read of it cannot be cancelled.
async fn stdin_closed(wanted: bool) {
    if !wanted {
        return std::future::pending().await;
    }
    let (closed, seen) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(closed);
    });
    let _ = seen.await;
}
