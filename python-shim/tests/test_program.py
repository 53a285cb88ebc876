"""The one child: requests, repetitions, deaths."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from cloudspawner import program as program_module
from cloudspawner import wire
from cloudspawner.program import Call, Program
from cloudspawner.wire import JsonObject, ProgramError
from conftest import LOG, STARTED, STATE, STATE_WITH_REF, Fake, until

MakeProgram = Callable[[], Program]


def start_call(states: list[JsonObject] | None = None, timeout_ms: int = 60_000, **changes: Any) -> Call:
    kept = states if states is not None else []
    return Call("start", {"state": None, "secret": "canary"}, timeout_ms, on_state=kept.append, **changes)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_module, "_REPEAT_PAUSES", (0.01, 0.02))
    monkeypatch.setattr(program_module, "_RESTART_PAUSES", (0.0, 0.01))


async def failure(awaitable: Any) -> ProgramError:
    with pytest.raises(ProgramError) as caught:
        await awaitable
    return caught.value


async def test_a_program_that_is_not_there_is_a_clear_error() -> None:
    error = await failure(Program(["/nowhere/cloudspawner"], {}, LOG).request("poll", {}, timeout_ms=1000))
    assert error.code == "unavailable"
    assert "/nowhere/cloudspawner" in error.message


@pytest.mark.parametrize("hello", ["not json", {"type": "hello", "v": [2]}, {"type": "result"}, "[1]"])
async def test_a_wrong_hello_is_a_clear_error(fake: Fake, program: MakeProgram, hello: object) -> None:
    fake.plays(hello=hello)
    error = await failure(program().request("poll", {}, timeout_ms=1000))
    assert error.code == "unavailable"
    assert "protocol [2]" in error.message or "began with" in error.message


async def test_no_hello_is_an_error_and_the_process_is_ended(
    fake: Fake, program: MakeProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudspawner.child._HELLO_SECONDS", 0.01)
    fake.plays(hello=None)
    error = await failure(program().request("poll", {}, timeout_ms=1000))
    assert "no hello" in error.message


async def test_answers_are_matched_by_id(fake: Fake, program: MakeProgram) -> None:
    fake.plays(start=[["file", fake.path("go")], ["result", STARTED]])
    start = asyncio.ensure_future(program().perform(start_call()))
    await fake.was_sent("start")
    assert await program().request("stop", {}, timeout_ms=1000) == {"phase": "gone", "cleanup": "done"}
    assert not start.done()
    fake.release("go")
    assert await start == STARTED


async def test_a_state_is_acked_only_after_the_callback(fake: Fake, program: MakeProgram) -> None:
    fake.plays(start=[["state", STATE], ["ack"], ["state", STATE_WITH_REF], ["ack"], ["result", STARTED]])
    states: list[JsonObject] = []

    def keep(state: JsonObject) -> None:
        assert len(fake.sent("ack")) == len(states)
        states.append(state)

    call = Call("start", {"state": None}, 60_000, on_state=keep)
    assert await program().perform(call) == STARTED
    assert states == [STATE, STATE_WITH_REF]
    assert [(ack["id"], ack["seq"]) for ack in fake.sent("ack")] == [(call.id, 1), (call.id, 2)]
    assert fake.sent("start")[0]["ack"] is True


async def test_a_state_that_cannot_be_kept_is_not_acked_and_cancels(fake: Fake, program: MakeProgram) -> None:
    fake.plays(start=[["state", STATE], ["cancelled"], ["error", {"code": "cancelled", "cleanup": "none"}]])

    def refuse(state: JsonObject) -> None:
        raise OSError("disk full")

    error = await failure(program().perform(Call("start", {"state": None}, 60_000, on_state=refuse)))
    assert (error.code, error.cleanup) == ("cancelled", "none")
    assert not fake.sent("ack")


async def test_after_a_cancel_states_are_kept_but_not_acked(fake: Fake, program: MakeProgram) -> None:
    fake.plays(start=[["cancelled"], ["state", STATE], ["error", {"code": "cancelled", "cleanup": "needed"}]])
    states: list[JsonObject] = []
    call = start_call(states)
    start = asyncio.ensure_future(program().perform(call))
    await fake.was_sent("start")
    program().cancel(call)
    assert (await failure(start)).cleanup == "needed"
    assert states == [STATE]
    assert not fake.sent("ack")


async def test_a_start_whose_child_died_is_repeated_with_the_last_state(fake: Fake, program: MakeProgram) -> None:
    died = fake.path("died")
    fake.plays(start=[["state", STATE], ["ack"], ["die_once", died], ["state", STATE], ["ack"], ["result", STARTED]])
    assert await program().perform(start_call()) == STARTED
    first, second = fake.sent("start")
    assert first["params"]["state"] is None
    assert second["params"] == {**first["params"], "state": STATE}
    assert second["timeout_ms"] <= first["timeout_ms"]
    assert [ack["seq"] for ack in fake.sent("ack")] == [1, 1, 2]


async def test_a_start_is_repeated_at_most_twice(fake: Fake, program: MakeProgram) -> None:
    fake.plays(start=[["state", STATE], ["ack"], ["die"]])
    error = await failure(program().perform(start_call()))
    assert (error.code, error.cleanup) == ("unavailable", "needed")
    assert len(fake.sent("start")) == 3


async def test_a_start_that_was_cancelled_is_not_repeated(fake: Fake, program: MakeProgram) -> None:
    fake.plays(start=[["state", STATE], ["cancelled"], ["die"]])
    call = start_call()
    start = asyncio.ensure_future(program().perform(call))
    await fake.was_sent("ack")
    program().cancel(call)
    error = await failure(start)
    assert (error.code, error.cleanup) == ("cancelled", "needed")
    assert len(fake.sent("start")) == 1


async def test_nothing_is_repeated_past_its_deadline(fake: Fake, program: MakeProgram) -> None:
    fake.plays(start=[["die"]])
    error = await failure(program().perform(start_call(timeout_ms=1)))
    assert (error.code, error.cleanup) == ("unavailable", "none")
    assert len(fake.sent("start")) == 1


async def test_other_requests_are_repeated_too(fake: Fake, program: MakeProgram) -> None:
    fake.plays(stop=[["die_once", fake.path("died")], ["result", {"phase": "gone", "cleanup": "done"}]])
    assert (await program().request("stop", {}, timeout_ms=60_000))["cleanup"] == "done"
    assert len(fake.sent("stop")) == 2


async def test_a_child_that_hangs_is_ended_and_the_next_request_works(
    fake: Fake, program: MakeProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_module, "GRACE_SECONDS", 0.05)
    await program().request("stop", {}, timeout_ms=60_000)
    fake.plays(stop=[["hang"]])
    error = await failure(program().request("stop", {}, timeout_ms=20))
    assert (error.code, error.message) == ("unavailable", "the program did not answer stop in time")
    fake.plays()
    assert (await program().request("stop", {}, timeout_ms=60_000))["cleanup"] == "done"


async def test_a_request_without_an_answer_fails_but_leaves_a_child_that_talks(
    fake: Fake, program: MakeProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_module, "GRACE_SECONDS", 0.3)
    await program().request("gc", {}, timeout_ms=1000)
    child = program()._child
    fake.plays(stop=[["event", {"message": "still here"}]])
    error = await failure(program().request("stop", {}, timeout_ms=1))
    assert error.code == "unavailable"
    assert program()._child is child
    assert child is not None
    assert child.alive


async def test_garbage_and_unknown_frames_do_no_harm(
    fake: Fake, program: MakeProgram, caplog: pytest.LogCaptureFixture
) -> None:
    fake.plays(
        stop=[
            ["raw", "Segmentation fault"],
            ["raw", '{"type":"result","id":"99","result":{}}'],
            ["raw", '{"type":"new_kind","id":"1"}'],
            ["raw", '{"type":"error","id":null,"error":{"code":"bad_request"}}'],
            ["raw", "[]"],
            ["result", {"cleanup": "done"}],
        ]
    )
    assert await program().request("stop", {}, timeout_ms=1000) == {"cleanup": "done"}
    assert "a line that is no frame" in caplog.text


async def test_a_long_line_is_read(fake: Fake, program: MakeProgram) -> None:
    fake.plays(stop=[["result", {"cleanup": "done", "filler": "x" * 3_000_000}]])
    assert (await program().request("stop", {}, timeout_ms=60_000))["cleanup"] == "done"


async def test_the_log_of_the_program_goes_to_the_hubs_log(
    fake: Fake, program: MakeProgram, caplog: pytest.LogCaptureFixture
) -> None:
    await program().request("stop", {}, timeout_ms=1000)
    await until(lambda: "fake: ready" in caplog.text)
    record = next(record for record in caplog.records if "fake: ready" in record.getMessage())
    assert record.levelname == "WARNING"


async def test_one_child_serves_all_and_has_its_own_session(fake: Fake, program: MakeProgram) -> None:
    await asyncio.gather(*(program().request("stop", {}, timeout_ms=1000) for _ in range(20)))
    child = program()._child
    assert child is not None
    assert os.getsid(child._process.pid) == child._process.pid


async def test_a_killed_child_is_replaced(fake: Fake, program: MakeProgram) -> None:
    await program().request("stop", {}, timeout_ms=1000)
    first = program()._child
    assert first is not None
    first._process.send_signal(signal.SIGKILL)
    await first.ended.wait()
    await program().request("stop", {}, timeout_ms=1000)
    assert program()._child is not first
    assert first._process.returncode == -signal.SIGKILL


async def test_a_program_that_cannot_start_is_not_tried_for_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_module, "_RESTART_PAUSES", (60.0,))
    tries = []

    def popen(*args: object, **kwargs: object) -> None:
        tries.append(args)
        raise OSError("no such file")

    monkeypatch.setattr("cloudspawner.child.subprocess.Popen", popen)
    broken = Program(["x"], {}, LOG)
    errors = await asyncio.gather(
        *(broken.request("poll", {}, timeout_ms=1000) for _ in range(10)), return_exceptions=True
    )
    assert {getattr(error, "code", None) for error in errors} == {"unavailable"}
    assert len(tries) == 1


async def test_what_json_cannot_hold_is_refused_without_showing_it(fake: Fake, program: MakeProgram) -> None:
    for value in (float("nan"), {"canary"}, "\ud800canary"):
        error = await failure(program().request("stop", {"value": value}, timeout_ms=1000))
        assert error.code == "bad_request"
        assert "canary" not in str(error)
    too_long = await failure(program().request("stop", {"value": "x" * wire.MAX_FRAME_BYTES}, timeout_ms=1000))
    assert "more than" in too_long.message


async def test_no_secret_is_in_a_repr() -> None:
    assert "canary" not in repr(start_call())


async def test_the_installed_program_is_found_beside_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path / "scripts"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    with pytest.raises(ProgramError, match="trait `program`"):
        program_module.find_program()
    for folder in ("path", "scripts", "."):
        binary = tmp_path / folder / "cloudspawner"
        binary.parent.mkdir(exist_ok=True)
        binary.touch()
        binary.chmod(0o755)
        assert program_module.find_program() == [str(binary)]
