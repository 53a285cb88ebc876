"""A poll: one status a target, in order, and never a death without proof."""

import json
from typing import Any

import pytest

from support import ask, program
from support.binaries import REPOSITORY
from support.emulator import FAST, SLOW, Emulator, wait_until
from support.states import now_ms, running, state_of

MINUTE = 60_000


def poll(emulator: Emulator, *targets: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
    """The servers of a one-shot poll."""
    servers: list[dict[str, Any]] = program.run("poll", ask.poll(*targets, **params), emulator.env()).result["servers"]
    assert len(servers) == len(targets)
    for server in servers:
        whole = {"key", "phase", "exit_code", "url", "cleanup", "reason", "error", "last_activity", "state"}
        assert set(server) - {"age_ms"} == whole
        assert "age_ms" not in server or params.get("ages")
        assert isinstance(server["exit_code"], int) == (server["phase"] in ("exited", "gone"))
    return servers


def poll_one(emulator: Emulator, state: object, **params: Any) -> dict[str, Any]:
    """One server's status."""
    return poll(emulator, ask.target(state), **params)[0]


def test_a_task_on_its_way_up_is_pending() -> None:
    with Emulator(delays=SLOW) as emulator, program.Serve(emulator.env()) as serve:
        serve.begin(ask.start())
        serve.wait_for_stage("provisioning")
        state = [frame for frame in serve.frames if frame["type"] == "state"][-1]["state"]
        assert poll_one(emulator, state)["phase"] == "pending"


@pytest.mark.parametrize("kind", ["activating", "provisioning"])
def test_every_state_before_running_is_pending(kind: str) -> None:
    delays = {"provisioning": "pending=1,provisioning=600000", "activating": "provisioning=1,pending=1,activating=600000"}[kind]
    with Emulator(delays=delays) as emulator:
        (arn,) = emulator.run()
        wait_until(lambda: emulator.tasks()[0]["status"] == kind.upper())
        assert poll_one(emulator, state_of(emulator, ref=arn))["phase"] == "pending"


def test_a_running_task_is_running_with_its_url_and_no_new_state(emulator: Emulator) -> None:
    server = poll_one(emulator, running(emulator))
    assert (server["phase"], server["url"], server["state"]) == ("running", "http://127.0.0.1:8888", None)
    assert (server["cleanup"], server["error"], server["reason"]) == ("none", None, None)


def test_who_asks_for_it_is_told_how_old_an_answer_is(emulator: Emulator) -> None:
    (arn,) = emulator.run()
    emulator.wait_for_status("RUNNING")
    request = ask.poll(ask.target(state_of(emulator, ref=arn)), max_age_ms=27_000, ages=True)
    with program.Serve(emulator.env()) as serve:
        ages = [serve.ask(request)["servers"][0]["age_ms"] for _ in range(2)]
    assert 0 <= ages[0] <= ages[1] < 27_000
    assert emulator.calls("DescribeTasks") == 1
    state = {"v": 2, "backend": "fargate", "data": {}}
    assert "age_ms" not in poll_one(emulator, state, ages=True)  # nobody was asked


@pytest.mark.parametrize(("delays", "phase"), [(f"{FAST},stopping=600000", "stopping"), (FAST, "exited")])
def test_that_the_cloud_takes_a_spot_task_back_is_told_from_the_moment_it_says_so(delays: str, phase: str) -> None:
    with Emulator(delays=delays) as emulator:
        state = running(emulator)
        emulator.end(emulator.tasks()[0], stop_code="SpotInterruption", stopped_reason="Your Spot Task was interrupted.")
        server = wait_until(lambda: (told := poll_one(emulator, state))["phase"] == phase and told)
        assert server["reason"].startswith("Your Spot Task was interrupted.")
        assert server["error"]["code"] == "capacity_unavailable"
        assert server["error"]["user_message"] == "The cloud took its spare capacity back. Try again."


def test_a_server_that_ended_by_itself_has_no_error(emulator: Emulator) -> None:
    state = running(emulator)
    emulator.end(emulator.tasks()[0], stop_code="EssentialContainerExited", exit_code=0)
    emulator.wait_for_status("STOPPED")
    assert poll_one(emulator, state)["error"] is None


def test_a_task_that_came_up_after_its_state_was_written_brings_a_new_state(emulator: Emulator) -> None:
    (arn,) = emulator.run()
    emulator.wait_for_status("RUNNING")
    server = poll_one(emulator, state_of(emulator, ref=arn))
    assert server["url"] == "http://127.0.0.1:8888"
    assert server["state"]["data"]["url"] == server["url"]


def test_a_task_without_an_address_is_pending_and_has_no_url(emulator: Emulator) -> None:
    emulator.fault("RunTask", "no_address")
    (arn,) = emulator.run()
    emulator.wait_for_status("RUNNING")
    server = poll_one(emulator, state_of(emulator, ref=arn))
    assert (server["phase"], server["url"]) == ("pending", None)


@pytest.mark.parametrize("state", ["deactivating", "stopping", "deprovisioning"])
def test_every_state_on_the_way_down_is_stopping(state: str) -> None:
    delays = ",".join(f"{name}={600_000 if name == state else 1}" for name in ("deactivating", "stopping", "deprovisioning"))
    with Emulator(delays=f"provisioning=1,pending=1,{delays}") as emulator:
        blob = running(emulator)
        program.run("stop", ask.stop(blob), emulator.env())
        wait_until(lambda: emulator.tasks()[0]["status"] == state.upper())
        assert poll_one(emulator, blob)["phase"] == "stopping"


def test_a_stopped_task_is_exited_with_its_exit_code_and_ecs_own_words(emulator: Emulator) -> None:
    state = running(emulator)
    emulator.end(
        emulator.tasks()[0], stop_code="EssentialContainerExited", stopped_reason="Essential container in task exited",
        exit_code=137, container_reason="OutOfMemoryError: Container killed due to memory usage",
    )  # fmt: skip
    emulator.wait_for_status("STOPPED")
    server = poll_one(emulator, state)
    assert (server["phase"], server["exit_code"], server["cleanup"]) == ("exited", 137, "none")
    assert "Essential container" in server["reason"]
    assert "OutOfMemoryError" in server["reason"]


def test_a_task_that_never_ran_exited_with_a_number_that_is_not_0(emulator: Emulator) -> None:
    emulator.fault("RunTask", "early_stop", stopped_reason="CannotPullContainerError: nobody")
    (arn,) = emulator.run()
    emulator.wait_for_status("STOPPED")
    server = poll_one(emulator, state_of(emulator, ref=arn))
    assert server["phase"] == "exited"
    assert server["exit_code"] not in (None, 0)


def test_a_missing_task_is_pending_for_five_minutes_and_then_gone(emulator: Emulator) -> None:
    young = state_of(emulator, 1, attempted_at_ms=now_ms() - 4 * MINUTE)
    old = state_of(emulator, 2, attempted_at_ms=now_ms() - 5 * MINUTE - 1000)
    servers = poll(emulator, ask.target(young), ask.target(old))
    assert [server["phase"] for server in servers] == ["pending", "gone"]


def test_a_task_that_was_seen_running_and_is_missing_now_is_gone(emulator: Emulator) -> None:
    assert poll_one(emulator, state_of(emulator, url="http://10.0.0.1:8888"))["phase"] == "gone"


def test_serve_remembers_that_it_has_seen_a_task_that_is_missing_now() -> None:
    with Emulator(delays=SLOW) as emulator, program.Serve(emulator.env()) as serve:
        (arn,) = emulator.run()
        state = state_of(emulator, ref=arn)
        assert serve.ask(ask.poll(ask.target(state)))["servers"][0]["phase"] == "pending"
        emulator.forget(emulator.tasks()[0])
        assert serve.ask(ask.poll(ask.target(state)))["servers"][0]["phase"] == "gone"


def test_answers_come_in_the_order_of_the_targets(emulator: Emulator) -> None:
    states = [running(emulator, user) for user in ("a", "b", "c")]
    targets = [ask.target(states[2]), ask.target(None, user="a"), ask.target({}), ask.target(states[1]), ask.target(states[2])]
    keys = [server["key"] for server in poll(emulator, *targets)]
    expected = [states[2], states[0], None, states[1], states[2]]
    assert [keys[n] for n in (0, 1, 3, 4)] == [s["data"]["key"] for s in expected if s]


def test_no_targets_give_no_servers_and_no_call(emulator: Emulator) -> None:
    assert poll(emulator) == []
    assert emulator.requests() == []


@pytest.mark.parametrize("bad", ["not-an-arn!", "arn:aws:ecs:eu-west-1:123456789012:task/notebooks/short", ""])
def test_one_malformed_arn_is_unknown_and_does_not_fail_the_others(emulator: Emulator, bad: str) -> None:
    good = [running(emulator, f"user{n}") for n in range(5)]
    targets = [ask.target(state) for state in [*good[:2], state_of(emulator, ref=bad), *good[2:]]]
    servers = poll(emulator, *targets)
    assert [server["phase"] for server in servers] == ["running"] * 2 + ["unknown"] + ["running"] * 3
    assert servers[2]["error"]["code"]


def test_250_targets_take_3_calls(emulator: Emulator) -> None:
    servers = poll(emulator, *(ask.target(state_of(emulator, n)) for n in range(250)))
    assert {server["phase"] for server in servers} == {"pending"}
    sizes = [len(body["tasks"]) for body in emulator.bodies("DescribeTasks")]
    assert sorted(sizes) == [50, 100, 100]


def test_targets_of_two_clusters_are_asked_a_cluster_at_a_time() -> None:
    with Emulator("--cluster", "notebooks", "--cluster", "others") as emulator:
        here, there = state_of(emulator, 1), state_of(emulator, 2, cluster="others")
        poll(emulator, ask.target(here), ask.target(there), ask.target(here))
        assert sorted(body["cluster"] for body in emulator.bodies("DescribeTasks")) == ["notebooks", "others"]


def test_a_null_state_is_looked_up_by_key(emulator: Emulator) -> None:
    state = program.run("start", ask.start(), emulator.env()).result["state"]
    server = poll_one(emulator, None)
    assert (server["phase"], server["url"]) == ("running", "http://127.0.0.1:8888")
    for name in ("key", "attempt", "ref", "region", "cluster", "endpoint", "port", "scheme", "service_prefix", "url"):
        assert server["state"]["data"][name] == state["data"][name], name
    again = poll_one(emulator, server["state"])
    assert (again["phase"], again["state"]) == ("running", None)


def test_a_null_state_of_nobody_is_gone(emulator: Emulator) -> None:
    running(emulator)
    (server,) = poll(emulator, ask.target(None, user="grace"))
    assert (server["phase"], server["cleanup"], server["state"]) == ("gone", "none", None)


def test_a_null_state_where_no_cluster_is_known_is_gone_without_a_call(emulator: Emulator) -> None:
    assert poll_one(emulator, None, config={"region": "eu-west-1"})["phase"] == "gone"
    assert emulator.requests() == []


def test_a_null_state_is_looked_for_in_every_known_cluster() -> None:
    with Emulator("--cluster", "notebooks", "--cluster", "others") as emulator:
        settings = ask.config(run_task=ask.run_task(cluster="others"), clusters=None)
        program.run("start", ask.start(config=settings), emulator.env())
        known = {"region": "eu-west-1", "clusters": ["notebooks", "others"]}
        server = poll_one(emulator, None, config=known)
        assert (server["phase"], server["state"]["data"]["cluster"]) == ("running", "others")


def test_a_lookup_that_is_denied_is_unknown(emulator: Emulator) -> None:
    emulator.fault("ListTasks", "access_denied", count=None)
    server = poll_one(emulator, None)
    assert (server["phase"], server["error"]["code"]) == ("unknown", "permission_denied")


def test_a_state_without_an_arn_is_looked_up_and_pending_while_it_may_still_appear(emulator: Emulator) -> None:
    running(emulator)
    key = poll_one(emulator, None)["key"]
    found = poll_one(emulator, state_of(emulator, ref=None, key=key))
    assert (found["phase"], bool(found["state"]["data"]["ref"])) == ("running", True)
    assert poll_one(emulator, state_of(emulator, ref=None))["phase"] == "pending"
    old = state_of(emulator, ref=None, attempted_at_ms=now_ms() - 6 * MINUTE)
    assert poll_one(emulator, old)["phase"] == "gone"


@pytest.mark.parametrize(
    "state",
    [
        7, "text", [], {}, {"v": 1}, {"v": 2, "backend": "fargate", "data": {"key": "k"}},
        {"v": 1, "backend": "azure_ml", "data": {"key": "k"}}, {"v": 1, "backend": "fargate", "data": {}},
        {"v": 1, "backend": "fargate", "data": {"key": 7}}, {"v": 1, "backend": "fargate", "data": []},
    ],
    ids=repr,
)  # fmt: skip
def test_a_state_that_cannot_be_read_is_unknown_with_the_error(emulator: Emulator, state: object) -> None:
    good = running(emulator, "grace")
    servers = poll(emulator, ask.target(state), ask.target(good, user="grace"))
    assert (servers[0]["phase"], servers[0]["error"]["code"]) == ("unknown", "state_unreadable")
    assert servers[0]["key"]
    assert servers[1]["phase"] == "running"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("throttle", "throttled"), ("error_500", "unavailable"), ("access_denied", "permission_denied"),
        ("cut_before", "unavailable"), ("html", "unavailable"), ("truncated", "unavailable"),
    ],
)  # fmt: skip
def test_what_ecs_does_not_tell_is_unknown_and_the_exit_code_0(emulator: Emulator, kind: str, code: str) -> None:
    state = running(emulator)
    emulator.fault("DescribeTasks", kind, count=None)
    server = poll_one(emulator, state, timeout_ms=1000)
    assert (server["phase"], server["cleanup"]) == ("unknown", "none")
    assert server["error"]["code"] in (code, "deadline")


def test_a_cloud_that_hangs_is_unknown_when_the_polls_time_is_up(emulator: Emulator) -> None:
    state = running(emulator)
    emulator.fault("DescribeTasks", "hang", count=None)
    server = poll_one(emulator, state, timeout_ms=500)
    assert (server["phase"], server["error"]["code"]) == ("unknown", "deadline")


def test_a_cluster_that_is_not_found_is_unknown(emulator: Emulator) -> None:
    arn = "arn:aws:ecs:eu-west-1:123456789012:task/nowhere/" + "0" * 32
    server = poll_one(emulator, state_of(emulator, cluster="nowhere", ref=arn, url="http://10.0.0.1:8888"))
    assert (server["phase"], server["error"]["code"]) == ("unknown", "not_found")
    server = poll_one(emulator, None, config={"region": "eu-west-1", "clusters": ["nowhere"]})
    assert (server["phase"], server["error"]["code"]) == ("unknown", "not_found")


def test_a_refused_connection_is_unknown(emulator: Emulator) -> None:
    server = poll_one(emulator, state_of(emulator, endpoint="http://127.0.0.1:9"), timeout_ms=1500)
    assert (server["phase"], server["error"]["code"]) == ("unknown", "unavailable")


def test_a_config_that_is_wrong_is_unknown(emulator: Emulator) -> None:
    server = poll_one(emulator, None, config={"regoin": "eu"})
    assert (server["phase"], server["error"]["code"]) == ("unknown", "invalid_config")


def test_the_state_wins_over_an_edited_config(emulator: Emulator) -> None:
    state = program.run("start", ask.start(), emulator.env()).result["state"]
    edited = {"region": "us-east-1", "endpoint_url": "http://127.0.0.1:9", "clusters": ["elsewhere"]}
    server = poll_one(emulator, state, config=edited)
    assert server["phase"] == "running"
    assert program.run("stop", ask.stop(state, config=edited), emulator.env()).result["cleanup"] == "done"
    assert emulator.alive() == []


def test_the_key_in_a_state_wins_over_a_renamed_user(emulator: Emulator) -> None:
    state = running(emulator)
    (server,) = poll(emulator, ask.target(state, user="renamed", hub="another"))
    assert (server["phase"], server["key"]) == ("running", state["data"]["key"])


@pytest.mark.parametrize("path", sorted((REPOSITORY / "tests/wire/state").glob("fargate-*.json")), ids=lambda path: path.stem)
def test_every_state_ever_released_loads(emulator: Emulator, path: Any) -> None:
    state = json.loads(path.read_text())
    state["data"]["endpoint"] = emulator.url
    server = poll_one(emulator, state)
    assert server["key"] == state["data"]["key"]
    assert (server["phase"], server["error"]) == ("gone", None)
    assert program.run("stop", ask.stop(state), emulator.env()).result == {"phase": "gone", "cleanup": "done"}


def test_polls_at_once_share_one_call(emulator: Emulator) -> None:
    states = [state_of(emulator, n) for n in range(20)]
    with program.Serve(emulator.env()) as serve:
        serve.ask(ask.poll(*map(ask.target, states)))
        emulator.reset_calls()
        emulator.fault("DescribeTasks", "slow", delay_ms=300)
        numbers = [serve.begin(ask.poll(ask.target(state))) for state in states]
        assert all(serve.last(number)["result"]["servers"][0]["phase"] == "pending" for number in numbers)
        assert emulator.calls("DescribeTasks") == 1


def test_an_observation_that_is_young_enough_is_used_again(emulator: Emulator) -> None:
    states = [state_of(emulator, n) for n in range(3)]
    with program.Serve(emulator.env()) as serve:
        serve.ask(ask.poll(*map(ask.target, states)))
        emulator.reset_calls()
        for state in states:
            serve.ask(ask.poll(ask.target(state), max_age_ms=60_000))
        assert emulator.calls("DescribeTasks") == 0
        serve.ask(ask.poll(ask.target(states[0]), max_age_ms=0))
        assert [len(body["tasks"]) for body in emulator.bodies("DescribeTasks")][-1] == 3


def test_other_credentials_make_another_watch_group(emulator: Emulator) -> None:
    state = state_of(emulator)
    static = {"kind": "static", "access_key_id": "AKIAEMULATOR", "secret_access_key": "emulator-secret"}
    with program.Serve(emulator.env()) as serve:
        serve.ask(ask.poll(ask.target(state), max_age_ms=60_000))
        serve.ask(ask.poll(ask.target(state), max_age_ms=60_000, credentials=static))
        assert emulator.calls("DescribeTasks") == 2


def test_a_poll_that_is_cancelled_says_so(emulator: Emulator) -> None:
    emulator.fault("DescribeTasks", "hang", count=None)
    with program.Serve(emulator.env()) as serve:
        number = serve.begin(ask.poll(ask.target(state_of(emulator))))
        emulator.wait_for_calls("DescribeTasks")
        assert serve.ask(ask.cancel(number)) == {"found": True}
        assert serve.last(number)["error"]["code"] == "cancelled"
