"""The golden frames that the Rust side reads, too: what the shim sends has their shape, what it gets is understood."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from cloudspawner import FargateSpawner, SpawnFailed, wire
from conftest import Fake, MakeSpawner

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "wire" / "v1"
FILES = sorted(GOLDEN.glob("*.json"))
SIMPLE: dict[str, Any] = {
    "hub_id": "prod",
    "aws_region": "eu-west-1",
    "cluster": "notebooks",
    "task_definition": "notebook:1",
    "container_name": "notebook",
    "subnets": ["subnet-0123abcd"],
    "security_groups": ["sg-0123abcd"],
    "cpu_limit": 1.0,
    "mem_limit": "4G",
}
# What a request and its golden file need not both have: optional fields of the protocol.
OPTIONAL = {
    "start": {"params.config.run_task.count"},
    "stop": {"params.wait"},
    "gc": {"timeout_ms", "params.force", "params.config.container_name"},
    "check": {"timeout_ms"},
}
# Where the golden file shows one example of what is free: the server's environment and the cloud's own state.
FREE = ("params.spec.env.", "params.state.", "params.targets.0.state.data.", "params.keep.")


def golden(name: str) -> dict[str, Any]:
    frame = json.loads((GOLDEN / f"{name}.json").read_text())
    assert isinstance(frame, dict)
    return frame


def shape(value: object, path: str = "") -> dict[str, str]:
    """Each path in a frame with the type at its end."""
    if isinstance(value, dict) and value:
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and value:
        items = [(str(position), item) for position, item in enumerate(value)]
    else:
        return {path: type(value).__name__}
    return {deep: kind for key, item in items for deep, kind in shape(item, f"{path}.{key}".lstrip(".")).items()}


def assert_same_shape(sent: dict[str, Any], name: str) -> None:
    expected, actual = shape(golden(name)), shape(sent)
    for table in (expected, actual):
        for path in [path for path in table if path.startswith(FREE)]:
            del table[path]
    for path in OPTIONAL.get(sent["verb"], set()):
        actual.pop(path, None)
        expected.pop(path, None)
    assert actual == expected


async def plays_golden_start(fake: Fake, make_spawner: MakeSpawner, **traits: Any) -> FargateSpawner:
    state, result = golden("state")["state"], golden("result_start")["result"]
    event = {key: value for key, value in golden("event").items() if key not in ("type", "id", "seq")}
    fake.plays(
        start=[["state", state], ["ack"], ["event", event], ["result", result]],
        poll={**golden("result_poll")["result"]["servers"][0]},
        stop=golden("result_stop")["result"],
        gc=golden("result_gc")["result"],
    )
    spawner = make_spawner(**{**SIMPLE, **traits})
    assert await spawner.start() == result["url"]
    return spawner


def test_there_are_golden_files() -> None:
    assert {"request_start", "request_poll", "request_stop", "request_gc", "state", "ack"} <= {
        path.stem for path in FILES
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_frame_survives_a_round_trip(path: Path) -> None:
    frame = json.loads(path.read_text())
    line = wire.encode(frame)
    assert line.count(b"\n") == 1
    assert wire.decode(line) == frame


async def test_the_start_request_has_the_golden_shape(fake: Fake, make_spawner: MakeSpawner) -> None:
    await plays_golden_start(fake, make_spawner)
    sent = fake.sent("start")[0]
    assert_same_shape(sent, "request_start")
    expected = golden("request_start")["params"]
    sent["params"]["config"]["run_task"].pop("count")
    assert sent["params"]["config"] == expected["config"]
    assert {**sent["params"]["spec"], "env": {}} == {**expected["spec"], "env": {}}
    assert sent["params"]["server"] == expected["server"]
    ack = fake.sent("ack")[0]
    assert shape(ack) == shape(golden("ack"))


async def test_the_poll_request_has_the_golden_shape(fake: Fake, make_spawner: MakeSpawner) -> None:
    spawner = await plays_golden_start(fake, make_spawner)
    fake.plays(poll={"phase": "unknown"})  # no answer that could be kept
    assert await spawner.poll() is None
    assert await spawner.poll() is None
    sent = fake.sent("poll")[1]
    assert_same_shape(sent, "request_poll")
    assert 19_000 < sent["timeout_ms"] <= golden("request_poll")["timeout_ms"]
    assert sent["params"] == golden("request_poll")["params"]


async def test_the_stop_request_has_the_golden_shape(fake: Fake, make_spawner: MakeSpawner) -> None:
    spawner = await plays_golden_start(
        fake, make_spawner, authentication_class="cloudspawner.FargateSpawnerECSRoleAuthentication"
    )
    await spawner.stop()
    sent = fake.sent("stop")[0]
    assert_same_shape(sent, "request_stop")
    assert sent["params"]["state"] == golden("request_stop")["params"]["state"]
    assert 119_000 < sent["timeout_ms"] <= golden("request_stop")["timeout_ms"]


async def test_the_gc_request_has_the_golden_shape(fake: Fake, make_spawner: MakeSpawner) -> None:
    spawner = make_spawner(**SIMPLE)
    fake.plays(gc=golden("result_gc")["result"])
    assert await spawner.gc() == golden("result_gc")["result"]
    sent = fake.sent("gc")[0]
    assert_same_shape(sent, "request_gc")
    assert sent["params"]["keep"][0] == golden("request_gc")["params"]["keep"][0]


async def test_the_cancel_request_has_the_golden_shape(fake: Fake, make_spawner: MakeSpawner) -> None:
    fake.plays(start=[["state", golden("state")["state"]], ["cancelled"], ["error", {"cleanup": "none"}]])
    spawner = make_spawner(**SIMPLE)
    start = asyncio.ensure_future(spawner.start())
    await fake.was_sent("ack")
    start.cancel()
    await asyncio.wait([start])
    await spawner.stop()
    assert shape(fake.sent("cancel")[0]) == shape(golden("request_cancel"))
    assert fake.sent("cancel")[0]["params"]["id"] == fake.sent("start")[0]["id"]


async def test_the_golden_hello_is_accepted(fake: Fake, make_spawner: MakeSpawner) -> None:
    fake.plays(hello=golden("hello"), start=[["result", golden("result_start")["result"]]])
    await make_spawner(**SIMPLE).start()


async def test_the_golden_poll_answers_are_understood(fake: Fake, make_spawner: MakeSpawner) -> None:
    expected = {"running": None, "exited": 137, "unknown": None}
    for answer in golden("result_poll")["result"]["servers"]:
        spawner = make_spawner(f"user-{answer['phase']}", **SIMPLE)
        spawner.load_state({"cloud": golden("state")["state"], "url": ""})
        fake.plays(poll=answer)
        assert await spawner.poll() == expected[answer["phase"]]
        assert spawner.get_state()["url"] == (answer["url"] or "")


@pytest.mark.parametrize("name", ["error_start", "error_unreadable"])
async def test_the_golden_errors_are_understood(fake: Fake, make_spawner: MakeSpawner, name: str) -> None:
    expected = golden(name)["error"]
    error = wire.ProgramError.from_frame(golden(name))
    for field in ("code", "message", "user_message", "retry", "cleanup", "context"):
        assert getattr(error, field) == expected[field]
    fake.plays(start=[["error", expected]])
    with pytest.raises(Exception) as caught:  # noqa: PT011 - its class depends on JupyterHub's version
        await make_spawner(**SIMPLE).start()
    assert getattr(caught.value, "jupyterhub_message", None) == expected["user_message"]
    assert isinstance(caught.value, SpawnFailed) or type(caught.value).__name__ == "SpawnException"


def test_an_error_that_says_nothing_is_read_with_care() -> None:
    for frame in ({}, {"error": None}, {"error": {"cleanup": "perhaps", "context": 7}}):
        error = wire.ProgramError.from_frame(frame)
        assert (error.code, error.cleanup, error.context) == ("internal", "needed", {})
