"""The deployments' files agree with each other."""

import json
import os
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cloudspawner import AMLSpawner
from traitlets.config.loader import PyFileConfigLoader

from support import deployments
from support.binaries import REPOSITORY

# What JupyterHub itself reads of a deployment's variables.
HUBS_OWN = {name: {"JUPYTERHUB_CRYPT_KEY"} for name in ("azure_ad_auth_spawn_on_aml", "both_clouds")}


async def logged_in() -> dict[str, Any]:
    """What a log-in left."""
    return {"refresh_token": "x", "user": {"oid": "x", "tid": "x"}}


@pytest.mark.parametrize("name", deployments.ON_AML)
async def test_env_template_names_exactly_the_variables_that_the_deployment_reads(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = deployments.variables(name)
    environment = deployments.Watched(dict.fromkeys(named, "x"))
    monkeypatch.setattr(os, "environ", environment)
    config = PyFileConfigLoader(str(deployments.config(name))).load_config()
    user = SimpleNamespace(name="ada", get_auth_state=logged_in)
    spawner = AMLSpawner(config=config, user=user, sizes={})
    await spawner.start_config()
    await spawner.start_credentials()
    assert environment.asked | HUBS_OWN.get(name, set()) == named


@pytest.mark.parametrize("name", deployments.ON_AML)
def test_env_template_holds_no_value_that_is_somebodys_own(name: str) -> None:
    lines = (deployments.FOLDER / name / "env.template").read_text().splitlines()
    filled = {line for line in lines if "=" in line and not line.startswith("#") and not line.endswith("=")}
    assert filled <= {"VM_SIZE=Standard_DS11_v2", "HOST=localhost:8000"}


@pytest.mark.parametrize("name", deployments.ON_AML)
def test_a_shell_reads_env_template_as_the_readme_says(name: str) -> None:
    template = deployments.FOLDER / name / "env.template"
    script = f"set -e -o allexport; source '{template}'; env"
    env = subprocess.run(["bash", "-c", script], env={}, capture_output=True, text=True, check=True).stdout
    assert deployments.variables(name) <= {line.split("=")[0] for line in env.splitlines()}


@pytest.mark.parametrize("name", deployments.ON_AML)
def test_the_editors_configuration_in_the_readme_names_files_that_are_there(name: str) -> None:
    readme = (deployments.FOLDER / name / "README.md").read_text()
    (block,) = re.findall(r"```json\n(.*?)```", readme, re.DOTALL)
    flag, path = json.loads(block)["args"]
    assert (flag, Path(path.replace("${workspaceFolder}", str(REPOSITORY)))) == ("-f", deployments.config(name))


@pytest.mark.parametrize("first", ["fargate", "fargate_with_efs"])
def test_the_hubs_policies_can_be_put_into_one_document(first: str) -> None:
    added = [f"fargate/{name}-policy.json" for name in ("token", "check", "public-address")]
    files = [f"{first}/policy.json", *added, "fargate_named_servers_api/service-token-policy.json"]
    policies = [json.loads((deployments.FOLDER / file).read_text()) for file in files]
    names = [statement["Sid"] for policy in policies for statement in policy["Statement"]]
    # IAM refuses a Sid that is there twice: user guide, "IAM JSON policy elements: Sid".
    assert len(names) == len(set(names))
