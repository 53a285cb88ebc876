"""Two clouds in the same words, so that one table of faults and one test serve both.

A call is named for what it is for: `create` makes a server, `look` asks how it is, `find` looks for it by its key, `remove`
takes it down, `token` asks for the right to call at all.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from support import ask, program, states
from support.azure import Azure
from support.emulator import Emulator, wait_until

Json = dict[str, Any]

SLOW_ECS: Json = {"provisioning": 600_000, "pending": 600_000}
SLOW_AZURE: Json = {"creating": 600_000, "starting": 600_000}


class Cloud:
    """A local cloud and the program before it; `reset` makes it as new, which takes a hundredth of a second."""

    name: str
    calls_for: ClassVar[Mapping[str, str]]
    """What the cloud calls each call."""
    local: Emulator

    def reset(self) -> None:
        """No server, no fault, no call yet, and the usual delays."""
        raise NotImplementedError

    def befall(self, call: str, kind: str, **more: object) -> None:
        """Something goes wrong with a call from now on."""
        raise NotImplementedError

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        raise NotImplementedError

    def slow(self) -> None:
        """Nothing that is created from now on comes up in a test's time."""
        raise NotImplementedError

    def calls(self, call: str) -> int:
        """How often a call was made since the reset."""
        raise NotImplementedError

    def alive(self) -> set[str]:
        """The names of all servers that cost something and that nobody has asked to end."""
        raise NotImplementedError

    def vanish(self) -> None:
        """Whatever there is goes without a trace."""
        raise NotImplementedError

    def running(self) -> Json:
        """The state of a server that runs."""
        raise NotImplementedError

    def request(self, verb: str, timeout_ms: int, state: Json | None = None, **params: Any) -> Json:
        """A request for Ada's server."""
        raise NotImplementedError

    def env(self) -> dict[str, str]:
        """The program's environment."""
        return self.local.env(CLOUDSPAWNER_LOG="debug")

    def run(self, verb: str, timeout_ms: int, state: Json | None = None, **params: Any) -> program.Finished:
        """One run of the program for Ada's server."""
        return program.run(verb, self.request(verb, timeout_ms, state, **params), self.env())

    def status(self, state: Json, timeout_ms: int = 10_000) -> Json:
        """What a poll tells of the server with this state."""
        (status,) = self.run("poll", timeout_ms, state).result["servers"]
        told: Json = status
        return told


class Fargate(Cloud):
    """ECS."""

    name = "fargate"
    calls_for: ClassVar[Mapping[str, str]] = {
        "create": "RunTask",
        "look": "DescribeTasks",
        "find": "ListTasks",
        "remove": "StopTask",
    }
    delays: ClassVar[Json] = {
        "provisioning": 30,
        "pending": 50,
        "activating": 0,
        "deactivating": 0,
        "stopping": 20,
        "deprovisioning": 20,
    }

    def __init__(self, local: Emulator) -> None:
        """Before this emulator."""
        self.local = local

    def reset(self) -> None:
        self.local.admin("reset", {})
        self.local.settings(delays=self.delays, visible_after_ms=0)

    def befall(self, call: str, kind: str, **more: object) -> None:
        self.local.fault(self.calls_for.get(call, call), kind, **more)

    def heal(self) -> None:
        self.local.clear_faults()

    def slow(self) -> None:
        self.local.settings(delays=SLOW_ECS)

    def calls(self, call: str) -> int:
        return self.local.calls(self.calls_for[call])

    def alive(self) -> set[str]:
        return {task["arn"] for task in self.local.alive()}

    def vanish(self) -> None:
        for task in self.local.tasks():
            self.local.forget(task)

    def running(self) -> Json:
        state = states.running(self.local)
        self.local.reset_calls()
        return state

    def request(self, verb: str, timeout_ms: int, state: Json | None = None, **params: Any) -> Json:
        if verb == "poll":
            return ask.poll(ask.target(state), timeout_ms=timeout_ms, **params)
        make = ask.start if verb == "start" else ask.stop
        return make(timeout_ms=timeout_ms, state=state, **params)


class AzureMl(Cloud):
    """Azure Machine Learning, Resource Manager and Entra ID."""

    name = "azure_ml"
    calls_for: ClassVar[Mapping[str, str]] = {
        "create": "computes.put", "look": "computes.get", "find": "computes.list", "remove": "computes.stop",
        "delete": "computes.delete", "wake": "computes.start", "token": "token", "operation": "operations.get",
    }  # fmt: skip
    delays: ClassVar[Json] = {
        "creating": 60, "setting_up": 0, "user_setting_up": 20, "starting": 50, "stopping": 50, "restarting": 50,
        "deleting": 50, "workspace": 20,
    }  # fmt: skip

    def __init__(self, local: Azure) -> None:
        """Before this emulator."""
        self.local: Azure = local

    def reset(self) -> None:
        self.local.azure_admin("reset", {})
        self.local.azure_admin("settings", {"delays": self.delays, "visible_after_ms": 0, "endpoint_style": "official"})

    def befall(self, call: str, kind: str, **more: object) -> None:
        self.local.azure_fault(self.calls_for.get(call, call), kind, **more)

    def heal(self) -> None:
        self.local.azure_admin("faults", method="DELETE")

    def slow(self) -> None:
        self.local.azure_admin("settings", {"delays": {**self.delays, **SLOW_AZURE}})

    def calls(self, call: str) -> int:
        return self.local.azure_calls(self.calls_for[call])

    def alive(self) -> set[str]:
        ended = ("Stopped", "Stopping", "Deleting", "Deleted")
        return {instance["name"] for instance in self.local.instances() if instance["state"] not in ended}

    def vanish(self) -> None:
        for instance in self.local.instances():
            self.local.azure_admin(f"instances/{instance['name']}/forget", {})

    def running(self) -> Json:
        key, place = states.key(), self.local.azure
        tags = {"cloudspawner-key": key, "cloudspawner-hub": "prod", "cloudspawner-attempt": "attempt-0000"}
        self.local.azure_admin("instances", {"name": "csada-habcdefghijk", "workspace": place["workspace"], "tags": tags})
        data = {
            "key": key, "hub": "prod", "attempt": "attempt-0000", "attempted_at_ms": states.now_ms(),
            "service_prefix": "/user/ada/", "ref": "csada-habcdefghijk", "url": "https://example.instances.azureml.ms/lab",
            "subscription_id": place["subscription"], "resource_group": place["resource_group"], "workspace": place["workspace"],
        }  # fmt: skip
        return {"v": 1, "backend": "azure_ml", "data": data}

    def request(self, verb: str, timeout_ms: int, state: Json | None = None, **params: Any) -> Json:
        if verb == "poll":
            targets = [{"server": ask.server(), "state": state}]
            return self.local.ask("poll", timeout_ms=timeout_ms, targets=targets, **params)
        return self.local.ask(verb, timeout_ms=timeout_ms, state=state, **params)


@contextmanager
def opened() -> Iterator[dict[str, Cloud]]:
    """Both clouds, by their backends' names, until the end of the `with` block."""
    # The other tests hold the same requests against the clouds' models, which takes a tenth of a second each.
    with Emulator(check_model=False) as ecs, Azure(check_model=False) as azure:
        yield {cloud.name: cloud for cloud in (Fargate(ecs), AzureMl(azure))}


def wait_for(cloud: Cloud, state: str) -> None:
    """Waits until every server that there ever was is in a state."""
    servers = cloud.local.tasks if isinstance(cloud, Fargate) else cloud.local.instances  # type: ignore[attr-defined]
    wait_until(lambda: all(server.get("status", server.get("state")) == state for server in servers()))
