"""gc: what the hub still knows is kept, the rest of what bears its mark is stale.

It runs by itself where the admin gave the hub a name: a look when the hub makes its first spawner, then one each
interval. What two looks in a row found is removed, so that nothing goes on one answer of a database or a cloud.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from logging import DEBUG, WARNING, Logger
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy
from jupyterhub import orm
from sqlalchemy.orm import joinedload
from traitlets import Float

from .errors import ConfigurationError
from .metrics import GC_LOOKS, GC_REMOVED, GC_STALE
from .parts import Part
from .polling import Question, Watched
from .wire import GcParams, GcResult, JsonObject, ProgramError, Server, Target

if TYPE_CHECKING:
    from .cloud import Cloud
    from .program import Program

# protocol.md's default for gc.
_GC_TIMEOUT_MS = 300_000
# Only the key is asked for, which does not change: whatever the program has seen of a server in this hour will do.
_KEY_AGE_MS = 3_600_000
# Rows of the database that are read without a pause: some 15 ms of the hub's loop.
_ROWS_AT_ONCE = 100
# A hub that restarts first asks how its servers are (its init_spawners_timeout); the first look comes after that.
_FIRST_LOOK_SECONDS = 10.0
# Each is a look at the cloud in each interval; settings that differ from user to user must not become a storm.
_MOST_PLACES = 50


async def collect_garbage(program: Program, params: GcParams, session: Any) -> GcResult:
    """Run gc for all servers of a hub's database.

    Args:
        program: the hub's program.
        params: gc's params; `keep` is filled in here.
        session: the hub's database session (SQLAlchemy).

    Raises:
        ProgramError: the program failed; nothing was removed on a guess.
    """
    backend, config, credentials = params["backend"], params["config"], params["credentials"]
    known = await _known_servers(session, params["hub"])
    # A renamed user's server bears the key of the old name, which only the program reads from the state.
    answers = await asyncio.gather(
        *(
            program.polls.ask(Watched(partial(Question, backend, config, credentials, _KEY_AGE_MS, target)))
            for target in known
            if (target["state"] or {}).get("backend", backend) == backend and target["state"]
        )
    )
    keep: list[JsonObject] = [{"server": target["server"]} for target in known]
    keep += [{"key": answer["key"]} for answer in answers if answer.get("key")]
    return cast("GcResult", await program.request("gc", {**params, "keep": keep}, timeout_ms=_GC_TIMEOUT_MS))


async def _known_servers(session: Any, hub: str) -> list[Target]:
    """Every server that the hub has not given up: it has an address from before its start until its stop is over.

    A state alone is no sign: a hub that is killed at a stop's end has taken away the address, and not yet the state.
    """
    rows = (
        sqlalchemy.select(orm.Spawner)
        .where(orm.Spawner.server_id.is_not(None))
        .options(joinedload(orm.Spawner.user).load_only(orm.User.name))
        .order_by(orm.Spawner.id)
        .limit(_ROWS_AT_ONCE)
    )
    targets: list[Target] = []
    last = 0
    while page := session.scalars(rows.where(orm.Spawner.id > last)).all():
        for row in page:
            cloud = row.state.get("cloud") if isinstance(row.state, dict) else None
            server: Server = {"hub": hub, "user": row.user.name, "name": row.name}
            targets.append({"server": server, "state": cloud if isinstance(cloud, dict) else None})
        last = page[-1].id
        await asyncio.sleep(0)  # the hub's loop goes on between two pages
    return targets


@dataclass
class _Place:
    """Where one set of settings leads, and what the last look found there."""

    params: GcParams = field(repr=False)
    session: Any = field(repr=False)
    suspects: list[str] = field(default_factory=list)
    problem: str = ""


class Housekeeper:
    """Looks for stale servers in each place that the hub's spawners name, and removes what two looks in a row found.

    One for each program: however many spawners ask, each place has one task. The hub's end cancels it.
    """

    def __init__(self, program: Program, log: Logger) -> None:
        self._program = program
        self._log = log
        self._places: dict[str, _Place] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def look_after(self, params: GcParams, interval: float, session: Any) -> None:
        """Begin with a place, or take its newest credentials.

        Args:
            params: gc's params; `keep`, `apply` and `only` are filled in here.
            interval: seconds between two looks.
            session: the hub's database session.
        """
        key = repr((params["backend"], params["config"], params["hub"]))
        if place := self._places.get(key):
            place.params, place.session = params, session
        elif len(self._places) < _MOST_PLACES:
            place = self._places[key] = _Place(params, session)
            self._tasks.append(asyncio.ensure_future(self._keep_looking(place, interval)))
            if len(self._places) == _MOST_PLACES:
                self._log.warning("gc looks at no more than %d places by itself; run it by hand", _MOST_PLACES)

    def close(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()

    async def _keep_looking(self, place: _Place, interval: float) -> None:
        await asyncio.sleep(min(_FIRST_LOOK_SECONDS, interval))
        while True:
            await self.look(place)
            await asyncio.sleep(interval)

    async def look(self, place: _Place) -> None:
        """Look once: remove what the last look found, too. Never raises, but for its own cancelling."""
        suspects, place.suspects = place.suspects, []
        # With `only` no other server goes; what homes have left behind in the cloud goes with `apply` alone.
        apply = bool(suspects) or "storage" in place.params["config"]
        params: GcParams = {**place.params, "apply": apply, "force": False, "only": suspects}
        try:
            result = await collect_garbage(self._program, params, place.session)
        except ProgramError as error:
            self._failed(place, str(error))
            return
        except Exception as error:
            # The database's, mostly. The next look starts over.
            self._failed(place, repr(error))
            return
        removed = set(result["removed"])
        GC_LOOKS.labels("done").inc()
        GC_REMOVED.inc(len(removed))
        place.suspects = [stale["ref"] for stale in result["stale"] if stale["ref"] not in removed]
        backends = {other.params["backend"]: 0 for other in self._places.values()}
        for other in self._places.values():
            backends[other.params["backend"]] += len(other.suspects)
        for backend, count in backends.items():
            GC_STALE.labels(backend).set(count)
        for ref, key in ((stale["ref"], stale["key"]) for stale in result["stale"]):
            if ref in removed:
                self._log.info("gc removed %s (%s), which belonged to no server of this hub", ref, key)
            elif ref not in suspects:
                self._log.info("gc will remove %s (%s) unless it is in use at the next look", ref, key)
        self._tell(place, "; ".join(str(ProgramError.from_frame({"error": error})) for error in result["errors"]))

    def _failed(self, place: _Place, why: str) -> None:
        GC_LOOKS.labels("failed").inc()
        self._tell(place, f"gc did nothing: {why}")

    def _tell(self, place: _Place, problem: str) -> None:
        """Warn once of what lasts: it comes with each look."""
        if problem:
            self._log.log(DEBUG if problem == place.problem else WARNING, "%s", problem)
        place.problem = problem


class HousekeepingTraits(Part):
    """The part of `CloudSpawner` that is about gc."""

    gc_interval = Float(
        900,
        min=0,
        help="""
        Seconds between two looks for servers that run in the cloud and belong to no server of this hub, as after a
        lost database; what two looks in a row find is removed. Needs hub_id.

        Fifteen minutes by default: an orphan costs half an hour at most, a look a few calls. 0 switches it off.
        Example: `3600`.
        """,
    ).tag(config=True)

    gc_min_age = Float(
        900,
        min=0,
        help="""
        Seconds for which gc leaves a server alone after its creation, whoever it belongs to.

        Fifteen minutes by default, as long as the gap between two looks. Example: `1800`.
        """,
    ).tag(config=True)

    async def gc(self, *, apply: bool = False, force: bool = False, min_age_ms: int | None = None) -> GcResult:
        """Find, and with `apply` remove, what bears this hub's mark and belongs to no server of its database.

        Args:
            apply: remove; otherwise the result is a plan. Needs the trait hub_id.
            force: go on although more than five servers, and more than half of all, would be removed.
            min_age_ms: younger ones are left alone; gc_min_age by default.

        Raises:
            ConfigurationError: `apply` without hub_id.
            ProgramError: the program failed; nothing was removed on a guess.
        """
        spawner = self.spawner
        if apply and not spawner.hub_id:
            raise ConfigurationError(f"gc with apply needs {type(self).__name__}.hub_id to be set")
        result: GcResult = {"stale": [], "removed": [], "errors": []}
        for cloud in spawner.clouds():
            params = self._gc_params(cloud)
            params["apply"], params["force"] = apply, force
            if min_age_ms is not None:
                params["min_age_ms"] = min_age_ms
            found = await collect_garbage(spawner._program(), params, spawner._session())
            result["stale"] += found["stale"]
            result["removed"] += found["removed"]
            result["errors"] += found["errors"]
        return result

    def _gc_params(self, cloud: Cloud) -> GcParams:
        return {
            "backend": cloud.backend,
            "config": cloud.gc_config(self.spawner._overrides_on(cloud.backend)),
            "credentials": cloud.credentials(),
            "hub": self.spawner._hub_name(),
            "keep": [],
            "min_age_ms": int(self.gc_min_age * 1000),
            "apply": False,
            "force": False,
        }

    def _begin_housekeeping(self) -> None:
        """Have gc run by itself. JupyterHub gives a spawner class no hook at its start, so the first spawner begins."""
        spawner = self.spawner
        if not (spawner.hub_id and self.gc_interval):
            return
        for cloud in spawner.clouds():
            try:
                asyncio.get_running_loop()
                keeper = spawner._program().housekeeper
                keeper.look_after(self._gc_params(cloud), self.gc_interval, spawner._session())
            except Exception as error:
                # Settings that are missing are told by the start that needs them.
                spawner.log.debug("gc does not run by itself yet: %s", error)
