//! A task must not outlive an emulator that was killed with SIGKILL. So the emulator starts each task through itself: this
//! small program asks the kernel to be killed with its parent, and then becomes the task's own program.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::process::{Signal, set_parent_process_death_signal};

/// The emulator itself, also when its file was replaced since.
pub const SELF: &str = "/proc/self/exe";
/// The first argument, by which the program knows that it is to become a task.
pub const BECOME: &str = "become-task";
/// What a shell gives for a program that cannot be executed.
const CANNOT_EXECUTE: u8 = 126;

/// The task's program and arguments, if this process is to become one.
pub fn asked_for(mut arguments: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    arguments.next()?;
    (arguments.next()? == BECOME).then(|| arguments.collect())
}

/// Returns only if the program cannot be executed.
pub fn become_task(command: Vec<OsString>) -> ExitCode {
    let mut words = command.into_iter();
    let Some(program) = words.next() else {
        return ExitCode::FAILURE;
    };
    if set_parent_process_death_signal(Some(Signal::KILL)).is_err() {
        return ExitCode::FAILURE;
    }
    let error = Command::new(program).args(words).exec();
    // Standard error is the task's log by now.
    let _ = writeln!(std::io::stderr(), "exec: {error}");
    CANNOT_EXECUTE.into()
}
