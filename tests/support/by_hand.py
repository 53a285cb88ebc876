"""The program as a person calls it: with flags, in a pipe or on a terminal."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from support import program
from support.program import PATIENCE, Finished


def run(env: Mapping[str, str], *arguments: str) -> Finished:
    """One command in a pipe. Its stdin never ends, so that whoever reads it hangs."""
    unread, write_end = os.pipe()
    try:
        done = subprocess.run(
            [program.path(), *arguments], stdin=unread, capture_output=True, env=dict(env), timeout=PATIENCE, check=False
        )
    finally:
        os.close(unread)
        os.close(write_end)
    stdout = done.stdout.decode()
    frames = [json.loads(line) for line in stdout.splitlines()]
    return Finished(done.returncode, frames, stdout, done.stderr.decode())


def settings(folder: Path, name: str, value: object) -> str:
    """A file with this JSON; its path."""
    file = folder / f"{name}.json"
    file.write_text(json.dumps(value))
    return str(file)


class Terminal:
    """A command on a terminal of its own; it is ended at the end of the `with` block."""

    def __init__(self, env: Mapping[str, str], *arguments: str):
        """Starts it."""
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [program.path(), *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=dict(env), start_new_session=True
        )
        os.close(theirs)
        self.text = ""

    def __enter__(self) -> "Terminal":
        """The terminal itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends what is left."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self._ours)

    def types(self, text: str) -> None:
        """Presses keys."""
        os.write(self._ours, text.encode())

    def interrupt(self) -> None:
        """Presses Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def _reads(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        assert left > 0, f"waited in vain: {self.text!r}"
        ready, _, _ = select.select([self._ours], [], [], left)
        if not ready:
            return True
        # On Linux a terminal without a process at its other end is an error to read.
        with contextlib.suppress(OSError):
            data = os.read(self._ours, 65536)
            self.text += data.decode()
            return bool(data)
        return False

    def shows(self, text: str) -> None:
        """Waits until this is on the screen."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.text:
            assert self._reads(deadline), f"ended without {text!r}: {self.text!r}"

    def ends(self) -> tuple[int, str]:
        """The exit code, and all that was shown."""
        deadline = time.monotonic() + PATIENCE
        while self._reads(deadline):
            pass
        return self.process.wait(PATIENCE), self.text.replace("\r\n", "\n")
