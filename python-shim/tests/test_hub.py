"""A server's life in a real JupyterHub."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.ports import free_port

from cloudspawner.errors import ChoiceRefused
from conftest import STATE, STATE_WITH_REF, Fake, start_steps, until
from real_hub import MakeHub


async def test_a_server_starts_and_stops(make_hub: MakeHub, fake: Fake, server_url: str) -> None:
    fake.plays(start=start_steps(server_url), poll={"phase": "running", "url": server_url})
    hub = await make_hub()
    assert (await hub.api("POST", "/users/ada/server")).code in (201, 202)
    await until(lambda: hub.spawner().ready)
    assert hub.spawner().orm_spawner.state["cloud"] == STATE_WITH_REF
    assert hub.spawner().server.url == f"{server_url}/user/ada/"
    assert "/user/ada/" in await hub.proxy.get_all_routes()
    shown = json.loads((await hub.api("GET", "/users/ada")).body)
    assert shown["servers"][""]["state"]["cloud"] == STATE_WITH_REF

    assert (await hub.api("DELETE", "/users/ada/server")).code in (202, 204)
    await until(lambda: not hub.spawner().active)
    assert len(fake.sent("stop")) == 1
    assert hub.spawner().orm_spawner.state == {}


async def test_a_server_that_died_is_noticed_and_cleaned_up_once(
    make_hub: MakeHub, fake: Fake, server_url: str
) -> None:
    fake.plays(start=start_steps(server_url))
    hub = await make_hub()
    await hub.api("POST", "/users/ada/server")
    await until(lambda: hub.spawner().ready)
    fake.plays(poll={"phase": "exited", "exit_code": 137, "cleanup": "needed"})
    await hub.spawner().poll_and_notify()
    assert not hub.spawner().active
    assert len(fake.sent("poll")) == 1
    assert len(fake.sent("stop")) == 1
    assert "/user/ada/" not in await hub.proxy.get_all_routes()


async def test_a_delete_during_a_start_is_accepted_and_leaves_nothing(make_hub: MakeHub, fake: Fake) -> None:
    go = fake.path("go")
    fake.plays(
        start=[
            ["state", STATE],
            ["ack"],
            ["cancelled"],
            ["file", go],
            ["error", {"code": "cancelled", "message": "cancelled", "cleanup": "done"}],
        ]
    )
    hub = await make_hub()
    assert (await hub.api("POST", "/users/ada/server")).code == 202
    await fake.was_sent("ack")
    assert (await hub.api("DELETE", "/users/ada/server")).code == 202  # while the clean-up goes on
    assert hub.spawner().pending == "stop"
    fake.release("go")
    await until(lambda: not hub.spawner().active)
    assert len(fake.sent("cancel")) == 1
    assert not fake.sent("stop")
    assert hub.spawner().orm_spawner.state == {}
    assert hub.spawner().server is None
    assert json.loads((await hub.api("GET", "/users/ada")).body)["servers"] == {}


async def test_a_start_that_fails_tells_the_user_why(make_hub: MakeHub, fake: Fake) -> None:
    why = {
        "code": "start_failed",
        "message": "CannotPullContainerError",
        "user_message": "No image.",
        "cleanup": "done",
    }
    fake.plays(start=[["state", STATE], ["ack"], ["error", why]])
    hub = await make_hub()
    await hub.api("POST", "/users/ada/server")
    await until(lambda: not hub.spawner().active)
    answer = await hub.api("GET", "/users/ada/server/progress")
    assert b"Spawn failed: No image." in answer.body
    assert not fake.sent("stop")
    assert set(hub.spawner().orm_spawner.state) == {"last_ending"}


async def test_a_failed_start_that_left_something_is_stopped_by_the_hub(make_hub: MakeHub, fake: Fake) -> None:
    fake.plays(start=[["state", STATE], ["ack"], ["error", {"code": "deadline", "cleanup": "needed"}]])
    hub = await make_hub()
    await hub.api("POST", "/users/ada/server")
    await until(lambda: not hub.spawner().active)
    assert [frame["params"]["state"] for frame in fake.sent("stop")] == [STATE]


@pytest.mark.parametrize("known", [STATE, STATE_WITH_REF])
async def test_a_hub_killed_in_the_middle_of_a_start_adopts_the_server(
    make_hub: MakeHub, fake: Fake, server_url: str, known: dict[str, Any]
) -> None:
    fake.plays(start=[["state", known], ["ack"], ["cancelled"], ["error", {"cleanup": "needed"}]])
    hub = await make_hub()
    await hub.api("POST", "/users/ada/server")
    await fake.was_sent("ack")
    await hub.die()

    fake.plays(poll={"phase": "running", "url": server_url, "state": STATE_WITH_REF})
    hub = await make_hub()
    await until(lambda: hub.spawner().ready)
    assert len(fake.sent("start")) == 1
    assert fake.sent("poll")[0]["params"]["targets"][0]["state"] == known
    assert hub.spawner().orm_spawner.state["cloud"] == STATE_WITH_REF
    assert hub.spawner().server.url == f"{server_url}/user/ada/"


async def test_a_hub_killed_in_the_middle_of_a_start_stops_what_does_not_answer(make_hub: MakeHub, fake: Fake) -> None:
    fake.plays(start=[["state", STATE], ["ack"], ["cancelled"], ["error", {"cleanup": "needed"}]])
    hub = await make_hub()
    await hub.api("POST", "/users/ada/server")
    await fake.was_sent("ack")
    await hub.die()

    fake.plays(poll={"phase": "running", "url": f"http://127.0.0.1:{free_port()}"})
    hub = await make_hub(http_timeout=1)
    await until(lambda: not hub.spawner().active)
    assert [frame["params"]["state"] for frame in fake.sent("stop")] == [STATE]
    assert hub.spawner().orm_spawner.state == {}


async def test_a_hub_that_restarts_while_the_cloud_throttles_loses_no_server(
    make_hub: MakeHub, fake: Fake, server_url: str
) -> None:
    fake.plays(start=start_steps(server_url))
    hub = await make_hub()
    await hub.api("POST", "/users/ada/server")
    await until(lambda: hub.spawner().ready)
    await hub.die()

    fake.plays(poll={"phase": "unknown", "error": {"code": "throttled", "message": "Rate exceeded"}})
    hub = await make_hub()
    await until(lambda: hub.spawner().ready)
    assert not fake.sent("stop")


async def test_a_choice_that_is_not_offered_is_a_400_with_its_sentence(
    make_hub: MakeHub, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: object) -> None:
        raise ChoiceRefused("size 'XXL' is not offered there; choose one of <b>, M")

    monkeypatch.setattr("cloudspawner.FargateSpawner.start_config", refuse)
    hub = await make_hub()
    # Long enough for a busy machine: a hub that does not wait for the start answers 202.
    hub.tornado_settings["slow_spawn_timeout"] = hub.tornado_application.settings["slow_spawn_timeout"] = 30
    answer = await hub.api("POST", "/users/ada/server", {"size": "XXL"})
    assert answer.code == 400
    assert "size 'XXL' is not offered there" in json.loads(answer.body)["message"]
    assert fake.sent("start") == []
