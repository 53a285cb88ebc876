"""The account's quotas: many starts at once all succeed, in order, and a cloud that throttles is not pressed."""

import time
from typing import Any

from support import ask, program
from support.emulator import Emulator
from support.states import running, state_of

QUOTAS = ("--quotas", "documented")
MANY = 240
"""Starts of which the last must wait for the quota (a hundred at once, 20/s from then on), on a slow machine, too."""


def begin(serve: program.Serve, count: int) -> list[str]:
    """Starts of so many users at once."""
    return [serve.begin(ask.start(timeout_ms=60_000, server=ask.server(f"user{n}"))) for n in range(count)]


def throttled(emulator: Emulator) -> int:
    """How many calls the cloud refused."""
    return sum(request["status"] == 400 for request in emulator.requests())


def test_a_hundred_starts_at_once_all_succeed_within_the_documented_quotas_and_none_is_throttled() -> None:
    with Emulator(*QUOTAS) as emulator, program.Serve(emulator.env()) as serve:
        numbers = begin(serve, 100)
        assert all(serve.last(number)["type"] == "result" for number in numbers)
        assert len(emulator.alive()) == 100
        assert throttled(emulator) == 0


def test_starts_at_once_look_for_older_tasks_together() -> None:
    with Emulator() as emulator, program.Serve(emulator.env()) as serve:
        old = running(emulator, "user50")
        numbers = begin(serve, 60)
        assert all(serve.last(number)["type"] == "result" for number in numbers)
        assert emulator.calls("ListTasks") <= 15
        assert old["data"]["ref"] not in {task["arn"] for task in emulator.alive()}
        assert len(emulator.alive()) == 60


def test_starts_at_once_each_look_for_themselves_where_the_whole_cluster_may_not_be_described() -> None:
    with Emulator() as emulator, program.Serve(emulator.env()) as serve:
        old = running(emulator, "user50")
        emulator.fault("DescribeTasks", "access_denied", body_contains='"TAGS"')
        numbers = begin(serve, 60)
        assert all(serve.last(number)["type"] == "result" for number in numbers)
        assert old["data"]["ref"] not in {task["arn"] for task in emulator.alive()}


def test_a_start_that_waits_for_the_quota_says_how_many_are_ahead_of_it() -> None:
    with Emulator(*QUOTAS) as emulator, program.Serve(emulator.env()) as serve:
        numbers = begin(serve, MANY)
        assert all(serve.last(number)["type"] == "result" for number in numbers)
        told = [frame for frame in serve.frames_of(numbers[-1]) if frame.get("stage") == "queued"]
        assert told, serve.frames_of(numbers[-1])
        assert told[0]["message"].startswith("Waiting for the account's launch rate: ")
        assert not [frame for frame in serve.frames_of(numbers[0]) if frame.get("stage") == "queued"]
        created = [body["startedBy"] for body in emulator.bodies("RunTask")]
        keys = [serve.last(number)["result"]["state"]["data"]["key"] for number in numbers]
        assert len(set(created[:90]) & set(keys[:90])) > 80, "those who came first are served first"
        assert throttled(emulator) == 0


def test_a_start_whose_time_is_up_while_it_waits_for_the_quota_has_created_nothing() -> None:
    with Emulator(*QUOTAS) as emulator, program.Serve(emulator.env()) as serve:
        numbers = begin(serve, MANY)
        serve.wait_for(lambda frame: frame.get("stage") == "queued")
        late = serve.begin(ask.start(timeout_ms=300, server=ask.server("late")))
        error = serve.last(late)["error"]
        assert (error["code"], error["cleanup"], error["retry"]) == ("deadline", "none", "later")
        assert all(serve.last(number)["type"] == "result" for number in numbers)
        assert len(emulator.tasks()) == len(numbers)


def test_a_start_that_is_cancelled_while_it_waits_makes_way_for_those_behind_it() -> None:
    with Emulator(*QUOTAS) as emulator, program.Serve(emulator.env()) as serve:
        numbers = begin(serve, MANY)
        serve.wait_for(lambda frame: frame.get("stage") == "queued")
        waiting = [number for number in numbers[-10:] if serve.last_or_none(number) is None]
        for number in waiting:
            assert serve.ask(ask.cancel(number)) == {"found": True}
        errors = [serve.last(number).get("error", {}) for number in waiting]
        assert {(error["code"], error["cleanup"]) for error in errors} == {("cancelled", "none")}
        assert all(serve.last(number)["type"] == "result" for number in numbers if number not in waiting)
        assert len(emulator.tasks()) == len(numbers) - len(waiting)


def test_a_storm_of_throttling_is_waited_out_with_few_calls_and_all_starts_succeed() -> None:
    with Emulator() as emulator, program.Serve(emulator.env()) as serve:
        emulator.fault("RunTask", "throttle", count=25)
        numbers = begin(serve, 20)
        assert all(serve.last(number)["type"] == "result" for number in numbers)
        assert len(emulator.alive()) == 20
        assert emulator.calls("RunTask") == 45


def test_after_a_throttle_the_starts_that_wait_do_not_come_all_at_once() -> None:
    with Emulator() as emulator, program.Serve(emulator.env()) as serve:
        emulator.fault("RunTask", "throttle", count=20)
        numbers = begin(serve, 20)
        assert all(serve.last(number)["type"] == "result" for number in numbers)
        at_ms = [request["at_ms"] for request in emulator.requests("RunTask")][20:]
        within = max(sum(one <= other < one + 200 for other in at_ms) for one in at_ms)
        assert within <= 5, at_ms


def test_two_hubs_that_share_an_account_both_start_all_their_servers() -> None:
    with Emulator(*QUOTAS) as emulator, program.Serve(emulator.env()) as one, program.Serve(emulator.env()) as other:
        hubs = {"one": one, "other": other}
        numbers = {
            hub: [serve.begin(ask.start(server=ask.server(f"user{n}", hub=hub))) for n in range(80)]
            for hub, serve in hubs.items()
        }
        for hub, serve in hubs.items():
            assert all(serve.last(number)["type"] == "result" for number in numbers[hub])
        assert len(emulator.alive()) == 160


def test_a_full_cluster_is_a_matter_of_capacity_whatever_code_it_comes_with(emulator: Emulator) -> None:
    emulator.fault("RunTask", "refused", code="ClientException", message="Tasks provisioning capacity limit exceeded.")
    done = program.run("start", ask.start(), emulator.env())
    assert done.result["url"]
    assert "capacity" in " ".join(frame.get("message", "") for frame in done.frames)
    assert len(emulator.tasks()) == 1


def test_another_services_throttling_that_ecs_passes_on_is_waited_out(emulator: Emulator) -> None:
    sentence = "Error retrieving subnet information for [subnet-0123abcd]: Rate exceeded (ErrorCode: Throttling)"
    emulator.fault("RunTask", "refused", code="InvalidParameterException", message=sentence, count=2)
    done = program.run("start", ask.start(), emulator.env())
    assert done.result["url"]
    assert "busy" in " ".join(frame.get("message", "") for frame in done.frames)
    assert len(emulator.tasks()) == 1


def adopted(emulator: Emulator, count: int) -> list[dict[str, Any]]:
    """The states of so many servers that run."""
    arns = emulator.run(count)
    emulator.wait_for_status("RUNNING")
    return [state_of(emulator, n, ref=arn, url="http://127.0.0.1:8888") for n, arn in enumerate(arns)]


def phases(serve: program.Serve, numbers: list[str]) -> set[str]:
    """What these polls of one server each told."""
    return {serve.last(number)["result"]["servers"][0]["phase"] for number in numbers}


def test_after_a_restart_a_thousand_servers_are_found_running_within_the_quotas() -> None:
    with Emulator() as emulator:
        states = adopted(emulator, 1000)
        emulator.settings(quotas="documented")
        emulator.reset_calls()
        with program.Serve(emulator.env()) as serve:
            numbers = [serve.begin(ask.poll(ask.target(state), max_age_ms=27_000)) for state in states]
            assert phases(serve, numbers) == {"running"}
            assert emulator.calls("DescribeTasks") <= 20
            assert emulator.calls("StopTask") == 0


def test_servers_that_are_polled_in_turn_cost_a_call_for_each_hundred_of_them_in_an_interval() -> None:
    interval = 4.0
    with Emulator() as emulator, program.Serve(emulator.env()) as serve:
        states = adopted(emulator, 300)
        max_age_ms = int(interval * 900)
        serve.ask(ask.poll(*map(ask.target, states), max_age_ms=max_age_ms))
        began = time.monotonic()
        numbers = []
        for turn in range(3):
            for position, state in enumerate(states):
                due = began + interval * (turn + position / len(states))
                time.sleep(max(0, due - time.monotonic()))
                numbers.append(serve.begin(ask.poll(ask.target(state), max_age_ms=max_age_ms)))
            if turn == 0:
                emulator.reset_calls()
        assert phases(serve, numbers) == {"running"}
        assert emulator.calls("DescribeTasks") <= 2 * (3 + 1)
