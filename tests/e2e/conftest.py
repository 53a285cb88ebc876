"""A real hub and real processes as tasks, one world for each test."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.emulator import Emulator
from support.hub import Hub

os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
# The emulator's processes are found where this Python is.

LIGHT = (
    f"c.Spawner.cmd = [{sys.executable!r}, {str(Path(__file__).parents[1] / 'support/light_server.py')!r}]\nc.Spawner.args = []\n"
)
"""Servers that only answer the hub, for tests with many of them."""

REAL = f"c.Spawner.cmd = [{str(Path(sys.executable).parent / 'jupyterhub-singleuser')!r}]\n"
"""JupyterHub's own single-user server, with JupyterLab."""

PROGRAM = Path(sys.executable).parent / "cloudspawner"
"""The program that came with the wheel."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long and which campaign of kills."""
    parser.addoption("--kills", type=int, default=25, help="how many kills the campaign has on each cloud")
    parser.addoption("--seed", default="1", help="what the campaign's dice begin with")


@pytest.fixture
def world() -> Iterator[Emulator]:
    """A local ECS whose tasks are processes."""
    with Emulator(run="process", delays="provisioning=200,pending=300,stopping=50,deprovisioning=50") as emulator:
        yield emulator


@pytest.fixture
def hub_of(world: Emulator, tmp_path: Path) -> Iterator[Callable[[str], Hub]]:
    """Makes hubs in front of the world; they end with the test."""
    hubs: list[Hub] = []

    def make(config: str) -> Hub:
        hub = Hub(tmp_path / f"hub{len(hubs)}", world.env(), config)
        hubs.append(hub)
        return hub

    yield make
    for hub in hubs:
        hub.stop()
