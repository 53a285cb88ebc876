//! The program of a running instance, on the instance's own loopback address. With programs an instance is Running when its
//! plan is due and its port answers. A simulated instance needs nothing from here: the clock moves it.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::{sleep, timeout};

use super::instance::Instance;
use super::state::State;
use super::storage::mounting;
use super::{Azure, AzureWorld};
use crate::cli::Run;
use crate::run::command::{Command, basic_environment};
use crate::run::process::{launch, signal};

/// After this an instance whose program lives is Running, whether its port answers or not.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
/// A program that ended is started again, as the machine's own service manager does.
const AGAIN: Duration = Duration::from_millis(500);

/// What its supervisor must know.
struct Ward {
    index: usize,
    due_ms: u64,
    address: Ipv4Addr,
    folder: PathBuf,
    command: Command,
    stop: Arc<Notify>,
    turn: Arc<AsyncMutex<()>>,
}

/// Makes an instance's program follow its plan, which has just changed.
pub fn follow(azure: &Arc<Azure>, world: &mut AzureWorld, index: usize) {
    if azure.run == Run::Simulate {
        return;
    }
    let Some(instance) = world.instances.at(index) else {
        return;
    };
    instance.halt();
    let Some(due_ms) = instance.timeline.hold_up() else {
        return;
    };
    let stop = Arc::new(Notify::new());
    instance.process.stop = Some(Arc::clone(&stop));
    instance.last_operation.ends_ms = None;
    let folder = azure.data.join("azure").join(format!(
        "{}-{}",
        instance.name.to_lowercase(),
        instance.generation
    ));
    let ward = Ward {
        index,
        due_ms,
        address: instance.address,
        command: command(azure, instance, &folder),
        folder,
        stop,
        turn: Arc::clone(&instance.process.turn),
    };
    world.operations.hold(index, azure.clock.now_ms());
    tokio::spawn(supervise(Arc::clone(azure), ward));
}

fn command(azure: &Azure, instance: &Instance, folder: &std::path::Path) -> Command {
    let home = folder.join("home");
    let replaced = |word: &str| {
        word.replace("{address}", &instance.address.to_string())
            .replace("{port}", &azure.port.to_string())
            .replace("{home}", &home.display().to_string())
            .replace("{name}", &instance.name)
    };
    let mut words = azure.command.split_whitespace().map(replaced);
    Command {
        program: words.next().unwrap_or_default(),
        arguments: words.collect(),
        environment: basic_environment(&home),
        directory: home,
    }
}

async fn supervise(azure: Arc<Azure>, ward: Ward) {
    let wait_ms = ward.due_ms.saturating_sub(azure.clock.now_ms());
    tokio::select! {
        () = sleep(Duration::from_millis(wait_ms)) => {}
        () = ward.stop.notified() => return,
    }
    // The program from before a stop or restart ends first: it has the address.
    let _turn = ward.turn.lock().await;
    let mut is_first = true;
    loop {
        if !is_wards(&azure.world(), &ward) {
            return;
        }
        if is_first && let Err(reason) = mount(&azure, &ward) {
            return reach(
                &azure,
                &ward,
                State::UserSetupFailed,
                Some(("UserSetupFailed", reason)),
            );
        }
        let started = launch(&ward.folder, &ward.command);
        let (mut child, pid) = match started {
            Ok(started) => started,
            Err(reason) => return fail(&azure, &ward, reason),
        };
        if let Some(instance) = azure.world().instances.at(ward.index) {
            instance.process.pid = Some(pid);
        }
        let ready = async {
            if is_first {
                let _ = timeout(PATIENCE, answers(ward.address, azure.port)).await;
                run(&azure, &ward);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            exited = child.wait() => {
                tracing::warn!(?exited, folder = %ward.folder.display(), "an instance's program has ended; its log is there");
                is_first = false;
                run(&azure, &ward);
            }
            () = ready => {}
            () = ward.stop.notified() => return end(&azure, &ward, &mut child, pid).await,
        }
        signal(pid, Signal::KILL);
        tokio::select! {
            () = sleep(AGAIN) => {}
            () = ward.stop.notified() => return,
        }
    }
}

/// What the start-up script mounts.
fn mount(azure: &Azure, ward: &Ward) -> Result<(), String> {
    let body = azure
        .world()
        .instances
        .at(ward.index)
        .map(|i| i.body.clone());
    match body {
        Some(body) => mounting::mount(azure, &body, &ward.folder.join("home")),
        None => Ok(()),
    }
}

/// Whether the instance still has this supervisor: no other plan came, and nothing was reset.
fn is_wards(world: &AzureWorld, ward: &Ward) -> bool {
    world
        .instances
        .all()
        .get(ward.index)
        .and_then(|instance| instance.process.stop.as_ref())
        .is_some_and(|stop| Arc::ptr_eq(stop, &ward.stop))
}

async fn answers(address: Ipv4Addr, port: u16) {
    while TcpStream::connect((address, port)).await.is_err() {
        sleep(LOOK).await;
    }
}

/// The instance is Running from now on, and its operation has ended.
fn run(azure: &Azure, ward: &Ward) {
    reach(azure, ward, State::Running, None);
}

/// A program that cannot be started.
fn fail(azure: &Azure, ward: &Ward, reason: String) {
    tracing::warn!(reason, "an instance's program cannot be started");
    reach(
        azure,
        ward,
        State::Unusable,
        Some(("ProgramFailed", reason)),
    );
}

fn reach(azure: &Azure, ward: &Ward, state: State, error: Option<(&str, String)>) {
    let mut world = azure.world();
    let now_ms = azure.clock.now_ms();
    if !is_wards(&world, ward) {
        return;
    }
    let Some(instance) = world.instances.at(ward.index) else {
        return;
    };
    if instance.state(now_ms) == state {
        return;
    }
    instance.timeline.replan(now_ms, vec![(now_ms, state)]);
    instance.last_operation.ends_ms = Some(now_ms);
    if let Some((code, reason)) = error {
        instance.error = Some((code.to_owned(), reason));
    }
    world.operations.end(ward.index, now_ms);
}

/// SIGTERM, and SIGKILL when the stop timeout has passed.
async fn end(azure: &Azure, ward: &Ward, child: &mut Child, pid: i32) {
    let patience_ms = azure.world().settings.stop_timeout_ms;
    signal(pid, Signal::TERM);
    let _ = timeout(Duration::from_millis(patience_ms), child.wait()).await;
    signal(pid, Signal::KILL);
    let _ = child.wait().await;
    if let Some(instance) = azure.world().instances.at(ward.index)
        && instance.process.pid == Some(pid)
    {
        instance.process.pid = None;
    }
}

/// Ends the programs of these instances: SIGTERM to all, then SIGKILL after `patience`.
pub async fn end_all(mut instances: Vec<Instance>, patience: Duration) {
    let pids: Vec<i32> = instances
        .iter()
        .filter(|instance| instance.process.stop.is_some())
        .filter_map(|instance| instance.process.pid)
        .collect();
    let turns: Vec<_> = instances
        .iter()
        .filter(|instance| instance.process.stop.is_some())
        .map(|instance| Arc::clone(&instance.process.turn))
        .collect();
    for instance in &mut instances {
        instance.halt();
    }
    for pid in &pids {
        signal(*pid, Signal::TERM);
    }
    let all_ended = async {
        for turn in turns {
            drop(turn.lock().await);
        }
    };
    let _ = timeout(patience, all_ended).await;
    for pid in &pids {
        signal(*pid, Signal::KILL);
    }
}
