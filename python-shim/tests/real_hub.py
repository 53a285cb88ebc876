"""Fixtures: a real JupyterHub, in this process, with a proxy that only remembers its routes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest_asyncio
from jupyterhub import orm
from jupyterhub.app import JupyterHub
from jupyterhub.httpclient import JupyterHubHTTPClient
from jupyterhub.proxy import Proxy
from support.ports import free_port
from tornado import web
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from traitlets.config import Config

from cloudspawner.program import Program

if TYPE_CHECKING:
    from conftest import Fake

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

    async def make(more: dict[str, Any] | None = None, **spawner: Any) -> Hub:
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
            CloudSpawner={"program": fake.argv, "program_env": fake.env, "check_at_start": False},
            FargateSpawner={
                "cluster": "hub",
                "task_definition": "lab:2",
                "container_name": "notebook",
                "subnets": ["subnet-1"],
                **spawner,
            },
        )
        config.merge(Config(more or {}))
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
