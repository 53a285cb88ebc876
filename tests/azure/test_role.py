"""The custom roles of the deployments are enough, and no more than that."""

import json

from support import deployments, program
from support.azure import Azure

PROVIDER = "Microsoft.MachineLearningServices"
ML = f"{PROVIDER}/workspaces"
# Azure permissions for AI and machine learning: which action each operation needs.
ACTIONS = {
    "workspaces.get": f"{ML}/read",
    "workspaces.list": f"{ML}/read",
    "vm_sizes.list": f"{PROVIDER}/locations/vmsizes/read",
    "computes.get": f"{ML}/computes/read",
    "computes.list": f"{ML}/computes/read",
    "computes.put": f"{ML}/computes/write",
    "computes.start": f"{ML}/computes/start/action",
    "computes.stop": f"{ML}/computes/stop/action",
    "computes.delete": f"{ML}/computes/delete",
    "usages.list": f"{PROVIDER}/locations/usages/read",
    "permissions.list": "Microsoft.Authorization/permissions/read",
}
ADA = {"hub": "prod", "user": "ada", "name": ""}
PERSON = {"object_id": "44444444-4444-4444-4444-444444444444", "tenant_id": "22222222-2222-2222-2222-222222222222"}


def actions() -> list[str]:
    """What the roles allow."""
    return [action for role in deployments.ROLES for action in json.loads(role.read_text())["Actions"]]


def test_the_roles_are_enough_for_a_servers_whole_life_and_each_of_their_actions_is_needed() -> None:
    with Azure(*deployments.BOUND) as azure:

        def ask(verb: str, **params: object) -> program.Frame:
            return program.run(verb, azure.ask(verb, **params), azure.env()).result

        # Without a location the workspace is read; on behalf of a person needs no more than write.
        state = ask("start", config=azure.config(assigned_user=PERSON))["state"]
        poll = ask("poll", targets=[{"server": ADA, "state": state}])
        assert [server["phase"] for server in poll["servers"]] == ["running"]
        assert ask("stop", state=state, wait=True) == {"phase": "exited", "cleanup": "done"}
        state = ask("start")["state"]
        delete = {**azure.config(), "on_stop": "delete"}
        assert ask("stop", config=delete, state=state, wait=True)["cleanup"] == "done"
        assert ask("gc", config=azure.config(), hub="prod", keep=[])["errors"] == []
        assert all(check["ok"] for check in ask("check")["checks"])
        assert ask("options", config=azure.config(location="eastus"))["sizes"]["eastus"]

        counts = azure.azure_admin("calls")["counts"]
        called = {operation for operation in counts if "." in operation}
        assert {ACTIONS[operation] for operation in called} == set(actions())


def test_what_the_roles_lack_is_refused_with_the_actions_name() -> None:
    with Azure() as azure:
        without = [action for action in actions() if not action.endswith("/start/action")]
        azure.azure_admin("settings", {"roles": [{"Actions": without}]})
        state = program.run("start", azure.ask("start"), azure.env()).result["state"]
        program.run("stop", azure.ask("stop", state=state, wait=True), azure.env())
        error = program.run("start", azure.ask("start"), azure.env()).error
        assert error["code"] == "permission_denied"
        assert "computes/start/action" in error["message"]


STORAGE = "Microsoft.Storage/storageAccounts/fileServices"
IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"
STORAGE_ACTIONS = {
    "file_services.get": f"{STORAGE}/read",
    "shares.get": f"{STORAGE}/shares/read",
    "shares.list": f"{STORAGE}/shares/read",
    "shares.put": f"{STORAGE}/shares/write",
    "identities.get": f"{IDENTITIES}/read",
    "identities.put": f"{IDENTITIES}/write",
    "role_assignments.put": "Microsoft.Authorization/roleAssignments/write",
    "permissions.list": "Microsoft.Authorization/permissions/read",
}


def test_the_role_for_storage_is_enough_for_a_home_and_each_of_its_actions_is_needed() -> None:
    with Azure(*deployments.BOUND, "--azure-role", str(deployments.STORAGE_ROLE)) as azure:
        config = azure.config(storage={"account": "notebooksstorage"}, location=azure.azure["location"])
        ask = azure.ask("start", config=config)
        ask["params"]["spec"]["mounts"] = [{"kind": "azure_files", "path": "~/userfiles"}]
        assert program.run("start", ask, azure.env()).result["url"]
        checks = program.run("check", azure.ask("check", config=config), azure.env()).result["checks"]
        assert all(check["ok"] for check in checks)
        counts = azure.azure_admin("calls")["counts"]
        needed = {STORAGE_ACTIONS[operation] for operation in counts if operation in STORAGE_ACTIONS}
        # An identity is given to an instance by the instance's own PUT.
        assert needed | {f"{IDENTITIES}/assign/action"} == set(json.loads(deployments.STORAGE_ROLE.read_text())["Actions"])
