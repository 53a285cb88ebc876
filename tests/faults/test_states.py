"""What befalls the server itself, in every state: it stops early, vanishes, comes up late; and the program's own surroundings fail."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.clouds import AzureMl, Cloud, Fargate, opened
from support import ask, program
from support.emulator import wait_until

Json = dict[str, Any]

ECS_STATES = ("provisioning", "pending", "activating", "running", "deactivating", "stopping", "deprovisioning")
AZURE_STATES = (
    "Creating", "SettingUp", "UserSettingUp", "Starting", "Restarting", "Resizing", "Running", "JobRunning", "Stopping",
    "Deleting", "Stopped", "CreateFailed", "SetupFailed", "UserSetupFailed", "Unusable", "Unknown",
)  # fmt: skip
ON_THE_WAY_UP = ("Creating", "SettingUp", "UserSettingUp", "Starting", "Restarting", "Resizing")
WRECKS = ("CreateFailed", "SetupFailed", "UserSetupFailed", "Unusable")
AGE = 600_000
"""Milliseconds that no test waits for."""


@pytest.fixture(scope="module")
def clouds() -> Iterator[dict[str, Cloud]]:
    """Both clouds, for the whole file."""
    with opened() as both:
        yield both


@pytest.fixture
def ecs(clouds: dict[str, Cloud]) -> Fargate:
    """A new ECS."""
    cloud = clouds["fargate"]
    assert isinstance(cloud, Fargate)
    cloud.reset()
    return cloud


@pytest.fixture
def azure(clouds: dict[str, Cloud]) -> AzureMl:
    """A new Azure."""
    cloud = clouds["azure_ml"]
    assert isinstance(cloud, AzureMl)
    cloud.reset()
    return cloud


def stay_in(ecs: Fargate, state: str) -> None:
    """Tasks go as far as this state and no further."""
    ecs.local.settings(delays={**dict.fromkeys(ecs.delays, 1), state: AGE} if state != "running" else ecs.delays)


@pytest.mark.parametrize("state", ECS_STATES)
def test_a_task_in_any_state_is_alive_until_it_is_stopped_and_a_stop_is_accepted(ecs: Fargate, state: str) -> None:
    blob = ecs.running()
    blob["data"]["url"] = None
    if state in ("provisioning", "pending", "activating"):
        stay_in(ecs, state)
        (blob["data"]["ref"],) = ecs.local.run(startedBy=blob["data"]["key"])
    elif state != "running":
        stay_in(ecs, state)
        ecs.local.end(ecs.local.tasks()[0])
    wait_until(lambda: ecs.local.tasks()[-1]["status"] == state.upper())
    assert ecs.status(blob)["phase"] in ("pending", "running", "stopping")
    assert ecs.run("stop", 10_000, blob).result["cleanup"] == "done"
    assert blob["data"]["ref"] not in ecs.alive()


@pytest.mark.parametrize("state", ["provisioning", "pending", "activating"])
@pytest.mark.parametrize(
    ("stop_code", "told"),
    [("TaskFailedToStart", "start_failed"), ("UserInitiated", "start_failed"), ("EssentialContainerExited", "start_failed")],
)
def test_a_task_that_stops_in_any_state_on_its_way_up_fails_the_start(
    ecs: Fargate, state: str, stop_code: str, told: str
) -> None:
    stay_in(ecs, state)
    with program.Child("start", ecs.env()) as child:
        child.send(ecs.request("start", 20_000))
        child.wait_for_stage({"activating": "activating"}.get(state, state))
        ecs.local.settings(delays=ecs.delays)
        ecs.local.end(ecs.local.tasks()[0], stop_code=stop_code, stopped_reason="It went down.")
        error = child.finish().error
    assert (error["code"], error["cleanup"]) == (told, "done")
    assert "It went down." in error["message"]
    assert ecs.alive() == set()


@pytest.mark.parametrize("state", AZURE_STATES)
def test_an_instance_in_any_state_is_stopped_or_deleted_or_is_down_already(azure: AzureMl, state: str) -> None:
    blob = azure.running()
    azure.local.set_state(blob["data"]["ref"], state)
    with program.Child("stop", azure.env()) as child:
        child.send(azure.request("stop", 20_000, blob))
        if state in ON_THE_WAY_UP:
            # Azure refuses while it is in the middle of something; the stop waits for its end.
            wait_until(lambda: azure.calls("remove"))
            azure.local.set_state(blob["data"]["ref"], "Running")
        assert child.finish().result["cleanup"] == "done"
    assert azure.alive() == set()


@pytest.mark.parametrize("state", AZURE_STATES)
def test_a_start_that_finds_an_instance_in_any_state_ends_with_one_that_runs(azure: AzureMl, state: str) -> None:
    first = azure.run("start", 20_000).result["state"]
    name = first["data"]["ref"]
    azure.local.set_state(name, state)
    with program.Child("start", azure.env()) as child:
        child.send(azure.request("start", 30_000, first))
        if state not in WRECKS and state not in ("Running", "JobRunning", "Stopped"):
            # It is on its way, and gets there in its own time.
            child.wait_for(lambda frame: frame.get("stage") in (state, "waiting"))
            azure.local.set_state(name, {"Stopping": "Stopped", "Deleting": "CreateFailed"}.get(state, "Running"))
        state_now = child.finish().result["state"]
    assert azure.alive() == {state_now["data"]["ref"]} == {name}
    assert azure.calls("create") == (2 if state in (*WRECKS, "Deleting") else 1)


@pytest.mark.parametrize("state", [*WRECKS, "Stopped"])
def test_an_instance_that_goes_down_on_its_way_up_fails_the_start_and_is_removed(azure: AzureMl, state: str) -> None:
    azure.slow()
    with program.Child("start", azure.env()) as child:
        child.send(azure.request("start", 30_000))
        child.wait_for_stage("Creating")
        (instance,) = azure.local.instances()
        azure.local.set_state(instance["name"], state, code="VmDoesNotBoot", message="It went down.")
        error = child.finish().error
    assert (error["code"], error["cleanup"]) == ("start_failed", "done")
    assert state in error["message"]
    assert azure.alive() == set()


@pytest.mark.parametrize("backend", ["fargate", "azure_ml"])
def test_a_server_that_vanishes_while_it_starts_fails_the_start(clouds: dict[str, Cloud], backend: str) -> None:
    cloud = clouds[backend]
    cloud.reset()
    cloud.slow()
    with program.Child("start", cloud.env()) as child:
        child.send(cloud.request("start", 20_000))
        child.wait_for(lambda frame: frame.get("stage") in ("provisioning", "Creating"))
        cloud.vanish()
        error = child.finish().error
    assert error["code"] == "start_failed"
    assert "is gone" in error["message"]


@pytest.mark.parametrize("backend", ["fargate", "azure_ml"])
def test_a_server_that_vanished_is_gone_and_its_stop_succeeds(clouds: dict[str, Cloud], backend: str) -> None:
    cloud = clouds[backend]
    cloud.reset()
    state = cloud.running()
    cloud.vanish()
    assert cloud.status(state)["phase"] == "gone"
    assert cloud.run("stop", 10_000, state).result == {"phase": "gone", "cleanup": "done"}


def test_a_late_address_is_waited_for(ecs: Fargate, azure: AzureMl) -> None:
    ecs.befall("create", "no_address", delay_ms=700)
    assert ecs.run("start", 20_000).result["url"] == "http://127.0.0.1:8888"
    azure.local.azure_admin("settings", {"endpoint_style": "none"})
    with program.Child("start", azure.env()) as child:
        child.send(azure.request("start", 20_000))
        child.wait_for_stage("Running")
        azure.local.azure_admin("settings", {"endpoint_style": "official"})
        assert child.finish().result["url"].endswith("/lab")


def test_a_server_whose_address_never_comes_is_removed_at_the_deadline(ecs: Fargate, azure: AzureMl) -> None:
    ecs.befall("create", "no_address")
    azure.local.azure_admin("settings", {"endpoint_style": "none"})
    for cloud in (ecs, azure):
        error = cloud.run("start", 2500).error
        assert (error["code"], error["cleanup"]) == ("deadline", "done")
        assert cloud.alive() == set()


@pytest.mark.parametrize("kind", ["error_500", "access_denied"])
def test_an_instance_that_is_not_shown_yet_is_not_given_up_though_its_operation_cannot_be_asked_about(
    azure: AzureMl, kind: str
) -> None:
    azure.local.azure_admin("settings", {"visible_after_ms": 1500})
    azure.befall("operation", kind, count=None)
    assert azure.run("start", 25_000).result["url"]
    assert len(azure.alive()) == 1


@pytest.mark.parametrize("backend", ["fargate", "azure_ml"])
def test_a_full_disk_under_the_log_changes_nothing(clouds: dict[str, Cloud], backend: str) -> None:
    cloud = clouds[backend]
    cloud.reset()
    cloud.befall("create", "error_500")
    state: Json | None = None
    for verb in ("start", "poll", "stop"):
        done = speechless(cloud, verb, cloud.request(verb, 20_000, state))
        assert done.returncode == 0, done.stdout
        result = json.loads(done.stdout.splitlines()[-1])["result"]
        state = result.get("state", state)
    assert cloud.alive() == set()


def speechless(cloud: Cloud, verb: str, request: Json) -> subprocess.CompletedProcess[bytes]:
    """One run of the program whose every line of log meets a full disk."""
    with Path("/dev/full").open("wb") as full:
        return subprocess.run(
            [program.path(), verb], input=json.dumps(request).encode(), stdout=subprocess.PIPE, stderr=full, env=cloud.env(),
            timeout=40, check=False,
        )  # fmt: skip


def test_keys_that_are_rotated_in_their_file_are_taken_up_when_the_old_ones_are_refused(ecs: Fargate, tmp_path: Path) -> None:
    keys = tmp_path / "credentials"
    old = "[default]\naws_access_key_id = AKIAEMULATOR\naws_secret_access_key = of-yesterday\n"
    keys.write_text(old)
    env = {**ecs.env(), "AWS_SHARED_CREDENTIALS_FILE": str(keys)}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        env.pop(name, None)
    state = ecs.running()
    with program.Serve(env) as serve:
        (status,) = serve.ask(ask.poll(ask.target(state)))["servers"]
        assert (status["phase"], status["error"]["code"]) == ("unknown", "unauthenticated")
        keys.write_text(old.replace("of-yesterday", "emulator-secret"))
        (status,) = serve.ask(ask.poll(ask.target(state)))["servers"]
        assert status["phase"] == "running"
