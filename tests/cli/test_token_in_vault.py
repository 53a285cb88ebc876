"""`token_in` "secrets_manager": the server's token is in a secret of Secrets Manager, and in nothing that ECS shows."""

import json
from pathlib import Path
from typing import Any

import pytest

from support import ask, binaries, deployments, program
from support.emulator import KEY, Emulator, wait_until

POLICIES = binaries.REPOSITORY / "deployments" / "fargate"
ROLE = "arn:aws:iam::123456789012:role/notebook-execution"
TOKEN = "canary0123456789abcdef"
ENV = {
    "JUPYTERHUB_USER": "ada",
    "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/user/ada/",
    "JUPYTERHUB_API_TOKEN": TOKEN,
    "JPY_API_TOKEN": TOKEN,
}
MADE = "CreateSecret"


def config(**changes: Any) -> ask.Request:
    run_task = ask.run_task(overrides={"executionRoleArn": ROLE})
    return ask.config(**{"run_task": run_task, "token_in": "secrets_manager", **changes})


def request(timeout_ms: int = 60_000, **changes: Any) -> ask.Request:
    usual = {"config": config(), "spec": ask.spec(env=ENV)}
    return ask.start(timeout_ms, **{**usual, **changes})


def start(emulator: Emulator, *arguments: str, **changes: Any) -> program.Finished:
    return program.run("start", request(**changes), emulator.env(), arguments=arguments)


def stop(emulator: Emulator, state: object = None, **changes: Any) -> program.Finished:
    return program.run("stop", ask.stop(state, config=config(), **changes), emulator.env())


def gc(emulator: Emulator, *keep: ask.Request, **changes: Any) -> dict[str, Any]:
    asked = ask.gc(*keep, **{"config": config(run_task=ask.run_task()), "apply": True, "force": True, **changes})
    result: dict[str, Any] = program.run("gc", asked, emulator.env()).result
    return result


def alive(emulator: Emulator) -> list[dict[str, Any]]:
    """The secrets that somebody could read."""
    return [secret for secret in emulator.admin("secrets").values() if not secret.get("DeletedDate")]


def test_the_task_gets_the_token_and_run_task_does_not(emulator: Emulator) -> None:
    assert start(emulator).result["url"]
    (task,) = emulator.tasks()
    assert task["secrets"] == {"JUPYTERHUB_API_TOKEN": TOKEN, "JPY_API_TOKEN": TOKEN}
    for action in ("RunTask", "RegisterTaskDefinition"):
        assert TOKEN not in json.dumps(emulator.bodies(action))
    (body,) = emulator.bodies("RunTask")
    names = [variable["name"] for variable in body["overrides"]["containerOverrides"][0]["environment"]]
    assert sorted(names) == ["JUPYTERHUB_SERVICE_URL", "JUPYTERHUB_USER"]


def test_the_process_of_the_server_has_it_in_its_environment(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    command = ["/bin/sh", "-c", f'printf %s "$JUPYTERHUB_API_TOKEN" > {seen}.part && mv {seen}.part {seen}; exec sleep 60']
    with Emulator(run="process") as emulator:
        assert start(emulator, spec=ask.spec(command=command, env=ENV)).result["url"]
        wait_until(seen.exists)
        assert seen.read_text() == TOKEN


def test_the_secret_says_whose_it_is_and_has_the_admins_key_and_tags(emulator: Emulator) -> None:
    run_task = ask.run_task(overrides={"executionRoleArn": ROLE}, tags=[{"key": "team", "value": "data"}])
    state = start(emulator, config=config(run_task=run_task, token_kms_key="alias/hub")).result["state"]
    (secret,) = alive(emulator)
    key = state["data"]["key"]
    tags = {tag["Key"]: tag["Value"] for tag in secret["Tags"]}
    assert secret["Name"] == f"cloudspawner/{key}"
    assert tags == {
        "cloudspawner-hub": "prod", "cloudspawner-key": key, "cloudspawner-attempt": state["data"]["attempt"], "team": "data",
    }  # fmt: skip
    assert secret["KmsKeyId"] == "alias/hub"


def test_the_token_is_in_no_frame_log_or_tape(emulator: Emulator, tmp_path: Path) -> None:
    env = emulator.env(CLOUDSPAWNER_LOG="trace")
    done = program.run("start", request(), env, arguments=["--record", str(tmp_path)])
    assert done.result["url"]
    tapes = "".join(file.read_text() for file in tmp_path.iterdir())
    assert "cloudspawner/cs-prod" in tapes
    assert TOKEN not in done.stdout + done.stderr + tapes


def test_a_refusal_that_repeats_the_token_is_shown_without_it(emulator: Emulator) -> None:
    emulator.fault(MADE, "refused", code="InvalidParameterException", message=f"no good: {TOKEN}", count=None)
    done = start(emulator)
    assert done.error["code"] == "invalid_config"
    assert TOKEN not in done.stdout + done.stderr


def test_a_stop_deletes_the_secret_and_the_next_start_restores_it_with_the_same_definition(emulator: Emulator) -> None:
    state = start(emulator).result["state"]
    assert stop(emulator, state).result["cleanup"] == "done"
    assert alive(emulator) == []
    again = start(emulator, spec=ask.spec(env={**ENV, "JUPYTERHUB_API_TOKEN": "another-token", "JPY_API_TOKEN": "another-token"}))
    assert again.result["url"]
    assert emulator.tasks()[-1]["secrets"]["JUPYTERHUB_API_TOKEN"] == "another-token"
    assert emulator.calls("RegisterTaskDefinition") == 1
    assert len(emulator.admin("secrets")) == 1


def test_a_stop_by_key_alone_deletes_the_secret(emulator: Emulator) -> None:
    start(emulator)
    assert stop(emulator).result["cleanup"] == "done"
    assert alive(emulator) == []


def test_a_server_that_ended_by_itself_still_has_something_to_clean_up(emulator: Emulator) -> None:
    state = start(emulator).result["state"]
    emulator.end(emulator.tasks()[0])
    emulator.wait_for_status("STOPPED")
    poll = ask.poll(ask.target(state), config=config())
    (server,) = program.run("poll", poll, emulator.env()).result["servers"]
    assert (server["phase"], server["cleanup"]) == ("exited", "needed")
    stop(emulator, state)
    assert alive(emulator) == []


def test_a_newer_start_puts_its_own_token_in_the_place_of_an_older_ones(emulator: Emulator) -> None:
    start(emulator)
    newer = {**ENV, "JUPYTERHUB_API_TOKEN": "newer-token-01", "JPY_API_TOKEN": "newer-token-01"}
    assert start(emulator, spec=ask.spec(env=newer)).result["url"]
    (secret,) = alive(emulator)
    assert "newer-token-01" in secret["SecretString"]
    assert len(emulator.alive()) == 1


@pytest.mark.parametrize("action", [MADE, "DescribeSecret", "RestoreSecret", "PutSecretValue"])
@pytest.mark.parametrize("kind", ["reply_lost", "throttle", "error_500", "truncated"])
def test_an_answer_that_is_lost_makes_no_second_secret(emulator: Emulator, action: str, kind: str) -> None:
    if action != MADE:
        stop(emulator, start(emulator).result["state"])
    emulator.fault(action, kind)
    assert start(emulator).result["url"]
    assert len(emulator.admin("secrets")) == 1
    assert emulator.tasks()[-1]["secrets"]["JUPYTERHUB_API_TOKEN"] == TOKEN


def test_a_name_that_is_still_being_freed_is_waited_for(emulator: Emulator) -> None:
    code = "InvalidRequestException"
    emulator.fault(MADE, "refused", code=code, message="a secret with this name is already scheduled for deletion", count=2)
    assert start(emulator).result["url"]


def test_a_secret_of_the_servers_name_that_somebody_else_made_is_refused_and_stays(emulator: Emulator) -> None:
    key = start(emulator).result["state"]["data"]["key"]
    emulator.admin("secrets", method="DELETE")
    client = emulator.boto3("secretsmanager")
    client.create_secret(Name=f"cloudspawner/{key}", SecretString="somebody's")
    error = start(emulator).error
    assert error["code"] == "conflict"
    assert [secret["SecretString"] for secret in alive(emulator)] == ["somebody's"]


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("RegisterTaskDefinition", "access_denied"),
        ("RunTask", "access_denied"),
        ("RunTask", "early_stop"),
        ("RunTask", "refused"),
    ],
)
def test_a_start_that_fails_leaves_no_secret(emulator: Emulator, action: str, kind: str) -> None:
    emulator.fault(action, kind, count=None)
    done = start(emulator, timeout_ms=8000)
    assert done.error["cleanup"] == "done"
    assert emulator.calls(MADE) == 1
    assert alive(emulator) == []


def test_a_start_that_is_cancelled_leaves_no_secret(emulator: Emulator) -> None:
    emulator.settings(delays={"provisioning": 600_000})
    with program.Serve(emulator.env()) as serve:
        number = serve.begin(request())
        emulator.wait_for_calls("RunTask")
        serve.ask(ask.cancel(number))
        assert serve.last(number)["error"]["cleanup"] == "done"
    assert alive(emulator) == []


@pytest.mark.parametrize("hangs_at", [MADE, "DescribeTaskDefinition", "RegisterTaskDefinition", "RunTask"])
@pytest.mark.parametrize("found_by", ["gc", "stop"])
def test_what_a_program_that_was_killed_left_is_found(emulator: Emulator, hangs_at: str, found_by: str) -> None:
    emulator.fault(hangs_at, "hang", count=None)
    with program.Child("start", emulator.env()) as child:
        child.send(request())
        emulator.wait_for_calls(hangs_at)
        child.process.kill()
        child.wait()
        state = [frame["state"] for frame in child.frames if frame["type"] == "state"][-1]
    emulator.clear_faults()
    assert len(alive(emulator)) == (hangs_at != MADE)
    if found_by == "gc":
        assert gc(emulator)["errors"] == []
    else:
        state["data"]["attempted_at_ms"] = 0
        assert stop(emulator, state).result["cleanup"] == "done"
    assert alive(emulator) == []


def test_a_start_is_carried_on_by_another_process(emulator: Emulator) -> None:
    emulator.fault("RunTask", "hang")
    asked = request()
    with program.Child("start", emulator.env()) as child:
        child.send(asked)
        emulator.wait_for_calls("RunTask")
        child.process.kill()
        child.wait()
        state = [frame["state"] for frame in child.frames if frame["type"] == "state"][-1]
    asked["params"]["state"] = state
    assert program.run("start", asked, emulator.env()).result["url"]
    first, second = emulator.bodies("RunTask")
    assert first == second
    assert emulator.tasks()[-1]["secrets"]["JUPYTERHUB_API_TOKEN"] == TOKEN


def test_gc_spares_servers_that_run_or_are_kept_young_secrets_and_other_hubs(emulator: Emulator) -> None:
    start(emulator)
    for whose in (ask.server("kept"), ask.server("left"), ask.server("ada", hub="production")):
        start(emulator, server=whose)
        emulator.end(emulator.tasks()[-1])
    emulator.wait_for_status("STOPPED", emulator.tasks()[1:])
    keep = ({"server": ask.server("kept")}, {"server": ask.server("ada")})
    assert gc(emulator, *keep, min_age_ms=600_000)["errors"] == []
    assert len(alive(emulator)) == 4
    assert gc(emulator, *keep)["errors"] == []
    assert len(alive(emulator)) == 3
    (gone,) = [secret for secret in emulator.admin("secrets").values() if secret.get("DeletedDate")]
    assert {"Key": "cloudspawner-hub", "Value": "prod"} in gone["Tags"]


def test_gc_of_a_server_that_nobody_keeps_deletes_its_secret(emulator: Emulator) -> None:
    start(emulator)
    assert len(gc(emulator)["removed"]) == 1
    assert alive(emulator) == []


def test_an_execution_role_that_may_not_read_it_is_told_with_the_policy(emulator: Emulator) -> None:
    emulator.admin("roles/notebook-execution", {"Version": "2012-10-17", "Statement": []}, method="PUT")
    error = start(emulator).error
    assert (error["code"], error["cleanup"]) == ("start_failed", "done")
    assert "unable to pull secrets" in error["message"]
    assert any("token-execution-role-policy.json" in cause for cause in error["causes"])
    assert alive(emulator) == []


def policies(*names: str, without: str = "") -> dict[str, Any]:
    """The shipped policies as one, without one action."""
    statements = []
    for name in names:
        text = (POLICIES / name).read_text().replace("REGION", "eu-west-1").replace("ACCOUNT", "123456789012")
        for statement in json.loads(text)["Statement"]:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            statements.append({**statement, "Action": [action for action in actions if action != without]})
    return {"Version": "2012-10-17", "Statement": statements}


def test_the_shipped_policies_are_enough_for_hub_and_task(tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(policies("policy.json", "token-policy.json")))
    with Emulator("--key", f"{KEY[0]}:{KEY[1]}:{policy}") as emulator:
        role = policies("token-execution-role-policy.json")
        emulator.admin("roles/notebook-execution", role, method="PUT")
        for _ in range(2):
            state = start(emulator).result["state"]
            assert stop(emulator, state).result["cleanup"] == "done"
            assert alive(emulator) == []
        start(emulator)
        assert gc(emulator)["errors"] == []
        assert alive(emulator) == []


def test_the_policy_for_tokens_goes_with_that_for_homes(tmp_path: Path) -> None:
    homes, role = (json.loads(Path(deployments.policy(name, tmp_path)).read_text()) for name in ("policy", "task-role-policy"))
    policy = tmp_path / "both.json"
    policy.write_text(json.dumps({**homes, "Statement": homes["Statement"] + policies("token-policy.json")["Statement"]}))
    with Emulator("--key", f"{KEY[0]}:{KEY[1]}:{policy}") as emulator:
        emulator.admin("roles/notebook-execution", policies("token-execution-role-policy.json"), method="PUT")
        emulator.admin("roles/notebook-task", role, method="PUT")
        run_task = ask.run_task(
            overrides={"executionRoleArn": ROLE, "taskRoleArn": ask.ROLE.replace("notebook", "notebook-task")}
        )
        settings = config(run_task=run_task, storage=ask.storage())
        state = start(emulator, config=settings, spec=ask.spec(env=ENV, mounts=[ask.home()])).result["state"]
        (task,) = emulator.tasks()
        assert (len(task["mounts"]), task["secrets"]["JUPYTERHUB_API_TOKEN"]) == (1, TOKEN)
        assert stop(emulator, state).result["cleanup"] == "done"
        assert alive(emulator) == []


@pytest.mark.parametrize("action", ["CreateSecret", "TagResource"])
def test_without_a_permission_nothing_is_started_and_the_policy_is_named(tmp_path: Path, action: str) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps(policies("policy.json", "token-policy.json", without=f"secretsmanager:{action}")))
    with Emulator("--key", f"{KEY[0]}:{KEY[1]}:{policy}") as emulator:
        error = start(emulator).error
        assert error["code"] == "permission_denied"
        assert any("token-policy.json" in cause for cause in error["causes"])
        assert emulator.tasks() == []


def test_a_secret_that_may_not_be_deleted_keeps_no_server_running(emulator: Emulator) -> None:
    state = start(emulator).result["state"]
    emulator.fault("DeleteSecret", "access_denied", count=None)
    done = stop(emulator, state)
    assert done.result["cleanup"] == "done"
    assert "token-policy.json" in done.stderr
    assert emulator.alive() == []


def test_what_cannot_work_is_refused_before_anything_is_made(emulator: Emulator) -> None:
    elsewhere = {"containerOverrides": [{"name": "other", "environment": [{"name": "T", "value": TOKEN}]}]}
    for settings, words in (
        (config(container_name=None), "container_name"),
        (config(run_task=ask.run_task()), "executionRoleArn"),
        (config(run_task=ask.run_task(overrides=elsewhere)), "token"),
        (config(token_in="nowhere"), "token_in"),
    ):
        error = start(emulator, config=settings).error
        assert error["code"] == "invalid_config"
        assert words in error["message"]
        assert TOKEN not in json.dumps(error)
    assert alive(emulator) == []
    assert emulator.tasks() == []


def test_a_token_that_the_admin_put_into_the_override_is_taken_out_of_it(emulator: Emulator) -> None:
    own = {"name": "notebook", "environment": [{"name": "HEADER", "value": f"token {TOKEN}"}]}
    run_task = ask.run_task(overrides={"executionRoleArn": ROLE, "containerOverrides": [own]})
    start(emulator, config=config(run_task=run_task))
    assert TOKEN not in json.dumps(emulator.bodies("RunTask"))
    assert emulator.tasks()[0]["secrets"]["HEADER"] == f"token {TOKEN}"


def test_a_home_and_a_token_share_one_copy_of_the_definition(emulator: Emulator) -> None:
    run_task = ask.run_task(overrides={"executionRoleArn": ROLE, "taskRoleArn": ask.ROLE})
    settings = config(run_task=run_task, storage=ask.storage())
    done = start(emulator, config=settings, spec=ask.spec(env=ENV, mounts=[ask.home()]))
    assert done.result["url"]
    (task,) = emulator.tasks()
    assert (len(task["mounts"]), task["secrets"]["JUPYTERHUB_API_TOKEN"]) == (1, TOKEN)
    assert emulator.calls("RegisterTaskDefinition") == 1


def test_a_start_without_a_token_needs_no_secret(emulator: Emulator) -> None:
    assert start(emulator, spec=ask.spec()).result["url"]
    assert emulator.calls(MADE) == 0


def test_check_tells_of_the_permission_and_of_the_execution_role(emulator: Emulator) -> None:
    def findings(settings: ask.Request) -> dict[str, Any]:
        done = program.run("check", ask.check(config=settings), emulator.env())
        return {finding["name"]: finding for finding in done.result["checks"]}

    name = "permission secretsmanager:DescribeSecret"
    found = findings(config())
    assert (found[name]["ok"], found["execution role"]["ok"]) == (True, True)
    assert "token-execution-role-policy.json" in found["execution role"]["hint"]
    assert not findings(config(run_task=ask.run_task()))["execution role"]["ok"]
    assert name not in findings(ask.config())
    emulator.fault("DescribeSecret", "access_denied", count=None)
    assert not findings(config())[name]["ok"]
