"""The program under test, as its callers see it: lines in, lines out, an exit code.

`run` is one request from start to end. `Child` is a process to talk with, for acks, signals and the end of stdin; `Serve`
adds ids, so that many requests can run at once.
"""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from support import binaries

Frame = dict[str, Any]

PATIENCE = 40.0
"""Seconds after which a test gives up; nothing waits that long unless something is wrong."""


def path() -> str:
    """Where the program is."""
    return binaries.find("cloudspawner", "CLOUDSPAWNER_PROGRAM")


@dataclass(frozen=True)
class Finished:
    """What a one-shot run left behind."""

    exit_code: int
    frames: list[Frame]
    stdout: str
    stderr: str

    @property
    def last(self) -> Frame:
        """The result or the error frame."""
        return self.frames[-1]

    @property
    def result(self) -> Frame:
        """The result's content; the run must have succeeded."""
        assert self.exit_code == 0, (self.frames, self.stderr)
        assert self.last["type"] == "result", self.last
        result: Frame = self.last["result"]
        return result

    @property
    def error(self) -> Frame:
        """The error object; the run must have failed."""
        assert self.exit_code != 0, self.frames
        assert self.last["type"] == "error", self.last
        error: Frame = self.last["error"]
        return error

    def states(self) -> list[Frame]:
        """Every state that was handed out, in order."""
        return [frame["state"] for frame in self.frames if frame["type"] == "state"]


def run(
    verb: str,
    request: object,
    env: Mapping[str, str],
    *,
    arguments: Iterable[str] = (),
    timeout: float = PATIENCE,
) -> Finished:
    """Runs one command with one request: an object, or raw text or bytes as they are."""
    match request:
        case bytes():
            sent = request
        case str():
            sent = request.encode()
        case _:
            sent = json.dumps(request).encode() + b"\n"
    done = subprocess.run(
        [path(), *arguments, verb],
        input=sent,
        capture_output=True,
        env=dict(env),
        timeout=timeout,
        check=False,
    )
    stdout, stderr = done.stdout.decode(), done.stderr.decode()
    frames = [json.loads(line) for line in stdout.splitlines()]
    return Finished(done.returncode, frames, stdout, stderr)


class Child:
    """A running program, read by a thread of its own."""

    def __init__(
        self,
        verb: str,
        env: Mapping[str, str],
        *,
        arguments: Iterable[str] = (),
        auto_ack: bool = False,
    ):
        """Starts the program; with `auto_ack` each state frame is acknowledged as it comes."""
        self.process = subprocess.Popen(
            [path(), *arguments, verb],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
        )
        self.frames: list[Frame] = []
        self.stderr = ""
        self.auto_ack = auto_ack
        self._changed = threading.Condition()
        self._ended = False
        self._sending = threading.Lock()
        self._readers = [
            threading.Thread(target=self._read_frames, daemon=True),
            threading.Thread(target=self._read_log, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> "Child":
        """The child itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends the program, kindly if it ends with its stdin."""
        self.close_stdin()
        if kind is not None:
            self.process.kill()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            for reader in self._readers:
                reader.join(5)
            for pipe in (self.process.stdout, self.process.stderr):
                if pipe:
                    pipe.close()

    def _read_frames(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            frame = json.loads(line)
            if self.auto_ack and frame["type"] == "state":
                self.ack(frame)
            with self._changed:
                self.frames.append(frame)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _read_log(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            with self._changed:
                self.stderr += line.decode()
                self._changed.notify_all()

    def send(self, line: object) -> None:
        """Sends an object as a line, or raw text or bytes as they are; a program that is gone does not read it."""
        data = line if isinstance(line, bytes) else line.encode() if isinstance(line, str) else json.dumps(line).encode() + b"\n"
        assert self.process.stdin
        with self._sending:
            try:
                self.process.stdin.write(data)
                self.process.stdin.flush()
            except (BrokenPipeError, ValueError):
                pass

    def ack(self, frame: Frame) -> None:
        """Acknowledges a state frame."""
        self.send({"type": "ack", "id": frame["id"], "seq": frame["seq"]})

    def close_stdin(self) -> None:
        """Ends the program's input."""
        assert self.process.stdin
        with self._sending:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self.process.send_signal(number)

    def wait_until_it_reads(self) -> None:
        """Waits until the program handles signals; one that comes before would end it as any process."""
        status = Path(f"/proc/{self.process.pid}/status")
        deadline = time.monotonic() + PATIENCE
        while not self._catches_sigterm(status.read_text()):
            assert time.monotonic() < deadline, "the program does not handle signals"
            time.sleep(0.005)

    @staticmethod
    def _catches_sigterm(status: str) -> bool:
        (mask,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
        return bool(int(mask, 16) >> (signal.SIGTERM - 1) & 1)

    def wait_for(self, wanted: Callable[[Frame], bool], timeout: float = PATIENCE) -> Frame:
        """The first frame that is `wanted`, among those that came and those that come."""
        seen = 0
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for frame in self.frames[seen:]:
                    if wanted(frame):
                        return frame
                seen = len(self.frames)
                assert not self._ended, f"the program ended: {self.frames}\n{self.stderr}"
                left = deadline - time.monotonic()
                assert left > 0, f"no such frame: {self.frames}\n{self.stderr}"
                self._changed.wait(left)

    def wait_for_type(self, kind: str) -> Frame:
        """The first frame of this type."""
        return self.wait_for(lambda frame: frame["type"] == kind)

    def wait_for_stage(self, stage: str) -> Frame:
        """The first event of this stage."""
        return self.wait_for(lambda frame: frame.get("stage") == stage)

    def wait(self, timeout: float = PATIENCE) -> int:
        """The exit code, once the program has ended and all it wrote is read."""
        code = self.process.wait(timeout)
        for reader in self._readers:
            reader.join(timeout)
        return code

    def finish(self) -> Finished:
        """What the run left behind, once it has ended."""
        code = self.wait()
        text = "".join(json.dumps(frame) + "\n" for frame in self.frames)
        return Finished(code, list(self.frames), text, self.stderr)


class Serve(Child):
    """`cloudspawner serve`: many requests at once, matched by id."""

    def __init__(self, env: Mapping[str, str], *, arguments: Iterable[str] = (), auto_ack: bool = True):
        """Starts the program and waits for its hello."""
        super().__init__("serve", env, arguments=arguments, auto_ack=auto_ack)
        self._next = 0
        self.hello = self.wait_for_type("hello")

    def __enter__(self) -> "Serve":
        """The child itself."""
        return self

    def begin(self, request: Frame, **envelope: object) -> str:
        """Sends a request under a fresh id, and gives the id."""
        self._next += 1
        number = f"r{self._next}"
        self.send({**request, "id": number, **envelope})
        return number

    def last(self, number: str | None, timeout: float = PATIENCE) -> Frame:
        """The last frame of a request."""
        return self.wait_for(lambda f: f["type"] in ("result", "error") and f["id"] == number, timeout)

    def last_or_none(self, number: str) -> Frame | None:
        """The last frame of a request, if it has come."""
        return next((f for f in self.frames_of(number) if f["type"] in ("result", "error")), None)

    def ask(self, request: Frame, **envelope: object) -> Frame:
        """Sends a request and gives its result."""
        frame = self.last(self.begin(request, **envelope))
        assert frame["type"] == "result", frame
        result: Frame = frame["result"]
        return result

    def fail(self, request: Frame, **envelope: object) -> Frame:
        """Sends a request and gives its error."""
        frame = self.last(self.begin(request, **envelope))
        assert frame["type"] == "error", frame
        error: Frame = frame["error"]
        return error

    def frames_of(self, number: str) -> list[Frame]:
        """Every frame of a request so far."""
        return [frame for frame in self.frames if frame.get("id") == number]
