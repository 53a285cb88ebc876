"""What Microsoft wrote about storage: bodies fit the official swagger, and its example answers are read.

No swagger of managed identities and role assignments is at hand, and no example of theirs.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import azure_bodies, azure_contract, program
from support.azure import APP
from support.azure_examples import GUID, answers, ask, examples, instance, responses, settings
from support.canned import ABSENT, Canned

pytestmark = pytest.mark.skipif(
    not azure_contract.is_at_hand(), reason=f"NOTICE: nothing official is checked: {azure_contract.FOLDER} is not here"
)

Json = dict[str, Any]

GROUP = f"/subscriptions/{GUID}/resourceGroups/g/providers"
SHARE = f"{GROUP}/Microsoft.Storage/storageAccounts/homes/fileServices/default/shares/cs-x"
WORKSPACE = f"{GROUP}/Microsoft.MachineLearningServices/workspaces/w"
ABSENT_SHARE: Json = {"body": {"error": {"code": "ShareNotFound", "message": "The specified share does not exist."}}}
MARKS = {"cloudspawner_hub": "prod", "cloudspawner_storage_id": "jupyterhub", "cloudspawner_user": "ada"}
HOME = "cs-pdamwnvmsrmyz4huuywladl6gz"
"""What Ada's share is called."""
KEY = base64.b64encode(b"the key of all homes").decode()
EXAMPLES = "storage-arm-2023-05-01"


def datastore(**more: object) -> Json:
    """The body of a good datastore, but for what is given."""
    credentials = {"credentialsType": "AccountKey", "secrets": {"secretsType": "AccountKey", "key": "a2V5"}}
    return {
        "properties": {
            "datastoreType": "AzureFile",
            "accountName": "homes",
            "fileShareName": "x",
            "credentials": credentials,
            **more,
        }
    }


@pytest.mark.parametrize(
    ("method", "path", "body", "fault"),
    [
        ("PUT", SHARE, {"properties": {"shareQuota": 5, "enabledProtocols": "SMB", "metadata": {"a": "b"}}}, None),
        ("PUT", SHARE, {"properties": {"shareQuota": 0}}, "shareQuota: 0 is out of bounds"),
        ("PUT", SHARE, {"properties": {"shareQuota": "5"}}, "'5' is no integer"),
        ("PUT", SHARE, {"properties": {"quota": 5}}, "properties.quota: unknown"),
        ("PUT", SHARE, {"properties": {"enabledProtocols": "AFP"}}, "'AFP' is not one of"),
        ("PUT", SHARE, {"properties": {"metadata": {"a": 1}}}, "1 is no string"),
        ("PUT", SHARE, {"properties": {"deleted": True}}, "deleted: may not be sent"),
        ("PATCH", SHARE, {"properties": {"metadata": {"a": "b"}}}, None),
        ("PATCH", SHARE, {"properties": {"enabledProtocols": "SMB"}}, "enabledProtocols: may not be sent"),
        ("PUT", f"{WORKSPACE}/datastores/x", datastore(), None),
        ("PUT", f"{WORKSPACE}/datastores/x", datastore(share="x"), "share: unknown"),
        ("PUT", f"{WORKSPACE}/datastores/x", datastore(credentials={"credentialsType": "AccountKey"}), "secrets: is required"),
        ("POST", f"{WORKSPACE}/computes/x/updateDataMounts", [{"mountMode": "ReadOnly"}], None),
        ("POST", f"{WORKSPACE}/computes/x/updateDataMounts", [{"mountMode": "ro"}], "'ro' is not one of"),
        ("PUT", WORKSPACE, {"location": "eastus", "properties": {"friendlyName": "x"}}, None),
        ("PUT", WORKSPACE, {"location": "eastus", "properties": {"provisioningState": "x"}}, "provisioningState: may not"),
    ],
)
def test_a_body_that_does_not_fit_the_swagger_is_reported(method: str, path: str, body: Any, fault: str | None) -> None:
    faults = azure_bodies.faults_of({"method": method, "path": path, "body": body})
    assert (fault or "") in "\n".join(faults)
    assert bool(faults) == bool(fault), faults


@pytest.mark.parametrize(
    ("file", "method", "path", "parameter"),
    [
        *((case.values[0], "PUT", SHARE, "fileShare") for case in examples(f"{EXAMPLES}/FileSharesPut*.json")),
        (azure_contract.FOLDER / f"{EXAMPLES}/FileSharesPatch.json", "PATCH", SHARE, "fileShare"),
        (azure_contract.FOLDER / "aml-2024-04-01/Workspace/create.json", "PUT", WORKSPACE, "parameters"),
        (
            azure_contract.FOLDER / "aml-2024-04-01-preview/Compute/updateDataMounts.json",
            "POST",
            f"{WORKSPACE}/computes/x/updateDataMounts",
            "dataMounts",
        ),
    ],
)
def test_the_official_bodies_fit_the_official_swagger(file: Path, method: str, path: str, parameter: str) -> None:
    body = json.loads(file.read_text())["parameters"][parameter]
    assert azure_bodies.faults_of({"method": method, "path": path, "body": body}) == []


@pytest.fixture
def cloud() -> Iterator[Canned]:
    """An Azure without shares, whose calls fit the swagger."""
    with Canned() as canned:
        canned.give("GET share", 404, ABSENT_SHARE)
        canned.give("GET shares", 200, shares())
        yield canned
        for request in canned.requests:
            if not request["path"].startswith("/subscriptions/"):
                continue
            assert azure_bodies.faults_of(request) == [], request
            # The version of a preview is not stable, and is meant.
            faults = azure_contract.request_faults(request)
            assert [fault for fault in faults if "preview" not in request["query"]["api-version"]] == [], request


def shares() -> Json:
    """The official list, without its link to another page, which is elsewhere."""
    answer = responses(f"{EXAMPLES}/FileSharesList.json")[200]
    del answer["body"]["nextLink"]
    return answer


def own_share() -> Json:
    """The official share, with what is recorded on Ada's."""
    answer = responses(f"{EXAMPLES}/FileSharesGet.json")[200]
    answer["body"]["properties"]["metadata"] = MARKS
    return answer


def share(cloud: Canned, action: str, **more: object) -> program.Finished:
    """One request of the verb."""
    config = settings(cloud, storage={"account": "homes", "tier": "Hot"}, location="eastus")
    return ask(cloud, "share", config=config, hub="prod", storage_id="jupyterhub", user="ada", action=action, **more)


@pytest.mark.parametrize(("status", "answer"), answers(f"{EXAMPLES}/FileSharesPut*.json"))
def test_an_official_answer_to_a_new_share_is_read(cloud: Canned, status: int, answer: Json) -> None:
    cloud.give("GET share", 200, own_share())
    cloud.give("PUT share", status, answer)
    assert share(cloud, "ensure").result["share"]["created"]
    assert cloud.asked == ["GET share", "GET shares", "PUT share", "GET share"]


@pytest.mark.parametrize("file", examples(f"{EXAMPLES}/FileSharesGet*.json"))
def test_an_official_share_is_read_and_bears_no_mark_of_ours(cloud: Canned, file: Path) -> None:
    cloud.answers["GET share"] = [{"status": 200, **responses(file)[200]}]
    error = share(cloud, "ensure").error
    assert error["code"] == "conflict"
    assert "bears no mark of a hub" in error["message"]


@pytest.mark.parametrize(("status", "answer"), answers(f"{EXAMPLES}/FileSharesPatch.json"))
def test_an_official_answer_to_a_new_mark_is_read(cloud: Canned, status: int, answer: Json) -> None:
    cloud.answers["GET share"] = [{"status": 200, **own_share()}, {"status": 404, **ABSENT_SHARE}]
    cloud.give("PATCH share", status, answer)
    assert share(cloud, "rename", to="countess").result["share"]["name"] == "share1634"
    assert cloud.requests[-1]["body"]["properties"]["metadata"]["cloudspawner_user"] == "countess"


@pytest.mark.parametrize(("status", "answer"), answers(f"{EXAMPLES}/FileSharesDelete.json"))
def test_an_official_answer_to_a_shares_end_is_read(cloud: Canned, status: int, answer: Json) -> None:
    cloud.answers["GET share"] = [{"status": 200, **own_share()}]
    cloud.give("DELETE share", status, answer)
    assert share(cloud, "delete").result["share"]["name"] == "share1634"
    assert cloud.asked[-2:] == ["DELETE share", "DELETE identity"]


def test_the_official_file_service_is_read(cloud: Canned) -> None:
    cloud.give("workspace", 200, responses("aml-2024-04-01/Workspace/get.json")[200])
    cloud.give("GET default", 200, responses(f"{EXAMPLES}/FileServicesGet.json")[200])
    told = ask(cloud, "check", config=settings(cloud, storage={"account": "homes"})).result["checks"]
    assert {check["name"]: check["ok"] for check in told}["read the storage account"]


@pytest.mark.parametrize(("status", "answer"), answers("aml-2024-04-01/Workspace/create.json"))
def test_an_official_answer_to_a_new_workspace_is_read(cloud: Canned, status: int, answer: Json) -> None:
    made = responses("aml-2024-04-01/Workspace/create.json")[200]
    cloud.give("workspace", 404, {"body": ABSENT["body"]})
    cloud.give("workspace", 200, made)
    cloud.give("PUT workspace", status, answer)
    cloud.give("list", 200, {"body": {"value": []}})
    # Before the workspace is there, and after.
    cloud.give("get", 404, {"body": ABSENT["body"]})
    cloud.give("get", 404, {"body": ABSENT["body"]})
    cloud.give("put", 201, responses("aml-2024-04-01/Compute/createOrUpdate/ComputeInstance.json")[201])
    cloud.give("get", 200, instance())
    config = settings(cloud, create_workspace=True, location="eastus2euap", workspace_properties={"friendlyName": "Lab"})
    assert ask(cloud, "start", config=config).result["url"].endswith("/jupyter")
    assert (cloud.asked.count("PUT workspace"), cloud.asked.count("put")) == (1, 1)


def start_with_data_mounts(cloud: Canned, state: str | None, **more: object) -> program.Finished:
    """A start whose instance shows its data mount in this state."""
    # With the account's key shares are had from the account itself.
    cloud.give("account", 200, {"headers": {f"x-ms-meta-{name}": value for name, value in MARKS.items()}})
    cloud.give("workspace", 200, responses("aml-2024-04-01/Workspace/get.json")[200])
    cloud.give("list", 200, {"body": {"value": []}})
    cloud.give("get", 404, {"body": ABSENT["body"]})
    cloud.give("put", 201, responses("aml-2024-04-01/Compute/createOrUpdate/ComputeInstance.json")[201])
    cloud.give("get", 200, instance())
    told = {"mountName": HOME, "mountState": state, "error": "the datastore is unknown"}
    cloud.give("get", 200, instance(dataMounts=[told] if state else None))
    cloud.give("PUT datastore", 201, responses("aml-2024-04-01/Datastore/AzureFileWAccountKey/createOrUpdate.json")[201])
    cloud.give("updateDataMounts", 200, responses("aml-2024-04-01-preview/Compute/updateDataMounts.json")[200])
    cloud.give("delete", 202)
    storage = {"account": "homes", "method": "data_mounts", "account_key_opens_every_share": True}
    key = {"connection_string": f"AccountKey={KEY};FileEndpoint={cloud.url}"}
    credentials = {"kind": "client_secret", "tenant_id": GUID, "client_id": APP[0], "client_secret": APP[1], "storage": key}
    config = settings(cloud, storage=storage, location="eastus")
    mounts = [{"kind": "azure_files", "path": "~/userfiles", **more}]
    spec = {"command": [], "args": [], "env": {}, "port": 8888, "scheme": "http", "mounts": mounts}
    return ask(cloud, "start", config=config, credentials=credentials, spec=spec)


def test_a_data_mount_is_asked_for_as_in_the_official_example(cloud: Canned) -> None:
    done = start_with_data_mounts(cloud, "Mounted")
    assert done.result["url"].endswith("/jupyter")
    bodies = {request["path"].rpartition("/")[2]: request["body"] for request in cloud.requests if request["body"]}
    example = json.loads((azure_contract.FOLDER / "aml-2024-04-01-preview/Compute/updateDataMounts.json").read_text())
    (mount,) = bodies["updateDataMounts"]
    assert mount.keys() == example["parameters"]["dataMounts"][0].keys()
    store = HOME.replace("-", "_")
    source = f"azureml://subscriptions/{GUID}/resourcegroups/g/workspaces/w/datastores/{store}/paths/"
    assert (mount["source"], mount["mountPath"]) == (source, "/home/azureuser/userfiles")
    assert bodies[store]["properties"]["credentials"]["secrets"]["key"] == KEY
    assert KEY not in done.stdout + done.stderr


def test_a_data_mount_that_failed_fails_the_start_with_its_reason(cloud: Canned) -> None:
    error = start_with_data_mounts(cloud, "MountFailed").error
    assert (error["code"], error["cleanup"]) == ("start_failed", "done")
    assert "the datastore is unknown" in error["message"]
