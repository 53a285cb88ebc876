"""Many polls, few requests.

What is polled in one turn of the event loop goes out together. A hub that polls its servers one by one asks for those
along with one whose turn comes next: their answers are kept until they are asked about, if they are then young enough.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from itertools import islice
from logging import Logger
from typing import Any, NamedTuple, Protocol, cast

from .slices import Slice
from .wire import JsonObject, PollParams, ProgramError, ServerStatus, Target

# protocol.md's default for poll.
_POLL_TIMEOUT_MS = 20_000
# Two of the largest batches that a cloud takes (ECS: 100): a frame of so many, a few hundred KiB, is written and read
# within a few milliseconds. With states of 4 KiB and names of 255 characters it stays under its 4 MiB.
_MAX_TARGETS = 200
# What is accepted is nine tenths of the poll interval (protocol.md).
_INTERVAL_BY_AGE = 10 / 9
# The hub's polls come up to a twentieth of their interval later (`Spawner.poll_jitter`).
_JITTER = 1.05
# Whom nobody asks about for so many times what is accepted has left; protocol.md has the same for the program.
_LEAVES_AFTER = 3
# How many of those whose turn comes next are looked through for the ones to take along: some milliseconds.
_LOOKED_THROUGH = 1_000


class Question(NamedTuple):
    """One server's poll: whom to ask and in whose name, how old the answer may be, and about what."""

    backend: str
    config: JsonObject
    credentials: JsonObject | None
    max_age_ms: int
    target: Target


class Accepts(NamedTuple):
    """Of what state an answer must be, and how old it may be."""

    state: JsonObject | None
    max_age_ms: int


_Answer = ServerStatus | Exception


class _Known(NamedTuple):
    """What was told of a server.

    Attributes:
        state: the state that it was told of; another one is another server.
        observed: when the cloud was asked, in the loop's seconds; not later than that.
        status: the answer.
    """

    state: JsonObject | None
    observed: float
    status: ServerStatus


class Watched:
    """A server as its polls see it: how to ask, and what is known of it or just being asked."""

    def __init__(self, question: Callable[[], Question], accepts: Callable[[], Accepts] | None = None) -> None:
        """Make one.

        Args:
            question: gives the question as it is at this moment.
            accepts: gives what an answer must be like, at less cost; None where it is polled once, so that it is never
                asked about beforehand.
        """
        self.question = question
        self.accepts = accepts
        self._known: _Known | None = None
        self._asked_along: tuple[JsonObject | None, asyncio.Future[_Answer]] | None = None
        self._line: _Line | None = None
        self._asked = self.interval = 0.0

    def learn(self, known: _Known) -> None:
        """Keep what was told, unless something younger is known."""
        if self._known is None or self._known.observed <= known.observed:
            self._known = known

    def known(self, now: float) -> ServerStatus | None:
        """What is known, if the poll that comes now accepts it."""
        known = self._known
        if known is None or self._line is None or self.accepts is None:
            return None
        state, max_age_ms = self.accepts()
        if known.state is not state or (now - known.observed) * 1000 >= max_age_ms:
            return None
        self.line_up(self._line, now)
        return known.status

    def coming(self, question: Question) -> asyncio.Future[_Answer] | None:
        """The answer that is on its way, if the question accepts it."""
        if self._asked_along is None or not question.max_age_ms:
            return None
        state, future = self._asked_along
        return None if future.done() or state is not question.target["state"] else future

    def goes_along(self, target: Target, future: asyncio.Future[_Answer]) -> None:
        """It is asked about with another one's question; `future` will have the answer."""
        self._asked_along = (target["state"], future)

    def line_up(self, line: _Line, now: float) -> None:
        """It is asked about now, so it is the last of whom somebody asks about again."""
        if self._line is not None:
            self._line.pop(self, None)
            self.interval = now - self._asked
        self._line, self._asked = line, now
        line[self] = None

    def has_left(self, now: float, max_age: float) -> bool:
        """Whether nobody seems to poll it any more."""
        return now > self._asked + max_age * _LEAVES_AFTER

    def is_due(self, now: float, max_age: float, interval: float) -> bool:
        """Whether its next poll will accept what is told now, and not what is known, and nobody asks already.

        Args:
            now: the loop's time.
            max_age: what its poll accepts, in seconds.
            interval: how long it is just now from one poll of a server to the next.
        """
        if self._asked_along is not None and not self._asked_along[1].done():
            return False
        next_poll = max(now, self._asked + interval * _JITTER)
        accepts = next_poll - max_age
        return now >= accepts and (self._known is None or self._known.observed < accepts)


# Servers in the order in which they were asked about, which is the one in which they will be again.
_Line = dict[Watched, None]


class _Batch:
    """Questions that share a request."""

    def __init__(self, question: Question, line: _Line) -> None:
        self._question = question
        self.line = line
        self.targets: list[Target] = []
        self.waiting: list[tuple[Watched, asyncio.Future[_Answer]]] = []

    def target_of(self, watched: Watched) -> Target | None:
        """The server's own, if it is still there and would be asked about with the same words."""
        try:
            question = watched.question()
        except Exception:  # whoever asks about it will be told
            return None
        there = question.target["state"] is not None and question[:4] == self._question[:4]
        return question.target if there else None

    def add(self, watched: Watched, target: Target, future: asyncio.Future[_Answer]) -> None:
        self.targets.append(target)
        self.waiting.append((watched, future))

    @property
    def is_full(self) -> bool:
        return len(self.targets) >= _MAX_TARGETS

    @property
    def max_age(self) -> float:
        return self._question.max_age_ms / 1000

    def params(self) -> PollParams:
        backend, config, credentials, max_age_ms, _ = self._question
        return {
            "backend": backend,
            "config": config,
            "credentials": credentials,
            "max_age_ms": max_age_ms,
            "ages": True,
            "targets": self.targets,
        }


class Request(Protocol):
    """`Program.request`."""

    def __call__(self, verb: str, params: object, *, timeout_ms: int) -> Awaitable[JsonObject]:
        """Send a request and return its result."""


class PollBatcher:
    """Collects polls until the loop's next turn; equal backend, config, credentials and age share a request."""

    def __init__(self, request: Request, log: Logger, after: Callable[[], None]) -> None:
        """Make one.

        Args:
            request: sends a request.
            log: told once a batch when a request failed.
            after: called when a request succeeded.
        """
        self._request = request
        self._log = log
        self._after = after
        self._asked: deque[tuple[Watched, asyncio.Future[_Answer]]] = deque()
        self._collecting = False
        self._lines: dict[str, _Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, watched: Watched) -> ServerStatus:
        """Poll one server.

        Its question is asked for soon: those of a thousand servers take longer than one turn of the loop may.

        Raises:
            ProgramError: the request that it went with failed.
            Exception: what its question raised.
        """
        loop = asyncio.get_running_loop()
        if status := watched.known(loop.time()):
            return status
        future: asyncio.Future[_Answer] = loop.create_future()
        self._asked.append((watched, future))
        if not self._collecting:
            self._collecting = True
            self._begin(self._collect())
        answer = await future
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _collect(self) -> None:
        batches: dict[str, _Batch] = {}
        now = Slice()
        try:
            while self._asked:
                watched, future = self._asked.popleft()
                if not future.done():  # its caller may have been cancelled
                    self._add(watched, future, batches)
                if now.is_over():
                    now = await now.next()
        finally:
            self._collecting = False
        for batch in batches.values():
            self._begin(self._send(batch))
        self._lines = {key: line for key, line in self._lines.items() if line}

    def _add(self, watched: Watched, future: asyncio.Future[_Answer], batches: dict[str, _Batch]) -> None:
        try:
            question = watched.question()
        except Exception as error:
            future.set_result(error)
            return
        key = repr(question[:4])  # never shown; cheaper than JSON
        # How old an answer may be differs from poll to poll of the same server.
        line = self._lines.setdefault(repr(question[:3]), {})
        if watched.accepts:
            watched.line_up(line, asyncio.get_running_loop().time())
        if coming := watched.coming(question):
            coming.add_done_callback(partial(_hand_on, future))
        else:
            batch = batches.get(key) or batches.setdefault(key, _Batch(question, line))
            batch.add(watched, question.target, future)
            if batch.is_full:
                self._begin(self._send(batches.pop(key)))

    async def _take_along(self, batch: _Batch) -> None:
        """Fill the batch with those whose turn comes next."""
        loop, slice_ = asyncio.get_running_loop(), Slice()
        # A hub that is late is so with all its servers: by how late it is with the one that is polled now.
        interval = max(batch.waiting[0][0].interval, batch.max_age * _INTERVAL_BY_AGE)
        for watched in list(islice(batch.line, _LOOKED_THROUGH)):
            now = loop.time()
            if watched.has_left(now, batch.max_age):
                batch.line.pop(watched, None)
            elif watched.is_due(now, batch.max_age, interval) and (target := batch.target_of(watched)):
                future: asyncio.Future[_Answer] = loop.create_future()
                watched.goes_along(target, future)
                batch.add(watched, target, future)
            if batch.is_full:
                break
            if slice_.is_over():
                slice_ = await slice_.next()

    async def _send(self, batch: _Batch) -> None:
        failure = ProgramError("internal", "the poll was not answered")
        servers: list[ServerStatus] = []
        try:
            if batch.max_age:
                await self._take_along(batch)
            sent = asyncio.get_running_loop().time()
            result = await self._request("poll", batch.params(), timeout_ms=_POLL_TIMEOUT_MS)
            servers = cast("list[ServerStatus]", result.get("servers"))
            if not isinstance(servers, list) or len(servers) != len(batch.targets):
                servers = []
                raise ProgramError("internal", "the program answered another number of servers than were asked for")
            for (watched, _), target, status in zip(batch.waiting, batch.targets, servers, strict=True):
                if isinstance(age_ms := status.get("age_ms"), int) and status.get("phase") != "unknown":
                    watched.learn(_Known(target["state"], sent - age_ms / 1000, status))
            self._after()
        except ProgramError as error:
            failure = error
            self._log.warning("%d servers could not be polled, so they count as alive: %s", len(batch.targets), error)
        finally:
            for position, (_, future) in enumerate(batch.waiting):
                if not future.done():
                    future.set_result(servers[position] if servers else failure)


def _hand_on(future: asyncio.Future[_Answer], answered: asyncio.Future[_Answer]) -> None:
    if not future.done():  # its caller may have been cancelled
        future.set_result(answered.result())
