"""A real JupyterHub, in this process, with a proxy that only remembers its routes."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from jupyterhub import orm
from jupyterhub.app import JupyterHub
from jupyterhub.httpclient import JupyterHubHTTPClient
from jupyterhub.proxy import Proxy
from tornado import web
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from traitlets.config import Config

from cloudspawner.errors import ChoiceRefused
from cloudspawner.program import Program
from conftest import STATE, STATE_WITH_REF, Fake, until

TOKEN = "a-token-for-tests"


class StubProxy(Proxy):
    """Remembers routes; nothing listens."""

    should_start = False
    routes: dict[str, Any]

    async def add_route(self, routespec: str, target: str, data: dict[str, Any]) -> None:
        self._routes()[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec: str) -> None:
        self._routes().pop(routespec, None)

    async def get_all_routes(self) -> dict[str, Any]:
        return dict(self._routes())

    def _routes(self) -> dict[str, Any]:
        self.__dict__.setdefault("kept", {})
        kept: dict[str, Any] = self.__dict__["kept"]
        return kept


class Hub(JupyterHub):
    """A hub that leaves signals and the event loop to the tests."""

    def init_signal(self) -> None:
        pass

    def _stop_event_loop(self) -> None:
        pass

    def load_config_file(self, *args: object, **kwargs: object) -> None:
        pass

    async def api(self, method: str, path: str, body: object = None) -> HTTPResponse:
        request = HTTPRequest(
            f"{self.hub.url}api{path}",
            method=method,
            headers={"Authorization": f"token {TOKEN}"},
            body=None if body is None else json.dumps(body),
            allow_nonstandard_methods=True,
        )
        return await AsyncHTTPClient().fetch(request, raise_error=False)

    def spawner(self) -> Any:
        row = self.db.query(orm.User).filter_by(name="ada").one()
        return self.users[row].spawners[""]

    async def die(self) -> None:
        """What SIGKILL leaves: no clean-up, only what is in the database."""
        for program in Program._shared.get(asyncio.get_running_loop(), {}).values():
            if program._child is not None:
                program._child.kill()
        await self._end()

    async def shut_down(self) -> None:
        await self.cleanup()
        await self._end()

    async def _end(self) -> None:
        if self.http_server:
            self.http_server.stop()
            await self.http_server.close_all_connections()
        if self.metrics_collector:
            self.metrics_collector.stop()
        for callback in self._periodic_callbacks.values():
            callback.stop()
        for user in self.users.values():
            for spawner in user.spawners.values():
                spawner.stop_polling()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self.db.close()
        self.db.get_bind().dispose()
        self._atexit_ran = True
        type(self).clear_instance()
        if JupyterHubHTTPClient.initialized():
            await JupyterHubHTTPClient.instance().close()
            JupyterHubHTTPClient.clear_instance()
        await Program.close_all()


MakeHub = Callable[..., Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest_asyncio.fixture
async def server_url() -> AsyncIterator[str]:
    """Something that answers like a single-user server."""

    class Answer(web.RequestHandler):
        def get(self) -> None:
            self.set_header("X-JupyterHub-Version", "6.1.1")

    server = web.Application([(".*", Answer)]).listen(0, "127.0.0.1")
    port = next(iter(server._sockets.values())).getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.stop()
    await server.close_all_connections()


@pytest_asyncio.fixture
async def make_hub(fake: Fake, tmp_path: Path) -> AsyncIterator[MakeHub]:
    hubs: list[Hub] = []

    async def make(**spawner: Any) -> Hub:
        port = free_port()
        config = Config(
            JupyterHub={
                "spawner_class": "cloudspawner.FargateSpawner",
                "proxy_class": StubProxy,
                "authenticator_class": "dummy",
                "db_url": f"sqlite:///{tmp_path}/hub.sqlite",
                "cookie_secret": b"c" * 32,
                "pid_file": "",
                "hub_bind_url": f"http://127.0.0.1:{port}",
                "bind_url": f"http://127.0.0.1:{free_port()}",
                "cleanup_servers": False,
                "log_level": "INFO",
                "tornado_settings": {"slow_spawn_timeout": 0.1, "slow_stop_timeout": 0.1},
                "services": [{"name": "tests", "api_token": TOKEN}],
                "load_roles": [
                    {
                        "name": "tests",
                        "services": ["tests"],
                        "scopes": ["admin:users", "admin:servers", "admin:server_state"],
                    }
                ],
            },
            Authenticator={"allow_all": True},
            FargateSpawner={
                "program": fake.argv,
                "program_env": fake.env,
                "cluster": "hub",
                "task_definition": "lab:2",
                "container_name": "notebook",
                "subnets": ["subnet-1"],
                **spawner,
            },
        )
        hub = Hub(config=config)
        hubs.append(hub)
        await hub.initialize([])
        await hub.start()
        if not hub.db.query(orm.User).filter_by(name="ada").count():
            assert (await hub.api("POST", "/users/ada")).code == 201
        return hub

    yield make
    for hub in hubs[-1:]:
        await hub.shut_down()


def start_steps(url: str) -> list[list[Any]]:
    return [["state", STATE], ["ack"], ["state", STATE_WITH_REF], ["result", {"url": url, "state": STATE_WITH_REF}]]


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
    assert hub.spawner().orm_spawner.state == {}


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
