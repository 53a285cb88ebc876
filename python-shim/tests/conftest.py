"""Fixtures: a fake program, and spawners that are as real as JupyterHub makes them."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import jupyterhub.app  # noqa: F401 - as in a hub: the application is there before its spawners
import pytest
import pytest_asyncio
from jupyterhub import orm
from jupyterhub.objects import Hub, Server
from jupyterhub.user import User
from traitlets.config import Config

from cloudspawner import FargateSpawner
from cloudspawner.program import Program
from real_hub import make_hub, server_url

FAKE = [sys.executable, str(Path(__file__).with_name("fake_program.py"))]
STATE = {"v": 1, "backend": "fargate", "data": {"attempt": "a", "ref": None}}
STATE_WITH_REF = {"v": 1, "backend": "fargate", "data": {"attempt": "a", "ref": "arn:task/1"}}
URL = "http://10.0.3.17:8888"
STARTED = {"url": URL, "state": STATE_WITH_REF}
SECRET = "canary-7f3a"

LOG = logging.getLogger("cloudspawner-tests")


def start_steps(url: str) -> list[list[Any]]:
    return [["state", STATE], ["ack"], ["state", STATE_WITH_REF], ["result", {"url": url, "state": STATE_WITH_REF}]]


class Fake:
    """The fake program's scenario and what it was sent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scenario = folder / "scenario.json"
        self.journal = folder / "journal.jsonl"
        self.journal.touch()
        self.argv = FAKE
        self.env = {"FAKE_SCENARIO": str(self.scenario), "FAKE_JOURNAL": str(self.journal)}
        self.plays()

    def plays(self, **scenario: Any) -> None:
        self.scenario.write_text(json.dumps(scenario))

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def release(self, name: str) -> None:
        (self.folder / name).touch()

    def sent(self, verb: str | None = None) -> list[dict[str, Any]]:
        frames = [json.loads(line) for line in self.journal.read_text().splitlines()]
        return [frame for frame in frames if verb is None or verb in (frame.get("verb"), frame.get("type"))]

    async def was_sent(self, verb: str, times: int = 1) -> None:
        await until(lambda: len(self.sent(verb)) >= times)


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that another process or task does; fails after 20 s."""
    for _ in range(4000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never happened")


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


@pytest_asyncio.fixture
async def programs() -> AsyncIterator[None]:
    """Ends all programs before the loop closes."""
    yield
    await Program.close_all()


@pytest.fixture
def program(fake: Fake, programs: None) -> Callable[[], Program]:
    return lambda: Program.shared(fake.argv, fake.env, LOG)


@pytest.fixture
def db() -> Iterator[Any]:
    session = orm.new_session_factory("sqlite:///:memory:")()
    yield session
    session.close()
    session.get_bind().dispose()


__all__ = ["make_hub", "server_url"]
MakeSpawner = Callable[..., FargateSpawner]


@pytest.fixture
def make_spawner(fake: Fake, db: Any, programs: None) -> MakeSpawner:
    """Makes spawners as the hub does: from its database, with its settings."""

    def make(
        user: str = "ada",
        name: str = "",
        config: dict[str, Any] | None = None,
        kind: Any = FargateSpawner,
        **traits: Any,
    ) -> FargateSpawner:
        row = db.query(orm.User).filter_by(name=user).one_or_none() or orm.User(name=user)
        db.add(row)
        db.commit()
        merged = Config(
            CloudSpawner={"program": fake.argv, "program_env": fake.env},
            FargateSpawner={
                "cluster": "hub",
                "task_definition": "lab:2",
                "container_name": "notebook",
                "subnets": ["subnet-1"],
                **traits,
            },
        )
        merged.merge(Config(config or {}))
        settings = {
            "cookie_secret": SECRET.encode() * 4,
            "hub": Hub(base_url="/hub/"),
            "config": merged,
            "spawner_class": kind,
            "allow_named_servers": True,
        }
        owner = User(row, settings, db)
        # JupyterHub 5 makes it under this name.
        get = getattr(owner, "get_or_create_spawner", None)
        spawner: FargateSpawner = get(name, name) if get else owner.get_spawner(name)
        if spawner.server is None:
            server = orm.Server(base_url=f"/user/{user}/")
            db.add(server)
            db.commit()
            spawner.server = Server(orm_server=server)
        spawner.clear_state() if not spawner.orm_spawner.state else None
        spawner.api_token = SECRET
        db.commit()
        return spawner

    return make
