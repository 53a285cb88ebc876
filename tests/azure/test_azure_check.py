"""The doctor on Azure: who the hub is, what it may do, the cores that are left, its homes, and what only a start can show."""

import base64
import json
import socket
import time
import uuid
from typing import Any

import pytest

from support import deployments, program
from support.azure import APP, Azure

Json = dict[str, Any]


def named(checks: list[Json]) -> dict[str, Json]:
    """Findings by their names."""
    return {check["name"]: check for check in checks}


def check(azure: Azure, **changes: object) -> dict[str, Json]:
    """What a check finds with these changes of the config, by name."""
    asked = azure.ask("check", config=azure.config(**changes))
    return named(program.run("check", asked, azure.env()).result["checks"])


def bad(found: dict[str, Json]) -> list[str]:
    """The names of what is wrong."""
    return [name for name, check in found.items() if not check["ok"]]


HOMES = {"account": "notebooksstorage"}
OF_ROLES = [
    *((role, "aml_role.json") for role in json.loads(deployments.ROLES[0].read_text())["Actions"]),
    *((role, "aml_storage_role.json") for role in json.loads(deployments.STORAGE_ROLE.read_text())["Actions"]),
]
TO_LOOK = "Microsoft.Authorization/permissions/read"


def test_settings_that_work_have_no_bad_finding_within_five_seconds_and_what_cannot_be_tried_is_said() -> None:
    with Azure() as azure:
        began = time.monotonic()
        found = check(azure, storage=HOMES)
        assert time.monotonic() - began < 5
        assert bad(found) == []
        assert f"app {APP[0]}" in found["identity"]["message"]
        assert f"tenant {azure.azure['tenant']}" in found["identity"]["message"]
        assert found["quota"]["message"].startswith("4000 of 4000 vCPUs are left for STANDARD_DS11_V2 (standardDSv2Family)")
        assert "Only a start" in found["not tried"]["hint"]
        assert azure.azure_calls("computes.put") == 0


def test_a_wrong_secret_is_told_and_not_repeated() -> None:
    with Azure() as azure:
        wrong = {**azure.credentials(), "client_secret": "canary-of-a-secret"}
        found = named(program.run("check", azure.ask("check", credentials=wrong), azure.env()).result["checks"])
        assert not found["identity"]["ok"]
        assert "canary" not in str(found)


@pytest.mark.parametrize(("action", "file"), [row for row in OF_ROLES if row[0] != TO_LOOK])
def test_a_permission_that_lacks_is_named_with_the_roles_line_that_gives_it(action: str, file: str) -> None:
    with Azure("--azure-deny", f"{APP[0]}:{action}") as azure:
        finding = check(azure, storage=HOMES)[f"permission {action}"]
        assert not finding["ok"]
        assert f'"{action}"' in finding["hint"]
        assert file in finding["hint"]


def test_permissions_are_those_of_all_roles_together_with_stars_and_less_what_each_takes_back() -> None:
    with Azure() as azure:
        machine_learning = "Microsoft.MachineLearningServices/*"
        computes = {"Actions": [machine_learning, TO_LOOK], "NotActions": ["*/Computes/*"]}
        azure.azure_admin("settings", {"roles": [computes, {"Actions": ["*/computes/*/action", "*/computes/read"]}]})
        found = check(azure)
        lacking = ["write", "delete"]
        assert bad(found) == [
            f"permission Microsoft.MachineLearningServices/workspaces/computes/{last}" for last in sorted(lacking)
        ]


def test_permissions_that_may_not_be_asked_for_are_no_fault() -> None:
    with Azure("--azure-deny", f"{APP[0]}:{TO_LOOK}") as azure:
        found = check(azure, storage=HOMES)
        assert bad(found) == []
        finding = found[f"permissions on {azure.azure['workspace']}"]
        assert "could not be looked at: arm:LIST permissions: AuthorizationFailed" in finding["message"]
        assert TO_LOOK in finding["hint"]


def test_a_quota_of_which_nothing_is_left_is_told_before_anybody_starts() -> None:
    with Azure() as azure:
        azure.azure_admin("settings", {"family_cores": 3})
        assert check(azure)["quota"]["message"].startswith("3 of 3 vCPUs are left")
        azure.azure_admin("instances", {"name": "others", "workspace": azure.azure["workspace"], "vm_size": "Standard_DS2_v2"})
        finding = check(azure)["quota"]
        assert not finding["ok"]
        assert finding["message"].startswith("quota_exceeded: 1 of 3 vCPUs are left for STANDARD_DS11_V2")


def test_a_quota_that_may_not_be_read_is_no_fault_and_a_size_that_is_not_offered_is_one() -> None:
    with Azure("--azure-deny", f"{APP[0]}:*/usages/read") as azure:
        found = check(azure)
        assert bad(found) == []
        assert "locations/usages/read" in found["quota"]["hint"]
    with Azure() as azure:
        assert bad(check(azure, vm_size="Standard_DS99_v9")) == ["size"]
        # It is for clusters alone.
        assert bad(check(azure, vm_size="Standard_NV6")) == ["size"]


def test_a_key_vaults_secret_is_looked_for_and_never_told() -> None:
    with Azure() as azure:
        group = f"/subscriptions/{azure.azure['subscription']}/resourceGroups/{azure.azure['resource_group']}"
        identity = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/mounts"
        secret = f"{azure.azure['management']}/secrets/account-key"
        key = {"credential": "key_vault", "vault_secret": secret, "vault_identity": identity}
        storage = {**HOMES, **key, "account_key_opens_every_share": True}
        name = "read the key vault's secret"
        finding = check(azure, storage=storage)[name]
        assert finding["ok"]
        assert "could not be looked at" in finding["message"]
        assert f"Key Vault Secrets User on it for {identity}" in finding["hint"]

        claims = azure.bearer("https://vault.azure.net").split(".")[1]
        oid = json.loads(base64.urlsafe_b64decode(claims + "=="))["oid"]
        officer = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
        role = f"/subscriptions/{azure.azure['subscription']}/providers/Microsoft.Authorization/roleDefinitions/{officer}"
        scope = f"{group}/providers/Microsoft.KeyVault/vaults/{azure.azure['key_vault']}"
        properties = {"roleDefinitionId": role, "principalId": oid, "principalType": "ServicePrincipal"}
        path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
        azure.arm("PUT", path, {"properties": properties}, version="2022-04-01")
        assert name in bad(check(azure, storage=storage))
        azure.arm("PUT", "/secrets/account-key", {"value": "canary-of-a-key"}, version="7.4")
        found = check(azure, storage=storage)
        assert found[name]["message"].startswith("it is there")
        assert "canary" not in str(found)


def test_offline_asks_nobody() -> None:
    with Azure() as azure:
        asked = azure.ask("check", config=azure.config(storage=HOMES), offline=True)
        assert bad(named(program.run("check", asked, azure.env()).result["checks"])) == []
        assert azure.azure_admin("calls")["counts"] == {}


def test_an_address_that_another_program_has_is_told_to_the_hub() -> None:
    with Azure() as azure, socket.create_server(("127.0.0.1", 0)) as taken, program.Serve(azure.env()) as serve:
        config = {**azure.config(), "redirect_listen": f"127.0.0.1:{taken.getsockname()[1]}"}
        found = named(serve.ask(azure.ask("check", config=config))["checks"])
        assert (found["redirect"]["ok"], "taken" in found["redirect"]["message"]) == (False, True)
