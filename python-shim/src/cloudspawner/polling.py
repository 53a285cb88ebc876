"""Many polls, few requests: what is polled in one turn of the event loop goes out together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from logging import Logger
from typing import Any, NamedTuple, Protocol, cast

from .slices import Slice
from .wire import JsonObject, PollParams, ProgramError, ServerStatus, Target

# protocol.md's default for poll.
_POLL_TIMEOUT_MS = 20_000
# Two of the largest batches that a cloud takes (ECS: 100): a frame of so many, a few hundred KiB, is written and read
# within a few milliseconds. With states of 4 KiB and names of 255 characters it stays under its 4 MiB.
_MAX_TARGETS = 200


class Question(NamedTuple):
    """One server's poll: whom to ask and in whose name, how old the answer may be, and about what."""

    backend: str
    config: JsonObject
    credentials: JsonObject | None
    max_age_ms: int
    target: Target


_Answer = ServerStatus | Exception
_Waiting = tuple[Target, "asyncio.Future[_Answer]"]


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
        self._asked: deque[tuple[Callable[[], Question], asyncio.Future[_Answer]]] = deque()
        self._collecting = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, question: Callable[[], Question]) -> ServerStatus:
        """Poll one server.

        Args:
            question: gives the question, soon: those of a thousand servers take longer than one turn of the loop may.

        Raises:
            ProgramError: the request that it went with failed.
            Exception: what `question` raised.
        """
        future: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._asked.append((question, future))
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
        groups: dict[str, tuple[PollParams, list[_Waiting]]] = {}
        now = Slice()
        try:
            while self._asked:
                question, future = self._asked.popleft()
                if not future.done():  # its caller may have been cancelled
                    self._add(question, future, groups)
                if now.is_over():
                    now = await now.next()
        finally:
            self._collecting = False
        for params, waiting in groups.values():
            self._begin(self._send(params, waiting))

    def _add(
        self,
        question: Callable[[], Question],
        future: asyncio.Future[_Answer],
        groups: dict[str, tuple[PollParams, list[_Waiting]]],
    ) -> None:
        try:
            backend, config, credentials, max_age_ms, target = question()
        except Exception as error:
            future.set_result(error)
            return
        key = repr((backend, config, credentials, max_age_ms))  # never shown; cheaper than JSON
        group = groups.get(key)
        if group is None:
            params: PollParams = {
                "backend": backend,
                "config": config,
                "credentials": credentials,
                "max_age_ms": max_age_ms,
                "targets": [],
            }
            group = groups[key] = (params, [])
        group[1].append((target, future))
        if len(group[1]) == _MAX_TARGETS:
            self._begin(self._send(*groups.pop(key)))

    async def _send(self, params: PollParams, waiting: list[_Waiting]) -> None:
        failure = ProgramError("internal", "the poll was not answered")
        servers: list[ServerStatus] = []
        try:
            request: PollParams = {**params, "targets": [target for target, _ in waiting]}
            result = await self._request("poll", request, timeout_ms=_POLL_TIMEOUT_MS)
            servers = cast("list[ServerStatus]", result.get("servers"))
            if not isinstance(servers, list) or len(servers) != len(waiting):
                servers = []
                raise ProgramError("internal", "the program answered another number of servers than were asked for")
            self._after()
        except ProgramError as error:
            failure = error
            self._log.warning("%d servers could not be polled, so they count as alive: %s", len(waiting), error)
        finally:
            for position, (_, future) in enumerate(waiting):
                if not future.done():
                    future.set_result(servers[position] if servers else failure)
