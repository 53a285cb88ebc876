"""Stops, and what becomes of one that could not be finished.

JupyterHub forgets a server whose stop returned or raised, so a failed stop is remembered here and tried again. Only
in memory: what a hub that ends leaves behind is found by `gc`.
"""

from __future__ import annotations

import asyncio
import json
from logging import Logger

from .polling import Request
from .wire import ProgramError, StopParams

# protocol.md's defaults for stop: a machine that is waited for takes minutes.
_STOP_TIMEOUT_MS = 120_000
_WAITING_STOP_TIMEOUT_MS = 900_000
# The cloud refused it a moment ago; a minute is soon enough for something that nobody waits for.
_RETRY_SECONDS = 60.0


class Stops:
    """Stops servers; remembers failed stops and tries them again, at most once a minute, when the program answers."""

    def __init__(self, request: Request, log: Logger) -> None:
        self._request = request
        self._log = log
        self._stops: dict[str, StopParams] = {}
        self._next_try = 0.0
        self._task: asyncio.Task[None] | None = None

    async def stop(self, stop: StopParams, pauses: tuple[float, ...]) -> None:
        """Stop a server, trying again after each pause (in seconds); what then still fails is remembered.

        Never raises, but for its own cancelling.
        """
        problem = ""
        for pause in (*pauses, None):
            try:
                result = await self._request("stop", stop, timeout_ms=_timeout_ms(stop))
                if result.get("cleanup") != "needed":
                    self.retry_soon()
                    return
                problem = "the cloud has not accepted it"
            except ProgramError as error:
                problem = str(error)
                if error.retry != "later":
                    break
            if pause is not None:
                await asyncio.sleep(pause)
        server = stop["server"]
        self._log.error("%s:%s is not stopped, which will be tried again: %s", server["user"], server["name"], problem)
        self._add(stop)

    def __len__(self) -> int:
        return len(self._stops)

    def _add(self, stop: StopParams) -> None:
        self._stops[json.dumps((stop["server"], stop["state"]), sort_keys=True)] = stop
        self._next_try = asyncio.get_running_loop().time() + _RETRY_SECONDS

    def retry_soon(self) -> None:
        """Try again in the background, if it is time."""
        if not self._stops or asyncio.get_running_loop().time() < self._next_try:
            return
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self.retry())

    async def retry(self) -> None:
        """Try all of them now."""
        self._next_try = asyncio.get_running_loop().time() + _RETRY_SECONDS
        for key, stop in list(self._stops.items()):
            server = stop["server"]
            try:
                result = await self._request("stop", stop, timeout_ms=_timeout_ms(stop))
            except ProgramError as error:
                self._log.warning("%s:%s is still not stopped: %s", server["user"], server["name"], error)
                continue
            if result.get("cleanup") != "needed":
                self._stops.pop(key, None)
                self._log.info("%s:%s is stopped at last", server["user"], server["name"])


def _timeout_ms(stop: StopParams) -> int:
    return _WAITING_STOP_TIMEOUT_MS if stop["wait"] else _STOP_TIMEOUT_MS
