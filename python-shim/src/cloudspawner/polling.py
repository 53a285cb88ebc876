"""Many polls, few requests: what is polled in one turn of the event loop goes out together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from logging import Logger
from typing import Protocol, cast

from .wire import JsonObject, PollParams, ProgramError, ServerStatus, Target

# protocol.md's default for poll.
_POLL_TIMEOUT_MS = 20_000
# A state has at most 4 KiB and a name at most 255 characters, so 400 targets stay under the 4 MiB of a frame.
_MAX_TARGETS = 400

_Waiting = tuple[Target, "asyncio.Future[ServerStatus | ProgramError]"]


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
        self._groups: dict[str, tuple[PollParams, list[_Waiting]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(
        self,
        backend: str,
        config: JsonObject,
        credentials: JsonObject | None,
        max_age_ms: int,
        target: Target,
    ) -> ServerStatus:
        """Poll one server.

        Raises:
            ProgramError: the request that it went with failed.
        """
        loop = asyncio.get_running_loop()
        if not self._groups:
            loop.call_soon(self._flush)
        key = repr((backend, config, credentials, max_age_ms))  # never shown; cheaper than JSON
        group = self._groups.get(key)
        if group is None:
            params: PollParams = {
                "backend": backend,
                "config": config,
                "credentials": credentials,
                "max_age_ms": max_age_ms,
                "targets": [],
            }
            group = self._groups[key] = (params, [])
        future: asyncio.Future[ServerStatus | ProgramError] = loop.create_future()
        group[1].append((target, future))
        answer = await future
        if isinstance(answer, ProgramError):
            raise answer
        return answer

    def _flush(self) -> None:
        groups, self._groups = self._groups, {}
        for params, waiting in groups.values():
            for first in range(0, len(waiting), _MAX_TARGETS):
                task = asyncio.ensure_future(self._send(params, waiting[first : first + _MAX_TARGETS]))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

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
