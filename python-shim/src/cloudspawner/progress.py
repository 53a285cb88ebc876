"""The story of one start, for any number of viewers, whenever they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from html import escape
from typing import TypedDict

from .wire import Event

# A start that is tried again for long must not fill the memory; no viewer reads more than this.
_MAX_EVENTS = 500
# Often enough to show that it goes on; JupyterHub's page keeps each line in its log.
_TICK_SECONDS = 15.0


class ProgressEvent(TypedDict, total=False):
    """What JupyterHub sends to the page; it escapes `message`, not `html_message`."""

    progress: int
    message: str
    html_message: str


class Progress:
    """Keeps what was told, with the time since the start, and lets each viewer read it all, then live until the end."""

    def __init__(self, *, shows_links: bool = False) -> None:
        """Make one.

        Args:
            shows_links: whether its viewers may see links into the cloud's own console.
        """
        self._events: list[ProgressEvent] = []
        self._shows_links = shows_links
        self._closed = False
        self._changed = asyncio.Event()
        self._began = time.monotonic()
        self._last = ""

    def add(self, event: Event) -> None:
        """Tell of a step. Its text goes as plain text, never as HTML."""
        self._last = str(event.get("message") or event.get("stage") or "")
        item: ProgressEvent = {"message": self._timed(self._last)}
        link = event.get("link")
        if self._shows_links and isinstance(link, str) and link.startswith("https://"):
            item["html_message"] = (
                f'{escape(item["message"])} <a href="{escape(link)}" rel="noreferrer">in the console</a>'
            )
        percent = event.get("percent")
        if isinstance(percent, int):
            item["progress"] = max(0, min(percent, 99))  # 100 is for the hub to say
        self._tell(item)

    def add_html(self, text: str, html: str) -> None:
        """Tell of something before the first step."""
        self._tell({"message": text, "html_message": html})

    def close(self) -> None:
        """End the story; viewers finish what they have not read yet."""
        self._closed = True
        self._wake()

    def _tell(self, item: ProgressEvent) -> None:
        if not self._closed and len(self._events) < _MAX_EVENTS:
            self._events.append(item)
            self._wake()

    def _timed(self, text: str) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        return f"{text} ({minutes}:{seconds:02})"

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def events(self) -> AsyncGenerator[ProgressEvent, None]:
        """All events from the first one on, and a sign of life in between; ends when the story does."""
        read = 0
        while True:
            while read < len(self._events):
                # A copy: JupyterHub edits the events that it gets.
                yield self._events[read].copy()
                read += 1
            if self._closed:
                return
            try:
                await asyncio.wait_for(self._changed.wait(), _TICK_SECONDS)
            except (TimeoutError, asyncio.TimeoutError):
                if self._last:
                    yield {"message": self._timed(self._last)}
