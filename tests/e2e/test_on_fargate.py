"""The deployments on Fargate as they stand in their folders, each with a hub that may do what its policy says and no more."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import browser, deployments, on_fargate
from support.azure import APP, Azure
from support.emulator import Emulator
from support.hub import wait_for
from support.local_server import LocalServer

pytestmark = pytest.mark.e2e

ADA = "ada@emulator.onmicrosoft.com"
API, API_TOKEN = "fargate_named_servers_api", "a-token-of-the-vault"


@pytest.fixture
def ecs(tmp_path: Path) -> Iterator[Emulator]:
    """A local ECS that allows the hub the policy of `fargate`."""
    with on_fargate.world(deployments.policy("policy", tmp_path, deployment="fargate")) as emulator:
        yield emulator


@pytest.fixture
def ecs_of_the_api(tmp_path: Path) -> Iterator[Emulator]:
    """A local ECS for `fargate_named_servers_api`, with its token in the vault."""
    policies = {"policy": "fargate", "service-token-policy": API}
    files = [Path(deployments.policy(policy, tmp_path, deployment=where)) for policy, where in policies.items()]
    allowed = {
        "Version": "2012-10-17",
        "Statement": [statement for file in files for statement in json.loads(file.read_text())["Statement"]],
    }
    (tmp_path / "allowed.json").write_text(json.dumps(allowed))
    with on_fargate.world(str(tmp_path / "allowed.json")) as ecs:
        # Secrets Manager ends each ARN with six characters of its own.
        arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:jupyterhub/spawner-admin-a1b2c3"
        ecs.admin("secrets", {"jupyterhub/spawner-admin": {"SecretString": API_TOKEN, "ARN": arn}})
        yield ecs


def test_a_script_starts_a_named_server_for_somebody_who_never_logged_in_and_tells_how_it_comes_up(
    ecs_of_the_api: Emulator, tmp_path: Path
) -> None:
    ecs = ecs_of_the_api
    with on_fargate.hub_of(API, ecs, tmp_path) as hub:
        folder = deployments.FOLDER / API
        (command,) = re.findall(r"^ +(.* python start_server.py .*)$", (folder / "README.md").read_text(), re.MULTILINE)
        env = {**os.environ, "SPAWNER_API_TOKEN": API_TOKEN, "JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub.hub_port}/hub/api"}

        def started(command: str) -> tuple[int, list[str]]:
            words = ["bash", "-c", command]
            done = subprocess.run(words, env=env, cwd=folder, capture_output=True, text=True, check=False)
            assert done.stderr == ""
            return done.returncode, done.stdout.splitlines()

        code, lines = started(command)
        assert (code, lines[-1]) == (0, "/user/ada/training/")
        assert len(lines) > 2, "the stages"
        assert started(command) == (0, ["/user/ada/training/"]), "a second time it is there already"
        assert ecs.calls("RunTask") == 1
        code, lines = started(command.replace("training", "'Not A Name'"))
        assert (code, lines[0][:5]) == (1, "400: "), lines
        assert API_TOKEN not in hub.log()


def test_somebody_logs_in_by_entra_id_and_gets_a_task_that_bears_their_name(ecs: Emulator, tmp_path: Path) -> None:
    name = "fargate_entra_id"
    with Azure() as azure:
        authority = f"{azure.azure['authority']}/{azure.azure['tenant']}/oauth2/v2.0"
        here = f"""
        c.AzureAdOAuthenticator.authorize_url = "{authority}/authorize"
        c.AzureAdOAuthenticator.token_url = "{authority}/token"
        """
        app = {"AAD_TENANT_ID": azure.azure["tenant"], "AAD_CLIENT_ID": APP[0], "AAD_CLIENT_SECRET": APP[1]}
        hub = on_fargate.hub_of(name, ecs, tmp_path, here, **app)
        hub.env["HOST"] = f"127.0.0.1:{hub.port}"
        with hub:
            browser.log_in(hub.url, "ada")
            wait_for("ada is ready", lambda: hub.is_ready(ADA))
            (body,) = ecs.bodies("RunTask")
            assert {"key": "jupyterhub-user", "value": ADA} in body["tags"]
            assert APP[1] not in json.dumps(body)
            assert APP[1] not in hub.log()


def test_a_hub_that_is_a_task_itself_acts_as_its_role_and_gives_servers_its_own_address_and_nothing_of_its_environment(
    tmp_path: Path,
) -> None:
    name = "fargate_hub_in_ecs"
    policy = deployments.hub_role(tmp_path)
    with LocalServer(on_fargate.Metadata) as metadata, on_fargate.world(policy, "--role", f"emulator-role:{policy}") as ecs:
        variables = {"AAD_TENANT_ID": "tenant", "AAD_CLIENT_ID": "client", "AAD_CLIENT_SECRET": "the-app's-secret"}
        variables |= {"ECS_CONTAINER_METADATA_URI_V4": metadata.url}
        variables |= {"AWS_CONTAINER_CREDENTIALS_FULL_URI": ecs.ready["credentials_url"]}
        # A key in the environment would be the chain's first choice.
        hub = on_fargate.hub_of(name, ecs, tmp_path, "c.JupyterHub.authenticator_class = 'dummy'", **variables)
        hub.env |= {"HUB_PORT": str(hub.hub_port), "AWS_ACCESS_KEY_ID": "AKIASTRANGER", "AWS_SECRET_ACCESS_KEY": "none"}
        with hub:
            hub.add_user("ada")
            assert hub.spawn("ada").status_code == 202
            wait_for("ada is ready", lambda: hub.is_ready("ada"))
            (body,) = ecs.bodies("RunTask")
            (container,) = body["overrides"]["containerOverrides"]
            given = {variable["name"]: variable["value"] for variable in container["environment"]}
            assert given["JUPYTERHUB_API_URL"] == f"http://127.0.0.1:{hub.hub_port}/hub/api"
            assert {*variables, "PATH", "VIRTUAL_ENV"} & given.keys() == set()
            assert hub.unspawn("ada").status_code in (202, 204)
            wait_for("the task has ended", lambda: not ecs.alive())


@pytest.mark.parametrize(("cloud", "name", "server"), [("ecs", "fargate", ""), ("ecs_of_the_api", API, "training")])
def test_the_idle_culler_of_the_readme_stops_a_server_that_nobody_uses(
    cloud: str, name: str, server: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    readme = (deployments.FOLDER / "README.md").read_text()
    (culler,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert "--timeout=3600" in culler
    ecs: Emulator = request.getfixturevalue(cloud)
    hub = on_fargate.hub_of(name, ecs, tmp_path)
    with (hub.folder / "config.py").open("a") as config:
        config.write(culler.replace('"--timeout=3600"', '"--timeout=1", "--cull-every=1"'))
    with hub:
        hub.add_user("ada")
        assert hub.spawn("ada", server).status_code == 202
        wait_for("the task runs", ecs.alive)
        wait_for("the task has ended", lambda: not ecs.alive())
        wait_for("the hub knows of no server", lambda: hub.server("ada", server) is None)
        assert ecs.calls("StopTask") >= 1
        assert "Culling" in hub.log()
