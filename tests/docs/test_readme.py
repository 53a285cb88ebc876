"""The README says what the code does."""

import json
import re
import subprocess

import pytest

from support import program, traits
from support.emulator import Emulator


def test_the_table_of_traits_is_what_the_classes_say() -> None:
    readme = traits.README.read_text()
    assert traits.rewritten(readme) == readme, "run: python tests/support/traits.py"


def test_the_commands_of_by_hand_work_as_they_stand(emulator: Emulator) -> None:
    section = traits.README.read_text().split("## By hand")[1].split("##")[0]
    commands = re.findall(r"^    (echo '.*?)$(?=\n(?:    echo|\n))", section, re.MULTILINE | re.DOTALL)
    assert len(commands) == 2
    for command in commands:
        script = command.replace("cloudspawner ", f"{program.path()} ")
        done = subprocess.run(["bash", "-c", script], env=emulator.env(), capture_output=True, text=True, check=True)
        assert json.loads(done.stdout.splitlines()[-1])["type"] == "result", done.stdout


@pytest.mark.parametrize("name", ["fargate/policy.json", "fargate/task-definition.json"])
def test_the_deployments_documents_are_json(name: str) -> None:
    json.loads((traits.README.parent / "deployments" / name).read_text())
