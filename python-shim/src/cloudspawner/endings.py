"""Why the last server ended, for whoever starts the next one: a sentence, the cloud's own words and the last log lines.

Kept in memory, and in the hub's database as the state of a server that is not there, so that a restarted hub knows it.
The admin's log has it for longer. All of it is others' text, and escaped.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

from .wire import JsonObject

# What a person reads; a traceback of Python fits.
MOST_LINES = 30
_LINE_LENGTH = 500
# Bytes of log lines in the database. Where a hub keeps a state, MySQL has 64 KiB (TEXT).
_MOST_STORED = 8_192
# Of a large hub's people, those who had bad luck today.
_MOST_ENDINGS = 1_000
# Colours and cursor movements of terminals (ECMA-48, "control sequences"), other control characters, and those that
# change the direction of text.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSW|KEY|CREDENTIAL", re.IGNORECASE)
# What is shorter would be found in words.
_SHORTEST_SECRET = 8
_PRE = '<pre class="text-start" tabindex="0" style="white-space: pre-wrap; max-height: 20rem; overflow: auto">'
# Exit statuses of processes, the same on every cloud: 128 and the signal's number.
_STATUSES = {
    0: "Your server ended by itself.",
    134: "Your server crashed.",
    137: "Your server was killed, most often for want of memory: a larger one may help.",
    139: "Your server crashed.",
    143: "Your server was asked to end.",
}


def of_status(status: int | None) -> str:
    """The sentence for an exit status."""
    return _STATUSES.get(status if status is not None else -1, "Your server ended unexpectedly.")


@dataclass(frozen=True)
class Ending:
    """One end that nobody wished for.

    Attributes:
        at: when, in the hub's local time.
        sentence: for the person.
        original: the cloud's own words.
        lines: the last lines of the server's log.
    """

    at: datetime
    sentence: str
    original: str = ""
    lines: tuple[str, ...] = ()

    def html(self) -> str:
        """The sentence, with the rest folded away."""
        parts = [self.original] if self.original and self.original != self.sentence else []
        if self.lines:
            parts.append("\n".join(self.lines))
        if not parts:
            return escape(self.sentence)
        blocks = "".join(f"{_PRE}{escape(part)}</pre>" for part in parts)
        return f"{escape(self.sentence)}<details><summary>Details</summary>{blocks}</details>"

    def last_time(self) -> str:
        """The same above the form."""
        today = self.at.date() == datetime.now(self.at.tzinfo).date()
        when = f"{self.at:%H:%M}" if today else f"{self.at:%Y-%m-%d %H:%M}"
        return f'<div class="alert alert-warning" role="note">Last time ({when}): {self.html()}</div>'

    def dump(self) -> JsonObject:
        """What goes into the database: bounded, of the log's lines the last."""
        lines: list[str] = []
        for line in reversed(self.lines):
            if len(json.dumps([line, *lines])) > _MOST_STORED:
                break
            lines.insert(0, line)
        sentence, original = self.sentence[:_LINE_LENGTH], self.original[:_LINE_LENGTH]
        return {"at": self.at.isoformat(), "sentence": sentence, "original": original, "lines": lines}

    @classmethod
    def load(cls, stored: object) -> Ending | None:
        """Read what `dump` gave. Never raises: None for what it cannot have given."""
        if not isinstance(stored, dict):
            return None
        at, sentence, original, lines = (stored.get(name) for name in ("at", "sentence", "original", "lines"))
        if not (isinstance(sentence, str) and isinstance(original, str) and isinstance(lines, list)):
            return None
        try:
            when = datetime.fromisoformat(str(at)).astimezone()
        except ValueError:
            return None
        return cls(when, sentence, original, tuple(str(line) for line in lines))


class Endings:
    """The last ending of each server that had one."""

    def __init__(self) -> None:
        self._endings: OrderedDict[int, Ending] = OrderedDict()

    @classmethod
    def of(cls, settings: dict[str, Any]) -> Endings:
        """A hub's own, by its settings."""
        endings: Endings = settings.setdefault("cloudspawner_endings", cls())
        return endings

    def put(self, server: int, ending: Ending) -> None:
        """Remember; of more than can be kept the oldest goes."""
        self._endings[server] = ending
        self._endings.move_to_end(server)
        while len(self._endings) > _MOST_ENDINGS:
            self._endings.popitem(last=False)

    def get(self, server: int) -> Ending | None:
        """The last one, unless the server has started since."""
        return self._endings.get(server)

    def forget(self, server: int) -> None:
        """The server runs again."""
        self._endings.pop(server, None)


def clean(lines: Iterable[object], env: Mapping[str, str]) -> tuple[str, ...]:
    """Log lines as they may be shown: the last ones, cut where they are long, and scrubbed.

    Args:
        lines: the program's, which knows of secrets by their form.
        env: the server's environment, whose secrets are known by their names.
    """
    return tuple([scrubbed(str(line), env)[:_LINE_LENGTH] for line in lines][-MOST_LINES:])


def scrubbed(text: str, env: Mapping[str, str]) -> str:
    """A text without control characters, and without the secrets of the server's environment."""
    text = _CONTROL.sub("", text)
    for name, value in env.items():
        if _SECRET_NAME.search(name) and len(str(value)) >= _SHORTEST_SECRET:
            text = text.replace(str(value), "[secret]")
    return text
