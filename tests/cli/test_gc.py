"""gc: a plan of what nobody keeps, applied only on request, and blind to what is not this hub's."""

from typing import Any

import pytest

from support import ask, program
from support.emulator import Emulator
from support.states import running

MARK = "cs-prod-4ssx5sf6vb-"
"""What the keys of hub "prod" begin with."""


def gc(emulator: Emulator, *keep: dict[str, Any], **params: Any) -> dict[str, Any]:
    """The result of a sweep."""
    result: dict[str, Any] = program.run("gc", ask.gc(*keep, **params), emulator.env()).result
    assert set(result) == {"stale", "removed", "errors"}
    return result


def refs(result: dict[str, Any]) -> set[str]:
    """What a sweep found stale."""
    return {stale["ref"] for stale in result["stale"]}


def test_a_plan_names_what_nobody_keeps_and_removes_nothing(emulator: Emulator) -> None:
    ada, grace = (
        program.run("start", ask.start(server=ask.server(user)), emulator.env()).result["state"] for user in ("ada", "grace")
    )
    plan = gc(emulator, {"server": ask.server("grace")})
    (stale,) = plan["stale"]
    assert (stale["key"], stale["ref"]) == (ada["data"]["key"], ada["data"]["ref"])
    assert isinstance(stale["age_ms"], int)
    assert (plan["removed"], plan["errors"]) == ([], [])
    assert len(emulator.alive()) == 2
    assert grace["data"]["ref"] not in refs(plan)


def test_apply_removes_what_the_plan_names(emulator: Emulator) -> None:
    states = [running(emulator, user) for user in ("a", "b", "c")]
    result = gc(emulator, {"server": ask.server("a")}, {"server": ask.server("b")}, apply=True)
    assert result["removed"] == [states[2]["data"]["ref"]]
    assert {task["arn"] for task in emulator.alive()} == {state["data"]["ref"] for state in states[:2]}


def test_a_match_on_server_key_or_ref_keeps_one(emulator: Emulator) -> None:
    _, b, c, d = (running(emulator, user) for user in ("a", "b", "c", "d"))
    keep = [{"server": ask.server("a")}, {"key": b["data"]["key"]}, {"ref": c["data"]["ref"]}, {}]
    assert refs(gc(emulator, *keep)) == {d["data"]["ref"]}
    both = {"server": ask.server("nobody"), "key": None, "ref": d["data"]["ref"]}
    assert d["data"]["ref"] not in refs(gc(emulator, both))


def test_what_is_younger_than_min_age_stays(emulator: Emulator) -> None:
    running(emulator, "ada")
    assert gc(emulator, min_age_ms=600_000)["stale"] == []
    assert gc(emulator, min_age_ms=None)["stale"] == []
    assert len(gc(emulator, min_age_ms=0)["stale"]) == 1


def test_tasks_of_other_hubs_and_of_nobody_are_not_seen(emulator: Emulator) -> None:
    running(emulator, "ada", hub="prod2")
    running(emulator, "ada", hub="PROD")
    emulator.run(startedBy="jupyterhub")
    emulator.run(startedBy="cs-prod-anotherhash-x")
    emulator.run()
    assert gc(emulator, apply=True, force=True) == {"stale": [], "removed": [], "errors": []}
    assert len(emulator.alive()) == 5


def test_untagged_tasks_of_this_hub_are_seen_by_started_by(emulator: Emulator) -> None:
    (arn,) = emulator.run(startedBy=MARK + "a" * 26)
    assert refs(gc(emulator)) == {arn}


def test_what_has_stopped_already_is_not_stale(emulator: Emulator) -> None:
    state = running(emulator, "ada")
    program.run("stop", ask.stop(state), emulator.env())
    assert gc(emulator)["stale"] == []


def test_more_than_half_is_refused_without_force(emulator: Emulator) -> None:
    running(emulator, "a")
    orphans = emulator.run(count=6, startedBy=MARK + "c" * 26)
    keep = {"server": ask.server("a")}
    done = program.run("gc", ask.gc(keep, apply=True), emulator.env())
    assert (done.exit_code, done.error["code"], done.error["cleanup"]) == (1, "conflict", "none")
    assert "force" in done.error["message"]
    assert len(emulator.alive()) == 7
    assert len(gc(emulator, keep)["stale"]) == 6
    one = gc(emulator, keep, apply=True, force=True, only=orphans[:1])
    assert one["removed"] == orphans[:1]
    # They are five now.
    assert len(gc(emulator, keep, apply=True)["removed"]) == 5
    assert len(emulator.alive()) == 1


def test_half_needs_no_force(emulator: Emulator) -> None:
    kept = emulator.run(count=6, startedBy=MARK + "d" * 26)
    emulator.run(count=6, startedBy=MARK + "c" * 26)
    assert len(gc(emulator, *({"ref": ref} for ref in kept), apply=True)["removed"]) == 6


def test_a_lone_orphan_needs_no_force(emulator: Emulator) -> None:
    state = running(emulator, "ada")
    assert gc(emulator, apply=True)["removed"] == [state["data"]["ref"]]


def test_a_listing_that_is_denied_is_permission_denied(emulator: Emulator) -> None:
    emulator.fault("ListTasks", "access_denied", count=None)
    done = program.run("gc", ask.gc(), emulator.env())
    assert (done.error["code"], done.error["retry"]) == ("permission_denied", "after_fix")
    assert done.error["context"]["operation"] == "ecs:ListTasks"


def test_a_cluster_that_cannot_be_listed_does_not_keep_the_others_from_being_swept(emulator: Emulator) -> None:
    state = running(emulator, "ada")
    result = gc(emulator, config=ask.config(clusters=["nowhere", "notebooks"]))
    assert refs(result) == {state["data"]["ref"]}
    assert [error["code"] for error in result["errors"]] == ["not_found"]


def test_more_than_100_tasks_are_all_seen(emulator: Emulator) -> None:
    arns = set(emulator.run(count=230, startedBy=MARK + "b" * 26))
    emulator.run(count=20, startedBy="others")
    assert refs(gc(emulator)) == arns
    assert max(len(body["tasks"]) for body in emulator.bodies("DescribeTasks")) == 100


def test_it_carries_on_past_a_failure_and_reports_it(emulator: Emulator) -> None:
    states = [running(emulator, user) for user in ("a", "b", "c")]
    denied = states[1]["data"]["ref"]
    emulator.fault("StopTask", "access_denied", count=None, body_contains=denied)
    result = gc(emulator, apply=True, force=True)
    assert set(result["removed"]) == {states[0]["data"]["ref"], states[2]["data"]["ref"]}
    (error,) = result["errors"]
    assert (error["code"], error["context"]["backend"]) == ("permission_denied", "fargate")
    assert [task["arn"] for task in emulator.alive()] == [denied]


def test_it_may_be_repeated(emulator: Emulator) -> None:
    running(emulator, "a")
    assert len(gc(emulator, apply=True, force=True)["removed"]) == 1
    assert gc(emulator, apply=True) == {"stale": [], "removed": [], "errors": []}


@pytest.mark.parametrize("kind", ["throttle", "error_500", "cut_before"])
def test_a_call_that_fails_twice_is_repeated(emulator: Emulator, kind: str) -> None:
    running(emulator, "a")
    emulator.fault("ListTasks", kind, count=2)
    emulator.fault("DescribeTasks", kind, count=1)
    emulator.fault("StopTask", kind, count=1)
    assert len(gc(emulator, apply=True, force=True)["removed"]) == 1


def test_a_server_that_is_being_started_is_not_stale() -> None:
    with Emulator(delays="provisioning=600000") as emulator, program.Serve(emulator.env()) as serve:
        number = serve.begin(ask.start())
        serve.wait_for_stage("provisioning")
        assert serve.ask(ask.gc())["stale"] == []
        serve.ask(ask.cancel(number))
        serve.last(number)


def test_a_deadline_is_told_as_such(emulator: Emulator) -> None:
    emulator.fault("ListTasks", "hang", count=None)
    done = program.run("gc", ask.gc(timeout_ms=500), emulator.env())
    assert (done.exit_code, done.error["code"]) == (1, "deadline")


def test_with_only_nothing_else_is_removed(emulator: Emulator) -> None:
    _, b, c, _ = (running(emulator, user) for user in ("a", "b", "c", "d"))
    keep = [{"server": ask.server("a")}, {"server": ask.server("d")}]
    result = gc(emulator, *keep, apply=True, only=[b["data"]["ref"], "arn:of:another"])
    assert refs(result) == {b["data"]["ref"], c["data"]["ref"]}
    assert result["removed"] == [b["data"]["ref"]]
    assert len(emulator.alive()) == 3


def test_only_does_not_get_around_the_refusal_of_more_than_half(emulator: Emulator) -> None:
    running(emulator, "a")
    orphans = emulator.run(count=6, startedBy=MARK + "c" * 26)
    request = ask.gc({"server": ask.server("a")}, apply=True, only=orphans[:1])
    assert program.run("gc", request, emulator.env()).error["code"] == "conflict"
    assert gc(emulator, {"server": ask.server("a")}, apply=True, only=[])["removed"] == []
    assert len(emulator.alive()) == 7


def test_what_was_started_after_the_list_was_made_is_not_stale(emulator: Emulator) -> None:
    with program.Serve(emulator.env()) as serve:
        serve.ask(ask.start())
        assert serve.ask(ask.gc(apply=True, force=True)) == {"stale": [], "removed": [], "errors": []}
    assert len(emulator.alive()) == 1
