"""The story of one start, for any number of viewers, whenever they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TypedDict

from .wire import Event

# A start that is tried again for long must not fill the memory; no viewer reads more than this.
_MAX_EVENTS = 500


class ProgressEvent(TypedDict, total=False):
    """What JupyterHub sends to the page; it escapes `message`."""

    progress: int
    message: str


class Progress:
    """Keeps what was told and lets each viewer read it from the beginning, then live until the end."""

    def __init__(self) -> None:
        self._events: list[ProgressEvent] = []
        self._closed = False
        self._changed = asyncio.Event()

    def add(self, event: Event) -> None:
        """Tell of a step. Its text goes as plain text, never as HTML."""
        message = str(event.get("message") or event.get("stage") or "")
        if link := event.get("link"):
            message = f"{message} ({link})"
        item: ProgressEvent = {"message": message}
        percent = event.get("percent")
        if isinstance(percent, int):
            item["progress"] = max(0, min(percent, 99))  # 100 is for the hub to say
        if not self._closed and len(self._events) < _MAX_EVENTS:
            self._events.append(item)
            self._wake()

    def close(self) -> None:
        """End the story; viewers finish what they have not read yet."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def events(self) -> AsyncGenerator[ProgressEvent, None]:
        """All events from the first one on; ends when the story does."""
        read = 0
        while True:
            while read < len(self._events):
                # A copy: JupyterHub edits the events that it gets.
                yield self._events[read].copy()
                read += 1
            if self._closed:
                return
            await self._changed.wait()
