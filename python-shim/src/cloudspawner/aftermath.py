"""The part of `CloudSpawner` that tells why a start failed or a server died: to the person, and to the admin's log."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from .endings import MOST_LINES, Ending, Endings, clean, of_status, scrubbed
from .parts import Part
from .wire import JsonObject, LogsParams, ProgramError, ServerStatus

if TYPE_CHECKING:
    from .cloud import Cloud

# Somebody looks at the page; without the lines it says why, too.
_LOGS_TIMEOUT_MS = 5_000
# In the state of a server that is not there.
_LAST_ENDING = "last_ending"
# Ends of a start after which the server may have said something.
_MAY_HAVE_SPOKEN = frozenset({"start_failed", "deadline"})


class Aftermath(Part):
    """What remains of a server that did not end as it should."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._asking_for_lines: asyncio.Task[None] | None = None

    def _last_ending(self) -> Ending | None:
        """Why this server ended the last time; None where it ended well, or has run since."""
        row = self.spawner.orm_spawner
        return Endings.of(self.spawner.user.settings).get(row.id) if row is not None else None

    def _stored_ending(self) -> JsonObject:
        """What the hub's database keeps of a server that is not there."""
        last = self._last_ending()
        return {_LAST_ENDING: last.dump()} if last else {}

    def _recall(self, state: object) -> object:
        """Take what `_stored_ending` gave out of a state; what this process knows itself is newer."""
        if not isinstance(state, dict) or _LAST_ENDING not in state:
            return state
        ending = Ending.load(state[_LAST_ENDING])
        if ending and self._last_ending() is None:
            Endings.of(self.spawner.user.settings).put(self.spawner.orm_spawner.id, ending)
        return {name: value for name, value in state.items() if name != _LAST_ENDING}

    def _has_started(self) -> None:
        Endings.of(self.spawner.user.settings).forget(self.spawner.orm_spawner.id)

    async def _start_has_failed(self, error: ProgramError, state: JsonObject | None) -> Ending:
        """Remember a failed start. Never raises, but for its cancelling."""
        ending = self._keep(Ending(datetime.now().astimezone(), error.user_message, str(error)))
        if state is not None and error.code in _MAY_HAVE_SPOKEN:
            ending = self._keep(replace(ending, lines=await self._last_lines(state)))
        return ending

    def _has_died(self, answer: ServerStatus, state: JsonObject | None) -> None:
        """Remember a death; the lines come later, since a poll does not wait for them."""
        ending = self._keep(_ending(answer))
        if state is not None:
            self._asking_for_lines = asyncio.ensure_future(self._add_lines(ending, state))

    def _is_going_down(self, answer: ServerStatus) -> None:
        """Tell once, while the server still lives, that the cloud takes it down, as it does with a spot task."""
        ending, last = _ending(answer), self._last_ending()
        if last is None or last.original != ending.original:
            self.spawner.log.warning(
                "%s: the cloud takes it down: %s", self.spawner._log_name, ending.original or ending.sentence
            )
            self._keep(ending)

    async def _add_lines(self, ending: Ending, state: JsonObject) -> None:
        if (lines := await self._last_lines(state)) and self._last_ending() == ending:
            self._keep(replace(ending, lines=lines))
            self._save_late()

    def _keep(self, ending: Ending) -> Ending:
        try:
            env = self.spawner.get_env()
        except Exception:
            # The admin's functions are in it.
            self.spawner.log.exception("%s: its environment could not be told", self.spawner._log_name)
            env = {}
        kept = replace(ending, original=scrubbed(ending.original, env))
        Endings.of(self.spawner.user.settings).put(self.spawner.orm_spawner.id, kept)
        return kept

    def _save_late(self) -> None:
        """Save what came after the hub's own saving, unless the server has started meanwhile."""
        session = self.spawner._session()
        try:
            row = self.spawner.orm_spawner
            if row.state and set(row.state) == {_LAST_ENDING}:
                row.state = self._stored_ending()
                session.commit()
        except Exception:
            self.spawner.log.exception("%s: why it ended could not be saved", self.spawner._log_name)
            if session is not None:
                session.rollback()

    async def _last_lines(self, state: JsonObject) -> tuple[str, ...]:
        spawner = self.spawner
        try:
            cloud: Cloud = spawner.cloud
            params: LogsParams = {
                "backend": cloud.backend,
                "config": cloud.cloud_config(),
                "credentials": cloud.credentials(),
                "server": spawner._identity(),
                "state": state,
                "lines": MOST_LINES,
            }
            result = await spawner._program().request("logs", params, timeout_ms=_LOGS_TIMEOUT_MS)
            lines = clean((line.get("message", "") for line in result["lines"]), spawner.get_env())
        except ProgramError as error:
            spawner.log.info("%s: its log could not be read: %s", spawner._log_name, error)
            return ()
        except Exception:
            spawner.log.exception("%s: the log lines could not be read", spawner._log_name)
            return ()
        if lines:
            spawner.log.warning("%s: it wrote last:\n%s", spawner._log_name, "\n".join(lines))
        return lines


def _ending(answer: ServerStatus) -> Ending:
    """What a poll tells of an end; where the cloud itself was the reason, the program has a sentence for it."""
    code = answer.get("exit_code")
    sentence = of_status(code if isinstance(code, int) else None)
    if error := answer.get("error"):
        sentence = ProgramError.from_frame({"error": error}).user_message or sentence
    return Ending(datetime.now().astimezone(), sentence, str(answer.get("reason") or ""))
