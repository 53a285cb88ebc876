"""The deployment with both clouds as it stands in its folder: one hub, and each person's choice decides where their server is."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import both_clouds, browser
from support.azure import Azure
from support.emulator import Emulator
from support.hub import Hub, wait_for

pytestmark = pytest.mark.e2e

ADA, GRACE = "ada@emulator.onmicrosoft.com", "grace@emulator.onmicrosoft.com"


@pytest.fixture
def clouds() -> Iterator[tuple[Emulator, Azure]]:
    """A local ECS and a local Azure."""
    with both_clouds.clouds(provisioning_ms=100, creating_ms=600) as both:
        yield both


@pytest.fixture
def hub(clouds: tuple[Emulator, Azure], tmp_path: Path) -> Iterator[Hub]:
    """The deployment's hub, which is not started yet."""
    hub = both_clouds.hub_of(*clouds, tmp_path)
    yield hub
    hub.stop()


def test_each_choice_is_started_on_its_cloud_and_a_killed_hub_finds_both_and_stops_each_where_it_is(
    clouds: tuple[Emulator, Azure], hub: Hub
) -> None:
    ecs, azure = clouds
    hub.start()
    ada, grace = browser.log_in(hub.url, "ada"), browser.log_in(hub.url, "grace")
    began = time.monotonic()
    page = ada.get(f"{hub.url}/hub/spawn", timeout=30)
    assert time.monotonic() - began < 1, "the whole page, from the cache"
    assert "A machine with a GPU" not in page.text, "which is for a group"

    browser.choose(hub.url, ada, **{"profile": "large", "profile-option-large--memory": "16"})
    browser.choose(hub.url, grace, **{"profile": "machine", "profile-option-machine--size": "Large"})
    for user in (ADA, GRACE):
        wait_for(f"{user} is ready", lambda user=user: hub.is_ready(user), 90)
    (task,), (instance,) = ecs.alive(), azure.instances()
    (body,) = ecs.bodies("RunTask")
    assert (body["overrides"]["cpu"], body["overrides"]["memory"]) == ("4096", "16384")
    assert instance["vm_size"] == "Standard_DS12_v2"
    claims = hub.api("GET", f"users/{GRACE}").json()["auth_state"]["user"]
    (put,) = azure.bodies("computes.put")
    person = put["properties"]["properties"]["personalComputeInstanceSettings"]["assignedUser"]
    assert person["objectId"] == claims["oid"]

    hub.kill()
    hub.start()
    for user in (ADA, GRACE):
        wait_for(f"{user} is ready again", lambda user=user: hub.is_ready(user))
    assert [t["arn"] for t in ecs.alive()] == [task["arn"]]
    assert hub.unspawn(ADA).status_code in (202, 204)
    assert hub.unspawn(GRACE).status_code in (202, 204)
    wait_for("the task has ended", lambda: not ecs.alive())
    wait_for("the instance is stopped", lambda: [i["state"] for i in azure.instances()] == ["Stopped"])
    assert "Traceback" not in hub.log()


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"profile": "gpu"}, "profile 'gpu' is not offered; choose one of small, large, machine"),
    ({"profile": "<script>alert(1)</script>"}, "is not offered"),
    ({"profile": "machine", "size": "Huge"}, "size 'Huge' is not offered there; choose one of Small, Large"),
    ({"profile": "large", "memory": 16}, "memory must be a string, not int"),
    ({"profile": "small", "vm_size": "Standard_M128"}, "there is no option 'vm_size' here"),
]


def test_over_rest_what_is_not_offered_is_a_400_with_a_sentence_and_starts_nothing(
    clouds: tuple[Emulator, Azure], hub: Hub
) -> None:
    hub.start()
    hub.add_user("ada")
    for options, said in REFUSED:
        answer = hub.api("POST", "users/ada/server", json={"user_options": options})
        assert (answer.status_code, said in answer.json()["message"]) == (400, True), answer.text
    ecs, azure = clouds
    assert (ecs.tasks(), azure.instances()) == ([], [])
