"""gc: what the hub still knows is kept, the rest of what bears its mark is stale."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from jupyterhub import orm

from .program import Program
from .wire import GcParams, GcResult, JsonObject, Server, Target

# protocol.md's default for gc.
_GC_TIMEOUT_MS = 300_000


async def collect_garbage(program: Program, params: GcParams, session: Any) -> GcResult:
    """Run gc for all servers of a hub's database.

    Args:
        program: the hub's program.
        params: gc's params; `keep` is filled in here.
        session: the hub's database session (SQLAlchemy).

    Raises:
        ProgramError: the program failed; nothing was removed on a guess.
    """
    targets = _known_servers(session, params["hub"])
    backend, config, credentials = params["backend"], params["config"], params["credentials"]
    # A renamed user's server bears the key of the old name, which only the program reads from the state.
    answers = await asyncio.gather(
        *(program.polls.ask(backend, config, credentials, 0, target) for target in targets if target["state"])
    )
    keep: list[JsonObject] = [{"server": target["server"]} for target in targets]
    keep += [{"key": answer["key"]} for answer in answers if answer.get("key")]
    return cast("GcResult", await program.request("gc", {**params, "keep": keep}, timeout_ms=_GC_TIMEOUT_MS))


def _known_servers(session: Any, hub: str) -> list[Target]:
    """Every server that the hub has not given up: one with an address, or with a state."""
    targets: list[Target] = []
    for row in session.query(orm.Spawner):
        cloud = row.state.get("cloud") if isinstance(row.state, dict) else None
        if row.server is not None or cloud:
            server: Server = {"hub": hub, "user": row.user.name, "name": row.name}
            targets.append({"server": server, "state": cloud if isinstance(cloud, dict) else None})
    return targets
