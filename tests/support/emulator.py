"""A local ECS for one test: faults, tasks and calls by its admin endpoint, and its requests checked against AWS's model."""

import json
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from support import binaries, model

Json = dict[str, Any]
T = TypeVar("T")

KEY = ("AKIAEMULATOR", "emulator-secret")
FAST = "provisioning=30,pending=50,activating=0,deactivating=0,stopping=20,deprovisioning=20"
SLOW = "provisioning=600000,pending=600000"
"""A task that never runs in a test's time."""


def path() -> str:
    """Where the emulator is."""
    return binaries.find("cloudspawner-emulator", "CLOUDSPAWNER_EMULATOR")


def wait_until(what: Callable[[], T], seconds: float = 30) -> T:
    """Asks until the answer is true, and gives it; for what another process does in its own time."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.01)
    return answer


class Emulator:
    """One process of the emulator; it ends, with its tasks, at the end of the `with` block."""

    def __init__(self, *arguments: str, delays: str = FAST, run: str = "simulate", check_model: bool = True):
        """Starts it. With `check_model` the end of the block checks every request against the cloud's model, where it is at hand."""
        self.folder = tempfile.TemporaryDirectory(prefix="emulator-")
        self.request_log = Path(self.folder.name) / "requests.jsonl"
        self.check_model = check_model
        self._clients: dict[str, Any] = {}
        command = [
            path(), "--until-stdin-closes", "--run", run, "--delays", delays, "--stop-timeout-ms", "500",
            "--data", str(Path(self.folder.name) / "data"), "--request-log", str(self.request_log), *arguments,
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=binaries.clean_environment()
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the emulator did not start"
        self.ready: Json = json.loads(line)
        self.url: str = self.ready["url"]

    def __enter__(self) -> "Emulator":
        """The emulator itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends it and its tasks, and checks what it was asked."""
        assert self.process.stdin
        assert self.process.stdout
        for client in self._clients.values():
            client.close()
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()
        requests = self.requests()
        self.folder.cleanup()
        if kind is None and self.check_model:
            self.check(requests)

    def check(self, requests: list[Json]) -> None:
        """Fails where a request does not fit the cloud's own model."""
        model.check(requests)

    def env(self, **more: str) -> dict[str, str]:
        """The environment in which an AWS client uses this emulator; an empty value takes a variable out."""
        settings = {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": KEY[0],
            "AWS_SECRET_ACCESS_KEY": KEY[1],
            **more,
        }
        return {name: value for name, value in binaries.clean_environment(**settings).items() if value}

    def admin(self, where: str, body: object = None, method: str | None = None) -> Any:
        """One call of the admin endpoint."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_emulator/{where}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def fault(self, action: str, kind: str, **more: object) -> None:
        """Something that goes wrong from now on: once, `count` times, or always with `count=None`."""
        self.admin("faults", {"action": action, "kind": kind, **more})

    def clear_faults(self) -> None:
        """Nothing goes wrong any more."""
        self.admin("faults", method="DELETE")

    def settings(self, **change: object) -> None:
        """Changes delays, visibility, latency, quotas or lifetimes."""
        self.admin("settings", change)

    def tasks(self) -> list[Json]:
        """Every task ever."""
        tasks: list[Json] = self.admin("tasks")
        return tasks

    def alive(self) -> list[Json]:
        """Every task that nobody has asked to stop."""
        return [task for task in self.tasks() if task["desired_status"] != "STOPPED" and not task["forgotten"]]

    def end(self, task: Json, **how: object) -> None:
        """Ends a task from the cloud's side."""
        self.admin(f"tasks/{task['id']}/end", how)

    def forget(self, task: Json) -> None:
        """Makes a task MISSING."""
        self.admin(f"tasks/{task['id']}/forget", {})

    def write(self, task: Json, *lines: str) -> None:
        """Makes a task write into its log."""
        self.admin(f"tasks/{task['id']}/log", list(lines))

    def run(self, count: int = 1, **arguments: object) -> list[str]:
        """Runs tasks as somebody else would, with boto3, and gives their ARNs."""
        client = self.boto3("ecs")
        usual = {"cluster": "notebooks", "taskDefinition": "notebook", "launchType": "FARGATE"}
        network = {"awsvpcConfiguration": {"subnets": ["subnet-0123abcd"]}}
        arns: list[str] = []
        while len(arns) < count:
            at_once = min(10, count - len(arns))
            answer = client.run_task(**{**usual, "networkConfiguration": network, "count": at_once, **arguments})
            arns += [task["taskArn"] for task in answer["tasks"]]
        return arns

    def boto3(self, service: str) -> Any:
        """A client of somebody else."""
        import boto3

        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.url,
                region_name="eu-west-1",
                aws_access_key_id=KEY[0],
                aws_secret_access_key=KEY[1],
            )
        return self._clients[service]

    def calls(self, action: str) -> int:
        """How often an action was called since the last reset."""
        counts: dict[str, int] = self.admin("calls")["counts"]
        return counts.get(action, 0)

    def reset_calls(self) -> None:
        """Counts from zero."""
        self.admin("calls/reset", {})

    def requests(self, action: str | None = None) -> list[Json]:
        """What was asked, in order: at_ms, service, action, body, status."""
        if not self.request_log.exists():
            return []
        lines = [json.loads(line) for line in self.request_log.read_text().splitlines()]
        return [line for line in lines if action in (None, line["action"])]

    def bodies(self, action: str) -> list[Json]:
        """The bodies of an action's calls, in order."""
        return [request["body"] for request in self.requests(action)]

    def wait_for_calls(self, action: str, count: int = 1) -> None:
        """Waits until an action was called so often."""
        wait_until(lambda: self.calls(action) >= count)

    def wait_for_status(self, status: str, tasks: Iterable[Json] | None = None) -> None:
        """Waits until these tasks, or all, have a status."""
        wanted = None if tasks is None else {task["id"] for task in tasks}
        wait_until(lambda: all(t["status"] == status for t in self.tasks() if wanted is None or t["id"] in wanted))
