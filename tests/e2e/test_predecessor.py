"""What people run today: the documented fargatespawner configuration, with only its import changed, starts a server."""

import re
from pathlib import Path

import boto3
import pytest

from e2e.conftest import LIGHT
from support.binaries import REPOSITORY
from support.emulator import KEY, Emulator
from support.hub import Hub, wait_for

pytestmark = pytest.mark.e2e

DOCUMENT = REPOSITORY.parent / "shared" / "reference" / "predecessors" / "jupyterhub-configuration-example.txt"


def section(title: str) -> str:
    """The Python of one section of the document."""
    text = DOCUMENT.read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    return "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))


@pytest.mark.skipif(not DOCUMENT.exists(), reason=f"NOTICE: {DOCUMENT.name} is not here")
def test_the_documented_configuration_starts_a_server_with_only_its_import_changed(tmp_path: Path) -> None:
    config = section("AWS Fargate Spawner") + section("Spawner Callbacks")
    config = config.replace("from fargatespawner import", "from cloudspawner import")
    assert "FargateSpawnerECSRoleAuthentication" in config
    # `spawner.cmd` is the document's own; what it runs is this test's, and so is the time of a start.
    config += LIGHT + "c.Spawner.start_timeout = 60\n"
    arguments = ("--region", "us-east-1", "--cluster", "jupyterLabs", "--task-definition", "JupyterLab:dotnet")
    with Emulator(*arguments, run="process", delays="provisioning=200,pending=300") as world:
        ecs = boto3.client(
            "ecs",
            region_name="us-east-1",
            endpoint_url=world.url,
            aws_access_key_id=KEY[0],
            aws_secret_access_key=KEY[1],
        )
        definition = ecs.describe_task_definition(taskDefinition="JupyterLab")["taskDefinition"]
        again = ("family", "containerDefinitions", "networkMode", "requiresCompatibilities", "cpu", "memory")
        ecs.register_task_definition(**{name: definition[name] for name in again if name in definition})
        role_only = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_REGION": ""}
        env = world.env(**role_only, AWS_CONTAINER_CREDENTIALS_FULL_URI=world.ready["credentials_url"])
        hub = Hub(tmp_path, env, config, traits="")
        for name in role_only:
            hub.env.pop(name, None)
        with hub:
            hub.add_user("ada")
            assert hub.spawn("ada").status_code == 202
            wait_for("the server is ready", lambda: hub.is_ready("ada"))
            (task,) = world.alive()
            assert task["arn"].startswith("arn:aws:ecs:us-east-1:")
            assert hub.unspawn("ada").status_code in (202, 204)
            wait_for("the task has stopped", lambda: not world.alive())
