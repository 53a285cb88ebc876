"""A running emulator, boto3 clients whose every answer is checked against the official models, and common steps."""

import json
import os
import subprocess
import time
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

import official_model

REPOSITORY = Path(__file__).resolve().parents[3]
KEY = ("AKIAEMULATOR", "emulator-secret")
FAST = "provisioning=60,pending=60,activating=0,deactivating=0,stopping=40,deprovisioning=40"


def binary() -> str:
    given = os.environ.get("CLOUDSPAWNER_EMULATOR")
    candidates = (
        [given] if given else [str(REPOSITORY / f"target/{p}/cloudspawner-emulator") for p in ("debug", "release")]
    )
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


class Emulator:
    """One process of the emulator; ends, with its tasks, when its standard input closes."""

    def __init__(self, *arguments: str):
        command = [binary(), "--until-stdin-closes", "--stop-timeout-ms", "500", *arguments]
        if "--delays" not in arguments:
            command += ["--delays", FAST]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line, "the emulator did not start"
        self.ready = json.loads(line)
        self.url = self.ready["url"]

    def close(self):
        """Ends it; one that a test has killed is only cleaned up."""
        killed = self.process.poll() is not None
        self.process.stdin.close()
        assert self.process.wait(10) == 0 or killed
        self.process.stdout.close()

    def client(self, service="ecs", key=KEY, token=None, region="eu-west-1", read_timeout=10):
        config = Config(retries={"total_max_attempts": 1}, read_timeout=read_timeout)
        client = boto3.client(
            service, endpoint_url=self.url, region_name=region, config=config,
            aws_access_key_id=key[0], aws_secret_access_key=key[1], aws_session_token=token,
        )  # fmt: skip
        if service in official_model.MODELS:
            client.meta.events.register(f"before-parse.{service}.*", check_answer)
        return client

    def admin(self, path: str, body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_emulator/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def fault(self, action: str, kind: str, **more):
        return self.admin("faults", {"action": action, "kind": kind, **more})["id"]

    def settings(self, **change):
        return self.admin("settings", change)

    def tasks(self) -> dict:
        return {task["arn"]: task for task in self.admin("tasks")}


def check_answer(operation_model, response_dict, **_):
    try:
        body = json.loads(response_dict["body"])
    except ValueError:
        return  # a fault sent no JSON
    service = operation_model.service_model.service_name
    found = official_model.answer_violations(service, operation_model.name, response_dict["status_code"], body)
    assert not found, found


def refused(call, code: str, text: str = "", status: int = 400) -> dict:
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, status), answer
    assert text in answer["Error"]["Message"]
    assert answer["ResponseMetadata"]["RequestId"]
    return answer


def run_task_arguments(**changes):
    """RunTask's arguments; a change to None takes one out."""
    arguments = {
        "cluster": "notebooks",
        "taskDefinition": "notebook",
        "launchType": "FARGATE",
        "startedBy": "test",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]}},
        **changes,
    }
    return {name: value for name, value in arguments.items() if value is not None}


def run(client, **changes) -> dict:
    answer = client.run_task(**run_task_arguments(**changes))
    assert answer["failures"] == []
    return answer["tasks"][0]


def describe(client, arn: str) -> dict:
    return client.describe_tasks(cluster="notebooks", tasks=[arn], include=["TAGS"])["tasks"][0]


def wait_for_status(client, arn: str, status: str) -> dict:
    return wait_for(lambda: (task := describe(client, arn))["lastStatus"] == status and task)


def address(task: dict):
    details = {detail["name"]: detail["value"] for detail in task["attachments"][0]["details"]}
    return details.get("privateIPv4Address")
