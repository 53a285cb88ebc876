"""One `cloudspawner serve` process: its pipes, its frames, its end.

It is started in a session of its own, because Ctrl-C and systemd signal the hub's whole process group while the
hub still needs the program for its stops. The end of its stdin is what ends it, so it goes with the hub even if the
hub is killed. asyncio's own subprocess transport is not used: it kills the process when it is closed, and a stop
that runs must be allowed to finish.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from logging import DEBUG, ERROR, INFO, WARNING, Logger
from typing import IO

from . import wire
from .slices import Slice
from .wire import JsonObject, ProgramError

# The longest line of the program's log that is forwarded whole.
_LOG_LINE_LIMIT = 1024 * 1024
# A program that starts says hello within milliseconds; this is for a machine under heavy load.
_HELLO_SECONDS = 10.0
# How long the hub waits for the program's end before it leaves it to itself (a stop may still run) or kills it.
_EXIT_SECONDS = 2.0
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class ChildDied(Exception):
    """The process ended, or was ended, while a request was in flight."""


class _Frames(asyncio.Protocol):
    """Splits what the process writes into lines as it arrives: no task is woken for a frame, since polls are many.

    A thousand answers at once, or states to commit, are handed on in slices.
    """

    def __init__(self, on_line: Callable[[bytes], None], on_end: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._on_end = on_end
        self._parts: list[bytes] = []
        self._size = 0
        self._lines: deque[bytes] = deque()
        self._end: str | None = None
        self._postponed = False

    def data_received(self, data: bytes) -> None:
        first, *rest = data.split(b"\n")
        self._keep(first)
        for part in rest:
            self._lines.append(b"".join(self._parts))
            self._parts, self._size = [], 0
            self._keep(part)
        self._hand_on()

    def _keep(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)
        if self._size > wire.MAX_FRAME_BYTES:
            self._parts, self._size = [], 0
            self._end = "the program wrote a line of more than 4 MiB"

    def connection_lost(self, exc: Exception | None) -> None:
        self._end = self._end or ""
        self._hand_on()

    def _hand_on(self) -> None:
        if self._postponed:
            return
        now = Slice()
        while self._lines:
            self._on_line(self._lines.popleft())
            if self._lines and now.is_over():
                self._postponed = True
                asyncio.get_running_loop().call_soon(self._continue)
                return
        if self._end is not None:
            end, self._end = self._end, None
            self._on_end(end)

    def _continue(self) -> None:
        self._postponed = False
        self._hand_on()


class Child:
    """A running process. Made by `start`; unusable once `alive` is false."""

    def __init__(self, process: subprocess.Popen[bytes], on_frame: Callable[[JsonObject], None], log: Logger) -> None:
        self._process = process
        self._on_frame = on_frame
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._transports: list[asyncio.BaseTransport] = []
        self._stdin: asyncio.WriteTransport | None = None
        self._task: asyncio.Task[None] | None = None
        self.alive = True
        self.hello: JsonObject = {}
        self.last_heard = 0.0
        self.ended = asyncio.Event()
        self._hello: asyncio.Future[None] = self._loop.create_future()
        self._silent = asyncio.Event()

    @classmethod
    async def start(
        cls, argv: Sequence[str], env: Mapping[str, str], on_frame: Callable[[JsonObject], None], log: Logger
    ) -> Child:
        """Start `argv serve` and read its hello.

        Raises:
            ProgramError: `unavailable`, where it cannot be started or is no program of this protocol.
        """
        command = [*argv, "serve"]
        try:
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - as asyncio does; argv is the admin's
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **env},
                start_new_session=True,
            )
        except OSError as error:
            raise ProgramError("unavailable", f"cannot start {command}: {error}", retry="after_fix") from error
        child = cls(process, on_frame, log)
        try:
            await child._connect()
        except BaseException:
            child.kill()
            if child._task is not None:
                await child.ended.wait()
            raise
        return child

    async def _connect(self) -> None:
        stdin, stdout, stderr = self._process.stdin, self._process.stdout, self._process.stderr
        assert stdin is not None and stdout is not None and stderr is not None  # noqa: PT018, S101 - all are PIPE
        self._stdin, _ = await self._loop.connect_write_pipe(asyncio.BaseProtocol, stdin)
        self._transports.append(self._stdin)
        frames, _ = await self._loop.connect_read_pipe(lambda: _Frames(self._on_line, self._on_end), stdout)
        self._transports.append(frames)
        logs = await self._reader(stderr)
        self._task = self._loop.create_task(self._run(logs), name="cloudspawner serve")
        done, _ = await asyncio.wait([self._hello], timeout=_HELLO_SECONDS)
        if not done:
            self._hello.cancel()
            raise ProgramError("unavailable", f"{self._process.args!r} sent no hello in {_HELLO_SECONDS:.0f} s")
        self._hello.result()

    async def _reader(self, pipe: IO[bytes]) -> asyncio.StreamReader:
        reader = asyncio.StreamReader(limit=_LOG_LINE_LIMIT)
        transport, _ = await self._loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        self._transports.append(transport)
        return reader

    def send(self, line: bytes) -> None:
        """Write one line.

        Raises:
            ChildDied: the process has ended.
        """
        if not self.alive or self._stdin is None or self._stdin.is_closing():
            raise ChildDied
        self._stdin.write(line)

    def kill(self) -> None:
        """End the process at once; for one that does not speak the protocol or has stopped to answer."""
        self.alive = False
        if self._process.poll() is None:
            self._process.kill()
        if self._task is None:  # it never ran: nobody else cleans up
            for transport in self._transports:
                _abort(transport)
            self._process.wait()

    async def close(self) -> None:
        """Close stdin, so that the process finishes what it must and ends; returns when it has, or after 2 s."""
        self.alive = False
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.close()
        try:
            await asyncio.wait_for(self.ended.wait(), _EXIT_SECONDS)
        except asyncio.TimeoutError:
            if self._task is not None:
                self._task.cancel()
                await self.ended.wait()

    async def _run(self, logs: asyncio.StreamReader) -> None:
        forwarding = self._loop.create_task(self._forward_logs(logs), name="cloudspawner serve's log")
        left_alone = False
        try:
            await self._silent.wait()
        except asyncio.CancelledError:
            left_alone = True  # the hub ends; the process finishes its stops without us
            raise
        finally:
            self.alive = False
            if not self._hello.done():
                self._hello.cancel()
            if self._stdin is not None and not self._stdin.is_closing():
                self._stdin.close()
            try:
                await self._reap(kill=not left_alone)
                await asyncio.wait([forwarding], timeout=0.1)  # its last words
            finally:
                forwarding.cancel()
                for transport in self._transports:
                    _abort(transport)
                self.ended.set()
                await asyncio.sleep(0)  # lets the transports close before the loop ends

    def _on_line(self, line: bytes) -> None:
        if self._silent.is_set():
            return
        self.last_heard = self._loop.time()
        if not self._hello.done():
            self._on_hello(line)
            return
        try:
            frame = wire.decode(line)
        except ValueError:
            self._log.warning("cloudspawner wrote a line that is no frame (%d bytes)", len(line))
            return
        try:
            self._on_frame(frame)
        except Exception as error:
            self._log.error("a frame from cloudspawner was not understood: %r", error)

    def _on_hello(self, line: bytes) -> None:
        try:
            frame = wire.decode(line)
        except ValueError:
            frame = {}
        versions = frame.get("v")
        if frame.get("type") == "hello" and isinstance(versions, list) and wire.VERSION in versions:
            self.hello = frame
            self._hello.set_result(None)
            return
        what = f"speaks protocol {versions}, not {wire.VERSION}" if versions else f"began with {line[:200]!r}"
        self._refuse(ProgramError("unavailable", f"{self._process.args!r} {what}", retry="after_fix"))

    def _on_end(self, problem: str) -> None:
        if problem or not self._hello.done():
            began = f"{self._process.args!r} ended before its hello"
            self._refuse(ProgramError("unavailable", problem or began, retry="after_fix"))
        self._silent.set()

    def _refuse(self, error: ProgramError) -> None:
        if not self._hello.done():
            self._hello.set_exception(error)
        else:
            self._log.error("cloudspawner: %s", error)
        self._silent.set()

    async def _forward_logs(self, logs: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await logs.readline()
            except ValueError:
                continue
            if not line:
                return
            text = _ANSI.sub("", line.decode(errors="replace").rstrip())
            self._log.log(_level(text), "cloudspawner: %s", text)

    async def _reap(self, *, kill: bool) -> None:
        pause, waited = 0.002, 0.0
        while self._process.poll() is None and waited < _EXIT_SECONDS:
            await asyncio.sleep(pause)
            waited += pause
            pause = min(pause * 2, 0.1)
        if self._process.poll() is None and kill:
            self._process.kill()
            self._process.wait()


def _abort(transport: asyncio.BaseTransport) -> None:
    if not transport.is_closing():
        transport.close()
    if isinstance(transport, asyncio.WriteTransport) and transport.get_write_buffer_size():
        transport.abort()  # nobody reads the rest


def _level(line: str) -> int:
    # tracing's lines are "<time> <LEVEL> <target>: …"; a line of another form (a panic) is worth a warning.
    words = line.split(maxsplit=2)
    level = words[1] if len(words) > 1 else ""
    return {"ERROR": ERROR, "WARN": WARNING, "INFO": INFO, "DEBUG": DEBUG, "TRACE": DEBUG}.get(level, WARNING)
