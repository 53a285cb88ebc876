"""A compute instance with a kernel of its own: Debian's user-mode-linux on this machine's files, with this machine's loopback at 10.0.2.2."""

import json
import os
import shlex
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from support.binaries import REPOSITORY

HOST = "10.0.2.2"
"""This machine's loopback, as the guest sees it: slirp's usual address."""
INIT = REPOSITORY / "tests/mount/guest_init.sh"
BOOT_S = 60
"""A boot takes about two seconds; a busy machine many more."""


@dataclass
class Ran:
    """What became of a script in the guest."""

    code: int
    stdout: str
    stderr: str


class Instance:
    """A running guest; its memory is lost at the end of the `with` block and at a restart."""

    def __init__(self, names: list[str], files: list[Path]) -> None:
        """Boots.

        Args:
            names: host names that are this machine's loopback.
            files: copied to /run after each boot.
        """
        self._names, self._files = names, files
        self._boot()

    def __enter__(self) -> "Instance":
        """The guest itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Powers off."""
        self._power_off()

    def restart(self) -> None:
        """Powers off and boots again."""
        self._power_off()
        self._boot()

    def run(self, script: str, seconds: float = 120) -> Ran:
        """Runs a script as root."""
        self._agent.settimeout(seconds)
        self._agent.sendall(json.dumps(script).encode() + b"\n")
        answer = self._answers.readline()
        assert answer, f"the guest is gone: {self._console()}"
        return Ran(**json.loads(answer))

    def _boot(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="guest-")
        console = Path(self._folder.name, "console").open("wb")
        with socket.create_server(("127.0.0.1", 0)) as listener, console:
            command = [
                "linux.uml", "mem=192M", "rootfstype=hostfs", "rootflags=/", "ro", f"init={INIT}", f"uml_dir={self._folder.name}",
                "eth0=slirp,,/usr/bin/slirp-fullbolt", "con=null", "con0=null,fd:1", "quiet",
                f"AGENT_PORT={listener.getsockname()[1]}", f"AZURE_NAMES={','.join(self._names)}",
            ]  # fmt: skip
            # A session of its own: it is several processes, which end together.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
            )
            listener.settimeout(BOOT_S)
            try:
                self._agent, _ = listener.accept()
            except TimeoutError as error:
                self._kill()
                raise AssertionError(f"the guest did not boot: {self._console()}") from error
        self._answers = self._agent.makefile("rb")
        for file in self._files:
            copied = self.run(f"printf %s {shlex.quote(file.read_text())} >/run/{file.name}")
            assert copied.code == 0, copied.stderr

    def _power_off(self) -> None:
        self._answers.close()
        self._agent.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._kill()
        self._folder.cleanup()

    def _kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _console(self) -> str:
        return Path(self._folder.name, "console").read_text(errors="replace")[-3000:]
