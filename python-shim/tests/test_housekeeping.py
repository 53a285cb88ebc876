"""gc by itself: one task for all spawners of a place, two looks before anything goes, and no error that ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from jupyterhub import orm

from cloudspawner import AMLSpawner, CloudSpawner
from cloudspawner.housekeeping import Housekeeper
from cloudspawner.program import Program
from cloudspawner.wire import GcParams
from conftest import LOG, STATE_WITH_REF, Fake, MakeSpawner, until
from test_golden import assert_same_shape, golden

PARAMS: Any = {
    "backend": "fargate",
    "config": {"region": "eu-west-1", "clusters": ["notebooks"]},
    "credentials": None,
    "hub": "prod",
    "keep": [],
    "min_age_ms": 900_000,
    "apply": False,
    "force": False,
}


def stale(*refs: str) -> list[dict[str, Any]]:
    return [{"key": f"cs-{ref}", "ref": ref, "age_ms": 1} for ref in refs]


def plays(fake: Fake, *refs: str, removed: tuple[str, ...] = ()) -> None:
    fake.plays(gc={"stale": stale(*refs), "removed": list(removed), "errors": []})


def applied(fake: Fake) -> list[tuple[bool, list[str]]]:
    return [(frame["params"]["apply"], frame["params"]["only"]) for frame in fake.sent("gc")]


@pytest.fixture
def look(program: Callable[[], Program], db: Any) -> Callable[[], Any]:
    """One look at one place, as time passes."""
    keeper: list[Housekeeper] = []

    async def look() -> None:
        if not keeper:
            keeper.append(Housekeeper(program(), LOG))
            keeper[0].look_after(PARAMS, 3600, db)
        await keeper[0].look(next(iter(keeper[0]._places.values())))

    return look


async def test_only_what_two_looks_in_a_row_found_may_be_removed(fake: Fake, look: Any) -> None:
    plays(fake, "a", "b")
    await look()
    plays(fake, "b", "c", removed=("b",))
    await look()
    plays(fake)
    await look()
    await look()
    assert applied(fake) == [(False, []), (True, ["a", "b"]), (True, ["c"]), (False, [])]
    assert not any(frame["params"]["force"] for frame in fake.sent("gc"))


async def test_what_could_not_be_removed_is_tried_again(fake: Fake, look: Any) -> None:
    plays(fake, "a")
    await look()
    await look()
    await look()
    assert applied(fake)[1:] == [(True, ["a"]), (True, ["a"])]


async def test_a_look_that_failed_proves_nothing(fake: Fake, look: Any, caplog: pytest.LogCaptureFixture) -> None:
    plays(fake, "a")
    await look()
    fake.plays(gc=[["error", {"code": "conflict", "message": "more than half"}]])
    await look()
    plays(fake, "a")
    await look()
    assert applied(fake) == [(False, []), (True, ["a"]), (False, [])]
    assert [record.levelname for record in caplog.records if "more than half" in record.message] == ["WARNING"]


async def test_the_same_problem_is_a_warning_once(fake: Fake, look: Any, caplog: pytest.LogCaptureFixture) -> None:
    fake.plays(gc=[["error", {"code": "permission_denied", "message": "ListTasks"}]])
    for _ in range(3):
        await look()
    assert [record.levelname for record in caplog.records if "ListTasks" in record.message] == ["WARNING"]


async def test_an_error_of_the_database_ends_nothing(fake: Fake, program: Callable[[], Program]) -> None:
    class Broken:
        def scalars(self, _: object) -> None:
            raise OSError("disk full")

    keeper = Housekeeper(program(), LOG)
    keeper.look_after(PARAMS, 0.001, Broken())
    task = keeper._tasks[0]
    await asyncio.sleep(0.05)
    assert not task.done()
    keeper.close()
    await asyncio.wait([task])
    assert fake.sent("gc") == []


async def test_the_request_has_the_golden_shape(fake: Fake, look: Any, db: Any) -> None:
    db.add(orm.Spawner(name="", state={"cloud": STATE_WITH_REF}, server=orm.Server(), user=orm.User(name="ada")))
    db.commit()
    plays(fake, golden("request_gc_apply")["params"]["only"][0])
    await look()
    await look()
    sent = fake.sent("gc")[1]
    assert_same_shape(sent, "request_gc_apply")
    assert {**sent["params"], "keep": []} == {**golden("request_gc_apply")["params"], "keep": []}


async def test_however_many_spawners_one_task_looks_and_ends_with_the_program(
    make_spawner: MakeSpawner, fake: Fake, program: Callable[[], Program]
) -> None:
    for user in ("ada", "grace", "joan"):
        spawner = make_spawner(user, hub_id="prod", gc_interval=0.01, container_name="c-{username}")
        spawner.load_state({"cloud": STATE_WITH_REF, "url": ""})
    keeper = program().housekeeper
    (task,) = keeper._tasks
    await fake.was_sent("gc", 3)
    await Program.close_all()
    await until(task.done)


@pytest.mark.parametrize("traits", [{}, {"hub_id": "prod", "gc_interval": 0}])
async def test_it_is_off_without_a_name_or_an_interval(
    make_spawner: MakeSpawner, program: Callable[[], Program], traits: dict[str, Any]
) -> None:
    make_spawner(**traits).load_state({})
    assert program().housekeeper._tasks == []


async def test_settings_that_are_missing_keep_no_state_from_being_loaded(
    make_spawner: MakeSpawner, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawner = make_spawner(hub_id="prod")
    monkeypatch.setattr(type(spawner), "cloud_config", lambda _: 1 / 0)
    spawner.load_state({"cloud": STATE_WITH_REF, "url": "http://10.0.0.1:8888"})
    assert spawner.get_state()["url"] == "http://10.0.0.1:8888"


async def test_every_page_of_a_large_database_is_kept(fake: Fake, look: Any, db: Any) -> None:
    for number in range(501):
        server = orm.Server() if number % 2 else None
        db.add(orm.Spawner(name="", state=None, server=server, user=orm.User(name=f"u{number}")))
    db.commit()
    await look()
    keep = fake.sent("gc")[0]["params"]["keep"]
    assert [entry["server"]["user"] for entry in keep] == [f"u{n}" for n in range(1, 501, 2)]


async def test_a_state_that_a_killed_hub_did_not_clear_after_its_stop_keeps_nothing(
    fake: Fake, look: Any, db: Any
) -> None:
    db.add(orm.Spawner(name="", state={"cloud": STATE_WITH_REF}, server=None, user=orm.User(name="ada")))
    db.commit()
    await look()
    assert fake.sent("gc")[0]["params"]["keep"] == []


async def test_where_people_have_homes_each_look_applies_and_names_the_servers_that_may_go(
    fake: Fake, program: Callable[[], Program], db: Any
) -> None:
    keeper = Housekeeper(program(), LOG)
    params = cast("GcParams", {**PARAMS, "config": {"storage": {"file_system_id": "fs-01234567"}}})
    keeper.look_after(params, 3600, db)
    plays(fake, "a")
    for _ in range(2):
        await keeper.look(next(iter(keeper._places.values())))
    assert applied(fake) == [(True, []), (True, ["a"])]


def sought(spawner: Any) -> list[dict[str, Any]]:
    return [spawner._gc_params(cloud)["config"] for cloud in spawner.clouds()]


def on(backend: str, override: dict[str, Any], *choices: dict[str, Any]) -> dict[str, Any]:
    profile = {"display_name": f"{backend} {override} {choices}", "backend": backend, "spawner_override": override}
    options = {str(n): {"spawner_override": choice} for n, choice in enumerate(choices)}
    return {**profile, "profile_options": {"where": {"choices": options}}} if choices else profile


AZURE = {"subscription_id": "s", "resource_group": "g", "workspace": "lab"}


def test_gc_looks_wherever_a_profile_puts_servers(make_spawner: MakeSpawner) -> None:
    profiles = [
        on("fargate", {"cluster": "big", "clusters": ["old", "hub"]}, {"cpu": 1}, {"cluster": lambda _: "x"}),
        on("azure_ml", {"vm_size": "Standard_NC6s_v3"}),
        on("azure_ml", {"workspace": "gpu"}, {"resource_group": "h"}, {"workspace": lambda _: "x"}),
        on("azure_ml", {"resource_group": "h"}),
        on("azure_ml", {"resource_group": "i", "choose_project": True}),
    ]
    config = {"AMLSpawner": AZURE, "CloudSpawner": {"profile_list": profiles}}
    fargate, azure = sought(make_spawner(kind=CloudSpawner, config=config))
    assert fargate["clusters"] == ["hub", "big", "old"]
    assert azure["workspace"] == "lab"
    assert azure["workspaces"] == [
        {"workspace": "gpu"},
        {"resource_group": "h", "workspace": "gpu"},
        {"resource_group": "h", "workspace": "lab"},
        {"resource_group": "i"},
    ]


def test_gc_looks_in_every_workspace_where_people_choose_theirs(make_spawner: MakeSpawner) -> None:
    (config,) = sought(make_spawner(kind=AMLSpawner, config={"AMLSpawner": {**AZURE, "choose_project": True}}))
    assert config["workspaces"] == [{}]


@pytest.mark.parametrize("profiles", [[], [on("azure_ml", {"vm_size": "x"})], lambda _: [on("azure_ml", AZURE)]])
def test_gc_looks_nowhere_else_without_a_choice(make_spawner: MakeSpawner, profiles: Any) -> None:
    (config,) = sought(make_spawner(kind=AMLSpawner, config={"AMLSpawner": {**AZURE, "profile_list": profiles}}))
    assert "workspaces" not in config
