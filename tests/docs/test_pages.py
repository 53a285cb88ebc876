"""The pages in docs/ say what the code does."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from support import program, traits
from support.binaries import REPOSITORY
from support.emulator import Emulator

BY_HAND = REPOSITORY / "docs" / "by-hand.md"


def test_the_table_of_traits_is_what_the_classes_say() -> None:
    page = traits.PAGE.read_text()
    assert traits.rewritten(page) == page, "run: python tests/support/traits.py"


def test_the_commands_of_by_hand_work_as_they_stand(emulator: Emulator, tmp_path: Path) -> None:
    commands = re.findall(r"^    (.*)$", BY_HAND.read_text(), re.MULTILINE)
    assert len([command for command in commands if "cloudspawner" in command]) == 5
    env = emulator.env(PATH=f"{Path(program.path()).parent}:/usr/bin:/bin")
    script = "set -e\n" + "\n".join(commands)
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=True, cwd=tmp_path)
    lasts = [json.loads(line) for line in done.stdout.splitlines()]
    assert [last["type"] for last in lasts] == ["result"] * 5, done.stdout
    assert [finding for finding in lasts[0]["result"]["checks"] if not finding["ok"]] == []
    assert [last["result"].get("errors", []) for last in lasts] == [[]] * 5
    assert emulator.calls("RunTask") == 0


def test_the_packages_readme_tells_of_every_module() -> None:
    package = REPOSITORY / "python-shim"
    table = (package / "README.md").read_text().split("| Module |")[1].split("\n\n")[0]
    told = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert told == {file.stem for file in (package / "src" / "cloudspawner").glob("*.py")} - {"__init__"}


@pytest.mark.parametrize("name", ["fargate/policy.json", "fargate/task-definition.json"])
def test_the_deployments_documents_are_json(name: str) -> None:
    json.loads((REPOSITORY / "deployments" / name).read_text())
