"""Compute instances through the program: created, joined, started again, watched, stopped, swept; and what goes wrong."""

import re
from collections.abc import Iterator

import pytest

from support import program
from support.azure import Azure


@pytest.fixture
def azure() -> Iterator[Azure]:
    """A local Azure whose instances run within 100 ms."""
    with Azure() as running:
        yield running


def start(azure: Azure, **params: object) -> program.Finished:
    """One start."""
    return program.run("start", azure.ask("start", **params), azure.env())


def poll(azure: Azure, *states: object, **params: object) -> list[dict[str, object]]:
    """One poll of Ada's server in these states."""
    targets = [{"server": {"hub": "prod", "user": "ada", "name": ""}, "state": state} for state in states]
    servers: list[dict[str, object]] = program.run("poll", azure.ask("poll", targets=targets, **params), azure.env()).result[
        "servers"
    ]
    return servers


def stop(azure: Azure, state: object, **params: object) -> program.Finished:
    """One stop that waits for the end."""
    return program.run("stop", azure.ask("stop", state=state, wait=True, **params), azure.env())


def test_a_start_creates_an_instance_with_our_tags_and_gives_its_jupyterlab(azure: Azure) -> None:
    done = start(azure, config=azure.config(idle_shutdown="PT60M", tags={"team": "x"}))
    (instance,) = azure.instances()
    assert done.result["url"].startswith("https://")
    assert done.result["url"].endswith("/lab")
    assert instance["state"] == "Running"
    assert instance["tags"]["team"] == "x"
    assert instance["tags"]["cloudspawner-hub"] == "prod"
    assert instance["name"].startswith("csada-h")
    stages = [frame["stage"] for frame in done.frames if frame["type"] == "event"]
    assert stages[-1] == "Running"
    kinds = [frame["type"] for frame in done.frames]
    assert kinds.index("state") < kinds.index("result")


def test_a_stopped_instance_is_started_again_and_not_created_anew(azure: Azure) -> None:
    first = start(azure).result["state"]
    # The result's state says where it ran, so that a stop keeps the machine.
    assert stop(azure, first).result == {"phase": "exited", "cleanup": "done"}
    assert [i["state"] for i in azure.instances()] == ["Stopped"]
    again = start(azure).result["state"]
    assert again["data"]["ref"] == first["data"]["ref"]
    assert azure.azure_calls("computes.put") == 1
    assert azure.azure_calls("computes.start") == 1


def test_another_size_takes_the_place_of_the_first(azure: Azure) -> None:
    start(azure)
    start(azure, config=azure.config(vm_size="STANDARD_DS3_V2"))
    states = sorted(i["state"] for i in azure.instances())
    assert len(states) == 2
    assert states[0] == "Running"
    assert states[1] in ("Stopped", "Stopping")


def test_poll_tells_what_each_state_means(azure: Azure) -> None:
    state = start(azure).result["state"]
    name = state["data"]["ref"]
    for put, phase, exit_code in [
        ("Creating", "pending", None),
        ("SettingUp", "pending", None),
        ("UserSettingUp", "pending", None),
        ("Starting", "pending", None),
        ("Restarting", "pending", None),
        ("Resizing", "pending", None),
        ("Running", "running", None),
        ("JobRunning", "running", None),
        ("Stopping", "stopping", None),
        ("Deleting", "stopping", None),
        ("Stopped", "exited", 3),
        ("CreateFailed", "exited", 2),
        ("SetupFailed", "exited", 2),
        ("UserSetupFailed", "exited", 2),
        ("Unusable", "exited", 1),
        ("Unknown", "unknown", None),
    ]:
        azure.set_state(name, put)
        (server,) = poll(azure, state)
        assert (server["phase"], server["exit_code"]) == (phase, exit_code), put
    azure.azure_admin(f"instances/{name}/forget", {})
    (server,) = poll(azure, state)
    assert server["phase"] == "gone"


def test_poll_tells_when_a_person_last_started_it_and_no_schedules_doing(azure: Azure) -> None:
    state = start(azure).result["state"]
    (server,) = poll(azure, state)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", str(server["last_activity"]))
    azure.set_state(state["data"]["ref"], "Running", trigger="Schedule")
    (server,) = poll(azure, state)
    assert server["last_activity"] is None


@pytest.mark.parametrize(
    ("trigger", "told"),
    [("User", "by its user"), ("Schedule", "by its schedule"), ("IdleShutdown", "it was idle")],
)
def test_who_stopped_an_instance_is_told_as_the_reason(azure: Azure, trigger: str, told: str) -> None:
    state = start(azure).result["state"]
    azure.set_state(state["data"]["ref"], "Stopped", trigger=trigger)
    (server,) = poll(azure, state)
    assert (server["phase"], server["exit_code"], server["cleanup"]) == ("exited", 3, "none")
    assert told in str(server["reason"])


def test_a_size_that_the_region_lacks_is_told_with_code_and_request_id_and_leaves_nothing(azure: Azure) -> None:
    error = start(azure, config=azure.config(vm_size="Standard_Nowhere_v9")).error
    assert error["cleanup"] == "none"
    assert error["retry"] == "after_fix"
    assert error["context"]["cloud_code"]
    assert error["context"]["request_id"]
    assert "Standard_Nowhere_v9" in error["message"]
    assert error["user_message"]
    assert azure.instances() == []


def test_many_instances_are_polled_by_one_list(azure: Azure) -> None:
    state = start(azure).result["state"]
    azure.azure_admin("calls/reset", {})
    states = []
    for number in range(10):
        other = {**state, "data": {**state["data"], "ref": f"{state['data']['ref']}x{number}"}}
        states.append(other)
    servers = poll(azure, state, *states)
    assert servers[0]["phase"] == "running"
    assert azure.azure_calls("computes.list") == 1
    # What the list does not show is asked for one by one: only Azure's own "not found" is proof.
    assert azure.azure_calls("computes.get") == 10


def test_a_list_that_tells_no_state_is_completed_by_single_reads() -> None:
    with Azure("--azure-list-without-state") as azure:
        state = start(azure).result["state"]
        absent = {**state, "data": {**state["data"], "ref": "csnobody-habcdefghijk"}}
        servers = poll(azure, state, absent, absent, absent)
        assert [s["phase"] for s in servers] == ["running", "gone", "gone", "gone"]


def test_an_instance_of_that_name_that_bears_no_tag_of_this_hub_is_left_alone(azure: Azure) -> None:
    state = start(azure).result["state"]
    other = {"hub": "test", "user": "ada", "name": ""}
    name = state["data"]["ref"]
    forged = {**state, "data": {**state["data"], "key": "cs-test-aaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbbbbbb"}}
    done = stop(azure, forged, server=other)
    assert done.error["code"] == "conflict"
    assert [(i["name"], i["state"]) for i in azure.instances()] == [(name, "Running")]


@pytest.mark.parametrize("kind", ["create_failed", "setup_failed"])
def test_a_failed_creation_is_removed_and_its_reason_told(azure: Azure, kind: str) -> None:
    azure.azure_fault("computes.put", kind, code="VmDoesNotBoot", message="The virtual machine does not boot")
    error = start(azure).error
    assert error["code"] == "start_failed"
    assert error["cleanup"] == "done"
    assert "The virtual machine does not boot" in error["message"]
    assert all(i["state"] == "Deleting" for i in azure.instances())


def test_a_start_that_runs_out_of_time_deletes_what_it_created(azure: Azure) -> None:
    azure.azure_fault("computes.put", "stuck")
    error = program.run("start", azure.ask("start", timeout_ms=4_000), azure.env()).error
    assert (error["code"], error["cleanup"]) == ("deadline", "done")
    assert all(i["state"] in {"Deleting", "Deleted"} for i in azure.instances())


def test_a_start_that_runs_out_of_time_stops_what_it_only_started(azure: Azure) -> None:
    state = start(azure).result["state"]
    stop(azure, state)
    azure.azure_fault("computes.start", "stuck")
    error = program.run("start", azure.ask("start", timeout_ms=4_000), azure.env()).error
    assert error["code"] == "deadline"
    assert len(azure.instances()) == 1
    assert azure.azure_calls("computes.delete") == 0


def test_a_quota_that_is_used_up_is_told_and_leaves_nothing(azure: Azure) -> None:
    azure.azure_fault("computes.put", "quota_exceeded")
    error = start(azure).error
    assert (error["code"], error["cleanup"]) == ("quota_exceeded", "none")
    assert error["context"]["backend"] == "azure_ml"
    assert azure.instances() == []


def test_a_wrong_secret_and_a_workspace_that_is_not_there_are_told(azure: Azure) -> None:
    wrong = start(azure, credentials={**azure.credentials(), "client_secret": "canary-secret"})
    assert wrong.error["code"] == "unauthenticated"
    assert "AADSTS7000215" in wrong.error["message"]
    assert "canary-secret" not in wrong.stdout + wrong.stderr
    absent = start(azure, config=azure.config(workspace="nowhere"))
    assert absent.error["code"] == "not_found"
    assert azure.instances() == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"vm_size": None}, "config.vm_size"),
        ({"subscription_id": None}, "config.subscription_id"),
        ({"workspace": "a/../b"}, "config.workspace"),
        ({"vm_sizes": "x"}, 'did you mean "vm_size"'),
        ({"management_endpoint": "http://elsewhere.example"}, "config.management_endpoint"),
        ({"identity": "somebody"}, "config.identity"),
        ({"identity": "user"}, "user_assertion"),
        ({"idle_shutdown": "PT1M"}, "config.idle_shutdown"),
        ({"idle_shutdown": 5000}, "config.idle_shutdown"),
        ({"schedules": [{"action": "explode", "cron": "0 18 * * *"}]}, "config.schedules[0].action"),
        ({"create_workspace": True}, "config.location"),
        ({"on_stop": "explode"}, "config.on_stop"),
    ],
)
def test_bad_settings_name_the_field_and_create_nothing(azure: Azure, change: dict[str, object], named: str) -> None:
    error = start(azure, config=azure.config(**change)).error
    assert error["code"] == "invalid_config"
    assert named in error["message"]
    assert azure.instances() == []


def test_gc_tells_and_removes_what_nobody_keeps(azure: Azure) -> None:
    state = start(azure).result["state"]
    start(azure, server={"hub": "other", "user": "ada", "name": ""})
    ask = azure.ask("gc", hub="prod", keep=[], min_age_ms=0)
    plan = program.run("gc", ask, azure.env()).result
    assert [s["ref"] for s in plan["stale"]] == [state["data"]["ref"]]
    done = program.run("gc", azure.ask("gc", hub="prod", keep=[], min_age_ms=0, apply=True, force=True), azure.env()).result
    assert done["removed"] == [state["data"]["ref"]]
    states = {i["name"]: i["state"] for i in azure.instances()}
    assert states[state["data"]["ref"]] in ("Stopping", "Stopped")
    assert sorted(states.values())[0] == "Running"


def test_on_stop_delete_deletes(azure: Azure) -> None:
    config = azure.config(on_stop="delete")
    state = start(azure, config=config).result["state"]
    assert stop(azure, state, config=config).result["cleanup"] == "done"
    assert azure.azure_calls("computes.delete") == 1
