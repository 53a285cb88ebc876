"""logs on Azure ML: what Resource Manager tells of an instance, above all of a set-up that failed."""

from collections.abc import Iterator

import pytest

from support import program
from support.azure import Azure


@pytest.fixture
def azure() -> Iterator[Azure]:
    """A local Azure whose instances run within 100 ms."""
    with Azure() as running:
        yield running


def logs(azure: Azure, state: object, **params: object) -> program.Finished:
    """One look."""
    usual = {"server": {"hub": "prod", "user": "ada", "name": ""}, "state": state}
    return program.run("logs", azure.ask("logs", **{**usual, **params}), azure.env())


def test_a_running_instance_tells_its_creation_its_last_operation_and_its_state(azure: Azure) -> None:
    state = program.run("start", azure.ask("start"), azure.env()).result["state"]
    for found in (logs(azure, state), logs(azure, None)):
        created, last, now = found.result["lines"]
        assert created["message"] == f"compute instance {state['data']['ref']} created"
        assert created["time"].endswith("Z")
        assert last["message"] == "last operation: Create: Succeeded, by User"
        assert now == {"time": None, "message": "state: Running"}
        assert found.result["next"] is None


def test_a_failed_set_up_tells_what_went_wrong_without_tokens(azure: Azure) -> None:
    state = program.run("start", azure.ask("start"), azure.env()).result["state"]
    words = "pip install failed: https://pypi.example/?token=0123456789abcdef"
    azure.set_state(state["data"]["ref"], "UserSetupFailed", code="UserSetupFailed", message=words)
    messages = [line["message"] for line in logs(azure, state).result["lines"]]
    assert "state: UserSetupFailed" in messages
    assert messages[-1] == "UserSetupFailed: pip install failed: https://pypi.example/?token=REDACTED"


def test_an_instance_that_is_gone_has_nothing_to_tell(azure: Azure) -> None:
    state = program.run("start", azure.ask("start"), azure.env()).result["state"]
    config = azure.config(on_stop="delete")
    program.run("stop", azure.ask("stop", state=state, config=config, wait=True), azure.env())
    assert logs(azure, state).error["code"] == "not_found"
