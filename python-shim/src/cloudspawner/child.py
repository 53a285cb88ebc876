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
from collections.abc import Callable, Mapping, Sequence
from logging import DEBUG, ERROR, INFO, WARNING, Logger
from typing import IO

from . import wire
from .wire import JsonObject, ProgramError

# asyncio's StreamReader stops at 64 KiB a line unless it is told otherwise; the slack is for the newline.
_LINE_LIMIT = wire.MAX_FRAME_BYTES + 1024
# A program that starts says hello within milliseconds; this is for a machine under heavy load.
_HELLO_SECONDS = 10.0
# How long the hub waits for the program's end before it leaves it to itself (a stop may still run) or kills it.
_EXIT_SECONDS = 2.0
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class ChildDied(Exception):
    """The process ended, or was ended, while a request was in flight."""


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
        frames, logs = await self._reader(stdout), await self._reader(stderr)
        hello: asyncio.Future[None] = self._loop.create_future()
        self._task = self._loop.create_task(self._run(frames, logs, hello), name="cloudspawner serve")
        done, _ = await asyncio.wait([hello], timeout=_HELLO_SECONDS)
        if not done:
            hello.cancel()
            raise ProgramError("unavailable", f"{self._process.args!r} sent no hello in {_HELLO_SECONDS:.0f} s")
        hello.result()

    async def _reader(self, pipe: IO[bytes]) -> asyncio.StreamReader:
        reader = asyncio.StreamReader(limit=_LINE_LIMIT)
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

    async def _run(self, frames: asyncio.StreamReader, logs: asyncio.StreamReader, hello: asyncio.Future[None]) -> None:
        forwarding = self._loop.create_task(self._forward_logs(logs), name="cloudspawner serve's log")
        left_alone = False
        try:
            await self._read_hello(frames, hello)
            await self._read_frames(frames)
        except asyncio.CancelledError:
            left_alone = True  # the hub ends; the process finishes its stops without us
            raise
        except ProgramError as error:
            if not hello.done():
                hello.set_exception(error)
        finally:
            self.alive = False
            if not hello.done():
                hello.cancel()
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

    async def _read_hello(self, frames: asyncio.StreamReader, hello: asyncio.Future[None]) -> None:
        line = await self._line(frames)
        try:
            frame = wire.decode(line)
        except ValueError:
            frame = {}
        versions = frame.get("v")
        if frame.get("type") != "hello" or not isinstance(versions, list) or wire.VERSION not in versions:
            what = f"speaks protocol {versions}, not {wire.VERSION}" if versions else f"began with {line[:200]!r}"
            raise ProgramError("unavailable", f"{self._process.args!r} {what}", retry="after_fix")
        self.hello = frame
        self.last_heard = self._loop.time()
        if not hello.done():
            hello.set_result(None)

    async def _read_frames(self, frames: asyncio.StreamReader) -> None:
        while line := await self._line(frames):
            self.last_heard = self._loop.time()
            try:
                frame = wire.decode(line)
            except ValueError:
                self._log.warning("cloudspawner wrote a line that is no frame (%d bytes)", len(line))
                continue
            try:
                self._on_frame(frame)
            except Exception as error:
                self._log.error("a frame from cloudspawner was not understood: %r", error)

    async def _line(self, frames: asyncio.StreamReader) -> bytes:
        try:
            return await frames.readline()
        except ValueError as error:
            raise ProgramError("unavailable", "the program wrote a line of more than 4 MiB") from error

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
