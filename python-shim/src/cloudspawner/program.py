"""The program as the spawners see it: requests in, results out, whatever happens to the process.

One `Program` for each event loop, command and environment is shared by all spawners of a hub. It starts the process
on first use, starts it again when it died, and repeats what was in flight by the rules of protocol.md.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import sys
import sysconfig
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from logging import Logger
from pathlib import Path
from typing import Any, ClassVar

from . import release, wire
from .child import Child, ChildDied
from .housekeeping import Housekeeper
from .metrics import CHILD_RESTARTS, ProgramStats
from .polling import PollBatcher
from .stopping import Stops
from .wire import Event, JsonObject, ProgramError

# protocol.md, "Repeating after the child died": at most twice, with a growing pause.
_REPEAT_PAUSES = (0.2, 1.0)
# A process that dies again and again is not started more often than this (seconds, by deaths in a row).
_RESTART_PAUSES = (0.0, 0.5, 2.0, 5.0, 15.0)
# A process that lived this long has not "died again".
_STABLE_SECONDS = 60.0
# At its deadline the program has 5 s more for its clean-up (protocol.md); then the shim stops to wait.
GRACE_SECONDS = 8.0


def find_program() -> list[str]:
    """The `cloudspawner` that came with this package, else the one on PATH.

    Raises:
        ProgramError: there is none.
    """
    for folder in (Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        if found := shutil.which("cloudspawner", path=str(folder)):
            return [found]
    if found := shutil.which("cloudspawner"):
        return [found]
    raise ProgramError(
        "unavailable",
        "the program `cloudspawner` is neither beside this Python nor on PATH; install the package's wheel, "
        "or name it with the trait `program`",
        retry="after_fix",
    )


@dataclass(eq=False)
class Call:
    """One request, through all its repetitions.

    Attributes:
        params: the verb's params; a start's `state` is replaced by the last one that was announced.
        timeout_ms: what the program gets, counted from the first sending.
        on_state: keeps and commits a state; if it raises, the state is not acknowledged and the start cancelled.
        on_event: tells of a step.
        cancelled: whether `Program.cancel` was called.
    """

    verb: str
    # Secrets are in here, and a repr ends up in logs.
    params: JsonObject = field(repr=False)
    timeout_ms: int
    on_state: Callable[[JsonObject], None] | None = field(default=None, repr=False)
    on_event: Callable[[Event], None] | None = field(default=None, repr=False)
    cancelled: bool = False
    id: str = ""
    future: asyncio.Future[JsonObject] | None = field(default=None, repr=False)
    child: Child | None = field(default=None, repr=False)

    @property
    def leftover(self) -> wire.Cleanup:
        """What a start that ends without the program's word leaves: nothing is created before a state is acked."""
        return "needed" if self.params.get("state") else "none"


class Program:
    """Sends requests to the one child and starts it again when it died."""

    _shared: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[object, Program]]] = (
        weakref.WeakKeyDictionary()
    )

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], log: Logger) -> None:
        self._argv = list(argv)
        self._env = dict(env)
        self._log = log
        self._child: Child | None = None
        self._lock = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._calls: dict[str, Call] = {}
        self._ids = itertools.count(1)
        self._deaths = 0
        self._started_at = 0.0
        self._not_before = 0.0
        self._start_error: ProgramError | None = None
        self.stops = Stops(self.request, log)
        self.polls = PollBatcher(self.request, log, self.stops.retry_soon)
        self.housekeeper = Housekeeper(self, log)
        self.stats = ProgramStats(self)

    @classmethod
    def shared(cls, argv: Sequence[str], env: Mapping[str, str], log: Logger) -> Program:
        """The running loop's program for this command; `argv` empty finds the installed one."""
        programs = cls._shared.setdefault(asyncio.get_running_loop(), {})
        key = (tuple(argv), tuple(sorted(env.items())))
        if (program := programs.get(key)) is None:
            program = programs[key] = cls(argv or find_program(), env, log)
        return program

    @classmethod
    async def close_all(cls) -> None:
        """End the running loop's programs; a hub needs no call, its end closes their stdin."""
        for program in cls._shared.pop(asyncio.get_running_loop(), {}).values():
            await program.close()

    @property
    def runs(self) -> bool:
        """Whether the process is there."""
        return self._child is not None and self._child.alive

    async def close(self) -> None:
        """End the process, if it runs."""
        self.housekeeper.close()
        if self._child is not None:
            await self._child.close()

    async def request(self, verb: str, params: Any, *, timeout_ms: int) -> JsonObject:
        """Send a request without state or events and return its result. Errors as `perform`."""
        return await self.perform(Call(verb, dict(params), timeout_ms))

    async def perform(self, call: Call) -> JsonObject:
        """Send a request, again if the process dies, and return its result.

        Raises:
            ProgramError: the program's own error frame; `unavailable` where the process cannot be started, died
                too often or does not answer; `cancelled` where it died after the call was cancelled.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + call.timeout_ms / 1000
        for pause in (*_REPEAT_PAUSES, None):
            child = await self._running(call)
            if call.cancelled:
                raise ProgramError("cancelled", "cancelled", cleanup=call.leftover)
            try:
                return await self._exchange(child, call, deadline)
            except ChildDied:
                if call.cancelled:
                    # protocol.md: a start that was cancelled meanwhile is repeated as a stop, which is the spawner's.
                    raise ProgramError("cancelled", "the program died", cleanup=call.leftover) from None
                if pause is None or loop.time() + pause >= deadline:
                    break
                self._log.warning("cloudspawner died during %s; repeating it in %.1f s", call.verb, pause)
                await asyncio.sleep(pause)
        raise ProgramError(
            "unavailable", f"the program died during {call.verb}, again and again", cleanup=call.leftover
        )

    def cancel(self, call: Call) -> None:
        """Ask the program to end a call; the call still gets its own last frame."""
        if not call.cancelled:
            call.cancelled = True
            if call.child is not None:
                try:
                    call.child.send(wire.encode(wire.cancel(self._next_id(), call.id)))
                except ChildDied:
                    pass  # `perform` learns of it by itself

    def _next_id(self) -> str:
        return str(next(self._ids))

    async def _exchange(self, child: Child, call: Call, deadline: float) -> JsonObject:
        loop = asyncio.get_running_loop()
        now = loop.time()
        left_ms = max(1, int((deadline - now) * 1000))
        call.id = call.id or self._next_id()
        line = wire.encode(
            wire.request(call.id, call.verb, call.params, timeout_ms=left_ms, ack=call.on_state is not None)
        )
        call.future, call.child = loop.create_future(), child
        timer = loop.call_at(now + left_ms / 1000 + GRACE_SECONDS, self._expire, child, call, now)
        self._calls[call.id] = call
        try:
            child.send(line)
            return await call.future
        finally:
            timer.cancel()
            call.future = call.child = None
            self._calls.pop(call.id, None)

    def _expire(self, child: Child, call: Call, sent_at: float) -> None:
        if call.future is None or call.future.done():
            return
        if child.last_heard < sent_at:
            # Not a word since then, though every request gets its last frame by its own deadline: it hangs.
            self._log.error("cloudspawner does not answer; it is ended and started again")
            child.kill()
        message = f"the program did not answer {call.verb} in time"
        call.future.set_exception(ProgramError("unavailable", message, cleanup=call.leftover))

    async def _running(self, call: Call) -> Child:
        if (child := self._child) is not None and child.alive:
            return child
        loop = asyncio.get_running_loop()
        async with self._lock:
            if (child := self._child) is not None:
                if child.alive:
                    return child
                await child.ended.wait()
            wait = self._not_before - loop.time()
            if wait > 0 and self._start_error is not None:
                raise self._renewed(self._start_error, call)
            if wait > 0:
                await asyncio.sleep(wait)
            try:
                self._child = child = await Child.start(self._argv, self._env, self._on_frame, self._log)
            except ProgramError as error:
                self._start_error = error
                self._died(loop)
                raise self._renewed(error, call) from error
            self._start_error = None
            release.compare(child.hello, self._log)
            if self._started_at:
                CHILD_RESTARTS.inc()
            self._started_at = loop.time()
            self._watching = loop.create_task(self._watch(child), name="cloudspawner serve's end")
            return child

    @staticmethod
    def _renewed(error: ProgramError, call: Call) -> ProgramError:
        return ProgramError(error.code, error.message, retry=error.retry, cleanup=call.leftover)

    async def _watch(self, child: Child) -> None:
        await child.ended.wait()
        loop = asyncio.get_running_loop()
        if loop.time() - self._started_at > _STABLE_SECONDS:
            self._deaths = 0
        self._died(loop)
        for call in list(self._calls.values()):
            if call.child is child and call.future is not None and not call.future.done():
                call.future.set_exception(ChildDied())

    def _died(self, loop: asyncio.AbstractEventLoop) -> None:
        pause = _RESTART_PAUSES[min(self._deaths, len(_RESTART_PAUSES) - 1)]
        self._deaths += 1
        self._not_before = loop.time() + pause

    def _on_frame(self, frame: JsonObject) -> None:
        call = self._calls.get(str(frame.get("id")))
        kind = frame.get("type")
        if call is None or call.future is None or call.future.done():
            if kind == "error":
                self._log.warning("cloudspawner: %s", ProgramError.from_frame(frame))
            return  # an answer to a cancel, or to a request that nobody waits for any more
        if kind == "state":
            self._on_state(call, frame)
        elif kind == "event" and call.on_event is not None:
            call.on_event(frame)  # type: ignore[arg-type]
        elif kind == "result":
            result = frame.get("result")
            call.future.set_result(result if isinstance(result, dict) else {})
        elif kind == "error":
            call.future.set_exception(ProgramError.from_frame(frame))

    def _on_state(self, call: Call, frame: JsonObject) -> None:
        state = frame.get("state")
        if call.on_state is None or not isinstance(state, dict):
            return
        call.params["state"] = state
        try:
            call.on_state(state)
        except Exception as error:
            self._log.error("a server's state could not be saved, so its start is cancelled: %s", type(error).__name__)
            self.cancel(call)
        if not call.cancelled and call.child is not None:
            call.child.send(wire.encode(wire.ack(call.id, frame["seq"])))
