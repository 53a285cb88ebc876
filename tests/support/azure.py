"""A local Azure for one test: requests for instances, and its admin endpoint."""

import itertools
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from support import azure_bodies, azure_contract
from support.emulator import Emulator

Json = dict[str, Any]

APP = ("11111111-1111-1111-1111-111111111111", "azure-secret")
FAST = "creating=60,setting_up=0,user_setting_up=20,starting=50,stopping=50,restarting=50,deleting=50,workspace=20"
OWN_SCOPE = f"openid profile offline_access api://{APP[0]}/access_as_user"
_attempts = itertools.count(1)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect to whoever asked."""

    def redirect_request(self, *_: object) -> None:
        """Not followed."""


class Azure(Emulator):
    """One process of the emulator with its Azure side."""

    def __init__(self, *arguments: str, delays: str = FAST, run: str = "simulate", check_model: bool = True) -> None:
        """Starts it. At the end of the block every request is checked against the official swagger and schema."""
        super().__init__("--azure", "--azure-delays", delays, *arguments, run=run, check_model=check_model)
        self.azure: Json = self.ready["azure"]

    def check(self, requests: list[Json]) -> None:
        """Fails where a request does not fit."""
        azure_contract.check(requests)
        azure_bodies.check(requests)

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

    def bodies(self, operation: str) -> list[Json]:
        """What was sent by each call of an operation."""
        calls = map(json.loads, self.request_log.read_text().splitlines())
        return [call["body"] for call in calls if call.get("operation") == operation]

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

    def sign_in(self, user: str, scope: str = OWN_SCOPE) -> Json:
        """The tokens of a person who logs in, by the authorization code flow."""
        back = "http://127.0.0.1:1/callback"
        query = {"client_id": APP[0], "response_type": "code", "redirect_uri": back, "scope": scope, "login_hint": user}
        authority = f"{self.azure['authority']}/{self.azure['tenant']}/oauth2/v2.0"
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            opener.open(f"{authority}/authorize?{urllib.parse.urlencode(query)}", timeout=30)
        except urllib.error.HTTPError as redirect:
            address = urllib.parse.urlsplit(redirect.headers["Location"])
        code = dict(urllib.parse.parse_qsl(address.query))["code"]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back}
        form |= {"client_id": APP[0], "client_secret": APP[1]}
        with urllib.request.urlopen(f"{authority}/token", urllib.parse.urlencode(form).encode(), timeout=30) as answer:
            tokens: Json = json.loads(answer.read())
        return tokens

    def bearer(self, resource: str) -> str:
        """The app's token for a resource."""
        form = {"grant_type": "client_credentials", "scope": f"{resource}/.default"}
        form |= {"client_id": APP[0], "client_secret": APP[1]}
        token = f"{self.azure['authority']}/{self.azure['tenant']}/oauth2/v2.0/token"
        with urllib.request.urlopen(token, urllib.parse.urlencode(form).encode(), timeout=30) as answer:
            return str(json.loads(answer.read())["access_token"])

    def arm(self, method: str, path: str, body: Json | None = None, version: str = "2023-05-01") -> Json:
        """One call of Resource Manager as the app, as an admin would make it; of Key Vault where the path is a secret's."""
        host = "vault.azure.net" if path.startswith("/secrets/") else "management.azure.com"
        headers = {"Authorization": f"Bearer {self.bearer(f'https://{host}')}", "Content-Type": "application/json"}
        url = f"{self.azure['management']}{path}?api-version={version}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            told: Json = json.loads(answer.read())
        return told

    def person(self, service: bool = True, **token: str) -> Json:
        """The credentials that act as a person, with the hub's own beside them."""
        person = {**self.credentials(), "kind": "user_assertion", **token}
        return {**person, "service": self.credentials()} if service else person

    def ask(self, verb: str, timeout_ms: int = 30_000, **params: object) -> Json:
        """A request with the usual params; a start has a fresh attempt."""
        usual: Json = {"backend": "azure_ml", "config": self.config(), "credentials": self.credentials()}
        if verb in ("start", "stop"):
            usual |= {"server": {"hub": "prod", "user": "ada", "name": ""}, "state": None}
        if verb == "start":
            spec = {"command": [], "args": [], "env": {}, "port": 8888, "scheme": "http", "service_prefix": "/user/ada/"}
            usual |= {"attempt": f"attempt-{next(_attempts)}", "spec": spec}
        return {"v": 1, "verb": verb, "timeout_ms": timeout_ms, "params": {**usual, **params}}
