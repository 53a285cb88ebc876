"""The README says what the code does."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from support import program, traits
from support.emulator import Emulator


def test_the_table_of_traits_is_what_the_classes_say() -> None:
    readme = traits.README.read_text()
    assert traits.rewritten(readme) == readme, "run: python tests/support/traits.py"


def test_the_commands_of_by_hand_work_as_they_stand(emulator: Emulator, tmp_path: Path) -> None:
    section = traits.README.read_text().split("## By hand")[1].split("\n## ")[0]
    commands = re.findall(r"^    (.*)$", section, re.MULTILINE)
    assert len([command for command in commands if "cloudspawner" in command]) == 5
    env = emulator.env(PATH=f"{Path(program.path()).parent}:/usr/bin:/bin")
    script = "set -e\n" + "\n".join(commands)
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=True, cwd=tmp_path)
    lasts = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert lasts == ["result"] * 5, done.stdout
    assert emulator.calls("RunTask") == 0


@pytest.mark.parametrize("name", ["fargate/policy.json", "fargate/task-definition.json"])
def test_the_deployments_documents_are_json(name: str) -> None:
    json.loads((traits.README.parent / "deployments" / name).read_text())
