"""A local Azure for one test: requests for instances, and its admin endpoint."""

import itertools
import json
import urllib.request
from typing import Any

from support import azure_contract
from support.emulator import Emulator

Json = dict[str, Any]

APP = ("11111111-1111-1111-1111-111111111111", "azure-secret")
FAST = "creating=60,setting_up=0,user_setting_up=20,starting=50,stopping=50,restarting=50,deleting=50,workspace=20"
_attempts = itertools.count(1)


class Azure(Emulator):
    """One process of the emulator with its Azure side."""

    def __init__(self, *arguments: str, delays: str = FAST, run: str = "simulate", check_model: bool = True) -> None:
        """Starts it. At the end of the block every request is checked against the official swagger and schema."""
        super().__init__("--azure", "--azure-delays", delays, *arguments, run=run, check_model=check_model)
        self.azure: Json = self.ready["azure"]

    def check(self, requests: list[Json]) -> None:
        """Fails where a request does not fit."""
        azure_contract.check(requests)

    def azure_admin(self, where: str, body: object = None, method: str | None = None) -> Any:
        """One call of Azure's part of the admin endpoint."""
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.azure['management']}/_emulator/azure/{where}"
        request = urllib.request.Request(url, data=data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def azure_fault(self, operation: str, kind: str, **more: object) -> None:
        """Something that goes wrong from now on: once, `count` times, or always with `count=None`."""
        self.azure_admin("faults", {"operation": operation, "kind": kind, **more})

    def azure_calls(self, operation: str) -> int:
        """How often an operation was called."""
        counts: dict[str, int] = self.azure_admin("calls")["counts"]
        return counts.get(operation, 0)

    def instances(self) -> list[Json]:
        """Every instance that is there."""
        instances: list[Json] = self.azure_admin("instances")
        return instances

    def set_state(self, name: str, state: str, **more: object) -> None:
        """Puts an instance into a state."""
        self.azure_admin(f"instances/{name}/state", {"state": state, **more})

    def config(self, **changes: object) -> Json:
        """The backend's settings; a change to None takes one out."""
        settings = {
            "subscription_id": self.azure["subscription"],
            "resource_group": self.azure["resource_group"],
            "workspace": self.azure["workspace"],
            "vm_size": "STANDARD_DS11_V2",
            "management_endpoint": self.azure["management"],
            "authority_host": self.azure["authority"],
            **changes,
        }
        return {name: value for name, value in settings.items() if value is not None}

    def credentials(self) -> Json:
        """The app's secret."""
        return {
            "kind": "client_secret",
            "tenant_id": self.azure["tenant"],
            "client_id": APP[0],
            "client_secret": APP[1],
        }

    def ask(self, verb: str, timeout_ms: int = 30_000, **params: object) -> Json:
        """A request with the usual params; a start has a fresh attempt."""
        usual: Json = {"backend": "azure_ml", "config": self.config(), "credentials": self.credentials()}
        if verb in ("start", "stop"):
            usual |= {"server": {"hub": "prod", "user": "ada", "name": ""}, "state": None}
        if verb == "start":
            spec = {"command": [], "args": [], "env": {}, "port": 8888, "scheme": "http", "service_prefix": "/user/ada/"}
            usual |= {"attempt": f"attempt-{next(_attempts)}", "spec": spec}
        return {"v": 1, "verb": verb, "timeout_ms": timeout_ms, "params": {**usual, **params}}
