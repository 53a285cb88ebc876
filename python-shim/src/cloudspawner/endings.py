"""Why the last server ended, for whoever starts the next one: a sentence, the cloud's own words and the last log lines.

Kept in memory, for as long as the hub runs; the admin's log has it for longer. All of it is others' text, and escaped.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

# What a person reads; a traceback of Python fits.
MOST_LINES = 30
_LINE_LENGTH = 500
# Of a large hub's people, those who had bad luck today.
_MOST_ENDINGS = 1_000
# Colours and cursor movements of terminals (ECMA-48, "control sequences"), other control characters, and those that
# change the direction of text.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSW|KEY|CREDENTIAL", re.IGNORECASE)
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
        return f'<div class="alert alert-warning" role="note">Last time ({self.at:%H:%M}): {self.html()}</div>'


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
    """Log lines as they may be shown: no control characters, and none of the server's own secrets.

    Args:
        lines: the program's, which knows of secrets by their form.
        env: the server's environment, whose secrets are known by their names.
    """
    secrets = [str(value) for name, value in env.items() if _SECRET_NAME.search(name) and len(str(value)) >= 8]
    cleaned = []
    for line in lines:
        text = _CONTROL.sub("", str(line))
        for secret in secrets:
            text = text.replace(secret, "[secret]")
        cleaned.append(text[:_LINE_LENGTH])
    return tuple(cleaned[-MOST_LINES:])
