"""What Microsoft wrote: creations fit the official schema, calls the official swagger, and its example answers are read.

Every test that uses `Azure` has its requests checked at its end (`azure_contract`); here the check itself is tested too.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import azure_contract, program
from support.azure import Azure
from support.azure_examples import GUID, answers, ask, examples, instance, responses, started
from support.canned import ABSENT, Canned

pytestmark = pytest.mark.skipif(
    not azure_contract.is_at_hand(), reason=f"NOTICE: nothing official is checked: {azure_contract.FOLDER} is not here"
)

Json = dict[str, Any]

SUBNET = f"/subscriptions/{GUID}/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/v/subnets/s"
SCRIPT = {"scriptSource": "inline", "scriptData": "ZWNobyBoZWxsbw==", "scriptArguments": "a b", "timeout": "15m"}
RECURRENCE = {"frequency": "Day", "interval": 1, "timeZone": "UTC", "schedule": {"hours": [18], "minutes": [0]}}
SCHEDULES = {
    "computeStartStop": [
        {"action": "Stop", "triggerType": "Cron", "cron": {"expression": "0 18 * * *", "timeZone": "UTC"}, "status": "Enabled"},
        {"action": "Start", "triggerType": "Recurrence", "recurrence": RECURRENCE, "status": "Enabled"},
    ]
}


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"idle_shutdown": "PT60M"},
        {"tags": {"team": "data", "café": "ja"}},
        {"assigned_user": {"object_id": GUID, "tenant_id": GUID}},
        {"properties": {"schedules": SCHEDULES}},
        {"properties": {"subnet": {"id": SUBNET}, "enableNodePublicIp": False}},
        {"properties": {"sshSettings": {"sshPublicAccess": "Enabled", "adminPublicKey": "ssh-rsa AAAA"}}},
        {"properties": {"setupScripts": {"scripts": {"creationScript": SCRIPT, "startupScript": SCRIPT}}, "enableSSO": True}},
    ],
    ids=lambda config: "+".join(config.get("properties", config)) or "minimal",
)
def test_a_creation_fits_the_official_schema(config: Json) -> None:
    with Azure() as azure:
        assert program.run("start", azure.ask("start", config=azure.config(**config)), azure.env()).result
        (request,) = azure.requests("PUT computes")
        inner = request["body"]["properties"]["properties"]
        assert azure_contract.creation_faults(request["path"].rpartition("/")[2], request["body"]) == []
        assert {name: inner[name] for name in config.get("properties", {})} == config.get("properties", {})


def creation(tags: Json | None = None, more: Json | None = None, **inner: object) -> Json:
    """A body that is good but for what is given."""
    properties = {"computeType": "ComputeInstance", "properties": {"vmSize": "STANDARD_DS2_V2", **inner}}
    return {"location": "eastus", "tags": tags or {}, "properties": properties, **(more or {})}


@pytest.mark.parametrize(
    ("name", "body", "fault"),
    [
        ("ada", creation(), None),
        ("ada-7", creation(), "ada-7 is no name"),
        ("ada", creation(more={"colour": 1}), "colour: unknown"),
        ("ada", creation(vmsize="x"), "properties.properties.vmsize: unknown"),
        ("ada", creation(sshSettings={"sshPort": 22}), "properties.properties.sshSettings.sshPort: unknown"),
        ("ada", creation(schedules={"computeStartStop": [{"when": 1}]}), "computeStartStop[0].when: unknown"),
        ("ada", creation(applicationSharingPolicy="Everybody"), "applicationSharingPolicy"),
        ("ada", creation(enableSSO="yes"), "enableSSO"),
    ],
)
def test_a_creation_that_does_not_fit_is_reported(name: str, body: Json, fault: str | None) -> None:
    faults = azure_contract.creation_faults(name, body)
    assert (fault or "") in "\n".join(faults)
    assert bool(faults) == bool(fault)


WORKSPACE = f"/subscriptions/{GUID}/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"


@pytest.mark.parametrize(
    ("method", "path", "query", "fault"),
    [
        ("GET", f"{WORKSPACE}/computes", {}, None),
        ("GET", f"{WORKSPACE}/computes", {"$skip": "x"}, None),
        ("GET", f"{WORKSPACE}/computes", {"$top": "x"}, "$top"),
        ("GET", f"{WORKSPACE}/computers", {}, "no official operation"),
        ("HEAD", f"{WORKSPACE}/computes", {}, "no official operation"),
        ("DELETE", f"{WORKSPACE}/computes/x", {"underlyingResourceAction": "Delete"}, None),
        ("DELETE", f"{WORKSPACE}/computes/x", {}, "underlyingResourceAction: is required"),
        ("DELETE", f"{WORKSPACE}/computes/x", {"underlyingResourceAction": "Explode"}, "is not one of"),
        ("POST", f"{WORKSPACE}/computes/x/start", {"api-version": "latest"}, "no stable version"),
    ],
)
def test_a_call_that_the_swagger_does_not_have_is_reported(method: str, path: str, query: Json, fault: str | None) -> None:
    query = {"api-version": azure_contract.VERSION, **query}
    faults = azure_contract.request_faults({"method": method, "path": path, "query": query})
    assert (fault or "") in "\n".join(faults)
    assert bool(faults) == bool(fault)


@pytest.fixture
def cloud() -> Iterator[Canned]:
    """An Azure without an instance, which takes a PUT and then has the example's one."""
    with Canned() as canned:
        canned.give("workspace", 200, responses("aml-2024-04-01/Workspace/get.json")[200])
        canned.give("list", 200, responses("aml-2024-04-01/Compute/list.json")[200])
        yield canned


@pytest.mark.parametrize("file", examples("aml-*/Compute/get/*.json"))
def test_an_official_instance_is_read(cloud: Canned, file: Path) -> None:
    state = started(cloud)
    answer = responses(file)[200]
    cloud.answers["get"] = [{"status": 200, **answer}]
    (server,) = ask(cloud, "poll", targets=[{"server": {"hub": "prod", "user": "ada", "name": ""}, "state": state}]).result[
        "servers"
    ]
    (application, *_) = answer["body"]["properties"]["properties"]["applications"]
    assert (server["phase"], server["url"], server["error"]) == ("running", application["endpointUri"], None)


@pytest.mark.parametrize(("status", "answer"), answers("aml-*/Compute/createOrUpdate/ComputeInstance*.json"))
def test_an_official_answer_to_a_creation_is_read(cloud: Canned, status: int, answer: Json) -> None:
    cloud.give("get", 404, ABSENT)
    cloud.give("put", status, answer)
    cloud.give("get", 200, {"body": answer["body"]})
    cloud.give("get", 200, instance())
    assert ask(cloud, "start").result["url"].endswith("/jupyter")
    assert cloud.asked.count("put") == 1
    assert cloud.bodies[0]["location"] == "eastus2euap", "the region is the workspace's, by its own example"


@pytest.mark.parametrize(("status", "answer"), answers("aml-*/Compute/start.json"))
def test_an_official_answer_to_a_start_is_read(cloud: Canned, status: int, answer: Json) -> None:
    started(cloud)
    cloud.answers["get"] = [{"status": 200, **instance(state="Stopped")}, {"status": 200, **instance()}]
    cloud.give("start", status, answer)
    assert ask(cloud, "start").result["url"].endswith("/jupyter")
    assert (cloud.asked.count("start"), cloud.asked.count("put")) == (1, 1)


@pytest.mark.parametrize(("status", "answer"), answers("aml-*/Compute/stop.json"))
def test_an_official_answer_to_a_stop_is_read(cloud: Canned, status: int, answer: Json) -> None:
    state = started(cloud)
    cloud.give("stop", status, answer)
    assert ask(cloud, "stop", state=state).result == {"phase": "stopping", "cleanup": "done"}


@pytest.mark.parametrize(("status", "answer"), answers("aml-*/Compute/delete.json"))
def test_an_official_answer_to_a_deletion_is_read(cloud: Canned, status: int, answer: Json) -> None:
    state = started(cloud)
    cloud.give("delete", status, answer)
    assert ask(cloud, "stop", on_stop="delete", state=state).result == {"phase": "stopping", "cleanup": "done"}
    assert cloud.asked[-1] == "delete"


@pytest.mark.parametrize(("status", "answer"), answers("aml-*/Compute/list.json"))
def test_an_official_list_is_read_and_what_it_does_not_show_is_asked_for(cloud: Canned, status: int, answer: Json) -> None:
    state = started(cloud)
    cloud.answers["list"] = [{"status": status, **answer}]
    cloud.asked.clear()
    states = [{**state, "data": {**state["data"], "ref": f"csada-habcdefghij{letter}"}} for letter in "abcd"]
    targets = [{"server": {"hub": "prod", "user": "ada", "name": ""}, "state": each} for each in states]
    servers = ask(cloud, "poll", targets=targets).result["servers"]
    assert [server["phase"] for server in servers] == ["running"] * 4
    assert cloud.asked == ["list", "get", "get", "get", "get"]


def test_the_official_lists_of_workspaces_and_sizes_are_read(cloud: Canned) -> None:
    cloud.give("workspaces", 200, responses("aml-2024-04-01/Workspace/listByResourceGroup.json")[200])
    cloud.give("vmSizes", 200, responses("aml-2024-04-01/VirtualMachineSize/list.json")[200])
    told = ask(cloud, "options").result
    assert [(p["workspace"], p["display_name"], p["resource_group"]) for p in told["projects"]] == [
        ("testworkspace", "HelloName", "workspace-1234"),
        ("testworkspace1", "HelloName 1", "workspace-1234"),
    ]
    (region,) = told["sizes"]
    assert region == "eastus2euap"
    first = told["sizes"][region][0]
    assert first == {"name": "Standard_DS1_v2", "vcpus": 1, "gpus": 0, "memory_gib": 3.5}
