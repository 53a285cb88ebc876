"""A real hub whose servers' tokens are in Secrets Manager: the server works by it, and it is gone with the server."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
import requests

from e2e.conftest import REAL
from support.emulator import Emulator
from support.hub import Hub, wait_for

pytestmark = pytest.mark.e2e

CONFIG = """
c.FargateSpawner.token_in = "secrets_manager"
c.FargateSpawner.run_task_extra = {"overrides": {"executionRoleArn": "arn:aws:iam::123456789012:role/notebook-execution"}}
c.Spawner.http_timeout = 90
c.Spawner.poll_interval = 1
c.JupyterHub.load_roles[0]["scopes"].append("access:servers")
"""


def alive(world: Emulator) -> list[Any]:
    """The secrets that somebody could read."""
    return [secret for secret in world.admin("secrets").values() if not secret.get("DeletedDate")]


def test_a_server_asks_the_hub_by_a_token_that_run_task_never_saw(world: Emulator, hub_of: Callable[[str], Hub]) -> None:
    program = os.environ.get("CLOUDSPAWNER_PROGRAM")
    given = f"c.CloudSpawner.program = [{program!r}]\n" if program else ""
    with hub_of(CONFIG + REAL + given) as hub:
        hub.add_user("ada")
        assert hub.spawn("ada").status_code in (201, 202)
        wait_for("her server is ready", lambda: hub.is_ready("ada"), 90, 0.5)
        # The server asks the hub whose token this is, and can do so by its own alone.
        headers = {"Authorization": f"token {hub.token}"}
        answer = requests.get(f"{hub.url}/user/ada/api/contents", headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        (task,) = world.tasks()
        token = task["secrets"]["JUPYTERHUB_API_TOKEN"]
        assert len(token) >= 32
        assert token not in json.dumps(world.bodies("RunTask"))
        assert token not in hub.log()
        assert len(alive(world)) == 1
        world.end(task)
        wait_for("the hub has cleaned up", lambda: not alive(world))
        wait_for("the hub knows", lambda: hub.server("ada") is None)
        assert hub.spawn("ada").status_code in (201, 202)
        wait_for("her next server is ready", lambda: hub.is_ready("ada"), 90, 0.5)
        assert world.tasks()[-1]["secrets"]["JUPYTERHUB_API_TOKEN"] != token
        assert hub.unspawn("ada").status_code in (202, 204)
        wait_for("her secret is deleted", lambda: not alive(world))
        assert world.calls("RegisterTaskDefinition") == 1
