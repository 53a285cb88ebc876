"""The deployment on Fargate with EFS, under its own policies: what a person writes is there in their next server, and theirs."""

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from e2e.conftest import REAL
from support import deployments
from support.emulator import Emulator
from support.hub import DELETES_ADAS_STORAGE, Hub, wait_for

pytestmark = pytest.mark.e2e

ROLE = "arn:aws:iam::123456789012:role/notebook-task"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Emulator]:
    """A local cloud that holds the deployment's policies against hub, tasks and file system."""
    delays = "provisioning=100,pending=100,stopping=50,deprovisioning=50"
    bound = deployments.bound_on_fargate(tmp_path)
    # What the README adds where homes go with their people.
    policy, action = tmp_path / "policy.json", '"elasticfilesystem:CreateAccessPoint"'
    policy.write_text(policy.read_text().replace(action, f'{action}, "elasticfilesystem:DeleteAccessPoint"'))
    with Emulator(*bound, run="process", delays=delays) as emulator:
        yield emulator


@pytest.fixture
def hub(cloud: Emulator, tmp_path: Path) -> Iterator[Hub]:
    """A hub of the deployment as it is."""
    config = f"""
        bind_url, hub_connect_url = c.JupyterHub.bind_url, c.JupyterHub.hub_connect_url
        load_subconfig({str(deployments.config("fargate_with_efs"))!r})
        c.JupyterHub.bind_url, c.JupyterHub.hub_ip = bind_url, "127.0.0.1"
        c.Spawner.args = ["--allow-root"]
        c.Spawner.http_timeout = 90
        c.JupyterHub.load_roles[0]["scopes"].append("access:servers")
    """
    env = cloud.env(
        AWS_ACCESS_KEY_ID=deployments.HUB_KEY[0],
        AWS_SECRET_ACCESS_KEY=deployments.HUB_KEY[1],
        NOTEBOOK_SUBNETS="subnet-0123abcd",
        NOTEBOOK_TASK_ROLE=ROLE,
        EFS_FILE_SYSTEM=cloud.ready["file_system"],
        HUB_ID="e2e",
    )
    config = textwrap.dedent(config) + REAL + DELETES_ADAS_STORAGE.format(kind="FargateSpawner")
    running = Hub(tmp_path / "hub", env, config, traits="")
    running.env["HUB_CONNECT_URL"] = f"http://127.0.0.1:{running.hub_port}"
    with running:
        yield running


def start(hub: Hub, *names: str) -> None:
    """Servers of these people, ready."""
    hub.add_user(*names)
    for name in names:
        assert hub.spawn(name).status_code in (201, 202)
    for name in names:
        wait_for(f"{name}'s server is ready", lambda name=name: hub.is_ready(name), 90, 0.5)


def contents(hub: Hub, name: str, method: str, **request: object) -> requests.Response:
    """JupyterLab's own API for a person's file."""
    headers = {"Authorization": f"token {hub.token}"}
    url = f"{hub.url}/user/{name}/api/contents/diary.txt"
    return requests.request(method, url, headers=headers, timeout=30, **request)  # type: ignore[arg-type]


def test_a_file_is_there_in_the_next_server_and_not_in_another_persons(cloud: Emulator, hub: Hub) -> None:
    start(hub, "ada", "bob")
    written = contents(hub, "ada", "PUT", json={"type": "file", "format": "text", "content": "ada was here"})
    assert written.status_code == 201, written.text
    assert contents(hub, "bob", "GET").status_code == 404
    assert hub.unspawn("ada").status_code in (202, 204)
    wait_for("her task has stopped", lambda: len(cloud.alive()) == 1)
    wait_for("the hub knows", lambda: hub.server("ada") is None)
    start(hub, "ada")
    assert contents(hub, "ada", "GET").json()["content"] == "ada was here"
    points = {task["mounts"][0]["access_point"] for task in cloud.tasks()}
    assert (len(cloud.tasks()), len(points)) == (3, 2)

    hub.delete_user("bob")
    assert len(owners(cloud)) == 2, "the admin asked for nothing"
    hub.delete_user("ada")
    assert owners(cloud) == ["bob"]


def owners(cloud: Emulator) -> list[str]:
    """Whose the access points are."""
    points = cloud.admin("efs")["access_points"]
    return sorted(tag["Value"] for point in points for tag in point["tags"] if tag["Key"] == "cloudspawner-user")
