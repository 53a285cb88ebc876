"""Resource Manager and the compute instances: what is refused, and what happens over time."""

import base64
import json

import pytest
import swagger
from azure_emulated import APP, instance_body, wait_for

ADA = "ada@emulator.onmicrosoft.com"


def refused(answer, status: int, code: str, text: str = ""):
    assert (answer.status, answer.code) == (status, code), answer
    assert text in answer.json["error"]["message"]
    assert answer.headers["x-ms-request-id"]


def test_tokens_are_checked(emulator):
    answer = emulator.http("GET", emulator.workspace)
    refused(answer, 401, "AuthenticationFailed")
    assert emulator.tenant in answer.headers["www-authenticate"]
    refused(emulator.arm("GET", emulator.workspace, token="x.y.z"), 401, "InvalidAuthenticationToken")
    user = emulator.sign_in("ada", f"openid api://{APP}/x")["access_token"]
    refused(emulator.arm("GET", emulator.workspace, token=user), 401, "InvalidAuthenticationTokenAudience")
    emulator.settings(token_lifetime_ms=0)
    refused(emulator.arm("GET", emulator.workspace), 401, "ExpiredAuthenticationToken")


def test_versions_and_names_are_checked(emulator):
    refused(emulator.arm("GET", emulator.workspace, version=""), 400, "MissingApiVersionParameter")
    refused(emulator.arm("GET", emulator.workspace, version="1999-01-01"), 400, "InvalidApiVersionParameter")
    assert emulator.arm("GET", emulator.workspace.upper()).json["name"] == "notebooks"
    refused(emulator.arm("GET", emulator.workspace.replace("3333-", "4444-", 1)), 404, "SubscriptionNotFound")
    other = emulator.workspace.replace("/notebooks/", "/elsewhere/", 1)
    refused(emulator.arm("GET", other), 404, "ResourceGroupNotFound")
    refused(emulator.arm("GET", f"{emulator.workspaces}/none"), 404, "ResourceNotFound")
    refused(emulator.arm("GET", emulator.compute("none")), 404, "ResourceNotFound")
    refused(emulator.arm("POST", f"{emulator.compute('none')}/start"), 404, "ResourceNotFound")
    assert emulator.arm("GET", emulator.group).json["properties"]["provisioningState"] == "Succeeded"


def test_a_principal_may_be_denied_an_action(emulator):
    write = "Microsoft.MachineLearningServices/workspaces/computes/write"
    emulator.settings(deny=[f"ada:{write}", "*:*/workspaces/read@*/other"])
    ada = emulator.sign_in("ada", "https://management.azure.com/.default")["access_token"]
    answer = emulator.put("ada-first", token=ada)
    refused(answer, 403, "AuthorizationFailed", write)
    assert ADA in answer.json["error"]["message"]
    assert emulator.put("bob-first").status == 201
    listed = emulator.arm("GET", emulator.workspaces).json["value"]
    assert [workspace["name"] for workspace in listed] == ["notebooks"]


def test_a_role_says_what_an_application_may_do_and_nothing_of_people(emulator):
    computes = "Microsoft.MachineLearningServices/workspaces/computes"
    emulator.settings(roles=[{"Actions": ["*/COMPUTES/*"], "NotActions": [f"{computes}/write"]}])
    refused(emulator.put("hub-first"), 403, "AuthorizationFailed", f"{computes}/write")
    refused(emulator.arm("GET", emulator.workspace), 403, "AuthorizationFailed", "workspaces/read")
    assert emulator.arm("GET", f"{emulator.workspace}/computes").status == 200
    ada = emulator.sign_in("ada", "https://management.azure.com/.default")["access_token"]
    assert emulator.put("ada-first", token=ada).status == 201


def test_permissions_tell_what_the_roles_and_denials_leave_at_a_scope(emulator):
    computes = "Microsoft.MachineLearningServices/workspaces/computes"
    path = f"{emulator.workspace}/providers/Microsoft.Authorization/permissions"

    def told(token=None):
        rows = emulator.arm("GET", path, token=token, version="2022-04-01").json["value"]
        return [(row["actions"], row["notActions"]) for row in rows]

    assert told() == [(["*"], [])]
    roles = [{"Actions": ["*/read"]}, {"Actions": [f"{computes}/*"], "NotActions": [f"{computes}/write"]}]
    emulator.settings(roles=roles, deny=["*:*/delete", "*:*/start/action@*/other"])
    assert told() == [(["*/read"], ["*/delete"]), ([f"{computes}/*"], [f"{computes}/write", "*/delete"])]
    ada = emulator.sign_in("ada", "https://management.azure.com/.default")["access_token"]
    assert told(ada) == [(["*"], ["*/delete"])]


def test_a_workspace_is_created(emulator):
    path = f"{emulator.workspaces}/fresh"
    answer = emulator.arm("PUT", path, {"location": "eastus", "properties": {"description": "d"}})
    assert (answer.status, answer.json["properties"]["provisioningState"]) == (202, "Creating")
    state = emulator.http("GET", answer.headers["azure-asyncoperation"], headers=bearer(emulator)).json
    assert state["status"] == "InProgress"
    wait_for(lambda: emulator.arm("GET", path).json["properties"]["provisioningState"] == "Succeeded")
    assert emulator.arm("PUT", path, {"location": "eastus"}).status == 200
    refused(emulator.arm("PUT", f"{emulator.workspaces}/-x", {"location": "eastus"}), 400, "BadArgument")
    refused(emulator.arm("PUT", path, {}), 400, "LocationRequired")


def bearer(emulator) -> dict:
    return {"Authorization": f"Bearer {emulator.token()}"}


@pytest.mark.parametrize(
    ("name", "settings", "target"),
    [
        ("cpu-cluster-1", {}, "computeName"),
        ("ab", {}, "computeName"),
        ("ada", {"vmSize": "Standard_None"}, "vmSize"),
        ("ada", {"vmSize": "Standard_NV6"}, "vmSize"),
        ("ada", {"idleTimeBeforeShutdown": "PT5M"}, "idleTimeBeforeShutdown"),
        ("ada", {"idleTimeBeforeShutdown": "soon"}, "idleTimeBeforeShutdown"),
        ("ada", {"setupScripts": {"scripts": {"startupScript": {"scriptData": "é"}}}}, "setupScripts"),
        (
            "ada",
            {"personalComputeInstanceSettings": {"assignedUser": {"objectId": "ada"}}},
            "personalComputeInstanceSettings",
        ),
    ],
)
def test_a_wrong_instance_is_refused(emulator, name, settings, target):
    answer = emulator.put(name, **settings)
    refused(answer, 400, "UserError")
    assert answer.json["error"]["target"] == target
    assert emulator.admin("instances") == []


def test_a_name_is_unique_in_its_region_until_its_instance_is_gone(emulator):
    emulator.arm("PUT", f"{emulator.workspaces}/second", {"location": "eastus"})
    emulator.running("ada-first")
    refused(emulator.put("ADA-first", workspace="second"), 400, "UserError", "AlreadyExists")
    path = f"{emulator.workspaces}/other/computes/ada-first"
    assert emulator.arm("PUT", path, instance_body(location="westeurope")).status == 201
    assert emulator.arm("DELETE", emulator.compute("ada-first"), underlyingResourceAction="Delete").status == 202
    refused(emulator.put("ada-first"), 409, "Conflict")
    wait_for(lambda: emulator.arm("GET", emulator.compute("ada-first")).status == 404)
    assert emulator.put("ada-first", workspace="second").status == 201


def test_a_put_on_an_instance_overwrites_it(emulator):
    emulator.running("ada-first", tags={"n": "1"})
    assert emulator.put("ada-first", tags={"n": "2"}).status == 200
    assert emulator.get("ada-first")["tags"] == {"n": "2"}
    assert [row["overwritten"] for row in emulator.admin("instances")] == [True, False]


def test_quotas_of_instances_and_of_cores(emulator):
    emulator.settings(instance_limit=1)
    emulator.put("ada-first")
    refused(emulator.put("ada-second"), 400, "QuotaExceeded")
    emulator.settings(instance_limit=500, family_cores=3)
    refused(emulator.put("ada-second"), 400, "QuotaExceeded", "quota of 3")
    quotas = emulator.arm("GET", f"{emulator.locations}/eastus/quotas").json["value"]
    assert quotas[0]["limit"] == 3
    refused(emulator.arm("GET", f"{emulator.locations}/nowhere/vmSizes"), 400, "NoRegisteredProviderFound")


def test_the_answer_has_what_was_asked_for(emulator):
    asked = {
        "idleTimeBeforeShutdown": "PT60M",
        "enableNodePublicIp": False,
        "subnet": {"id": "/subscriptions/s/x"},
        "setupScripts": {"scripts": {"startupScript": {"scriptSource": "inline", "scriptData": "bHM="}}},
        "personalComputeInstanceSettings": {
            "assignedUser": {
                "objectId": "00000000-0000-0000-0000-000000000001",
                "tenantId": "00000000-0000-0000-0000-000000000000",
            }
        },
        "sshSettings": {"sshPublicAccess": "Enabled", "adminPublicKey": "ssh-rsa x"},
        "schedules": {"computeStartStop": [{"action": "Stop", "status": "Enabled", "triggerType": "Cron"}]},
        "customServices": None,
        "madeUp": 1,
    }
    emulator.running("ada-first", **asked)
    details = emulator.get("ada-first")["properties"]["properties"]
    for name in ("idleTimeBeforeShutdown", "subnet", "setupScripts", "personalComputeInstanceSettings", "schedules"):
        assert details[name] == asked[name]
    assert details["sshSettings"] == {**asked["sshSettings"], "adminUserName": "azureuser", "sshPort": 22}
    assert details["vmSize"] == "STANDARD_DS2_V2"
    assert details["createdBy"]["userOrgId"] == emulator.tenant
    assert details["applications"][1] == {
        "displayName": "Jupyter Lab",
        "endpointUri": "https://ada-first.eastus.instances.azureml.ms/lab",
    }
    row = emulator.instance("ada-first")
    assert row["assigned_user"]["objectId"].endswith("1")
    assert [entry["state"] for entry in row["history"]] == ["Creating", "UserSettingUp", "Running"]
    assert emulator.admin("calls")["unknown_members"] == ["computes.put: properties.properties.madeUp"]


EXAMPLES = sorted((swagger.FOLDER.parent / "aml-2024-04-01/Compute/createOrUpdate").glob("*.json"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_official_example_of_a_creation_is_taken(emulator, file):
    example = json.loads(file.read_text())
    answer = emulator.arm("PUT", emulator.compute("compute123"), example["parameters"]["parameters"])
    assert answer.status == 201
    assert answer.json.keys() - {"tags"} == example["responses"]["201"]["body"].keys()
    assert answer.json["properties"] == example["responses"]["201"]["body"]["properties"]
    assert emulator.admin("calls")["unknown_members"] == []


def test_actions_that_are_so_already_succeed_and_others_are_conflicts(emulator):
    emulator.put("ada-first")
    refused(emulator.arm("POST", f"{emulator.compute('ada-first')}/stop"), 409, "Conflict", "Creating")
    emulator.wait_for_state("ada-first", "Running")
    assert emulator.arm("POST", f"{emulator.compute('ada-first')}/start").status == 202
    assert emulator.state("ada-first") == "Running"
    emulator.settings(strict_actions=True)
    refused(emulator.arm("POST", f"{emulator.compute('ada-first')}/start"), 409, "Conflict", "Running")
    assert emulator.arm("POST", f"{emulator.compute('ada-first')}/stop").status == 202
    refused(emulator.arm("POST", f"{emulator.compute('ada-first')}/start"), 409, "Conflict", "Stopping")


def test_a_delete_needs_its_parameter_and_is_repeatable(emulator):
    emulator.running("ada-first")
    refused(emulator.arm("DELETE", emulator.compute("ada-first")), 400, "BadArgument")
    for _ in range(2):
        answer = emulator.arm("DELETE", emulator.compute("ada-first"), underlyingResourceAction="Delete")
        assert answer.status == 202
        assert {"location", "azure-asyncoperation", "retry-after"} <= set(answer.headers)
    wait_for(lambda: emulator.http("GET", answer.headers["location"], headers=bearer(emulator)).status == 204)
    answer = emulator.arm("DELETE", emulator.compute("ada-first"), underlyingResourceAction="Delete")
    assert answer.status == 204


def test_an_operation_that_another_overtakes_is_canceled(emulator):
    emulator.settings(delays={"creating": 60_000})
    created = emulator.put("ada-first")
    assert emulator.arm("DELETE", emulator.compute("ada-first"), underlyingResourceAction="Delete").status == 202
    status = emulator.http("GET", created.headers["azure-asyncoperation"], headers=bearer(emulator)).json
    assert (status["status"], status["error"]["code"]) == ("Canceled", "OperationCanceled")


def test_the_headers_of_long_operations_are_as_the_setting_says(emulator):
    def names(answer):
        return {"azure-asyncoperation", "location", "retry-after"} & set(answer.headers)

    emulator.running("ada-first")
    expected = {
        "official": {"location", "retry-after"},
        "both": {"azure-asyncoperation", "location", "retry-after"},
        "async_operation": {"azure-asyncoperation", "retry-after"},
        "location": {"location", "retry-after"},
        "none": set(),
    }
    for style, headers in expected.items():
        emulator.settings(operations=style, retry_after_s=7)
        answer = emulator.arm("POST", f"{emulator.compute('ada-first')}/start")
        assert names(answer) == headers
        assert answer.headers.get("retry-after") in {"7", None}


def test_requests_are_throttled_at_the_documented_rates(emulator):
    emulator.settings(quotas="documented")
    token = emulator.token()
    answers = [emulator.arm("GET", emulator.workspace, token=token) for _ in range(400)]
    throttled = [answer for answer in answers if answer.status == 429]
    assert throttled
    assert answers.index(throttled[0]) >= 250
    refused(throttled[0], 429, "TooManyRequests")
    assert throttled[0].headers["retry-after"] == "1"
    assert answers[0].headers["x-ms-ratelimit-remaining-subscription-reads"] == "249"
    other = emulator.sign_in("ada", "https://management.azure.com/.default")["access_token"]
    assert emulator.arm("GET", emulator.workspace, token=other).status == 200
    writes = emulator.put("ada-first", token=token)
    assert writes.headers["x-ms-ratelimit-remaining-subscription-writes"] == "199"
    assert emulator.admin("calls")["throttled"] == len(throttled)


def test_a_new_instance_may_not_be_seen_at_once(emulator):
    emulator.settings(visible_after_ms=100)
    emulator.put("ada-first")
    assert emulator.arm("GET", emulator.compute("ada-first")).status == 404
    wait_for(lambda: emulator.arm("GET", emulator.compute("ada-first")).status == 200)


def test_the_admin_sets_states_and_stops_with_a_trigger(emulator):
    emulator.running("ada-first")
    emulator.admin("instances/ada-first/stop", {"trigger": "Schedule"})
    details = emulator.wait_for_state("ada-first", "Stopped")["properties"]["properties"]
    assert details["lastOperation"]["operationTrigger"] == "Schedule"
    emulator.admin("instances/ada-first/state", {"state": "Unusable", "code": "Broken", "message": "It broke."})
    properties = emulator.get("ada-first")["properties"]
    assert properties["properties"]["errors"] == [{"error": {"code": "Broken", "message": "It broke."}}]
    states = (
        "CreateFailed Deleting Running Restarting Resizing JobRunning SettingUp SetupFailed Starting Stopped Stopping "
        "UserSettingUp UserSetupFailed Unknown Unusable Creating"
    )
    for state in states.split():
        emulator.admin("instances/ada-first/state", {"state": state})
        assert emulator.state("ada-first") == state
    emulator.admin("instances/ada-first/forget", {})
    assert emulator.arm("GET", emulator.compute("ada-first")).status == 404


def test_the_request_log_has_no_secret(start_emulator, tmp_path):
    log = tmp_path / "log"
    emulator = start_emulator("--run", "simulate", "--request-log", str(log))
    emulator.put("ada-first")
    lines = log.read_text()
    assert "azure-secret" not in lines
    assert '"action":"POST token"' in lines
    assert '"action":"PUT computes"' in lines
    assert '"operation":"computes.put"' in lines
    assert base64.b64encode(b"x").decode() not in lines
