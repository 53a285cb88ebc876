"""Serve: many requests at once, matched by id, until stdin ends and nothing else."""

import json
import signal

import pytest

from support import ask, program
from support.emulator import SLOW, Emulator, wait_until


def test_hello_is_the_first_line(emulator: Emulator) -> None:
    with program.Serve(emulator.env()) as serve:
        assert serve.frames[0] == serve.hello
        assert serve.hello["v"] == [1]
        assert serve.hello["backends"] == sorted(serve.hello["backends"])
        assert "fargate" in serve.hello["backends"]
        assert serve.hello["features"] == sorted(serve.hello["features"])
        assert {"ack", "cancel", "check", "gc"} <= set(serve.hello["features"])
        assert serve.hello["version"]


def test_an_empty_stdin_gives_hello_and_exit_code_0(emulator: Emulator) -> None:
    done = program.run("serve", "", emulator.env())
    assert (done.exit_code, [frame["type"] for frame in done.frames]) == (0, ["hello"])


def test_many_requests_run_at_once_and_each_is_answered_under_its_id(emulator: Emulator) -> None:
    with program.Serve(emulator.env()) as serve:
        starts = {f"user{n}": serve.begin(ask.start(server=ask.server(f"user{n}")), ack=True) for n in range(40)}
        polls = [serve.begin(ask.poll(ask.target())) for _ in range(40)]
        refs = {serve.last(number)["result"]["state"]["data"]["ref"] for number in starts.values()}
        assert len(refs) == 40
        assert all(serve.last(number)["type"] == "result" for number in polls)
        for number in starts.values():
            frames = serve.frames_of(number)
            assert [frame["type"] for frame in frames].count("result") == 1
            assert frames[-1]["type"] == "result"
            assert [frame["seq"] for frame in frames[:-1]] == list(range(1, len(frames)))
    assert len(emulator.tasks()) == 40


def test_a_poll_does_not_wait_for_a_start_or_a_stop() -> None:
    with Emulator(delays=SLOW) as emulator, program.Serve(emulator.env()) as serve:
        number = serve.begin(ask.start())
        serve.wait_for_stage("provisioning")
        assert serve.ask(ask.poll(ask.target()))["servers"][0]["phase"] == "pending"
        assert serve.last_or_none(number) is None
        serve.ask(ask.cancel(number))
        serve.last(number)


def test_a_cancel_that_finds_nothing_says_so(emulator: Emulator) -> None:
    with program.Serve(emulator.env()) as serve:
        assert serve.ask(ask.cancel("nobody")) == {"found": False}
        number = serve.begin(ask.check(offline=True))
        serve.last(number)
        assert serve.ask(ask.cancel(number)) == {"found": False}
        assert "params.id" in serve.fail(ask.cancel(7))["message"]  # type: ignore[arg-type]


def test_a_cancelled_start_is_cleaned_up_and_gets_its_own_last_frame() -> None:
    with Emulator(delays=SLOW) as emulator, program.Serve(emulator.env()) as serve:
        number = serve.begin(ask.start())
        serve.wait_for_stage("provisioning")
        assert serve.ask(ask.cancel(number)) == {"found": True}
        error = serve.last(number)["error"]
        assert (error["code"], error["cleanup"], error["retry"]) == ("cancelled", "done", "later")
        assert emulator.alive() == []


def test_an_id_that_is_still_being_answered_is_refused_and_the_first_request_goes_on(emulator: Emulator) -> None:
    emulator.fault("DescribeTasks", "slow", delay_ms=500)
    with program.Serve(emulator.env()) as serve:
        serve.send({**ask.start(), "id": "same"})
        serve.wait_for(lambda frame: frame.get("id") == "same")
        serve.send({**ask.check(offline=True), "id": "same"})
        error = serve.wait_for(lambda frame: frame["type"] == "error")
        assert (error["id"], error["error"]["code"]) == ("same", "bad_request")
        result = serve.wait_for(lambda frame: frame["type"] == "result")
        assert result["result"]["url"]


def test_an_id_is_free_once_its_last_frame_was_written(emulator: Emulator) -> None:
    with program.Serve(emulator.env()) as serve:
        for count in range(1, 50):
            serve.send({**ask.check(offline=True), "id": "again"})
            wait_until(lambda count=count: len(serve.frames_of("again")) == count)
        assert {frame["type"] for frame in serve.frames_of("again")} == {"result"}


def test_signals_are_ignored(emulator: Emulator) -> None:
    with program.Serve(emulator.env()) as serve:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            serve.signal(number)
            assert serve.ask(ask.check(offline=True))["checks"]
        number = serve.begin(ask.start())
        serve.signal(signal.SIGTERM)
        assert serve.last(number)["result"]["url"]
        serve.close_stdin()
        assert serve.wait() == 0


def test_at_the_end_of_stdin_each_request_gets_its_last_frame_and_the_exit_code_is_0(emulator: Emulator) -> None:
    emulator.fault("DescribeTasks", "slow", delay_ms=300, count=None)
    with program.Serve(emulator.env()) as serve:
        known = serve.ask(ask.start())["state"]
        requests = [ask.poll(ask.target(known)), ask.gc(), ask.check(), ask.poll(ask.target()), ask.stop(known), {"v": 1}]
        lines = [json.dumps({**request, "id": f"end{n}"}) for n, request in enumerate(requests)]
        serve.send("\n".join(lines))
        serve.close_stdin()
        assert serve.wait() == 0
        ends = [serve.last(f"end{n}") for n in range(len(requests))]
        assert [end["type"] for end in ends] == ["result"] * 5 + ["error"]


def test_at_the_end_of_stdin_a_start_without_its_ack_creates_nothing(emulator: Emulator) -> None:
    with program.Serve(emulator.env(), auto_ack=False) as serve:
        number = serve.begin(ask.start(), ack=True)
        serve.wait_for_type("state")
        serve.close_stdin()
        assert serve.wait() == 0
        error = serve.last(number)["error"]
        assert (error["code"], error["cleanup"]) == ("cancelled", "none")
    assert emulator.calls("RunTask") == 0


def test_at_the_end_of_stdin_a_pending_task_is_left_to_be_found_again() -> None:
    with Emulator(delays="provisioning=1500") as emulator:
        with program.Serve(emulator.env()) as serve:
            number = serve.begin(ask.start(), ack=True)
            serve.wait_for_stage("provisioning")
            serve.close_stdin()
            assert serve.wait() == 0
            error = serve.last(number)["error"]
            assert (error["code"], error["cleanup"]) == ("cancelled", "needed")
            state = [frame["state"] for frame in serve.frames_of(number) if frame["type"] == "state"][-1]
        assert len(emulator.alive()) == 1
        emulator.wait_for_status("RUNNING")
        done = program.run("poll", ask.poll(ask.target(state)), emulator.env())
        assert done.result["servers"][0]["phase"] == "running"


def test_at_the_end_of_stdin_a_run_task_that_has_not_answered_is_told_as_needed(emulator: Emulator) -> None:
    emulator.fault("RunTask", "hang")
    with program.Serve(emulator.env()) as serve:
        number = serve.begin(ask.start(), ack=True)
        emulator.wait_for_calls("RunTask")
        serve.close_stdin()
        assert serve.wait() == 0
        error = serve.last(number)["error"]
        assert (error["code"], error["cleanup"]) == ("cancelled", "needed")


def test_at_the_end_of_stdin_a_start_that_waits_for_its_turn_goes_no_further(emulator: Emulator) -> None:
    with program.Serve(emulator.env()) as serve:
        state = serve.ask(ask.start())["state"]
        emulator.fault("StopTask", "slow", delay_ms=500)
        stopping = serve.begin(ask.stop(state))
        emulator.wait_for_calls("StopTask")
        starting = serve.begin(ask.start())
        serve.close_stdin()
        assert serve.wait() == 0
        assert serve.last(stopping)["result"]["cleanup"] == "done"
        error = serve.last(starting)["error"]
        assert (error["code"], error["cleanup"]) == ("cancelled", "none")
    assert emulator.calls("RunTask") == 1


def test_a_reader_that_is_gone_does_not_keep_serve_from_finishing_its_stops(emulator: Emulator) -> None:
    with program.Serve(emulator.env()) as serve:
        state = serve.ask(ask.start())["state"]
        emulator.fault("StopTask", "error_500", count=1)
        serve.begin(ask.stop(state))
        emulator.wait_for_calls("StopTask")
        serve.close_stdin()
        assert serve.wait() == 0
    assert emulator.alive() == []


@pytest.mark.parametrize("line", ["\n", "   \n", "\r\n"])
def test_empty_lines_are_no_requests(emulator: Emulator, line: str) -> None:
    with program.Serve(emulator.env()) as serve:
        serve.send(line)
        assert serve.ask(ask.check(offline=True))["checks"]
        assert not [frame for frame in serve.frames if frame["type"] == "error"]


def test_the_quotas_keep_60_starts_from_being_throttled() -> None:
    with Emulator("--quotas", "documented") as emulator, program.Serve(emulator.env()) as serve:
        numbers = [serve.begin(ask.start(server=ask.server(f"user{n}")), ack=True) for n in range(60)]
        assert all(serve.last(number)["type"] == "result" for number in numbers)
        assert emulator.admin("calls")["throttled"] == 0
        assert len(emulator.alive()) == 60


def test_stats_tell_calls_throttles_and_retries_by_action_and_what_is_watched(emulator: Emulator) -> None:
    with program.Serve(emulator.env()) as serve:
        assert serve.ask({"v": 1, "verb": "stats", "params": {}}) == {"actions": [], "watch_groups": [], "queues": []}
        emulator.fault("RunTask", "throttle", count=1)
        state = serve.ask(ask.start())["state"]
        serve.ask(ask.poll(ask.target(state)))
        stats = serve.ask({"v": 1, "verb": "stats", "params": {}})
    actions = {action.pop("action"): action for action in stats["actions"]}
    assert actions["ecs:RunTask"] == {"calls": 2, "throttled": 1, "retries": 1}
    assert actions["ecs:DescribeTasks"]["calls"] == emulator.calls("DescribeTasks")
    assert [group["servers"] for group in stats["watch_groups"]] == [1]
    assert {queue["waiting"] for queue in stats["queues"]} == {0}
