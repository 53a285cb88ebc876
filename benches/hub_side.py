"""The hub's side of the figures: real spawner objects in a process of their own, ours or the peer's.

`Side` starts it and talks to it in JSON lines; run as a program (`hub_side.py ours|peer|azure|idle`) it makes the
spawners as the hub does, from a database and the hub's settings, and calls their methods. There is no hub around them:
what a hub does for a server besides (its own queries, its proxy's routes) is the same for every spawner.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import random
import select
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

PACKAGES = {"ours": "cloudspawner", "peer": "fargatespawner"}
# How long the loop's own watch sleeps; what it oversleeps is a stall.
TICK_MS = 1
# Nothing that is asked takes as long, on a busy machine either, unless it never ends.
PATIENCE_S = 600

Json = dict[str, Any]


class Side:
    """One process of spawners; requests are answered one at a time."""

    def __init__(self, which: str, env: dict[str, str], *, host: str, program: str) -> None:
        """Start it.

        Args:
            which: "ours" or "peer" for Fargate; "azure", or "idle", which does nothing.
            env: its environment.
            host: the ECS host, for `aws_ecs_host`; for "azure" AMLSpawner's traits as JSON.
            program: where our program is.
        """
        self.process = subprocess.Popen(  # noqa: S603 - this very file
            [sys.executable, "-W", "ignore", __file__, which, host, program],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Side:
        """The side itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.process.communicate()

    def begin(self, do: str, **arguments: object) -> None:
        """Ask for something; `end` waits for it."""
        assert self.process.stdin  # noqa: S101 - it is PIPE
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()

    def end(self) -> Any:
        """The answer to what was begun."""
        assert self.process.stdout  # noqa: S101 - it is PIPE
        if not select.select([self.process.stdout], [], [], PATIENCE_S)[0]:
            self.process.kill()
            raise RuntimeError(f"no answer in {PATIENCE_S} s")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the process with the spawners ended; its log is above")
        return json.loads(line)

    def ask(self, do: str, **arguments: object) -> Any:
        """Both at once."""
        self.begin(do, **arguments)
        return self.end()

    def children(self) -> list[int]:
        """The process ids of the `serve` children, of which there are several only while `fill`ed."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                name, _, rest = stat.read_text().rpartition(")")
            except OSError:
                continue  # it has ended meanwhile
            if int(rest.split()[1]) == self.process.pid and "(cloudspawner" in name:
                found.append(int(stat.parent.name))
        return found


def run_task_args(spawner: Any) -> Json:
    """RunTask's arguments as fargatespawner's README has them; the same function configures both."""
    environment = [{"name": name, "value": value} for name, value in sorted(spawner.get_env().items())]
    command = [*spawner.cmd, *spawner.get_args()]
    return {
        "cluster": "notebooks",
        "taskDefinition": "notebook",
        "overrides": {"containerOverrides": [{"name": "notebook", "command": command, "environment": environment}]},
        "count": 1,
        "launchType": "FARGATE",
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": ["subnet-0123abcd"],
                "securityGroups": ["sg-0123abcd"],
                "assignPublicIp": "DISABLED",
            }
        },
    }


def fargate(which: str, host: str, program: str) -> tuple[type, Json]:
    """The class of ours or the peer's, and its configuration."""
    package = import_module(PACKAGES[which])
    spawner = {
        "aws_region": "eu-west-1",
        "aws_ecs_host": host,
        "notebook_port": 8888,
        "notebook_scheme": "http",
        "get_run_task_args": run_task_args,
        "authentication_class": package.FargateSpawnerSecretAccessKeyAuthentication,
    }
    if which == "ours":
        spawner["program"] = [program]
    key = {
        "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
    }
    traits = {"FargateSpawner": spawner, "FargateSpawnerSecretAccessKeyAuthentication": key}
    return package.FargateSpawner, traits


def azure(_: str, traits: str, program: str) -> tuple[type, Json]:
    """AMLSpawner, for which there is no peer."""
    spawner = {**json.loads(traits), "program": [program]}
    return import_module("cloudspawner").AMLSpawner, {"AMLSpawner": spawner}


def idle(*_: str) -> tuple[type, Json]:
    """A spawner that does nothing: what its starts and polls take is the measuring itself."""
    from jupyterhub.spawner import Spawner  # noqa: PLC0415

    class IdleSpawner(Spawner):
        async def start(self) -> str:
            return "http://127.0.0.1:1"

        async def poll(self) -> None:
            return None

        async def stop(self, now: bool = False) -> None:
            del now

    return IdleSpawner, {}


class Warnings(logging.Handler):
    """Counts them: our poll never raises, and says "alive" of what it could not find out."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """One more."""
        self.count += 1


class Spawners:
    """Makes and uses spawners of one package."""

    def __init__(self, which: str, host: str, program: str) -> None:
        from jupyterhub import orm  # noqa: PLC0415 - the process that measures does not need JupyterHub
        from jupyterhub.objects import Hub  # noqa: PLC0415
        from traitlets.config import Config  # noqa: PLC0415

        self.ours = which in ("ours", "azure")
        logging.disable(logging.INFO)  # else alembic tells of each new database
        self.db = orm.new_session_factory("sqlite:///:memory:")()
        spawner_class, traits = {"azure": azure, "idle": idle}.get(which, fargate)(which, host, program)
        self.settings = {
            "cookie_secret": b"0123456789abcdef" * 2,
            "hub": Hub(base_url="/hub/"),
            "config": Config(traits),
            "spawner_class": spawner_class,
            "allow_named_servers": True,
        }
        self.made: list[Any] = []
        self.total = 0
        self.warnings = Warnings()

    async def make(self, count: int) -> None:
        """So many spawners of users of their own, ready to start."""
        from jupyterhub import orm  # noqa: PLC0415
        from jupyterhub.objects import Server  # noqa: PLC0415
        from jupyterhub.user import User  # noqa: PLC0415

        rows = [orm.User(name=f"user{self.total + number}") for number in range(count)]
        servers = [orm.Server(base_url=f"/user/{row.name}/") for row in rows]
        self.total += count
        self.db.add_all([*rows, *servers])
        self.db.commit()
        self.made = []
        for row, server in zip(rows, servers, strict=True):
            spawner = User(row, self.settings, self.db).get_or_create_spawner("", "")
            spawner.server = Server(orm_server=server)
            spawner.clear_state()
            spawner.api_token = "0" * 32
            self.made.append(spawner)
        self.db.commit()
        self.made[0].log.addHandler(self.warnings)  # all share it; a second time changes nothing

    async def start(self, *, count: int) -> list[Json]:
        """Start so many at once; when each returned, and what."""
        await self.make(count)
        return await self.begin()

    async def begin(self) -> list[Json]:
        """Start those that were made."""
        return await asyncio.gather(*map(self._start, self.made))

    async def _start(self, spawner: Any) -> Json:
        try:
            url, error = await spawner.start(), None
        except Exception as failure:
            url, error = "", repr(failure)
        return {"user": spawner.user.name, "returned_at_ms": time.time() * 1000, "url": url, "error": error}

    async def storm(self, *, count: int) -> Json:
        """Start so many at once; what fails is cleaned up as the hub does it (`User.stop`): by a poll, then a stop.

        Returns:
            how many failed, and the seconds until the last of the others had its address.
        """

        async def one(spawner: Any) -> Json:
            answer = await self._start(spawner)
            if answer["error"]:
                with contextlib.suppress(Exception):  # the hub logs it
                    if await spawner.poll() is None:
                        await spawner.stop()
            return answer

        await self.make(count)
        began_ms = time.time() * 1000
        answers = await asyncio.gather(*map(one, self.made))
        returned = [answer["returned_at_ms"] for answer in answers if not answer["error"]]
        return {"failed": count - len(returned), "last_s": (max(returned, default=began_ms) - began_ms) / 1000}

    async def stop(self) -> None:
        """Stop all of them."""
        await asyncio.gather(*(spawner.stop() for spawner in self.made))

    async def fill(self, *, count: int, batch: int = 100) -> list[Json]:
        """Start so many, and give the states that the hub's database would keep of them.

        Each batch has a program of its own: one alone keeps to the cloud's quota of starts, which takes a minute for a
        thousand. All end at once when all runs.

        Raises:
            RuntimeError: a start failed.
        """
        states = []
        traits = self.settings["config"].FargateSpawner
        for number in range(count // batch):
            traits.program_env = {"BENCH_BATCH": str(number)}
            for answer in await self.start(count=batch):
                if answer["error"]:
                    raise RuntimeError(answer["error"])
            states += [spawner.get_state() for spawner in self.made]
        del traits["program_env"]
        return states

    async def close(self) -> None:
        """End our programs; the servers run on."""
        await import_module("cloudspawner.program").Program.close_all()

    async def adopt(self, *, states: list[Json]) -> None:
        """Make spawners of servers that run already, as after a restart of the hub."""
        await self.make(len(states))
        for spawner, state in zip(self.made, states, strict=True):
            spawner.load_state(state)

    async def poll(self, *, alone: int = 0, rounds: int = 1, interval: float = 30) -> Json:
        """Poll one server `alone` times in a row, or else all of them at once; so many rounds.

        Returns:
            CPU milliseconds of this process for each poll (the median of the rounds), and how many polls failed, or did
            not say that the server runs, or were warned of in the log.
        """
        for spawner in self.made:
            spawner.poll_interval = interval
        cpu_ms, wrong, polls = [], 0, alone or len(self.made)
        self.warnings.count = 0
        for _ in range(rounds):
            before = time.process_time()
            if alone:
                answers = [await self._poll(self.made[0]) for _ in range(alone)]
            else:
                answers = await asyncio.gather(*map(self._poll, self.made))
            cpu_ms.append((time.process_time() - before) * 1000 / polls)
            wrong += sum(answer is not None for answer in answers)
        return {"cpu_ms": median(cpu_ms), "wrong": wrong + self.warnings.count}

    async def poll_apart(self, *, count: int, pause_ms: int) -> Json:
        """Poll so many servers one by one, with a pause before each, which is not counted."""
        cpu_ms, wrong = 0.0, 0
        self.warnings.count = 0
        for spawner in self.made[:count]:
            spawner.poll_interval = 30
            await asyncio.sleep(pause_ms / 1000)
            before = time.process_time()
            wrong += await self._poll(spawner) is not None
            cpu_ms += (time.process_time() - before) * 1000
        return {"cpu_ms": cpu_ms / count, "wrong": wrong + self.warnings.count}

    async def poll_spread(self, *, seconds: float, rounds: int) -> Json:
        """Poll all of them each `seconds`, for so many rounds, first evenly spread, then with JupyterHub's own jitter.

        The CPU is the whole process's.
        """
        for spawner in self.made:
            spawner.poll_interval = seconds

        async def one(position: int, spawner: Any) -> int:
            await asyncio.sleep(seconds * position / len(self.made))
            wrong, chance = 0, random.Random(position)  # noqa: S311 - it is no secret
            for _ in range(rounds):
                # `Spawner.poll_jitter`: give or take a twentieth.
                next_at = time.monotonic() + seconds * (0.95 + 0.1 * chance.random())
                wrong += await self._poll(spawner) is not None
                await asyncio.sleep(max(0, next_at - time.monotonic()))
            return wrong

        self.warnings.count = 0
        before = time.process_time()
        wrong = sum(await asyncio.gather(*(one(*pair) for pair in enumerate(self.made))))
        cpu_ms = (time.process_time() - before) * 1000 / rounds / len(self.made)
        return {"cpu_ms": cpu_ms, "wrong": wrong + self.warnings.count}

    async def stalls(self, *, of: str, **arguments: Any) -> Json:
        """Do something of these, and tell the longest time for which the event loop was blocked meanwhile.

        Returns:
            what was answered, and milliseconds, of the loop's own watch, which wakes each millisecond.
        """
        longest, done = 0.0, False

        async def watch() -> None:
            nonlocal longest
            while not done:
                before = time.monotonic()
                await asyncio.sleep(TICK_MS / 1000)
                longest = max(longest, (time.monotonic() - before) * 1000 - TICK_MS)

        watching = asyncio.create_task(watch())
        await asyncio.sleep(0)
        answer = await getattr(self, of)(**arguments)
        done = True
        await watching
        return {"answer": answer, "longest_ms": longest}

    async def _poll(self, spawner: Any) -> object:
        try:
            return await spawner.poll()
        except Exception as failure:  # the hub takes it for a death; counted
            return repr(failure)


async def serve(spawners: Spawners) -> None:
    """Answer requests until stdin closes."""
    if not spawners.ours:
        # Its progress ends in a future that nobody reads, which asyncio tells of at each start.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        gc.collect()  # what was before shall not fall into what is measured
        answer = await getattr(spawners, request.pop("do"))(**request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    if spawners.ours:
        await spawners.close()


if __name__ == "__main__":
    asyncio.run(serve(Spawners(*sys.argv[1:])))
