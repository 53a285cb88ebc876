"""Every row of the table, on every cloud that it names: as stated, without a false death and with nothing left over."""

from collections.abc import Iterator
from typing import Any

import pytest

from faults import table
from faults.clouds import Cloud, opened
from faults.table import MANY, Case
from support import program

Json = dict[str, Any]

READS = {
    "throttled": "is busy",
    "unavailable": "cannot be reached",
    "deadline": "too long",
    "permission_denied": "not allowed",
    "unauthenticated": "not allowed",
    "invalid_config": "does not fit",
    "capacity_unavailable": "no capacity",
    "quota_exceeded": "quota",
    "start_failed": "did not start",
}
"""What the person reads who waits for the server, by the error's code."""

DEAD = ("exited", "gone")


@pytest.fixture(scope="module")
def clouds() -> Iterator[dict[str, Cloud]]:
    """Both clouds, for the whole file; each case begins with a reset."""
    with opened() as both:
        yield both


@pytest.mark.parametrize(
    ("backend", "case"), [pytest.param(b, c, id=f"{b}-{c}") for c in table.CASES for b in c.clouds]
)  # fmt: skip
def test_a_fault_ends_as_the_table_says(clouds: dict[str, Cloud], backend: str, case: Case) -> None:
    cloud = clouds[backend]
    cloud.reset()
    if case.stuck:
        cloud.slow()
    state = None if case.verb == "start" else cloud.running()
    cloud.befall(case.call, case.befalls, count=case.times, **case.more)
    done = cloud.run(case.verb, case.timeout_ms, state)
    tries = cloud.calls(case.call)
    cloud.heal()
    {"start": check_start, "poll": check_poll, "stop": check_stop}[case.verb](cloud, case, done, state)
    if case.tries is not None:
        assert tries >= 2 if case.tries == MANY else tries == case.tries
    assert "canary" not in done.stdout + done.stderr


def check_start(cloud: Cloud, case: Case, done: program.Finished, _: Json | None) -> None:
    """It runs and is the only one, or it is told why not and nothing is left that no answer names."""
    if case.told == "running":
        state = done.result["state"]
        assert cloud.alive() == {state["data"]["ref"]}
        assert cloud.status(state)["phase"] == "running"
        return
    check_told(case, done.error)
    assert (done.error["cleanup"] == "needed") == (case.left == "needed"), done.error
    if cloud.alive():
        # What the program could not find out or finish, the hub's stop finishes with the last state.
        assert case.left == "needed"
        assert cloud.run("stop", 30_000, done.states()[-1]).result["cleanup"] == "done"
    assert cloud.alive() == set()


def check_poll(cloud: Cloud, case: Case, done: program.Finished, state: Json | None) -> None:
    """The server is alive, and no answer says otherwise."""
    (status,) = done.result["servers"]
    if case.told == "running":
        assert (status["phase"], status["error"]) == ("running", None)
    else:
        assert status["phase"] == "unknown"
        check_told(case, status["error"])
    assert state
    assert cloud.status(state)["phase"] == "running"
    assert len(cloud.alive()) == 1


def check_stop(cloud: Cloud, case: Case, done: program.Finished, state: Json | None) -> None:
    """It is stopped; or the answer says that it is still needed, polls do not call it dead, and a later stop finishes it."""
    assert state
    if case.told == "stopped":
        assert done.result["cleanup"] == "done"
    else:
        check_told(case, done.error)
        assert done.error["cleanup"] == "needed"
        if cloud.alive():
            assert cloud.status(state)["phase"] not in DEAD
        assert cloud.run("stop", 30_000, state).result["cleanup"] == "done"
    assert cloud.alive() == set()


def check_told(case: Case, error: Json) -> None:
    """The code is the row's, the person reads a sentence of ours, and the admin what the cloud said of which call."""
    codes = case.told.split()
    if case.times is None and set(codes) & {"throttled", "unavailable"}:
        # The time can be up in the middle of a try, too.
        codes.append("deadline")
    assert error["code"] in codes, error
    assert READS[error["code"]] in error["user_message"]
    assert error["message"]
    assert "<html" not in error["message"]
