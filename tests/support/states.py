"""States and running servers without a start: what the program would have written, made by the protocol's own rules."""

import base64
import hashlib
import time
from typing import Any

from support import ask
from support.azure import Azure
from support.emulator import Emulator

State = dict[str, Any]


def now_ms() -> int:
    """The time of day."""
    return time.time_ns() // 1_000_000


def _hash(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part.encode()).to_bytes(8, "big") + part.encode())
    return base64.b32encode(digest.digest()).decode().lower()


def key(user: str = "ada", name: str = "", hub: str = "prod") -> str:
    """A server's key, made as the protocol says ("Names")."""
    readable = "".join(letter for letter in hub if letter.isascii() and letter.isalnum())[:10].lower() or "hub"
    return f"cs-{readable}-{_hash(hub)[:10]}-{_hash(hub, user, name)[:26]}"


def state_of(emulator: Emulator, number: int = 0, **data: object) -> State:
    """A state of a task that nobody has seen."""
    arn = f"arn:aws:ecs:eu-west-1:123456789012:task/notebooks/{number:032x}"
    usual = {
        "key": f"cs-prod-4ssx5sf6vb-{number:026d}", "hub": "prod", "attempt": "attempt-0001", "attempted_at_ms": now_ms(),
        "service_prefix": "/user/ada/", "ref": arn, "url": None, "region": "eu-west-1", "endpoint": emulator.url,
        "cluster": "notebooks", "scheme": "http", "port": 8888, "container_name": "notebook", "address": "private_ipv4",
        "run": 1, "tagged": True,
    }  # fmt: skip
    return {"v": 1, "backend": "fargate", "data": {**usual, **data}}


def running(emulator: Emulator, user: str = "ada", hub: str = "prod") -> State:
    """The state of a server that runs, as a start of it would have left things."""
    attempt = ask.attempt()
    own = key(user, hub=hub)
    tags = {"cloudspawner-key": own, "cloudspawner-attempt": attempt, "cloudspawner-hub": hub}
    environment = [{"name": name, "value": value} for name, value in ask.spec()["env"].items()]
    (arn,) = emulator.run(
        startedBy=own,
        clientToken=f"{attempt}-1",
        tags=[{"key": name, "value": value} for name, value in tags.items()],
        overrides={"containerOverrides": [{"name": "notebook", "environment": environment}]},
    )
    emulator.wait_for_status("RUNNING", [{"id": arn.rsplit("/", 1)[1]}])
    return state_of(emulator, key=own, hub=hub, attempt=attempt, ref=arn, url="http://127.0.0.1:8888")


def azure_running(azure: Azure, count: int) -> list[dict[str, Any]]:
    """So many instances that run, and targets with their states, as after a restart of the hub."""
    azure.azure_admin("instances", {"name": "cs", "workspace": azure.azure["workspace"], "count": count})
    place = {name: azure.azure[name] for name in ("resource_group", "workspace")}
    targets = []
    for number in range(count):
        user = f"user{number}"
        data = {
            "key": key(user), "hub": "prod", "attempt": f"attempt-{number:04}", "attempted_at_ms": now_ms(),
            "service_prefix": f"/user/{user}/", "ref": f"csn{number}", "url": "http://127.0.0.1:9001",
            "subscription_id": azure.azure["subscription"], **place,
        }  # fmt: skip
        targets.append({"server": ask.server(user), "state": {"v": 1, "backend": "azure_ml", "data": data}})
    return targets
