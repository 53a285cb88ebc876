"""A server whose stored state is null never had anything created: what a start does with acks, or without them."""

import signal

import pytest

from support import ask, program
from support.emulator import SLOW, Emulator


def test_without_an_ack_nothing_is_created_until_the_deadline(emulator: Emulator) -> None:
    with program.Child("start", emulator.env()) as child:
        child.send(ask.start(timeout_ms=700, ack=True))
        child.wait_for_type("state")
        done = child.finish()
    assert (done.exit_code, done.error["code"], done.error["cleanup"]) == (1, "deadline", "none")
    assert emulator.calls("RunTask") == 0


def test_a_late_ack_starts_the_server(emulator: Emulator) -> None:
    with program.Child("start", emulator.env()) as child:
        child.send(ask.start(ack=True))
        frame = child.wait_for_type("state")
        # A poll by another process takes a while, and nothing is created meanwhile.
        assert program.run("poll", ask.poll(ask.target()), emulator.env()).result["servers"][0]["phase"] == "gone"
        assert emulator.calls("RunTask") == 0
        child.ack(frame)
        assert child.finish().result["url"]
    assert len(emulator.tasks()) == 1


def test_the_end_of_stdin_before_the_ack_cancels_and_nothing_is_created(emulator: Emulator) -> None:
    with program.Child("start", emulator.env()) as child:
        child.send(ask.start(ack=True))
        child.wait_for_type("state")
        child.close_stdin()
        done = child.finish()
    assert (done.exit_code, done.error["code"], done.error["cleanup"]) == (1, "cancelled", "none")
    assert emulator.calls("RunTask") == 0


def test_the_end_of_stdin_after_the_ack_is_ignored(emulator: Emulator) -> None:
    with program.Child("start", emulator.env()) as child:
        child.send({**ask.start(ack=True), "id": "mine"})
        child.ack(child.wait_for_type("state"))
        child.close_stdin()
        assert child.finish().result["url"]


def test_without_ack_the_end_of_stdin_means_nothing(emulator: Emulator) -> None:
    assert program.run("start", ask.start(ack=False), emulator.env()).result["url"]


@pytest.mark.parametrize(
    "ack",
    [
        {"type": "ack", "id": "another", "seq": 2},
        {"type": "ack", "id": "mine", "seq": 1},
        {"type": "ack", "id": "mine", "seq": 3},
        {"type": "ack", "id": "mine", "seq": 1000},
        {"type": "ack", "id": "mine", "seq": "2"},
        {"type": "ack", "id": "mine", "seq": -2},
        {"type": "ack", "id": "mine"},
        {"type": "ack", "id": None, "seq": 2},
        {"type": "ack"},
        "no json\n",
    ],
)
@pytest.mark.parametrize("verb", ["start", "serve"])
def test_an_ack_that_matches_nothing_sent_is_ignored(emulator: Emulator, verb: str, ack: object) -> None:
    with program.Child(verb, emulator.env()) as child:
        child.send({**ask.start(timeout_ms=1000, ack=True), "id": "mine"})
        assert child.wait_for_type("state")["seq"] == 2
        child.send(ack)
        last = child.wait_for(lambda f: f.get("id") == "mine" and f["type"] in ("result", "error"))
        assert last["error"]["code"] == "deadline"
        if verb == "serve" and ack != "no json\n":
            assert not [f for f in child.frames if f["type"] == "error" and f["id"] != "mine"]
    assert emulator.calls("RunTask") == 0


@pytest.mark.parametrize("verb", ["start", "serve"])
def test_an_ack_that_comes_before_its_state_was_sent_is_ignored(emulator: Emulator, verb: str) -> None:
    emulator.fault("ListTasks", "slow", delay_ms=300)
    with program.Child(verb, emulator.env()) as child:
        child.send({**ask.start(timeout_ms=1500, ack=True), "id": "mine"})
        child.send({"type": "ack", "id": "mine", "seq": 2})
        child.wait_for_type("state")
        last = child.wait_for(lambda f: f.get("id") == "mine" and f["type"] in ("result", "error"))
        assert last["error"]["code"] == "deadline"
    assert emulator.calls("RunTask") == 0


def test_each_creation_waits_for_an_ack_of_its_own(emulator: Emulator) -> None:
    emulator.fault("RunTask", "resource_eni")
    with program.Child("start", emulator.env()) as child:
        child.send({**ask.start(ack=True), "id": "mine"})
        first = child.wait_for_type("state")
        child.ack(first)
        second = child.wait_for(lambda f: f["type"] == "state" and f["seq"] > first["seq"])
        assert emulator.calls("RunTask") == 1
        assert second["state"]["data"]["ref"] is None
        child.ack(first)
        child.ack(second)
        assert child.finish().result["url"]
    first_token, second_token = (body["clientToken"] for body in emulator.bodies("RunTask"))
    assert (first_token[-2:], second_token[-2:]) == ("-1", "-2")


def test_a_cancel_before_the_ack_creates_nothing(emulator: Emulator) -> None:
    with program.Serve(emulator.env(), auto_ack=False) as serve:
        number = serve.begin(ask.start(), ack=True)
        frame = serve.wait_for_type("state")
        assert serve.ask(ask.cancel(number)) == {"found": True}
        error = serve.last(number)["error"]
        assert (error["code"], error["cleanup"]) == ("cancelled", "none")
        serve.ack(frame)
        serve.ask(ask.poll(ask.target()))
    assert emulator.calls("RunTask") == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_ack_creates_nothing(emulator: Emulator, number: signal.Signals) -> None:
    with program.Child("start", emulator.env()) as child:
        child.send(ask.start(ack=True))
        child.wait_for_type("state")
        child.signal(number)
        done = child.finish()
    assert (done.exit_code, done.error["code"], done.error["cleanup"]) == (1, "cancelled", "none")
    assert emulator.calls("RunTask") == 0


@pytest.mark.parametrize("verb", ["start", "poll", "stop"])
def test_a_signal_before_the_request_ends_the_program_with_cancelled(emulator: Emulator, verb: str) -> None:
    with program.Child(verb, emulator.env()) as child:
        child.send('{"v":1,')
        child.wait_until_it_reads()
        child.signal(signal.SIGTERM)
        done = child.finish()
    assert (done.exit_code, done.error["code"], done.error["cleanup"]) == (1, "cancelled", "none")


def test_after_a_cancel_state_frames_need_no_ack_and_the_clean_up_goes_on() -> None:
    with Emulator(delays=SLOW) as emulator, program.Serve(emulator.env(), auto_ack=False) as serve:
        number = serve.begin(ask.start(), ack=True)
        serve.ack(serve.wait_for_type("state"))
        serve.wait_for(lambda f: f["type"] == "state" and f["state"]["data"]["ref"])
        serve.ask(ask.cancel(number))
        error = serve.last(number)["error"]
        assert (error["code"], error["cleanup"]) == ("cancelled", "done")
        assert emulator.alive() == []
