"""An existing fargatespawner configuration works with only its import changed.

The configuration is read from the document that people followed; it is not part of this project.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jupyterhub.app import JupyterHub

from cloudspawner import FargateSpawner
from conftest import FAKE, STARTED, Fake, MakeSpawner

DOCUMENT = Path(__file__).resolve().parents[3] / "shared/reference/predecessors/jupyterhub-configuration-example.txt"


def configuration() -> str:
    if not DOCUMENT.exists():
        pytest.skip(f"NOTICE: {DOCUMENT.name} is not here, so the predecessor's configuration is not checked")
    text = DOCUMENT.read_text()
    sections = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    names = ("AWS Fargate Spawner", "Spawner Callbacks")
    blocks = [block for name in names for block in re.findall(r"```python\n(.*?)```", sections[name], re.S)]
    assert len(blocks) == 2
    changed = "\n".join(blocks).replace("from fargatespawner import", "from cloudspawner import")
    assert changed.count("from cloudspawner import") == 2
    return changed


async def test_its_start_request_is_what_it_asks_for(
    fake: Fake, make_spawner: MakeSpawner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    file = tmp_path / "jupyterhub_config.py"
    file.write_text(configuration())
    app = JupyterHub(log_level=50)
    app.load_config_file(str(file))
    assert app.spawner_class is FargateSpawner

    fake.plays(start=[["result", STARTED]])
    simple = {
        "cluster": "",
        "task_definition": "",
        "container_name": "",
        "subnets": [],
        "cmd": ["jupyterhub-singleuser"],
    }
    spawner = make_spawner(config=dict(app.config), **simple)
    assert spawner.program == FAKE
    assert await spawner.start() == "http://10.0.3.17:8888"

    request = fake.sent("start")[0]
    assert 100_000 < request["timeout_ms"] <= 110_000
    params = request["params"]
    assert params["credentials"] == {"kind": "ecs_role"}
    run_task = params["config"].pop("run_task")
    assert params["config"] == {"region": "us-east-1"}
    container = run_task["overrides"]["containerOverrides"][0]
    environment = {item["name"]: item["value"] for item in container.pop("environment")}
    assert run_task == {
        "cluster": "jupyterLabs",
        "taskDefinition": "JupyterLab:2",
        "overrides": {"containerOverrides": [{"command": ["jupyterhub-singleuser"], "name": "dotnet"}]},
        "count": 1,
        "launchType": "FARGATE",
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "assignPublicIp": "ENABLED",
                "securityGroups": ["sg-012345678abcd0123"],
                "subnets": ["subnet-abcd0123", "subnet-0123abcd"],
            },
        },
    }
    assert environment == params["spec"]["env"]
    assert environment["JUPYTERHUB_API_URL"] == "https://jupyter.your.domain.com/hub/api"
    assert environment["JUPYTERHUB_SERVICE_URL"] == "http://0.0.0.0:8888/user/ada/"
    assert environment["LANG"] == "C.UTF-8"
    assert "VIRTUAL_ENV" not in environment
    assert (params["spec"]["port"], params["spec"]["scheme"]) == (8888, "http")
