"""A running emulator with Azure, raw calls to it, and Microsoft's own client for it."""

import json
import os
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest
import swagger

REPOSITORY = Path(__file__).resolve().parents[3]
APP = "11111111-1111-1111-1111-111111111111"
SECRET = "azure-secret"
MANAGEMENT = "https://management.azure.com"
VERSION = "2025-12-01"
FAST = "creating=80,setting_up=0,user_setting_up=60,starting=60,stopping=60,restarting=60,deleting=60,workspace=60"


def binary() -> str:
    given = os.environ.get("CLOUDSPAWNER_EMULATOR")
    profiles = ("debug", "release")
    candidates = [given] if given else [str(REPOSITORY / f"target/{p}/cloudspawner-emulator") for p in profiles]
    for candidate in candidates:
        if Path(candidate).exists():
            return candidate
    pytest.exit(f"no emulator at {candidates}; build it, or set CLOUDSPAWNER_EMULATOR", returncode=2)


def wait_for(what, seconds: float = 60):
    """Asks until the answer is true, and returns it."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.01)
    return answer


@dataclass
class Answer:
    """A reply, whatever its status."""

    status: int
    headers: dict
    text: str

    @property
    def json(self):
        """The body."""
        return json.loads(self.text)

    @property
    def code(self):
        """Resource Manager's own code."""
        return self.json["error"]["code"]


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect to whoever asked."""

    def redirect_request(self, *_):
        """None: it is not followed."""
        return


OPENER = urllib.request.build_opener(NoRedirect, urllib.request.ProxyHandler({}))


class Emulator:
    """One process of the emulator; ends, with its programs, when its standard input closes."""

    def __init__(self, *arguments: str):
        command = [binary(), "--until-stdin-closes", "--azure", "--stop-timeout-ms", "500", *arguments]
        if "--azure-delays" not in arguments:
            command += ["--azure-delays", FAST]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line, "the emulator did not start"
        self.ready = json.loads(line)["azure"]
        self.base = self.ready["management"]
        self.tenant = self.ready["tenant"]
        group = f"/subscriptions/{self.ready['subscription']}/resourceGroups/{self.ready['resource_group']}"
        self.group = group
        self.workspaces = f"{group}/providers/Microsoft.MachineLearningServices/workspaces"
        self.workspace = f"{self.workspaces}/{self.ready['workspace']}"
        self.locations = f"/subscriptions/{self.ready['subscription']}/providers/Microsoft.MachineLearningServices/locations"

    def close(self):
        """Ends it."""
        self.process.stdin.close()
        assert self.process.wait(10) == 0
        self.process.stdout.close()

    def http(self, method: str, path: str, body=None, *, form=None, headers=None, timeout=10) -> Answer:
        """One request, without a token."""
        data = json.dumps(body).encode() if body is not None else None
        data = urllib.parse.urlencode(form).encode() if form is not None else data
        url = path if path.startswith("http") else self.base + path
        request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
        try:
            answer = OPENER.open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read().decode())

    def token_answer(self, tenant=None, **form) -> Answer:
        """The token endpoint's reply to the app's own id and secret and these members."""
        whole = {"client_id": APP, "client_secret": SECRET, **form}
        return self.http("POST", f"/{tenant or self.tenant}/oauth2/v2.0/token", form=whole)

    def token(self) -> str:
        """The app's token for Resource Manager."""
        answer = self.token_answer(grant_type="client_credentials", scope=f"{MANAGEMENT}/.default")
        return answer.json["access_token"]

    def sign_in(self, user: str, scope: str, **more) -> dict:
        """The tokens of a user, by the authorization code flow."""
        query = {
            "client_id": APP,
            "response_type": "code",
            "redirect_uri": "http://127.0.0.1:1/callback",
            "scope": scope,
            "state": "s t&",
            "login_hint": user,
            **more,
        }
        answer = self.http("GET", f"/{self.tenant}/oauth2/v2.0/authorize?{urllib.parse.urlencode(query)}")
        assert answer.status == 302, answer
        back = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(answer.headers["location"]).query))
        assert back["state"] == "s t&"
        form = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": query["redirect_uri"]}
        answer = self.token_answer(**form)
        assert answer.status == 200, answer
        return answer.json

    def arm(self, method: str, path: str, body=None, token=None, version=VERSION, timeout=10, **query) -> Answer:
        """A call of Resource Manager; every answer is checked against the official swagger."""
        query = {"api-version": version, **query} if version else query
        if query and "?" not in path:
            path = f"{path}?{urllib.parse.urlencode(query)}"
        headers = {"Authorization": f"Bearer {token or self.token()}", "Content-Type": "application/json"}
        answer = self.http(method, path, body, headers=headers, timeout=timeout)
        found = swagger.violations(method, urllib.parse.urlsplit(path).path, answer.status, answer.text)
        assert not found, found
        return answer

    def compute(self, name: str) -> str:
        """The path of an instance."""
        return f"{self.workspace}/computes/{name}"

    def put(self, name: str, workspace=None, tags=None, token=None, **settings) -> Answer:
        """Asks for an instance."""
        path = f"{self.workspaces}/{workspace}/computes/{name}" if workspace else self.compute(name)
        return self.arm("PUT", path, instance_body(tags, **settings), token)

    def get(self, name: str) -> dict:
        """An instance as its JSON."""
        return self.arm("GET", self.compute(name)).json

    def state(self, name: str) -> str:
        """The state of an instance."""
        return self.get(name)["properties"]["properties"]["state"]

    def wait_for_state(self, name: str, state: str) -> dict:
        """The instance, when it is in this state."""
        wait_for(lambda: self.state(name) == state)
        return self.get(name)

    def running(self, name: str, **settings) -> dict:
        """A new instance, when it is Running."""
        assert self.put(name, **settings).status in {200, 201}
        return self.wait_for_state(name, "Running")

    def admin(self, path: str, body=None, method=None):
        """The admin endpoint's answer."""
        answer = self.http(method or ("GET" if body is None else "POST"), f"/_emulator/azure/{path}", body)
        assert answer.status == 200, answer
        return answer.json

    def fault(self, operation: str, kind: str, **more):
        """Brings about a fault."""
        return self.admin("faults", {"operation": operation, "kind": kind, **more})

    def settings(self, **change):
        """Changes settings."""
        return self.admin("settings", change)

    def instance(self, name: str) -> dict:
        """What the admin endpoint tells of the last instance of this name."""
        return [row for row in self.admin("instances") if row["name"] == name][-1]

    def calls(self) -> dict:
        """How often each operation was called."""
        return self.admin("calls")["counts"]


def instance_body(tags=None, location="eastus", **settings) -> dict:
    inner = {"vmSize": "STANDARD_DS2_V2", **settings}
    properties = {"computeType": "ComputeInstance", "properties": inner}
    return {"location": location, "tags": tags or {}, "properties": properties}
