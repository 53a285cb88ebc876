"""Azure Machine Learning with a real hub: a person lands in the JupyterLab of an instance of their own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from support.azure import APP, Azure
from support.hub import Hub, wait_for
from support.ports import free_port

pytestmark = pytest.mark.e2e

DELAYS = "creating=600,starting=300,stopping=200,deleting=100"


@pytest.fixture
def azure() -> Iterator[Azure]:
    """A local Azure whose instances are real JupyterLabs."""
    with Azure(delays=DELAYS, run="process") as running:
        yield running


@pytest.fixture
def hub_of(azure: Azure, tmp_path: Path) -> Iterator[Callable[[], Hub]]:
    """Makes a hub in front of it, which ends with the test."""
    hubs: list[Hub] = []

    def make() -> Hub:
        config = f"""
            c.JupyterHub.spawner_class = "azure_ml"
            c.AMLSpawner.hub_id = "e2e"
            c.AMLSpawner.subscription_id = {azure.azure["subscription"]!r}
            c.AMLSpawner.resource_group = {azure.azure["resource_group"]!r}
            c.AMLSpawner.workspace = {azure.azure["workspace"]!r}
            c.AMLSpawner.vm_size = "STANDARD_DS11_V2"
            c.AMLSpawner.credential_kind = "client_secret"
            c.AMLSpawner.tenant_id = {azure.azure["tenant"]!r}
            c.AMLSpawner.client_id = {APP[0]!r}
            c.AMLSpawner.client_secret = {APP[1]!r}
            c.AMLSpawner.management_endpoint = {azure.azure["management"]!r}
            c.AMLSpawner.authority_host = {azure.azure["authority"]!r}
            c.AMLSpawner.redirect_listen = "127.0.0.1:{free_port()}"
        """
        hub = Hub(tmp_path / "hub", azure.env(), config, traits="")
        hubs.append(hub)
        return hub

    yield make
    for hub in hubs:
        hub.stop()


def landing(hub: Hub, session: requests.Session, name: str) -> str | None:
    """Where a person's address leads to."""
    answer = session.get(f"{hub.url}/user/{name}/", allow_redirects=False, timeout=30)
    location = answer.headers.get("location", "")
    return location if answer.status_code == 302 and location.startswith("http://127.") else None


def test_a_person_is_led_to_the_jupyterlab_of_their_own_instance_which_is_used_again(
    azure: Azure, hub_of: Callable[[], Hub]
) -> None:
    hub = hub_of()
    hub.start()
    session = hub.log_in("ada")
    wait_for("the server is ready", lambda: hub.is_ready("ada"), 90)
    lab = wait_for("the redirect", lambda: landing(hub, session, "ada"))
    assert "jupyter-config-data" in requests.get(lab, timeout=30).text
    (instance,) = azure.instances()
    assert instance["tags"]["cloudspawner-hub"] == "e2e"

    assert hub.unspawn("ada").status_code in (202, 204)
    wait_for("the instance is stopped", lambda: [i["state"] for i in azure.instances()] == ["Stopped"])
    wait_for("the hub knows of no server", lambda: hub.server("ada") is None)
    assert hub.spawn("ada").status_code in (201, 202)
    wait_for("the server is ready again", lambda: hub.is_ready("ada"), 90)
    assert [i["name"] for i in azure.instances()] == [instance["name"]]
    assert azure.azure_calls("computes.put") == 1


def test_a_hub_killed_while_the_instance_is_creating_adopts_or_stops_it(azure: Azure, hub_of: Callable[[], Hub]) -> None:
    azure.azure_admin("settings", {"delays": {"creating": 6000}})
    hub = hub_of()
    hub.start()
    hub.add_user("ada")
    assert hub.spawn("ada").status_code == 202
    wait_for("the instance is being created", azure.instances)
    hub.kill()
    hub.start()

    def adopted_or_stopped() -> bool:
        states = [i["state"] for i in azure.instances()]
        if hub.is_ready("ada"):
            return states == ["Running"]
        return hub.server("ada") is None and set(states) <= {"Stopped", "Deleting"}

    wait_for("the instance is adopted or stopped", adopted_or_stopped, 120)
    assert azure.azure_calls("computes.put") == 1
