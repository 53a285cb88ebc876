"""The doctor on Fargate: each finding by its name, with what mends it, and within five seconds."""

import json
import time
from typing import Any

import pytest

from support import ask, program
from support.emulator import Emulator
from support.networks import define


def findings(emulator: Emulator, env: dict[str, str] | None = None, **params: Any) -> dict[str, dict[str, Any]]:
    """What a check finds, by name."""
    done = program.run("check", ask.check(**params), env or emulator.env())
    return {finding["name"]: finding for finding in done.result["checks"]}


def test_settings_that_work_have_no_bad_finding_and_what_cannot_be_tried_is_said(emulator: Emulator) -> None:
    began = time.monotonic()
    run_task = ask.run_task(overrides={"executionRoleArn": "arn:aws:iam::123456789012:role/notebook-execution"})
    config = ask.config(container_name="notebook", run_task=run_task)
    found = findings(emulator, config=config, hub_url="http://10.0.0.5:8081/hub/api")
    assert time.monotonic() - began < 5
    assert [name for name, finding in found.items() if not finding["ok"]] == []
    assert found["identity"]["message"].startswith("arn:aws:iam::123456789012:")
    assert found["task definition"]["message"].endswith(":task-definition/notebook:1")
    assert found["permission ecs:StopTask in notebooks"]["message"] == "given"
    assert "ecs:RunTask" in found["not tried"]["message"]
    assert emulator.calls("RunTask") == 0


@pytest.mark.parametrize("action", ["DescribeTasks", "StopTask"])
def test_a_permission_that_lacks_is_named_with_the_statement_that_gives_it(emulator: Emulator, action: str) -> None:
    emulator.fault(action, "access_denied", count=None)
    finding = findings(emulator)[f"permission ecs:{action} in notebooks"]
    assert not finding["ok"]
    statement = json.loads(finding["hint"].split("policy: ", 1)[1].split(";", 1)[0])
    assert statement == {"Effect": "Allow", "Action": f"ecs:{action}", "Resource": "*"}


def test_a_definition_that_may_not_be_looked_at_is_no_fault(emulator: Emulator) -> None:
    emulator.fault("DescribeTaskDefinition", "access_denied", count=None)
    finding = findings(emulator)["task definition"]
    assert finding["ok"]
    assert "ecs:DescribeTaskDefinition" in finding["hint"]


def test_a_definition_or_container_that_is_not_there_is_told(emulator: Emulator) -> None:
    run_task = ask.run_task(taskDefinition="nothing")
    finding = findings(emulator, config=ask.config(run_task=run_task))["task definition"]
    assert (finding["ok"], "not_found" in finding["message"]) == (False, True)
    finding = findings(emulator, config=ask.config(container_name="other"))["container"]
    assert not finding["ok"]
    assert "notebook" in finding["message"]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("quay.io/jupyterhub/singleuser:6.0.2", "6.0.2"),
        ("quay.io/jupyter/base-notebook:hub-6.1.1", "hub-6.1.1"),
        ("jupyterhub/singleuser:4.1.6@sha256:" + 64 * "0", "has JupyterHub 4.1.6, and the hub is 6.1.1"),
        ("quay.io/jupyter/base-notebook:hub-5.2.1", "has JupyterHub 5.2.1, and the hub is 6.1.1"),
        ("quay.io/jupyter/base-notebook:2026-11-02", None),
        ("registry.lab:5000/notebook", None),
        ("jupyterhub/singleuser:latest", None),
    ],
)
def test_an_image_with_another_major_version_of_jupyterhub_is_told_where_its_name_tells(
    emulator: Emulator, image: str, message: str | None
) -> None:
    config = ask.config(run_task=ask.run_task(taskDefinition=define(emulator, image)))
    found = findings(emulator, config=config, hub_version="6.1.1").get("JupyterHub in the image")
    if message is None:
        assert found is None
    else:
        assert found is not None
        assert found["ok"] == ("and the hub" not in message)
        assert found["message"].endswith(message.removeprefix("hub-"))


def test_keys_that_nobody_knows_are_told_with_what_to_do(emulator: Emulator) -> None:
    finding = findings(emulator, emulator.env(AWS_ACCESS_KEY_ID="AKIANOBODY"))["identity"]
    assert not finding["ok"]
    assert "InvalidClientTokenId" in finding["message"]


def test_sts_that_cannot_be_reached_is_no_fault(emulator: Emulator) -> None:
    finding = findings(emulator, emulator.env(AWS_ENDPOINT_URL_STS="http://127.0.0.1:1"))["identity"]
    assert finding["ok"]
    assert "cannot be reached" in finding["message"]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", "[::1]", "[::]"])
def test_an_address_of_the_hubs_own_machine_is_no_way_to_the_hub(emulator: Emulator, host: str) -> None:
    config = ask.config(endpoint_url="https://ecs.eu-west-1.amazonaws.com")
    found = findings(emulator, config=config, hub_url=f"http://{host}:8081/hub/api", offline=True)
    assert not found["way to the hub"]["ok"]
    assert "JupyterHub.hub_connect_url" in found["way to the hub"]["hint"]
    # Beside a local stand-in the tasks run where the hub does.
    assert findings(emulator, hub_url=f"http://{host}:8081/hub/api", offline=True)["way to the hub"]["ok"]


def test_offline_nobody_is_asked(emulator: Emulator) -> None:
    found = findings(emulator, offline=True)
    assert "identity" not in found
    assert emulator.calls("GetCallerIdentity") + emulator.calls("ListTasks") == 0


def test_a_subnet_that_is_none_is_told_without_asking(emulator: Emulator) -> None:
    network = {"awsvpcConfiguration": {"subnets": ["my-subnet"], "assignPublicIp": "DISABLED"}}
    run_task = ask.run_task(networkConfiguration=network)
    finding = findings(emulator, config=ask.config(run_task=run_task), offline=True)["run_task"]
    assert (finding["ok"], "my-subnet" in finding["message"]) == (False, True)
