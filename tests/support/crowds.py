"""Many users before simulated clouds: a real hub, servers that are there in seconds, and what the cloud itself says of them.

A simulated task is at 127.0.0.1, so one small HTTP server answers the hub's question whether a server is up for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import program
from support.azure import APP, Azure
from support.emulator import Emulator
from support.hub import TRAITS, Hub
from support.light_server import Answer
from support.local_server import LocalServer
from support.ports import free_port

Json = dict[str, Any]

CROWD = """
c.JupyterHub.concurrent_spawn_limit = 0
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0, "slow_stop_timeout": 0}
c.JupyterHub.load_roles = [{
    "name": "test", "services": ["test"],
    "scopes": ["admin:users", "admin:servers", "list:users", "admin:server_state", "read:metrics"],
}]
c.Spawner.poll_interval = 2
c.Spawner.http_timeout = 15
c.Spawner.start_timeout = 40
c.CloudSpawner.gc_interval = 0
# A child that is killed every second would soon be started again only every 15 s.
import cloudspawner.program
cloudspawner.program._RESTART_PAUSES = (0.0, 0.1)
cloudspawner.program._REPEAT_PAUSES = (0.05, 0.2)
"""


@dataclass
class Fargate:
    """ECS, simulated."""

    emulator: Emulator
    port: int
    name = "fargate"
    calls = ("RunTask", "DescribeTasks", "StopTask", "ListTasks")

    def config(self, hub_id: str = "crowd") -> str:
        """A hub's configuration."""
        lines = f"c.FargateSpawner.hub_id = {hub_id!r}\nc.FargateSpawner.port = {self.port}\n"
        return CROWD + f"c.CloudSpawner.program = [{program.path()!r}]\n" + TRAITS + lines

    def alive(self) -> list[tuple[str, str]]:
        """Key and name of everything that nobody has asked to stop."""
        return [(task["started_by"], task["arn"]) for task in self.emulator.alive() if task["status"] != "STOPPED"]

    def fault(self, call: str, kind: str, **more: object) -> None:
        """Something goes wrong with one of `calls` from now on."""
        self.emulator.fault(call, kind, **more)

    def refuse_stops(self) -> None:
        """No stop is accepted from now on."""
        self.fault("StopTask", "access_denied", count=None)

    def heal(self) -> None:
        """All is well again."""
        self.emulator.clear_faults()


@dataclass
class AzureMl:
    """Azure Machine Learning, simulated."""

    emulator: Azure
    port: int
    name = "azure_ml"
    calls = ("computes.put", "computes.get", "computes.list", "computes.start", "computes.stop")

    def config(self, hub_id: str = "crowd") -> str:
        """A hub's configuration."""
        azure = self.emulator.azure
        return (
            CROWD
            + f"""
c.CloudSpawner.program = [{program.path()!r}]
c.JupyterHub.spawner_class = "azure_ml"
c.AMLSpawner.hub_id = {hub_id!r}
c.AMLSpawner.subscription_id = {azure["subscription"]!r}
c.AMLSpawner.resource_group = {azure["resource_group"]!r}
c.AMLSpawner.workspace = {azure["workspace"]!r}
c.AMLSpawner.vm_size = "STANDARD_DS11_V2"
c.AMLSpawner.credential_kind = "client_secret"
c.AMLSpawner.tenant_id = {azure["tenant"]!r}
c.AMLSpawner.client_id = {APP[0]!r}
c.AMLSpawner.client_secret = {APP[1]!r}
c.AMLSpawner.management_endpoint = {azure["management"]!r}
c.AMLSpawner.authority_host = {azure["authority"]!r}
c.AMLSpawner.redirect_listen = "127.0.0.1:{self.port}"
"""
        )

    def alive(self) -> list[tuple[str, str]]:
        """Key and name of everything that runs or is on its way up."""
        down = {"Stopped", "Stopping", "Deleting", "Deleted"}
        rows = [row for row in self.emulator.instances() if row["state"] not in down]
        return [(row["tags"].get("cloudspawner-key", ""), row["name"]) for row in rows]

    def fault(self, call: str, kind: str, **more: object) -> None:
        """Something goes wrong with one of `calls` from now on."""
        self.emulator.azure_fault(call, kind, **more)

    def refuse_stops(self) -> None:
        """No stop is accepted from now on."""
        self.fault("computes.stop", "access_denied", count=None)

    def heal(self) -> None:
        """All is well again."""
        self.emulator.azure_admin("faults", method="DELETE")


Cloud = Fargate | AzureMl


@contextmanager
def cloud(name: str) -> Iterator[Cloud]:
    """A simulated cloud by its backend's name, whose servers take about a second to start."""
    if name == "azure_ml":
        delays = "creating=600,setting_up=0,user_setting_up=0,starting=400,stopping=300,deleting=200"
        with Azure(delays=delays, check_model=False) as azure:
            yield AzureMl(azure, free_port())
        return
    delays = "provisioning=300,pending=400,activating=0,deactivating=0,stopping=100,deprovisioning=50"
    with LocalServer(Answer) as answers, Emulator(delays=delays, check_model=False) as emulator:
        yield Fargate(emulator, answers.server.server_port)


def hub_before(there: Cloud, folder: Path, more: str = "", hub_id: str = "crowd") -> Hub:
    """A hub that is not started yet; `more` is Python that follows its configuration."""
    return Hub(folder, there.emulator.env(), more, traits=there.config(hub_id))


@dataclass(frozen=True)
class Seen:
    """What the hub says of one server."""

    ready: bool
    pending: bool
    key: str
    ref: str


def servers(hub: Hub) -> dict[str, Seen]:
    """Every server that the hub knows of, by user; who has none is not in it."""
    seen = {}
    for user in hub.api("GET", "users?limit=200").json():
        for server in user["servers"].values():
            data = ((server.get("state") or {}).get("cloud") or {}).get("data") or {}
            seen[user["name"]] = Seen(server["ready"], bool(server["pending"]), data.get("key") or "", data.get("ref") or "")
    return seen
