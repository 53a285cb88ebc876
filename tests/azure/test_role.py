"""The custom role of the deployments is enough, and no more than that."""

import json

from support import deployments, program
from support.azure import Azure

ML = "Microsoft.MachineLearningServices/workspaces"
# Azure permissions for AI and machine learning: which action each operation needs.
ACTIONS = {
    "workspaces.get": f"{ML}/read",
    "computes.get": f"{ML}/computes/read",
    "computes.list": f"{ML}/computes/read",
    "computes.put": f"{ML}/computes/write",
    "computes.start": f"{ML}/computes/start/action",
    "computes.stop": f"{ML}/computes/stop/action",
    "computes.delete": f"{ML}/computes/delete",
}
ADA = {"hub": "prod", "user": "ada", "name": ""}
PERSON = {"object_id": "44444444-4444-4444-4444-444444444444", "tenant_id": "22222222-2222-2222-2222-222222222222"}


def test_the_role_is_enough_for_a_servers_whole_life_and_each_of_its_actions_is_needed() -> None:
    role = json.loads(deployments.ROLE.read_text())
    with Azure("--azure-role", str(deployments.ROLE)) as azure:

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

        counts = azure.azure_admin("calls")["counts"]
        called = {operation for operation in counts if "." in operation}
        assert {ACTIONS[operation] for operation in called} == set(role["Actions"])


def test_what_the_role_lacks_is_refused_with_the_actions_name() -> None:
    role = json.loads(deployments.ROLE.read_text())
    with Azure() as azure:
        without = [action for action in role["Actions"] if not action.endswith("/start/action")]
        azure.azure_admin("settings", {"role": {"Actions": without, "NotActions": []}})
        state = program.run("start", azure.ask("start"), azure.env()).result["state"]
        program.run("stop", azure.ask("stop", state=state, wait=True), azure.env())
        error = program.run("start", azure.ask("start"), azure.env()).error
        assert error["code"] == "permission_denied"
        assert "computes/start/action" in error["message"]
