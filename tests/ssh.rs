//! The mount by ssh, against a real sshd on loopback. Where there is none the tests say so and prove nothing.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the finding")]
#![expect(clippy::print_stderr, reason = "a test that did not run should say so")]

use cloudspawner::error::Failure;
use cloudspawner::mount::azure_files::SshFiles;
use cloudspawner::mount::azure_files::ssh::{Ssh, mount};
use cloudspawner::wire::{Code, Secret};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;

const SSHD: &str = "/usr/sbin/sshd";
const KEY: &str = "c2VjcmV0LWtleS1vZi1hZGE=";

/// Stands for the instance's shell: keeps what came, then says and exits as it is told; with `real` it runs it.
const SHELL: &str = r#"#!/bin/bash
cd "${0%/*}"
printf %s "$SSH_ORIGINAL_COMMAND" >command
if [ -e real ]; then exec bash -c "$SSH_ORIGINAL_COMMAND"; fi
cat >stdin
[ ! -e slow ] || sleep 10
echo "mount of adas-home: error: as told" >&2
exit "$(cat code)"
"#;

/// One sshd, as the user that runs the tests.
struct Instance {
    folder: tempfile::TempDir,
    port: u16,
    sshd: Option<Child>,
}

impl Instance {
    /// None where there is no sshd.
    fn start() -> Option<Self> {
        if !Path::new(SSHD).exists() {
            eprintln!("NOT RUN, nothing is proven about mounts by ssh: {SSHD} is not here");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let folder = tempfile::tempdir().unwrap();
        let mut instance = Self {
            folder,
            port,
            sshd: None,
        };
        instance.write("shell", SHELL);
        fs::set_permissions(instance.file("shell"), fs::Permissions::from_mode(0o700)).unwrap();
        instance.write("code", "0");
        instance.new_key("users_key");
        fs::copy(instance.file("users_key.pub"), instance.file("authorized")).unwrap();
        instance.new_key("host_key");
        instance.listen();
        Some(instance)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    fn new_key(&self, name: &str) {
        let _ = fs::remove_file(self.file(name));
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(self.file(name))
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success());
    }

    fn listen(&mut self) {
        // sshd's own folder, which a service's start would make.
        let _ = fs::create_dir("/run/sshd");
        let as_root = Self::user() == "root";
        self.write(
            "config",
            &format!(
                "ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host_key\nAuthorizedKeysFile {folder}/authorized\n\
                 ForceCommand {folder}/shell\nStrictModes no\nPidFile none\nPasswordAuthentication no\n\
                 PermitRootLogin yes\nUsePAM {pam}\n",
                port = self.port,
                folder = self.folder.path().display(),
                pam = if as_root { "yes" } else { "no" },
            ),
        );
        let mut sshd = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(self.file("config"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(sshd.stderr.take().unwrap()).lines();
        assert!(said.any(|line| line.unwrap().starts_with("Server listening")));
        // Read on, or sshd would stop at a full pipe.
        std::thread::spawn(move || said.for_each(drop));
        self.sshd = Some(sshd);
    }

    fn stop(&mut self) {
        if let Some(mut sshd) = self.sshd.take() {
            sshd.kill().unwrap();
            sshd.wait().unwrap();
        }
    }

    fn user() -> String {
        let output = Command::new("id").arg("-un").output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn target(&self) -> Ssh {
        Ssh {
            name: "csada-1.attempt-1".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: Self::user(),
            files: SshFiles {
                key_file: self.file("users_key"),
                known_hosts_file: self.file("known_hosts"),
            },
        }
    }

    async fn mount(&self, more: &[&str]) -> Result<(), Failure> {
        self.mount_within(Duration::from_mins(1), more).await
    }

    async fn mount_within(&self, time: Duration, more: &[&str]) -> Result<(), Failure> {
        let usual = [
            "--account",
            "adasfiles",
            "--share",
            "adas-home",
            "--mount-point",
            "~/userfiles",
        ];
        let arguments: Vec<String> = usual
            .iter()
            .chain(more)
            .map(|&word| word.to_owned())
            .collect();
        let key = Secret::new(KEY.to_owned());
        mount(&self.target(), &arguments, &key, Instant::now() + time).await
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.stop();
    }
}

#[tokio::test]
async fn script_and_key_go_through_stdin_and_the_command_holds_plain_words_alone() {
    let Some(instance) = Instance::start() else {
        return;
    };
    instance.mount(&["--read-only"]).await.unwrap();
    let stdin = instance.read("stdin");
    let script = include_str!("../src/mount/azure_files/mount.sh");
    assert_eq!(stdin, format!("{script}{KEY}\n"));
    let command = instance.read("command");
    let become_root = if Instance::user() == "root" {
        ""
    } else {
        "sudo -n "
    };
    let expected = format!(
        "{become_root}bash -s -- '--account' 'adasfiles' '--share' 'adas-home' '--mount-point' '~/userfiles' '--read-only' '--credential' 'stdin' '--patience' '"
    );
    assert!(command.starts_with(&expected), "{command}");
}

#[tokio::test]
async fn the_script_runs_as_it_came_and_its_reason_arrives() {
    let Some(instance) = Instance::start() else {
        return;
    };
    if Instance::user() != "root" {
        eprintln!("NOT RUN: the script wants root");
        return;
    }
    instance.write("real", "");
    // It ends before it would install or mount anything on this machine.
    let error = instance
        .mount(&["--owner", "nobody-of-this-name"])
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Conflict, "{error}");
    assert!(
        error
            .0
            .message
            .ends_with("there is no user nobody-of-this-name here"),
        "{error}"
    );
}

#[tokio::test]
async fn a_host_key_is_remembered_and_another_one_is_refused() {
    let Some(mut instance) = Instance::start() else {
        return;
    };
    instance.mount(&[]).await.unwrap();
    assert_eq!(instance.read("known_hosts").lines().count(), 1);
    instance.mount(&[]).await.unwrap();
    instance.stop();
    instance.new_key("host_key");
    instance.listen();
    fs::remove_file(instance.file("stdin")).unwrap();
    let error = instance.mount(&[]).await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated, "{error}");
    assert!(error.0.message.contains("another host key"), "{error}");
    assert!(
        error
            .0
            .message
            .contains("ssh-keygen -R csada-1.attempt-1 -f /"),
        "{error}"
    );
    assert_eq!(instance.read("stdin"), "");
}

#[tokio::test]
async fn an_instance_that_was_made_anew_is_another_host_at_the_same_address() {
    let Some(mut instance) = Instance::start() else {
        return;
    };
    instance.mount(&[]).await.unwrap();
    instance.stop();
    instance.new_key("host_key");
    instance.listen();
    let mut anew = instance.target();
    anew.name = "csada-1.attempt-2".to_owned();
    let key = Secret::new(KEY.to_owned());
    let later = Instant::now() + Duration::from_mins(1);
    mount(&anew, &[], &key, later).await.unwrap();
    assert_eq!(instance.read("known_hosts").lines().count(), 2);
}

#[tokio::test]
async fn nothing_is_sent_where_a_host_key_could_not_be_remembered() {
    let Some(instance) = Instance::start() else {
        return;
    };
    let key = Secret::new(KEY.to_owned());
    let later = Instant::now() + Duration::from_mins(1);
    for change in [
        |t: &mut Ssh| t.files.known_hosts_file = "/nonexistent/known_hosts".into(),
        |t: &mut Ssh| t.files.key_file = "/nonexistent/key".into(),
    ] {
        let mut target = instance.target();
        change(&mut target);
        let error = mount(&target, &[], &key, later).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidConfig, "{error}");
        assert!(error.0.message.contains("/nonexistent/"), "{error}");
    }
    assert_eq!(instance.read("command"), "");
}

#[tokio::test]
async fn an_instance_that_is_not_there_and_one_that_lets_nobody_in_are_told_apart() {
    let Some(mut instance) = Instance::start() else {
        return;
    };
    instance.new_key("users_key");
    let error = instance.mount(&[]).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied, "{error}");
    instance.stop();
    let error = instance.mount(&[]).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
}

#[tokio::test]
async fn each_exit_code_of_the_script_is_a_failure_of_its_kind() {
    let Some(instance) = Instance::start() else {
        return;
    };
    for (code, kind) in [
        (1, Code::StartFailed),
        (2, Code::InvalidConfig),
        (3, Code::StartFailed),
        (5, Code::InvalidConfig),
        (6, Code::Unavailable),
        (7, Code::PermissionDenied),
        (8, Code::NotFound),
        (9, Code::Conflict),
    ] {
        instance.write("code", &code.to_string());
        let error = instance.mount(&[]).await.unwrap_err();
        assert_eq!(error.code(), kind, "{code}: {error}");
        assert!(error.0.message.ends_with("error: as told"), "{error}");
        assert!(!format!("{error:?}").contains(KEY));
    }
}

#[tokio::test]
async fn at_the_deadline_it_ends() {
    let Some(instance) = Instance::start() else {
        return;
    };
    instance.write("slow", "");
    let error = instance
        .mount_within(Duration::from_secs(2), &[])
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Deadline, "{error}");
}

#[tokio::test]
async fn what_is_not_plain_reaches_no_shell() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("key"), "").unwrap();
    let target = Ssh {
        name: "csada-1".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: 1,
        user: "azureuser".to_owned(),
        files: SshFiles {
            key_file: folder.path().join("key"),
            known_hosts_file: folder.path().join("known_hosts"),
        },
    };
    let key = Secret::new(KEY.to_owned());
    let later = Instant::now() + Duration::from_secs(5);
    for word in ["a'b", "$(id)", "a b", "a\nb", "`id`", "a;b"] {
        let error = mount(&target, &[word.to_owned()], &key, later)
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::InvalidConfig, "{error}");
        assert!(error.0.message.contains("is not plain"), "{error}");
    }
    for change in [
        |t: &mut Ssh| t.host = "-oProxyCommand=id".to_owned(),
        |t: &mut Ssh| t.name = "a,b".to_owned(),
        |t: &mut Ssh| t.user = "a b".to_owned(),
        |t: &mut Ssh| t.files.key_file = "key".into(),
        |t: &mut Ssh| t.files.known_hosts_file = "/a/%h".into(),
    ] {
        let mut wrong = target.clone();
        change(&mut wrong);
        let error = mount(&wrong, &[], &key, later).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidConfig, "{error}");
        assert!(
            error.0.message.starts_with("config.storage.ssh."),
            "{error}"
        );
    }
}
