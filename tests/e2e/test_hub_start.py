"""The start of a real hub: what is misspelt is refused with the name that was meant, and a check's findings are in the log."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.emulator import Emulator
from support.hub import TRAITS, Hub, wait_for

pytestmark = pytest.mark.e2e


def test_a_misspelt_trait_keeps_the_hub_from_starting_and_tells_the_name_that_was_meant(
    emulator: Emulator, tmp_path: Path
) -> None:
    hub = Hub(tmp_path / "hub", emulator.env(), "c.FargateSpawner.subnet = ['subnet-1']")
    command = [sys.executable, "-m", "jupyterhub", "-f", "config.py"]
    done = subprocess.run(command, cwd=hub.folder, env=hub.env, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 1
    assert "c.FargateSpawner.subnet is no setting; did you mean 'subnets'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_the_check_finds_is_a_warning_of_a_hub_that_starts(emulator: Emulator, tmp_path: Path) -> None:
    on = "c.CloudSpawner.check_at_start = True"
    with Hub(tmp_path / "hub", emulator.env(), on, traits=TRAITS.replace('"notebooks"', '"nowhere"')) as hub:
        wait_for("the check has ended", lambda: "check of FargateSpawner: list tasks in nowhere" in hub.log(), 20)
        told = [line for line in hub.log().splitlines() if "check of FargateSpawner" in line]
        assert all(line.startswith("[W") for line in told)
