"""gc and the copies of task definitions that people's storage needs: what no later start asks for goes."""

from pathlib import Path
from typing import Any

import pytest

from support import ask, deployments, program
from support.emulator import Emulator

SETTINGS = ask.config(storage=ask.storage())


def start(emulator: Emulator, user: str = "ada", hub: str = "prod") -> Any:
    """The state of a server with a home."""
    return program.run("start", ask.start_with(server=ask.server(user, hub=hub)), emulator.env()).result["state"]


def stop(emulator: Emulator, state: Any) -> None:
    """Stops a server."""
    program.run("stop", ask.stop(state, wait=True), emulator.env())


def copies(emulator: Emulator) -> set[str]:
    """The definitions that were registered and are active, by ARN."""
    arns: list[str] = emulator.boto3("ecs").list_task_definitions()["taskDefinitionArns"]
    return {arn for arn in arns if "-cs-" in arn}


def copy_of(state: Any) -> str:
    """What the server's task was made from."""
    arn: str = state["data"]["task_definition"]
    return arn


def revise(emulator: Emulator) -> None:
    """The admin registers another revision."""
    client = emulator.boto3("ecs")
    known = client.describe_task_definition(taskDefinition="notebook")["taskDefinition"]
    settings = ("cpu", "memory", "networkMode", "requiresCompatibilities", "executionRoleArn", "containerDefinitions")
    client.register_task_definition(family="notebook", **{name: known[name] for name in settings if name in known})


def gc(emulator: Emulator, **params: Any) -> program.Finished:
    """A sweep that removes no server."""
    usual = {"config": SETTINGS, "apply": True}
    keep = [{"server": ask.server(user)} for user in ("ada", "grace")]
    done = program.run("gc", ask.gc(*keep, **{**usual, **params}), emulator.env())
    assert done.result["stale"] == done.result["removed"] == []
    return done


def old_and_new(emulator: Emulator) -> tuple[str, str]:
    """A copy of the old revision and one of the new, with no server that runs."""
    old = start(emulator)
    stop(emulator, old)
    revise(emulator)
    new = start(emulator)
    stop(emulator, new)
    assert copies(emulator) >= {copy_of(old), copy_of(new)}
    return copy_of(old), copy_of(new)


def test_an_old_copy_goes_and_the_current_one_stays(emulator: Emulator) -> None:
    _, new = old_and_new(emulator)
    assert gc(emulator).result["errors"] == []
    assert copies(emulator) == {new}
    assert gc(emulator).result["errors"] == []
    assert start(emulator)["data"]["task_definition"] == new


def test_a_plan_deregisters_nothing(emulator: Emulator) -> None:
    both = set(old_and_new(emulator))
    gc(emulator, apply=False)
    assert copies(emulator) == both


def test_a_copy_that_a_server_runs_on_stays(emulator: Emulator) -> None:
    running = start(emulator)
    revise(emulator)
    new = start(emulator, "grace")
    gc(emulator)
    assert copies(emulator) == {copy_of(running), copy_of(new)}
    stop(emulator, running)
    gc(emulator)
    assert copies(emulator) == {copy_of(new)}


def test_another_hubs_copies_and_the_admins_own_definitions_stay(emulator: Emulator) -> None:
    theirs = start(emulator, "bob", hub="other")
    stop(emulator, theirs)
    _, new = old_and_new(emulator)
    gc(emulator)
    assert copies(emulator) == {copy_of(theirs), new}
    assert len(emulator.boto3("ecs").list_task_definitions(familyPrefix="notebook")["taskDefinitionArns"]) == 2


def test_a_young_copy_stays(emulator: Emulator) -> None:
    both = set(old_and_new(emulator))
    gc(emulator, min_age_ms=600_000)
    assert copies(emulator) == both


def test_copies_of_an_older_revision_stay_while_the_hub_uses_it(emulator: Emulator) -> None:
    pinned = start(emulator)
    stop(emulator, pinned)
    revise(emulator)
    gc(emulator)
    assert copies(emulator) == {copy_of(pinned)}


def test_without_storage_nothing_is_listed(emulator: Emulator) -> None:
    both = set(old_and_new(emulator))
    gc(emulator, config=ask.config())
    assert (emulator.calls("ListTaskDefinitions"), copies(emulator)) == (1, both)


@pytest.mark.parametrize("action", ["ListTaskDefinitions", "DescribeTaskDefinition", "DeregisterTaskDefinition"])
def test_a_policy_that_lacks_the_permission_gets_one_warning_and_no_error(emulator: Emulator, action: str) -> None:
    old_and_new(emulator)
    emulator.fault(action, "access_denied", count=None)
    done = gc(emulator)
    assert done.result["errors"] == []
    (warning,) = (line for line in done.stderr.splitlines() if "old task definitions stay" in line)
    assert "WARN" in warning
    emulator.clear_faults()
    assert len(copies(emulator)) == 2


def test_another_failure_is_reported(emulator: Emulator) -> None:
    old_and_new(emulator)
    emulator.fault("DeregisterTaskDefinition", "refused", count=None)
    (error,) = gc(emulator).result["errors"]
    assert error["context"]["operation"] == "ecs:DeregisterTaskDefinition"


def test_the_deployments_policy_is_enough(tmp_path: Path) -> None:
    with Emulator(*deployments.bound_on_fargate(tmp_path)) as emulator:
        key, secret = deployments.HUB_KEY
        env = emulator.env(AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret)
        request = ask.start_with(role=ask.ROLE.replace("notebook", "notebook-task"))
        states = []
        for _ in range(2):
            revise(emulator)
            request["params"]["attempt"] = ask.attempt()
            state = program.run("start", request, env).result["state"]
            program.run("stop", ask.stop(state, wait=True), env)
            states.append(copy_of(state))
        done = program.run("gc", ask.gc(config=SETTINGS, apply=True), env)
        assert done.result["errors"] == []
        assert "old task definitions stay" not in done.stderr
        assert copies(emulator) == {states[1]}
