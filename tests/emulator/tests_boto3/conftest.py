"""Emulators for tests."""

import warnings

import pytest

import official_model
from emulated import Emulator


@pytest.fixture(scope="session", autouse=True)
def model_notice():
    missing = [str(file) for service, file in official_model.FILES.items() if service not in official_model.MODELS]
    if missing:
        warnings.warn(f"official models are not at {missing}: answers are not checked against them", stacklevel=1)


@pytest.fixture(scope="session")
def simulated():
    emulator = Emulator("--run", "simulate")
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
def ecs(emulator):
    return emulator.client()


@pytest.fixture
def efs(emulator):
    return emulator.client("efs")


@pytest.fixture
def start_emulator():
    started = []

    def start(*arguments):
        started.append(Emulator(*arguments))
        return started[-1]

    yield start
    for emulator in started:
        emulator.close()
