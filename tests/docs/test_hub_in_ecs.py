"""The files of the hub that is an ECS service agree with each other and with the repository; nothing is built and AWS is not asked."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from traitlets.config.loader import PyFileConfigLoader

from support import deployments, on_fargate
from support.binaries import REPOSITORY
from support.local_server import LocalServer

FOLDER = deployments.TEMPLATE.parent
DOCKERFILES = {name: (FOLDER / name).read_text() for name in ("Dockerfile.hub", "Dockerfile.notebook")}


def test_cfn_lint_finds_nothing_in_the_cloudformation_file() -> None:
    command = [Path(sys.executable).parent / "cfn-lint", deployments.TEMPLATE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_the_hubs_role_allows_what_the_policy_of_fargate_does(tmp_path: Path) -> None:
    role = json.loads(Path(deployments.hub_role(tmp_path)).read_text())
    policy = Path(deployments.policy("policy", tmp_path, deployment="fargate"))
    assert role == json.loads(policy.read_text())


def test_the_configuration_reads_what_the_task_definition_gives_it_and_needs_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    (hub,) = deployments.template()["Resources"]["HubTaskDefinition"]["Properties"]["ContainerDefinitions"]
    given = {variable["Name"] for variable in (*hub["Environment"], *hub["Secrets"])}
    with LocalServer(on_fargate.Metadata) as metadata:
        environment = deployments.Watched({**dict.fromkeys(given, "x"), "ECS_CONTAINER_METADATA_URI_V4": metadata.url})
        monkeypatch.setattr("os.environ", environment)
        PyFileConfigLoader(str(FOLDER / "jupyterhub_config.py")).load_config()
    assert given <= environment.asked


def test_the_images_have_the_release_of_jupyterhub_that_the_tests_have() -> None:
    requirements = (deployments.FOLDER / "demo" / "requirements.txt").read_text()
    (tested,) = re.findall(r"^jupyterhub==(.*)$", requirements, re.MULTILINE)
    for dockerfile in DOCKERFILES.values():
        assert re.findall(r"^ARG JUPYTERHUB_VERSION=(.*)$", dockerfile, re.MULTILINE) == [tested]


def test_cargo_finds_its_workspace_in_what_the_hubs_image_copies(tmp_path: Path) -> None:
    for line in re.findall(r"^COPY (.*)$", DOCKERFILES["Dockerfile.hub"], re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            place = tmp_path / target.lstrip("/")
            if (REPOSITORY / source).is_dir():
                shutil.copytree(REPOSITORY / source, place, symlinks=True)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(REPOSITORY / source, place)
    assert [link for link in tmp_path.rglob("*") if not link.exists()] == [], "links into what is not copied"
    (command,) = re.findall(r'^CMD \["jupyterhub", "-f", "/(.*)"\]$', DOCKERFILES["Dockerfile.hub"], re.MULTILINE)
    assert (tmp_path / command).is_file()
    asked = ["cargo", "metadata", "--no-deps", "--offline", "--locked", "--format-version", "1"]
    told = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert {package["name"] for package in json.loads(told)["packages"]} == {"cloudspawner", "cloudspawner-emulator"}
