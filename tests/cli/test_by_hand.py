"""Requests that are written as flags: the same as those on stdin, and a dry run that changes nothing."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import ask, by_hand, program
from support.azure import Azure
from support.emulator import KEY, Emulator, Json

SECRET = "canary-api-token-31bb07"


@pytest.fixture
def place(tmp_path: Path) -> list[str]:
    """The flags that say where."""
    return ["--backend", "fargate", "--config", by_hand.settings(tmp_path, "config", ask.config())]


@pytest.fixture
def azure() -> Iterator[Azure]:
    """A local Azure whose instances run within 100 ms."""
    with Azure() as running:
        yield running


def on_azure(azure: Azure, folder: Path) -> list[str]:
    """The flags that say where, and who."""
    files = {"config": azure.config(), "credentials": azure.credentials()}
    return [
        "--backend",
        "azure_ml",
        *(w for n, v in files.items() for w in (f"--{n}", by_hand.settings(folder, f"azure-{n}", v))),
    ]


def test_a_whole_life_is_led_by_flags(emulator: Emulator, place: list[str]) -> None:
    whose = [*place, "--user", "ada", "--server", "lab", "--hub", "prod"]
    started = by_hand.run(emulator.env(), "start", *whose, "--", "jupyter", "lab", "--ip=0.0.0.0")
    assert started.result["url"] == "http://127.0.0.1:8888"
    (asked,) = emulator.bodies("RunTask")
    assert asked["overrides"]["containerOverrides"][0]["command"] == ["jupyter", "lab", "--ip=0.0.0.0"]
    assert asked["startedBy"] == started.result["state"]["data"]["key"]
    assert by_hand.run(emulator.env(), "poll", *whose).result["servers"][0]["phase"] == "running"
    emulator.write(emulator.tasks()[0], "one", "two")
    assert [line["message"] for line in by_hand.run(emulator.env(), "logs", *whose, "-n", "1").result["lines"]] == ["two"]
    assert by_hand.run(emulator.env(), "stop", *whose, "--wait", "--reason", "no longer needed").result["phase"] == "exited"
    assert emulator.bodies("StopTask")[0]["reason"] == "no longer needed"


def test_by_default_a_server_belongs_to_no_hub_and_its_state_may_be_given(
    emulator: Emulator, place: list[str], tmp_path: Path
) -> None:
    spec = by_hand.settings(tmp_path, "spec", ask.spec(port=9999))
    done = by_hand.run(emulator.env(), "start", *place, "--user", "ada", "--spec", spec)
    state = done.result["state"]
    assert (state["data"]["hub"], state["data"]["port"]) == ("by-hand", 9999)
    emulator.end(emulator.tasks()[0], exit_code=3)
    emulator.wait_for_status("STOPPED")
    file = by_hand.settings(tmp_path, "state", state)
    (server,) = by_hand.run(emulator.env(), "poll", *place, "--user", "ada", "--state", file).result["servers"]
    assert (server["phase"], server["exit_code"]) == ("exited", 3)


def test_every_start_by_hand_is_a_new_attempt(emulator: Emulator, place: list[str]) -> None:
    for _ in range(2):
        by_hand.run(emulator.env(), "start", *place, "--user", "ada").result  # noqa: B018
    tokens = [body["clientToken"] for body in emulator.bodies("RunTask")]
    assert len(set(tokens)) == 2
    assert len(emulator.alive()) == 1, "the second start made the first task go"


def test_check_gc_share_and_options_take_flags(emulator: Emulator, place: list[str], azure: Azure, tmp_path: Path) -> None:
    checks = by_hand.run(emulator.env(), "check", *place, "--offline").result["checks"]
    assert checks
    assert emulator.requests() == []
    program.run("start", ask.start(), emulator.env())
    keep = by_hand.run(emulator.env(), "gc", *place, "--hub", "prod", "--min-age", "0", "--keep", "ada").result
    assert keep["stale"] == []
    (stale,) = by_hand.run(emulator.env(), "gc", *place, "--hub", "prod", "--min-age", "0").result["stale"]
    assert len(emulator.alive()) == 1, "a plan alone"
    keep = by_hand.run(emulator.env(), "gc", *place, "--hub", "prod", "--min-age", "0", "--keep-ref", stale["ref"]).result
    assert keep["stale"] == []
    gone = by_hand.run(emulator.env(), "gc", *place, "--hub", "prod", "--min-age", "0", "--yes", "--force").result
    assert gone["removed"] == [stale["ref"]]
    stored = ["--backend", "fargate", "--config", by_hand.settings(tmp_path, "stored", ask.config(storage=ask.storage()))]
    assert by_hand.run(emulator.env(), "share", "show", *stored, "--user", "ada").error["code"] == "not_found"
    assert by_hand.run(emulator.env(), "share", "ensure", *stored, "--user", "ada").result["share"]["created"]
    projects = by_hand.run(azure.env(), "options", *on_azure(azure, tmp_path)).result["projects"]
    assert [project["workspace"] for project in projects] == [azure.azure["workspace"]]


def test_list_shows_both_clouds_with_age_size_user_and_cost_tags(
    emulator: Emulator, azure: Azure, place: list[str], tmp_path: Path
) -> None:
    tags = [{"key": "cost-centre", "value": "physics"}]
    program.run("start", ask.start(config=ask.config(run_task=ask.run_task(tags=tags))), emulator.env())
    program.run("start", ask.start(server=ask.server("grace", hub="other")), emulator.env())
    program.run("start", azure.ask("start", config=azure.config(tags={"owner": "ada"})), azure.env())
    both = [*place, "--credentials", "-", *on_azure(azure, tmp_path), "--hub", "prod"]
    fargate, instance = by_hand.run(emulator.env(), "list", *both).result["servers"]
    assert (fargate["backend"], fargate["phase"], fargate["user"]) == ("fargate", "running", "ada")
    assert (fargate["size"], fargate["tags"]) == ("0.25 vCPU, 512 MiB", {"cost-centre": "physics"})
    assert 0 <= fargate["age_ms"] < 60_000
    assert (instance["backend"], instance["size"].upper(), instance["tags"]) == ("azure_ml", "STANDARD_DS11_V2", {"owner": "ada"})


def test_a_cloud_that_cannot_be_listed_does_not_hide_the_other(
    emulator: Emulator, azure: Azure, place: list[str], tmp_path: Path
) -> None:
    program.run("start", ask.start(), emulator.env())
    azure.azure_fault("computes.list", "access_denied", count=None)
    both = [*place, "--credentials", "-", *on_azure(azure, tmp_path), "--hub", "prod", "--timeout", "5"]
    done = by_hand.run(emulator.env(), "list", *both)
    assert done.exit_code == 1
    assert len(done.last["result"]["servers"]) == 1
    assert [error["context"]["backend"] for error in done.last["result"]["errors"]] == ["azure_ml"]


def test_a_followed_log_goes_on_until_it_is_interrupted(emulator: Emulator, place: list[str]) -> None:
    program.run("start", ask.start(), emulator.env())
    flags = [*place, "--user", "ada", "--hub", "prod", "-f"]
    with by_hand.Terminal(emulator.env(), "logs", *flags) as terminal:
        emulator.write(emulator.tasks()[0], "first")
        terminal.shows("first")
        emulator.write(emulator.tasks()[0], "second", "third")
        terminal.shows("third")
        terminal.interrupt()
        code, text = terminal.ends()
    assert code == 0
    assert [line.split()[-1] for line in text.splitlines()] == ["first", "second", "third"]
    assert emulator.calls("GetLogEvents") < 20, "at a modest pace"


def dry(emulator: Emulator, *arguments: str) -> Json:
    """What a dry run tells."""
    return by_hand.run(emulator.env(), *arguments, "--dry-run").result


def test_a_dry_run_prints_the_calls_and_changes_nothing(emulator: Emulator, place: list[str], tmp_path: Path) -> None:
    spec = by_hand.settings(tmp_path, "spec", ask.spec(env={"JUPYTERHUB_API_TOKEN": SECRET}))
    done = by_hand.run(emulator.env(), "start", *place, "--user", "ada", "--spec", spec, "--dry-run")
    calls = done.result["calls"]
    assert [(call["action"], call["made"]) for call in calls] == [("ListTasks", True), ("RunTask", False)]
    run_task = calls[-1]["body"]
    assert (run_task["taskDefinition"], run_task["cluster"]) == ("notebook", "notebooks")
    (variable,) = run_task["overrides"]["containerOverrides"][0]["environment"]
    assert variable == {"name": "JUPYTERHUB_API_TOKEN", "value": "REDACTED"}
    assert "it is not made" in done.result["stopped"]
    assert calls[-1]["url"].startswith(emulator.url)
    assert SECRET not in done.stdout + done.stderr
    assert emulator.calls("RunTask") == 0
    assert "error" not in {frame["type"] for frame in done.frames}


def test_a_dry_run_of_a_stop_shows_what_would_be_stopped(emulator: Emulator, place: list[str]) -> None:
    nothing = dry(emulator, "stop", *place, "--user", "ada")
    assert nothing["stopped"] == "Nothing would be changed."
    state = program.run("start", ask.start(), emulator.env()).result["state"]
    calls = dry(emulator, "stop", *place, "--user", "ada", "--hub", "prod")["calls"]
    assert (calls[-1]["action"], calls[-1]["body"]["task"]) == ("StopTask", state["data"]["ref"])
    assert len(emulator.alive()) == 1


def test_a_dry_run_ends_where_a_home_would_be_made(emulator: Emulator, tmp_path: Path) -> None:
    stored = ["--backend", "fargate", "--config", by_hand.settings(tmp_path, "stored", ask.config(storage=ask.storage()))]
    share = dry(emulator, "share", "ensure", *stored, "--user", "ada")["calls"]
    assert {call["method"] for call in share if call["made"]} == {"GET"}
    assert (share[-1]["method"], share[-1]["made"]) == ("POST", False)
    assert share[-1]["body"]["FileSystemId"] == ask.FILE_SYSTEM
    spec = by_hand.settings(tmp_path, "spec", ask.spec(mounts=[ask.home()]))
    start = dry(emulator, "start", *stored, "--user", "ada", "--spec", spec)
    assert start["calls"][-1]["url"].endswith("/access-points")
    assert emulator.admin("efs")["access_points"] == []


def test_a_dry_run_offline_asks_nobody_and_needs_no_credentials(tmp_path: Path, place: list[str]) -> None:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    done = by_hand.run(env, "start", *place, "--user", "ada", "--dry-run", "--offline")
    assert [(call["action"], call["made"]) for call in done.result["calls"]] == [("ListTasks", False), ("RunTask", False)]
    assert done.result["calls"][-1]["url"] == "https://ecs.eu-west-1.amazonaws.com/"


def test_a_dry_run_that_needs_to_know_more_says_where_it_ended(azure: Azure, tmp_path: Path) -> None:
    flags = [*on_azure(azure, tmp_path), "--user", "ada"]
    put = by_hand.run(azure.env(), "start", *flags, "--dry-run").result
    assert put["calls"][-1]["method"] == "PUT"
    assert put["calls"][-1]["body"]["properties"]["computeType"] == "ComputeInstance"
    assert azure.instances() == []
    offline = by_hand.run(azure.env(), "start", *flags, "--dry-run", "--offline").result
    assert {call["method"] for call in offline["calls"]} == {"GET"}
    assert offline["stopped"].startswith("It ends here: arm:GET")


def test_a_dry_run_that_meets_an_error_or_no_network_fails_with_the_calls_before(
    emulator: Emulator, place: list[str], tmp_path: Path
) -> None:
    bad = by_hand.settings(tmp_path, "bad", ask.config(run_task={"taskDefinition": 7}))
    done = by_hand.run(emulator.env(), "start", "--backend", "fargate", "--config", bad, "--user", "ada", "--dry-run")
    assert (done.exit_code, done.error["code"]) == (1, "invalid_config")
    dead = emulator.env(AWS_ENDPOINT_URL="http://127.0.0.1:9")
    error = by_hand.run(dead, "start", *place, "--user", "ada", "--dry-run").error
    assert "no connection could be made" in error["message"]
    assert any("ListTasks" in cause for cause in error["causes"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["start", "--user", "ada"], "--config"),
        (["poll", "--config", "x"], "--backend"),
        (["stop", "--dry-run"], "--config"),
        (["list", "--backend", "fargate", "--config", "x"], "--hub"),
        (["check", "--bakend", "fargate"], "--backend"),
        (["start", "--", "jupyter"], "--config"),
    ],
)
def test_a_command_line_that_lacks_something_is_refused_before_stdin_is_read(
    emulator: Emulator, arguments: list[str], words: str
) -> None:
    done = by_hand.run(emulator.env(), *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr


@pytest.mark.parametrize(
    ("flags", "content", "words"),
    [
        (["--user", "ada"], '{"a": }', "--config"),
        (["--user", "ada"], None, "--config"),
        ([], "{}", "--user"),
    ],
)
def test_a_file_that_is_none_and_a_person_who_is_not_named_are_told(
    emulator: Emulator, tmp_path: Path, flags: list[str], content: str | None, words: str
) -> None:
    file = tmp_path / "config.json"
    if content:
        file.write_text(content)
    done = by_hand.run(emulator.env(), "start", "--backend", "fargate", "--config", str(file), *flags)
    assert (done.exit_code, done.error["code"]) == (2, "bad_request")
    assert words in done.error["message"]


def test_a_file_of_credentials_that_is_no_json_is_not_repeated(emulator: Emulator, place: list[str], tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(SECRET)
    done = by_hand.run(emulator.env(), "check", *place, "--credentials", str(file))
    assert done.exit_code == 2
    assert SECRET not in done.stdout + done.stderr


def test_credentials_come_from_a_file(emulator: Emulator, place: list[str], tmp_path: Path) -> None:
    static = {"kind": "static", "access_key_id": KEY[0], "secret_access_key": KEY[1]}
    file = by_hand.settings(tmp_path, "credentials", static)
    env = emulator.env(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    checks = by_hand.run(env, "check", *place, "--credentials", file).result["checks"]
    assert all(check["ok"] for check in checks), json.dumps(checks)
