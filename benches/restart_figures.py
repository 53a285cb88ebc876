"""A hub that is started again over a thousand servers that run: which it keeps, and how long its polls take.

A real hub, with a database as it was before; the tasks are simulated, and one small HTTP server answers for all of
them. The same hub with a spawner whose poll only waits for its turn shows what is the hub's own.
"""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from pathlib import Path

from hub_side import Json
from table import Figure
from tls_front import Front

from support import program
from support.emulator import KEY, Emulator
from support.hub import Hub, wait_for
from support.light_server import Answer
from support.local_server import LocalServer
from support.states import state_of

SERVERS = 1_000
LATENCY_MS = 20
SLOWEST_S, BEYOND_IDLE_S = 3, 1
# Three hubs have four minutes.
PATIENCE_S = 120
PAGE = 200
# The same for all three: how long each poll takes.
TIMED = """
import time
class Timed(Base):
    async def poll(self):
        began = time.monotonic()
        try:
            return await super().poll()
        finally:
            with open("polls", "a") as file:
                file.write(f"{time.monotonic() - began}\\n")
c.JupyterHub.spawner_class = Timed
"""
IDLE = """
import asyncio
from jupyterhub.spawner import Spawner
class Base(Spawner):
    async def start(self): ...
    async def stop(self, now=False): ...
    async def poll(self): await asyncio.sleep(0)
"""


def figures(folder: Path, *, peer: bool) -> list[Figure]:
    """What each hub kept, killed and forgot."""
    idle, ours = restarted(folder, "idle"), restarted(folder, "ours")
    theirs = restarted(folder, "peer") if peer else {}
    after = f"after a restart of the hub over {SERVERS:,}"
    slowest = "the slowest poll of that restart"

    def both(what: str, name: str, unit: str = "", target: float | None = None) -> Figure:
        return Figure(name, ours[what], unit, target, theirs.get(what), of_both=True)

    return [
        both("kept", f"servers that the hub keeps {after}"),
        both("killed", f"servers that are killed {after}", target=1),
        both("orphaned", f"servers that run on and are forgotten {after}", target=1),
        both("slowest_s", slowest, "s", SLOWEST_S),
        Figure(
            f"{slowest}, beyond the same hub with a no-op spawner",
            max(0.0, ours["slowest_s"] - idle["slowest_s"]),
            "s",
            BEYOND_IDLE_S,
            more=f" (a no-op's: {idle['slowest_s']:.2f})",
        ),
    ]


def restarted(folder: Path, which: str) -> Json:
    """One hub, on an account of its own."""
    place = folder / which
    place.mkdir()
    with (
        LocalServer(Answer) as answers,
        Emulator("--latency-ms", str(LATENCY_MS), check_model=False) as emulator,
        Front(place, emulator.url) as front,
    ):
        answers.server.socket.listen(SERVERS)  # a hub knocks at all of them at once
        port = answers.server.server_port
        arns = emulator.run(SERVERS)
        emulator.wait_for_status("RUNNING")
        if which == "peer":
            states = [{"task_arn": arn, "task_cluster_arn": emulator.ready["cluster"]} for arn in arns]
        else:
            at: Json = {"url": f"http://127.0.0.1:{port}", "port": port, "endpoint": front.url}
            clouds = [state_of(emulator, number, ref=arn, **at) for number, arn in enumerate(arns)]
            states = [{"cloud": cloud, "url": at["url"]} for cloud in clouds]
        remember(place / "jupyterhub.sqlite", states, port)
        emulator.settings(quotas="documented")
        hub = Hub(place, emulator.env(AWS_ENDPOINT_URL="", **front.trust), traits=traits(which, front, port))
        try:
            hub.start()
            wait_for("the hub has looked at all servers", lambda: "Initialized" in hub.log(), PATIENCE_S, pause=1)
            kept, alive = ready(hub), len(emulator.alive())
        finally:
            hub.process.terminate()
            hub.process.wait(60)
        slowest_s = max(map(float, (place / "polls").read_text().split()))
        return {"kept": kept, "killed": SERVERS - alive, "orphaned": alive - kept, "slowest_s": slowest_s}


def traits(which: str, front: Front, port: int) -> str:
    """The spawner's part of a hub's configuration."""
    if which == "idle":
        return IDLE + TIMED
    package = {"ours": "cloudspawner", "peer": "fargatespawner"}[which]
    key = "FargateSpawnerSecretAccessKeyAuthentication"
    own = f"c.FargateSpawner.program = [{program.path()!r}]" if which == "ours" else ""
    return f"""
from {package} import {key}, FargateSpawner as Base
c.FargateSpawner.aws_region = "eu-west-1"
c.FargateSpawner.aws_ecs_host = {front.host!r}
c.FargateSpawner.notebook_port = {port}
c.FargateSpawner.notebook_scheme = "http"
c.FargateSpawner.get_run_task_args = lambda spawner: {{"cluster": "notebooks"}}
c.FargateSpawner.authentication_class = {key}
c.{key}.aws_access_key_id, c.{key}.aws_secret_access_key = {KEY!r}
{own}
{TIMED}
"""


def remember(database: Path, states: list[Json], port: int) -> None:
    """A hub's database in which all of these run."""
    from jupyterhub import orm, roles  # noqa: PLC0415 - the other figures do not need it

    logging.disable(logging.INFO)  # else alembic tells of each new database
    db = orm.new_session_factory(f"sqlite:///{database}")()
    for role in roles.get_default_roles():
        roles.create_role(db, role)
    usual = orm.Role.find(db, "user")
    for number, state in enumerate(states):
        name = f"user{number}"
        where = {"proto": "http", "ip": "127.0.0.1", "port": port, "base_url": f"/user/{name}/", "cookie_name": name}
        started = datetime.now(timezone.utc).replace(tzinfo=None)  # the hub stores UTC without a zone
        user, server = orm.User(name=name, roles=[usual]), orm.Server(**where)
        db.add(orm.Spawner(name="", user=user, server=server, state=state, started=started))
    db.commit()
    db.close()


def ready(hub: Hub) -> int:
    """How many servers the hub says are ready."""
    count = 0
    while found := hub.api("GET", f"users?state=ready&limit={PAGE}&offset={count}").json():
        count += len(found)
    return count
