"""Emulators for tests."""

import warnings

import pytest
import swagger
from azure_emulated import Emulator


@pytest.fixture(scope="session", autouse=True)
def swagger_notice():
    if not swagger.DOCUMENTS:
        warnings.warn(f"the official swagger is not at {swagger.FOLDER}: answers are not checked", stacklevel=1)


@pytest.fixture(scope="session")
def simulated():
    emulator = Emulator("--run", "simulate", "--azure-workspace", "notebooks", "--azure-workspace", "other@westeurope")
    yield emulator
    emulator.close()


@pytest.fixture
def emulator(simulated):
    """A simulated world, empty again for each test."""
    before = simulated.admin("settings")
    yield simulated
    simulated.admin("reset", {})
    simulated.admin("settings", before)


@pytest.fixture
def start_emulator():
    started = []

    def start(*arguments):
        started.append(Emulator(*arguments))
        return started[-1]

    yield start
    for emulator in started:
        emulator.close()
