//! One supervisor a task: starts its process when RUNNING is due, sees it end, or ends it with SIGTERM and then SIGKILL.
//! A process is executed directly, never through a shell, as the leader of a process group that ends with it.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::command::Command;
use super::{leash, volumes};
use crate::lifecycle::{End, Status};
use crate::tasks::{Process, Task};
use crate::world::Emulator;

/// Sees one task through. Returns when its process is gone or will never start.
pub async fn supervise(emulator: Arc<Emulator>, id: String, running_ms: u64, stop: Arc<Notify>) {
    let wait_ms = running_ms.saturating_sub(emulator.clock.now_ms());
    tokio::select! {
        () = sleep(Duration::from_millis(wait_ms)) => {}
        () = stop.notified() => return,
    }
    let Some(mut child) = begin(&emulator, &id, &stop) else {
        return;
    };
    let exited = tokio::select! {
        exited = child.wait() => exited.ok(),
        () = stop.notified() => terminate(&emulator, &id, &mut child).await,
    };
    finish(&emulator, &id, exited);
}

/// Spawns the process and marks the task RUNNING, or ends the task with the reason that it failed.
fn begin(emulator: &Arc<Emulator>, id: &str, stop: &Arc<Notify>) -> Option<Child> {
    let mut world = emulator.world();
    let delays = world.settings.delays;
    let now_ms = emulator.clock.now_ms();
    let task = world.tasks.get_mut(id)?;
    if task.timeline.end(now_ms).is_some() {
        return None;
    }
    match spawn(&emulator.data, task) {
        Ok((child, pid)) => {
            task.timeline.run(now_ms);
            task.process = Process::Running {
                pid,
                stop: Arc::clone(stop),
            };
            Some(child)
        }
        Err(end) => {
            task.process = Process::None;
            task.end(
                End {
                    at_ms: now_ms,
                    ..end
                },
                &delays,
            );
            None
        }
    }
}

fn spawn(data: &Path, task: &Task) -> Result<(Child, i32), End> {
    let folder = data.join("tasks").join(&task.id);
    let own_home = folder.join("home");
    volumes::attach(&task.mounts, &own_home).map_err(End::failed_to_start)?;
    launch(&folder, &Command::of(task, &own_home)).map_err(|reason| End {
        container_reason: Some(format!(
            "CannotStartContainerError: ResourceInitializationError: {reason}"
        )),
        ..End::failed_to_start("Task failed to start".to_owned())
    })
}

/// Starts a program with its log in this folder, as the leader of a process group that ends with the emulator.
///
/// # Errors
/// A sentence with the reason.
pub fn launch(folder: &Path, command: &Command) -> Result<(Child, i32), String> {
    let failed = |what: &str, error: std::io::Error| format!("{what}: {error}");
    std::fs::create_dir_all(&command.directory).map_err(|error| failed("home", error))?;
    std::fs::create_dir_all(folder).map_err(|error| failed("log", error))?;
    let log = std::fs::File::create(folder.join("log")).map_err(|error| failed("log", error))?;
    let log_too = log.try_clone().map_err(|error| failed("log", error))?;
    let program = command.resolve().ok_or_else(|| {
        format!(
            "failed to create new container runtime task: exec: \"{}\": executable file not found in $PATH: unknown",
            command.program
        )
    })?;
    let child = tokio::process::Command::new(leash::SELF)
        .arg(leash::BECOME)
        .arg(program)
        .args(&command.arguments)
        .env_clear()
        .envs(&command.environment)
        .current_dir(&command.directory)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(log_too)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed("exec", error))?;
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .ok_or("it ended at once")?;
    Ok((child, pid))
}

/// After DEACTIVATING: SIGTERM, and SIGKILL when the stop timeout has passed.
async fn terminate(emulator: &Emulator, id: &str, child: &mut Child) -> Option<ExitStatus> {
    let (delay_ms, patience_ms, pid) = {
        let world = emulator.world();
        let now_ms = emulator.clock.now_ms();
        let task = world.tasks.get(id);
        let waits = task.is_some_and(|task| task.status(now_ms) == Status::Deactivating);
        let delay_ms = if waits {
            world.settings.delays.deactivating
        } else {
            0
        };
        (delay_ms, world.settings.stop_timeout_ms, child.id())
    };
    let pid = pid.and_then(|pid| i32::try_from(pid).ok())?;
    if let Ok(exited) = timeout(Duration::from_millis(delay_ms), child.wait()).await {
        return exited.ok();
    }
    signal(pid, Signal::TERM);
    if let Ok(exited) = timeout(Duration::from_millis(patience_ms), child.wait()).await {
        signal(pid, Signal::KILL);
        return exited.ok();
    }
    signal(pid, Signal::KILL);
    child.wait().await.ok()
}

/// The process is gone: the exit code is known, and the task goes on to STOPPED.
fn finish(emulator: &Emulator, id: &str, exited: Option<ExitStatus>) {
    let mut world = emulator.world();
    let delays = world.settings.delays;
    let now_ms = emulator.clock.now_ms();
    let Some(task) = world.tasks.get_mut(id) else {
        return;
    };
    let exit_code = exited.and_then(|status| {
        status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal))
    });
    if let Process::Running { pid, .. } = task.process {
        // Whatever the leader left behind in its group.
        signal(pid, Signal::KILL);
        task.process = Process::Gone { pid };
    }
    if task.timeline.end(now_ms).is_some() {
        let stopping_ms = task
            .timeline
            .entered(Status::Stopping, now_ms)
            .unwrap_or(now_ms);
        task.timeline
            .process_gone(now_ms.max(stopping_ms + delays.stopping), &delays);
        task.timeline.set_exit_code(exit_code);
    } else {
        let end = End {
            at_ms: now_ms,
            stop_code: "EssentialContainerExited".to_owned(),
            stopped_reason: "Essential container in task exited".to_owned(),
            exit_code,
            container_reason: None,
        };
        task.end(end, &delays);
    }
}

pub fn signal(group: i32, signal: Signal) {
    // Gone already is what was wanted.
    if let Some(group) = Pid::from_raw(group) {
        let _ = kill_process_group(group, signal);
    }
}

/// Ends the processes of these tasks: SIGTERM to all, then SIGKILL after `patience`.
pub async fn end_all(tasks: Vec<Task>, patience: Duration) {
    let groups: Vec<i32> = tasks
        .iter()
        .filter_map(|task| match task.process {
            Process::Running { pid, .. } => Some(pid),
            _ => None,
        })
        .collect();
    for task in tasks {
        if let Process::Waiting(stop) | Process::Running { stop, .. } = task.process {
            stop.notify_one();
        }
    }
    for group in &groups {
        signal(*group, Signal::TERM);
    }
    let alive = |group: &&i32| {
        Pid::from_raw(**group)
            .is_some_and(|pid| rustix::process::test_kill_process_group(pid).is_ok())
    };
    let deadline = tokio::time::Instant::now() + patience;
    while groups.iter().any(|group| alive(&group)) && tokio::time::Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
    }
    for group in &groups {
        signal(*group, Signal::KILL);
    }
}
