"""gc by itself, with a real hub: what nobody knows any more goes, and nothing else does."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import crowds, program
from support.crowds import AzureMl, Cloud, Fargate, servers
from support.hub import Hub, wait_for
from support.states import key, running

pytestmark = pytest.mark.e2e

SWEEPS = """
c.CloudSpawner.gc_interval = 1
c.CloudSpawner.gc_min_age = 0
"""
PROFILE = """
c.AMLSpawner.profile_list = [
    {"display_name": "Usual"}, {"display_name": "Teaching", "spawner_override": {"workspace": "teaching"}},
]
"""


@pytest.fixture
def there(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    """A simulated cloud; Fargate unless the test says otherwise."""
    with crowds.cloud(getattr(request, "param", "fargate")) as cloud:
        yield cloud


@pytest.fixture
def hub_of(there: Cloud, tmp_path: Path) -> Iterator[Callable[[], Hub]]:
    """Makes a hub that sweeps every second, and ends it with the test."""
    hubs: list[Hub] = []

    def make() -> Hub:
        hubs.append(crowds.hub_before(there, tmp_path / "hub", SWEEPS))
        return hubs[-1]

    yield make
    for hub in hubs:
        hub.stop()


def started(hub: Hub, *names: str) -> dict[str, str]:
    """Starts these users' servers; the cloud's names of them."""
    hub.add_user(*names)
    for name in names:
        assert hub.spawn(name).status_code in (201, 202)
    wait_for("all are ready", lambda: set(names) <= hub.ready_users(), 90)
    return {name: servers(hub)[name].ref for name in names}


def swept(there: Fargate, times: int = 3) -> None:
    """Waits for so many looks from now."""
    before = there.emulator.calls("ListTasks")
    wait_for("gc has looked", lambda: there.emulator.calls("ListTasks") >= before + times, 90)


def refs(there: Cloud) -> set[str]:
    """The cloud's names of all that is up."""
    return {ref for _, ref in there.alive()}


def test_a_hub_restored_from_a_backup_loses_what_came_later_and_nothing_of_its_own_or_of_others(
    there: Fargate, hub_of: Callable[[], Hub]
) -> None:
    hub = hub_of()
    hub.start()
    kept = started(hub, "ada", "joan")
    # The key in the cloud is the old name's.
    assert hub.api("PATCH", "users/ada", json={"name": "lovelace"}).ok
    hub.kill()
    backup = shutil.copy(hub.folder / "jupyterhub.sqlite", hub.folder / "backup.sqlite")
    hub.start()
    later = started(hub, "grace")
    # They share the account with this hub.
    others = {running(there.emulator, "ada", hub=other)["data"]["ref"] for other in ("crow", "crowd2")}
    others |= set(there.emulator.run(startedBy="somebody-else")) | set(there.emulator.run())
    swept(there)
    assert refs(there) == {*kept.values(), *later.values(), *others}
    hub.kill()
    shutil.move(backup, hub.folder / "jupyterhub.sqlite")
    hub.start()
    wait_for("what came later is gone", lambda: not refs(there) & set(later.values()), 90)
    swept(there)
    assert refs(there) == {*kept.values(), *others}
    assert hub.ready_users() == {"lovelace", "joan"}
    assert f"gc removed {later['grace']}" in hub.log()


@pytest.mark.parametrize("there", ["fargate", "azure_ml"], indirect=True)
def test_a_stop_that_could_not_be_finished_is_finished_by_the_hub_that_comes_next(
    there: Cloud, hub_of: Callable[[], Hub]
) -> None:
    hub = hub_of()
    hub.start()
    names = started(hub, "ada", "joan", "grace")
    # On purpose: on Azure the instance stays, stopped, for the next time.
    assert hub.unspawn("joan").status_code in (202, 204)
    wait_for("joan's server is stopped", lambda: names["joan"] not in refs(there))
    there.refuse_stops()
    assert hub.unspawn("ada").status_code in (202, 204)
    wait_for("the hub has given it up", lambda: "is not stopped" in hub.log() and "ada" not in servers(hub))
    hub.kill()
    there.heal()
    assert names["ada"] in refs(there)
    hub.start()
    wait_for("it is stopped", lambda: names["ada"] not in refs(there), 90)
    assert refs(there) == {names["grace"]}
    assert hub.ready_users() == {"grace"}
    if isinstance(there, AzureMl):
        states = {row["name"]: row["state"] for row in there.emulator.instances()}
        assert states[names["joan"]] == "Stopped"


@pytest.mark.parametrize("there", ["azure_ml"], indirect=True)
@pytest.mark.parametrize("choice", [PROFILE, "c.AMLSpawner.choose_project = True"])
def test_a_lone_orphan_in_a_workspace_that_people_may_choose_goes(there: AzureMl, tmp_path: Path, choice: str) -> None:
    azure = there.emulator
    group = f"/subscriptions/{azure.azure['subscription']}/resourceGroups/{azure.azure['resource_group']}"
    workspace = f"{group}/providers/Microsoft.MachineLearningServices/workspaces/teaching"
    azure.arm("PUT", workspace, {"location": azure.azure["location"]}, version="2025-12-01")
    config = azure.config(workspace="teaching")
    asks = [azure.ask("start", config=config, server={"hub": hub, "user": "nobody", "name": ""}) for hub in ("crowd", "another")]
    lost, anothers = (program.run("start", ask, azure.env()).result["state"]["data"]["ref"] for ask in asks)
    assert refs(there) == {lost, anothers}
    hub = crowds.hub_before(there, tmp_path / "hub", SWEEPS + choice)
    try:
        hub.start()
        hub.add_user("ada")
        assert hub.spawn("ada").status_code in (201, 202)
        wait_for("the orphan is gone", lambda: lost not in refs(there), 90)
        assert anothers in refs(there)
    finally:
        hub.stop()


def test_more_than_half_is_told_and_never_removed(there: Fargate, hub_of: Callable[[], Hub]) -> None:
    hub = hub_of()
    hub.start()
    names = started(hub, "ada")
    orphans = set(there.emulator.run(count=6, startedBy=key("nobody", hub="crowd")))
    wait_for("it is told", lambda: "more than half" in hub.log(), 90)
    swept(there)
    assert refs(there) == {names["ada"], *orphans}
