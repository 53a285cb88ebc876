//! The same script, run on an instance through ssh: for an admin who may open its ssh port and whose key must not be fetched
//! by the instance itself.
//!
//! The system's `ssh` does it: OpenSSH is the well-kept client, and its `known_hosts` are what an admin knows how to tend. A
//! host key is remembered at first sight and checked ever after, by the instance's own name: its address may be another's. Script and key go through stdin; the command line on the
//! instance is fixed, followed by words that were checked to be plain. It reads no configuration or agent of the hub's user.

use super::settings::SshFiles;
use crate::error::Failure;
use crate::wire::{Code, Retry, Secret};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::{Instant, timeout_at};

const SCRIPT: &str = include_str!("mount.sh");
/// The most that the script takes for `--patience`; its head says so.
const MOST_PATIENCE_S: u64 = 290;
/// Of the time that is left, what ssh itself may need.
const SSH_NEEDS: Duration = Duration::from_secs(15);
/// ssh's own exit code, whatever went wrong before the command ran: ssh(1), "EXIT STATUS".
const OF_SSH: i32 = 255;
/// The script's answers are a line each; more than this is not read.
const MOST_OUTPUT: u64 = 16 * 1024;

/// How to get onto an instance.
#[derive(Debug, Clone)]
pub struct Ssh {
    /// By what name its host key is remembered: an address may be another machine's tomorrow.
    pub name: String,
    /// Its address.
    pub host: String,
    /// `sshSettings.sshPort`.
    pub port: u16,
    /// Who logs in and may become root; `sshSettings.adminUserName`.
    pub user: String,
    /// The hub's own files.
    pub files: SshFiles,
}

/// Runs the script with `arguments` (its head tells them; `--credential stdin` and `--patience` are added) and the storage
/// account's `key`. May be repeated.
///
/// # Errors
/// `invalid_config`: something is not plain. `unauthenticated`: the host key is another one than was remembered.
/// `permission_denied`: ssh's key, or the account's, is refused. `unavailable`: instance or file server cannot be reached.
/// `not_found`: the share. `conflict`: the mount point. `deadline`. `start_failed`: anything else, with the script's reason.
pub async fn mount(
    target: &Ssh,
    arguments: &[String],
    key: &Secret<String>,
    deadline: Instant,
) -> Result<(), Failure> {
    target.check()?;
    let patience = deadline
        .saturating_duration_since(Instant::now())
        .saturating_sub(SSH_NEEDS)
        .as_secs()
        .clamp(1, MOST_PATIENCE_S)
        .to_string();
    let more = ["--credential", "stdin", "--patience", &patience];
    let words = arguments.iter().map(String::as_str).chain(more);
    let command = target.command_line(words)?;
    let stdin = Secret::new(format!("{SCRIPT}{}\n", key.expose()));
    let ran = timeout_at(deadline, run(target.ssh(&command), &stdin)).await;
    let Ok(ran) = ran else {
        let message = format!("the share was not mounted on {target} in time");
        return Err(Failure::new(Code::Deadline, message));
    };
    let (code, reason) = ran
        .map_err(|error| Failure::new(Code::StartFailed, format!("ssh cannot be run: {error}")))?;
    let reason = reason.replace(key.expose(), "REDACTED");
    match code {
        Some(0) => Ok(()),
        Some(OF_SSH) => Err(timeout_at(deadline, target.diagnose(&reason))
            .await
            .unwrap_or_else(|_| unreachable_host(target, &reason))),
        _ => Err(of_script(target, code, &reason)),
    }
}

impl std::fmt::Display for Ssh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Ssh {
    fn check(&self) -> Result<(), Failure> {
        for (what, text, signs) in [
            ("name", &self.name, ".-"),
            ("host", &self.host, ".:-"),
            ("user", &self.user, "._-"),
        ] {
            if !is_plain(text, signs) {
                return Err(wrong(what, "not plain: letters, digits and few signs"));
            }
        }
        self.files.check()
    }

    /// What the instance's shell gets: a fixed command and quoted plain words.
    fn command_line<'a>(&self, words: impl Iterator<Item = &'a str>) -> Result<String, Failure> {
        let become_root = if self.user == "root" { "" } else { "sudo -n " };
        let mut line = format!("{become_root}bash -s --");
        for word in words {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:~".contains(c);
            if !word.chars().all(plain) {
                return Err(Failure::invalid_config(
                    "mount",
                    format!("{word:?} is not plain"),
                ));
            }
            let _ = write!(line, " '{word}'");
        }
        Ok(line)
    }

    fn ssh(&self, command_line: &str) -> Command {
        let mut ssh = bare("ssh");
        ssh.args(["-F", "/dev/null", "-T"])
            .args(["-p", &self.port.to_string(), "-l", &self.user])
            .arg("-i")
            .arg(&self.files.key_file)
            .arg("-o")
            .arg(format!(
                "UserKnownHostsFile={}",
                self.files.known_hosts_file.display()
            ))
            .arg("-o")
            .arg(format!("HostKeyAlias={}", self.name));
        for option in [
            "GlobalKnownHostsFile=/dev/null",
            // Remembers a new host, refuses a known one with another key.
            "StrictHostKeyChecking=accept-new",
            "CheckHostIP=no",
            "UpdateHostKeys=no",
            "HashKnownHosts=no",
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "PreferredAuthentications=publickey",
            "ConnectTimeout=10",
            // A connection that is dead ends after three times this.
            "ServerAliveInterval=15",
            "LogLevel=ERROR",
        ] {
            ssh.args(["-o", option]);
        }
        ssh.args(["--", &self.host, command_line]);
        ssh
    }

    /// Why ssh failed, told by what the host shows of itself now and not by ssh's words.
    async fn diagnose(&self, reason: &str) -> Failure {
        let port = self.port.to_string();
        let mut scan = bare("ssh-keyscan");
        scan.args(["-T", "5", "-p", &port, "--", &self.host]);
        let shown = keys_of(scan).await;
        if shown.is_empty() {
            return unreachable_host(self, reason);
        }
        let mut find = bare("ssh-keygen");
        find.args(["-F", &self.name, "-f"])
            .arg(&self.files.known_hosts_file);
        let known = keys_of(find).await;
        if !known.is_empty() && known.is_disjoint(&shown) {
            let message = format!(
                "{self} shows another host key than the one that is remembered in {file}, so nothing was sent to it. If its own user changed it, forget the old one: ssh-keygen -R {name} -f {file}",
                name = self.name,
                file = self.files.known_hosts_file.display()
            );
            return Failure::new(Code::Unauthenticated, message).with_user_message(
                "Your instance could not be recognized. Tell your administrator.",
            );
        }
        let message = format!("{self} does not let {} in by ssh: {reason}", self.user);
        let failure = Failure::new(Code::PermissionDenied, message);
        let key = &self.files.key_file;
        match key.metadata() {
            // ssh(1), "-i": such a key is ignored.
            Ok(of_key) if of_key.permissions().mode() & 0o077 != 0 => failure.because(format!(
                "{} can be read by others than its owner, so ssh does not use it: chmod 600",
                key.display()
            )),
            _ => failure,
        }
    }
}

impl SshFiles {
    /// Whether both can be used; the file of host keys is made.
    ///
    /// # Errors
    /// `invalid_config` with the file's name.
    pub fn check(&self) -> Result<(), Failure> {
        for (what, path) in [
            ("key_file", &self.key_file),
            ("known_hosts_file", &self.known_hosts_file),
        ] {
            let plain = path.to_str().is_some_and(|text| is_plain(text, "/._-"));
            if !plain || !path.is_absolute() {
                let why = "no absolute path of letters, digits, \".\", \"_\" and \"-\"";
                return Err(wrong(what, why));
            }
        }
        let told = |what: &str, path: &Path, error: std::io::Error| {
            wrong(what, &format!("{}: {error}", path.display()))
        };
        File::open(&self.key_file).map_err(|error| told("key_file", &self.key_file, error))?;
        // ssh goes on where it cannot write a host key down, and would believe any key the next time.
        let file = &self.known_hosts_file;
        let mut open = OpenOptions::new();
        open.create(true).append(true).mode(0o600);
        open.open(file)
            .map_err(|error| told("known_hosts_file", file, error))?;
        Ok(())
    }
}

fn wrong(what: &str, why: &str) -> Failure {
    Failure::invalid_config(&format!("config.storage.ssh.{what}"), why)
}

/// Nothing may be read as an option, or expanded by ssh's own syntax ("%", "~", quotes).
fn is_plain(text: &str, signs: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || signs.contains(c);
    !text.starts_with('-') && !text.is_empty() && text.chars().all(plain)
}

/// A program of OpenSSH's, without this process's environment and so without an agent or another's settings.
fn bare(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Gives `stdin` to the program; its exit code and the last line that it said.
async fn run(
    mut program: Command,
    stdin: &Secret<String>,
) -> std::io::Result<(Option<i32>, String)> {
    let mut child = program
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (pipe, stderr) = (child.stdin.take(), child.stderr.take());
    let give = async {
        if let Some(mut pipe) = pipe {
            // A program that ended does not read; its exit code says more.
            let _ = pipe.write_all(stdin.expose().as_bytes()).await;
        }
    };
    let listen = async {
        let mut said = Vec::new();
        if let Some(stderr) = stderr {
            let _ = stderr.take(MOST_OUTPUT).read_to_end(&mut said).await;
        }
        said
    };
    let ((), said, status) = tokio::join!(give, listen, child.wait());
    Ok((status?.code(), last_line(&String::from_utf8_lossy(&said))))
}

fn last_line(said: &str) -> String {
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    let shown = last.unwrap_or("no reason was told").chars();
    shown.filter(|c| !c.is_control()).take(500).collect()
}

/// Each key that a program of OpenSSH's prints after a host's name, without that name.
async fn keys_of(mut program: Command) -> BTreeSet<String> {
    let output = program.stdout(Stdio::piped()).output().await;
    let text = output.map_or_else(
        |_| String::new(),
        |o| String::from_utf8_lossy(&o.stdout).into(),
    );
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(' '))
        .map(|(_, key)| key.trim().to_owned())
        .collect()
}

fn unreachable_host(target: &Ssh, reason: &str) -> Failure {
    let message = format!("{target} cannot be reached by ssh: {reason}");
    Failure::new(Code::Unavailable, message)
}

/// The script's exit codes; its head tells them.
fn of_script(target: &Ssh, code: Option<i32>, reason: &str) -> Failure {
    let kind = match code {
        Some(2 | 5) => Code::InvalidConfig,
        Some(6) => Code::Unavailable,
        Some(7) => Code::PermissionDenied,
        Some(8) => Code::NotFound,
        Some(9) => Code::Conflict,
        _ => Code::StartFailed,
    };
    let mut failure = Failure::new(kind, format!("on {target}: {reason}"));
    match kind {
        // It has tried for as long as it may.
        Code::Unavailable => failure.0.retry = Retry::AfterFix,
        Code::Conflict => {
            return failure.with_user_message(
                "Your files could not be mounted: something else is in their place. Tell your administrator.",
            );
        }
        _ => {}
    }
    failure
}
