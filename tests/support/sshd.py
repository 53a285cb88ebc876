"""A real sshd on loopback that stands for an instance's: it keeps what came, then says and exits as it is told."""

import os
import pwd
import socket
import subprocess
from pathlib import Path
from types import TracebackType

PROGRAM = "/usr/sbin/sshd"
SHELL = """#!/bin/bash
cd "${0%/*}"
printf '%s\\n' "$SSH_ORIGINAL_COMMAND" >>commands
cat >stdin
[ ! -e slow ] || sleep 20
echo "mount of a-home: $(cat said)" >&2
exit "$(cat code)"
"""


class Sshd:
    """It runs until the end of the `with` block, as the user that runs the tests."""

    def __init__(self, folder: Path) -> None:
        """Makes its keys, and the key that it lets in."""
        self.folder = folder
        folder.mkdir()
        self.key_file, self.known_hosts = folder / "users_key", folder / "known_hosts"
        self.user = pwd.getpwuid(os.geteuid()).pw_name
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self._process: subprocess.Popen[str] | None = None
        (folder / "shell").write_text(SHELL)
        (folder / "shell").chmod(0o700)
        self.answer(0, "it is mounted")
        for name in ("users_key", "host_key"):
            self.new_key(name)
        (folder / "authorized").write_text((folder / "users_key.pub").read_text())

    @property
    def public_key(self) -> str:
        """Of whom it lets in."""
        return (self.folder / "authorized").read_text().strip()

    @property
    def commands(self) -> list[str]:
        """What it was asked to run."""
        file = self.folder / "commands"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def stdin(self) -> str:
        """What came with the last command."""
        return (self.folder / "stdin").read_text()

    def answer(self, code: int, said: str) -> None:
        """How each command ends from now on."""
        (self.folder / "code").write_text(str(code))
        (self.folder / "said").write_text(said)

    def new_key(self, name: str) -> None:
        """Another `users_key` or `host_key`; the latter counts from the next `with` block on."""
        (self.folder / name).unlink(missing_ok=True)
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
        subprocess.run(make, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def __enter__(self) -> "Sshd":
        """Starts it; it listens from now on."""
        is_root = os.geteuid() == 0
        if is_root:
            # sshd's own folder, which a service's start would make.
            Path("/run/sshd").mkdir(exist_ok=True)
        settings = f"""
            ListenAddress 127.0.0.1:{self.port}
            HostKey {self.folder}/host_key
            AuthorizedKeysFile {self.folder}/authorized
            ForceCommand {self.folder}/shell
            StrictModes no
            PidFile none
            PasswordAuthentication no
            PermitRootLogin yes
            UsePAM {"yes" if is_root else "no"}
        """
        (self.folder / "config").write_text(settings)
        log = self.folder / "log"
        with log.open("w") as stderr:
            command = [PROGRAM, "-D", "-e", "-f", str(self.folder / "config")]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=stderr, text=True)
        while "Server listening" not in log.read_text():
            assert self._process.poll() is None, log.read_text()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
