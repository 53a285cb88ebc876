"""A stop: it is repeatable, finishes whatever happens, and never takes silence for proof."""

import json
import signal
import time
from typing import Any

import pytest

from support import ask, program
from support.emulator import SLOW, Emulator, wait_until
from support.states import running

State = dict[str, Any]

SLOW_END = "provisioning=30,pending=50,stopping=600000"
"""A task that is on its way down for as long as a test runs."""


def stop(emulator: Emulator, state: State | None, **params: Any) -> dict[str, Any]:
    """The result of a stop."""
    result: dict[str, Any] = program.run("stop", ask.stop(state, **params), emulator.env()).result
    return result


def test_a_stop_by_state_stops_the_task_and_gives_the_reason() -> None:
    with Emulator(delays=SLOW_END) as emulator:
        state = program.run("start", ask.start(), emulator.env()).result["state"]
        assert stop(emulator, state, reason="culled after an hour") == {"phase": "stopping", "cleanup": "done"}
        assert emulator.alive() == []
        assert emulator.bodies("StopTask")[0]["reason"] == "culled after an hour"


def test_a_stop_by_key_stops_the_task_of_a_lost_state() -> None:
    with Emulator(delays=SLOW_END) as emulator:
        running(emulator)
        running(emulator, "grace")
        assert stop(emulator, None) == {"phase": "stopping", "cleanup": "done"}
        assert len(emulator.alive()) == 1


def test_a_stop_may_be_repeated(emulator: Emulator) -> None:
    state = running(emulator)
    for _ in range(3):
        assert stop(emulator, state)["cleanup"] == "done"
    emulator.wait_for_status("STOPPED")
    assert stop(emulator, state) == {"phase": "exited", "cleanup": "done"}


def test_what_is_gone_already_is_a_success(emulator: Emulator) -> None:
    state = running(emulator)
    emulator.forget(emulator.tasks()[0])
    assert stop(emulator, state) == {"phase": "gone", "cleanup": "done"}


def test_nothing_found_by_key_is_a_success(emulator: Emulator) -> None:
    assert stop(emulator, None) == {"phase": "gone", "cleanup": "done"}


def test_where_no_cluster_is_known_a_null_state_means_that_nothing_was_created(emulator: Emulator) -> None:
    assert stop(emulator, None, config={"region": "eu-west-1"}) == {"phase": "gone", "cleanup": "done"}
    assert emulator.requests() == []


def test_a_lookup_by_key_that_is_denied_does_not_fail_a_stop_without_a_state(emulator: Emulator) -> None:
    emulator.fault("ListTasks", "access_denied", count=None)
    assert stop(emulator, None) == {"phase": "gone", "cleanup": "done"}


@pytest.mark.parametrize("state", [{"v": 99, "backend": "fargate", "data": {}}, "text", {}], ids=repr)
def test_a_state_that_cannot_be_read_is_looked_up_by_key(emulator: Emulator, state: Any) -> None:
    running(emulator)
    assert stop(emulator, state)["cleanup"] == "done"
    assert emulator.alive() == []


def test_a_state_that_cannot_be_read_is_no_proof_that_nothing_is_left(emulator: Emulator) -> None:
    unreadable = {"v": 99, "backend": "fargate", "data": {}}
    done = program.run("stop", ask.stop(unreadable, config={"region": "eu-west-1"}), emulator.env())
    assert (done.error["code"], done.error["cleanup"]) == ("state_unreadable", "needed")
    emulator.fault("ListTasks", "access_denied", count=None)
    done = program.run("stop", ask.stop(unreadable), emulator.env())
    assert (done.error["code"], done.error["cleanup"]) == ("permission_denied", "needed")


def test_with_wait_the_answer_comes_when_the_task_has_ended() -> None:
    with Emulator(delays="provisioning=30,pending=50,stopping=700,deprovisioning=300") as emulator:
        state = running(emulator)
        assert stop(emulator, state, wait=True) == {"phase": "exited", "cleanup": "done"}
        assert emulator.tasks()[0]["status"] == "STOPPED"


def test_with_wait_a_task_that_takes_longer_than_the_stop_is_still_accepted() -> None:
    with Emulator(delays=SLOW_END) as emulator:
        state = running(emulator)
        done = program.run("stop", ask.stop(state, timeout_ms=2000, wait=True), emulator.env())
        assert done.result == {"phase": "stopping", "cleanup": "done"}


def test_a_task_that_no_list_shows_yet_is_looked_for_until_it_is_found() -> None:
    with Emulator("--visible-after-ms", "1500") as emulator:
        request = ask.start(timeout_ms=30_000)
        with program.Serve(emulator.env()) as serve:
            number = serve.begin(request)
            emulator.wait_for_calls("RunTask")
            serve.process.kill()
            serve.wait()
            first = next(frame["state"] for frame in serve.frames_of(number) if frame["type"] == "state")
        assert first["data"]["ref"] is None
        wait_until(emulator.tasks)
        assert stop(emulator, first)["cleanup"] == "done"
        assert emulator.alive() == []


def test_a_task_that_describe_tasks_does_not_know_yet_is_stopped_when_it_is_known() -> None:
    with Emulator("--visible-after-ms", "1500", delays=SLOW) as emulator:
        with program.Serve(emulator.env()) as serve:
            number = serve.begin(ask.start())
            wait_until(lambda: len([f for f in serve.frames_of(number) if f["type"] == "state"]) == 2)
            serve.process.kill()
            serve.wait()
            second = [frame["state"] for frame in serve.frames_of(number) if frame["type"] == "state"][1]
        assert stop(emulator, second)["cleanup"] == "done"
        assert emulator.alive() == []


def test_a_stop_leaves_what_was_created_after_it_was_received(emulator: Emulator) -> None:
    state = running(emulator)
    state["data"].update(ref=None, url=None, attempt="attempt-of-yesterday", attempted_at_ms=0)
    assert stop(emulator, state)["cleanup"] == "done"
    assert emulator.alive() == [], "what was created before the stop goes, whatever its attempt"


@pytest.mark.parametrize("reason", ["x" * 5000, "a\nb\x00c\x1b[31m", "'; rm -rf / #", "日本語 😀" * 100, "", "$(id) `id` <b>"])
def test_no_reason_breaks_a_stop(emulator: Emulator, reason: str) -> None:
    state = running(emulator)
    assert stop(emulator, state, reason=reason)["cleanup"] == "done"
    assert emulator.alive() == []
    sent = emulator.bodies("StopTask")[0]["reason"]
    assert not [letter for letter in sent if ord(letter) < 32]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_does_not_break_off_a_stop(emulator: Emulator, number: signal.Signals) -> None:
    state = running(emulator)
    emulator.fault("StopTask", "error_500", count=2)
    with program.Child("stop", emulator.env()) as child:
        child.send(ask.stop(state))
        emulator.wait_for_calls("StopTask")
        child.signal(number)
        assert child.finish().result["cleanup"] == "done"
    assert emulator.alive() == []


def test_the_end_of_stdin_does_not_break_off_a_stop_in_serve(emulator: Emulator) -> None:
    state = running(emulator)
    emulator.fault("StopTask", "error_500", count=2)
    with program.Serve(emulator.env()) as serve:
        number = serve.begin(ask.stop(state))
        emulator.wait_for_calls("StopTask")
        serve.close_stdin()
        assert serve.wait() == 0
        assert serve.last(number)["result"]["cleanup"] == "done"
    assert emulator.alive() == []


def test_a_second_stop_joins_the_first(emulator: Emulator) -> None:
    state = running(emulator)
    emulator.fault("StopTask", "slow", delay_ms=500)
    with program.Serve(emulator.env()) as serve:
        numbers = [serve.begin(ask.stop(state)) for _ in range(3)]
        assert [serve.last(number)["result"]["cleanup"] for number in numbers] == ["done"] * 3
    assert emulator.calls("StopTask") == 1


def test_a_stop_pre_empts_a_start_and_waits_for_its_clean_up() -> None:
    with Emulator(delays=SLOW) as emulator, program.Serve(emulator.env()) as serve:
        start = serve.begin(ask.start(), ack=True)
        serve.wait_for_stage("provisioning")
        stopped = serve.ask(ask.stop(None))
        assert stopped["cleanup"] == "done"
        error = serve.last(start)["error"]
        assert (error["code"], error["cleanup"]) == ("cancelled", "done")
        kinds = [frame["type"] for frame in serve.frames if frame["type"] in ("result", "error")]
        assert kinds == ["error", "result"]
        assert emulator.alive() == []


def test_a_stop_pre_empts_a_start_whose_run_task_has_not_answered_yet() -> None:
    with Emulator(delays=SLOW) as emulator, program.Serve(emulator.env()) as serve:
        emulator.fault("RunTask", "slow", delay_ms=700)
        start = serve.begin(ask.start(), ack=True)
        emulator.wait_for_calls("ListTasks")
        serve.wait_for_type("state")
        assert serve.ask(ask.stop(None))["cleanup"] == "done"
        assert serve.last(start)["error"]["code"] == "cancelled"
        assert emulator.alive() == []


def test_a_stop_also_pre_empts_a_start_that_waits_for_an_earlier_stop(emulator: Emulator) -> None:
    state = running(emulator)
    emulator.fault("StopTask", "slow", delay_ms=800)
    with program.Serve(emulator.env()) as serve:
        first = serve.begin(ask.stop(state))
        emulator.wait_for_calls("StopTask")
        start = serve.begin(ask.start(), ack=True)
        second = serve.begin(ask.stop(state))
        assert serve.last(start)["error"]["code"] == "cancelled"
        results = [serve.last(number)["result"] for number in (first, second)]
        # The task may end between the two answers.
        assert {result["phase"] for result in results} <= {"stopping", "exited"}, results
    assert emulator.calls("RunTask") == 1
    assert emulator.alive() == []


def test_a_start_that_comes_after_a_stop_waits_for_it_and_then_runs(emulator: Emulator) -> None:
    state = running(emulator)
    emulator.fault("StopTask", "slow", delay_ms=500)
    with program.Serve(emulator.env()) as serve:
        stopping = serve.begin(ask.stop(state))
        starting = serve.begin(ask.start())
        assert serve.last(stopping)["result"]["cleanup"] == "done"
        assert serve.last(starting)["result"]["url"]
    actions = [request["action"] for request in emulator.requests() if request["action"] in ("RunTask", "StopTask")]
    assert actions == ["RunTask", "StopTask", "RunTask"]
    assert len(emulator.alive()) == 1


def test_a_stop_of_another_server_waits_for_nobody() -> None:
    with Emulator(delays=SLOW) as emulator, program.Serve(emulator.env()) as serve:
        start = serve.begin(ask.start(server=ask.server("grace")))
        serve.wait_for_stage("provisioning")
        began = time.monotonic()
        assert serve.ask(ask.stop(None))["cleanup"] == "done"
        assert time.monotonic() - began < 30
        assert not [frame for frame in serve.frames_of(start) if frame["type"] == "error"]
        serve.ask(ask.cancel(start))
        assert serve.last(start)["error"]["cleanup"] == "done"


def test_a_cancel_of_a_stop_does_not_break_it_off(emulator: Emulator) -> None:
    state = running(emulator)
    emulator.fault("StopTask", "slow", delay_ms=500)
    with program.Serve(emulator.env()) as serve:
        number = serve.begin(ask.stop(state))
        emulator.wait_for_calls("StopTask")
        serve.ask(ask.cancel(number))
        assert serve.last(number)["result"]["cleanup"] == "done"
    assert emulator.alive() == []


def test_after_a_stop_serve_does_not_count_the_server_as_seen(emulator: Emulator) -> None:
    state = running(emulator)
    with program.Serve(emulator.env()) as serve:
        target = ask.target(state)
        assert serve.ask(ask.poll(target))["servers"][0]["phase"] == "running"
        serve.ask(ask.stop(state, wait=True))
        assert serve.ask(ask.poll(target))["servers"][0]["phase"] == "exited"


def test_requests_that_come_together_run_in_the_order_of_their_coming(emulator: Emulator) -> None:
    with program.Serve(emulator.env()) as serve:
        pair = [{**ask.start(), "id": "start"}, {**ask.stop(None), "id": "stop"}]
        serve.send("".join(json.dumps(request) + "\n" for request in pair))
        assert serve.last("start")["error"]["code"] == "cancelled"
        assert serve.last("stop")["result"]["cleanup"] == "done"
        assert emulator.alive() == []
        pair = [{**ask.stop(None), "id": "stop first"}, {**ask.start(), "id": "start second"}]
        serve.send("".join(json.dumps(request) + "\n" for request in pair))
        assert serve.last("stop first")["result"]["cleanup"] == "done"
        assert serve.last("start second")["result"]["url"]
        assert len(emulator.alive()) == 1
