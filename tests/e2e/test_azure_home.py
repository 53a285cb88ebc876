"""A home on Azure: what a person writes is there in their next server, on a new machine, and not in another person's."""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from support import deployments
from support.azure import Azure
from support.hub import DELETES_ADAS_STORAGE, Hub, wait_for
from support.ports import free_port

pytestmark = pytest.mark.e2e

NAME = "no_auth_spawn_on_aml_with_userspaces"


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[Azure]:
    """A local Azure whose instances are real JupyterLabs; the hub may do what the deployment's roles allow, and delete homes."""
    role = tmp_path / "deletes.json"
    role.write_text(json.dumps({"Actions": [f"{action}/delete" for action in deployments.DELETED_WITH_A_HOME]}))
    roles = [*deployments.ROLES, deployments.STORAGE_ROLE, role]
    bound = [word for file in roles for word in ("--azure-role", str(file))]
    with Azure(*bound, delays="creating=300,deleting=100", run="process") as running:
        yield running


@pytest.fixture
def hub(azure: Azure, tmp_path: Path) -> Iterator[Hub]:
    """The deployment, but with machines that go with their servers, so that only the share can keep a file."""
    config = f"""
        bind_url = c.JupyterHub.bind_url
        load_subconfig({str(deployments.config(NAME))!r})
        c.JupyterHub.bind_url = bind_url
        c.AMLSpawner.authority_host = {azure.azure["authority"]!r}
        c.AMLSpawner.management_endpoint = {azure.azure["management"]!r}
        c.AMLSpawner.redirect_listen = "127.0.0.1:{free_port()}"
        c.AMLSpawner.on_stop = "delete"
    """
    config = textwrap.dedent(config) + DELETES_ADAS_STORAGE.format(kind="AMLSpawner")
    with Hub(tmp_path / "hub", deployments.filled(NAME, azure), config, traits="") as running:
        yield running


def lab(hub: Hub, name: str) -> str:
    """The address of a person's JupyterLab, once it is there."""
    session = hub.log_in(name)
    if hub.server(name) is None:
        hub.spawn(name)
    wait_for(f"{name}'s server is ready", lambda: hub.is_ready(name), 90)
    answer = session.get(f"{hub.url}/user/{name}/", allow_redirects=False, timeout=30)
    return answer.headers["location"].removesuffix("/lab")


def test_a_file_is_there_on_the_next_machine_and_for_its_person_alone(azure: Azure, hub: Hub) -> None:
    at = lab(hub, "ada")
    body = {"type": "file", "format": "text", "content": "by ada"}
    with requests.Session() as session:
        session.get(f"{at}/lab", timeout=30)
        token = {"X-XSRFToken": session.cookies["_xsrf"]}
        written = session.put(f"{at}/api/contents/userfiles/note.txt", json=body, headers=token, timeout=30)
    assert written.status_code == 201, written.text

    hub.unspawn("ada")
    wait_for("the machine is gone", lambda: {i["state"] for i in azure.instances()} == {"Deleted"})
    wait_for("the hub knows of no server", lambda: hub.server("ada") is None)
    read = requests.get(f"{lab(hub, 'ada')}/api/contents/userfiles/note.txt", timeout=30)
    assert read.json()["content"] == "by ada"
    assert azure.azure_calls("computes.put") == 2

    theirs = requests.get(f"{lab(hub, 'bob')}/api/contents/userfiles", timeout=30)
    assert theirs.json()["content"] == []
    assert owners(azure) == ["ada", "bob"]

    hub.delete_user("bob")
    assert owners(azure) == ["ada", "bob"], "the admin asked for nothing"
    hub.delete_user("ada")
    assert owners(azure) == ["bob"]
    assert len(azure.azure_admin("storage")["identities"]) == 1


def owners(azure: Azure) -> list[str]:
    """Whose the shares are."""
    return sorted(share["metadata"]["cloudspawner_user"] for share in azure.azure_admin("storage")["shares"])
