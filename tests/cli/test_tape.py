"""Record and replay: the same frames without a network, and an error that shows where a request differs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from support import ask, program
from support.binaries import clean_environment
from support.emulator import SLOW, Emulator

OFFLINE = clean_environment(AWS_REGION="eu-west-1")
"""No credentials and no endpoint: a replay needs neither."""


def told(done: program.Finished) -> str:
    """What a run told, but for the moment of the attempt, the account's number and what its state says of the endpoint."""
    text = re.sub(r'"attempted_at_ms": \d+', '"attempted_at_ms": 0', json.dumps(done.frames, sort_keys=True))
    return re.sub(r'"endpoint": "[^"]*"', '"endpoint": ""', text.replace("123456789012", "000000000000"))


def record(emulator: Emulator, request: dict[str, Any], tape: Path) -> program.Finished:
    """Runs a request and records it."""
    return program.run(request["verb"], request, emulator.env(), arguments=["--record", str(tape)])


def replay(request: dict[str, Any], tape: Path) -> program.Finished:
    """Runs a request from its tape."""
    return program.run(request["verb"], request, OFFLINE, arguments=["--replay", str(tape)])


def test_a_recorded_life_is_replayed_without_a_network(emulator: Emulator, tmp_path: Path) -> None:
    start = ask.start()
    first = record(emulator, start, tmp_path / "start")
    state = first.result["state"]
    requests = {"poll": ask.poll(ask.target(state)), "stop": ask.stop(state), "gc": ask.gc(), "check": ask.check()}
    recorded = {name: record(emulator, request, tmp_path / name) for name, request in requests.items()}
    assert told(replay(start, tmp_path / "start")) == told(first)
    for name, request in requests.items():
        if name != "check":
            assert told(replay(request, tmp_path / name)) == told(recorded[name])
    again = replay(requests["check"], tmp_path / "check").result["checks"]
    assert [check["ok"] for check in again] == [check["ok"] for check in recorded["check"].result["checks"]]


def test_a_lost_connection_and_an_error_are_replayed_too(emulator: Emulator, tmp_path: Path) -> None:
    emulator.fault("RunTask", "reply_lost")
    emulator.fault("RunTask", "throttle")
    request = ask.start()
    first = record(emulator, request, tmp_path)
    assert len(emulator.bodies("RunTask")) == 3
    assert told(replay(request, tmp_path)) == told(first)


def test_a_failed_start_is_replayed_with_its_error(emulator: Emulator, tmp_path: Path) -> None:
    emulator.fault("RunTask", "early_stop", stopped_reason="CannotPullContainerError: nobody")
    request = ask.start()
    first = record(emulator, request, tmp_path)
    assert replay(request, tmp_path).error == json.loads(json.dumps(first.error).replace("123456789012", "000000000000"))


def test_a_request_that_differs_fails_and_shows_the_difference(emulator: Emulator, tmp_path: Path) -> None:
    request = ask.start()
    record(emulator, request, tmp_path)
    request["params"]["spec"]["command"] = ["another"]
    error = replay(request, tmp_path).error
    assert 'command[0]: the tape has "jupyterhub-singleuser", the request "another"' in error["message"]
    assert error["cleanup"] == "none"


def test_a_request_that_is_not_on_the_tape_fails(emulator: Emulator, tmp_path: Path) -> None:
    record(emulator, ask.poll(ask.target()), tmp_path)
    server = replay(ask.poll(ask.target(user="grace")), tmp_path)
    (status,) = server.result["servers"]
    assert status["phase"] == "unknown"
    assert "startedBy" in status["error"]["message"]


def test_the_environment_sets_the_tape_as_the_command_line_does(emulator: Emulator, tmp_path: Path) -> None:
    request = ask.start()
    first = program.run("start", request, emulator.env(CLOUDSPAWNER_RECORD=str(tmp_path / "new" / "tape")))
    again = program.run("start", request, {**OFFLINE, "CLOUDSPAWNER_REPLAY": str(tmp_path / "new" / "tape")})
    assert told(again) == told(first)


def test_serve_records_and_replays_too(emulator: Emulator, tmp_path: Path) -> None:
    start = ask.start()
    with program.Serve(emulator.env(), arguments=["--record", str(tmp_path)]) as serve:
        first = serve.ask(start, ack=True)
        serve.ask(ask.stop(first["state"]))
    with program.Serve(OFFLINE, arguments=["--replay", str(tmp_path)]) as serve:
        again = serve.ask(start, ack=True)
        assert again["url"] == first["url"]
        assert serve.ask(ask.stop(again["state"]))["cleanup"] == "done"


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        (["--record", "a", "--replay", "b"], {}),
        ([], {"CLOUDSPAWNER_RECORD": "a", "CLOUDSPAWNER_REPLAY": "b"}),
        (["--record", "a"], {"CLOUDSPAWNER_REPLAY": "b"}),
        (["--replay", "a"], {"CLOUDSPAWNER_RECORD": "b"}),
    ],
)
@pytest.mark.parametrize("verb", ["poll", "serve"])
def test_record_and_replay_exclude_each_other(tmp_path: Path, verb: str, arguments: list[str], env: dict[str, str]) -> None:
    def at(name: str) -> str:
        return str(tmp_path / name) if name in ("a", "b") else name

    done = program.run(
        verb,
        ask.poll(),
        {**OFFLINE, **{name: at(value) for name, value in env.items()}},
        arguments=[at(argument) for argument in arguments],
    )
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, "{", '{"no": "recording"}'])
def test_a_tape_that_cannot_be_read_is_a_wrong_command_line(tmp_path: Path, content: str | None) -> None:
    tape = tmp_path / "tape"
    if content is not None:
        tape.mkdir()
        (tape / "0001-RunTask.json").write_text(content)
    done = replay(ask.poll(), tape)
    assert (done.exit_code, done.stdout) == (2, "")
    assert str(tape) in done.stderr


def test_a_second_recording_goes_after_the_first(tmp_path: Path) -> None:
    with Emulator(delays=SLOW) as emulator:
        for _ in range(2):
            record(emulator, ask.poll(ask.target()), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
