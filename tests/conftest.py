"""Fixtures that every folder of tests may use."""

from collections.abc import Iterator

import pytest

from support import model
from support.emulator import Emulator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A fresh local ECS, whose tasks run within 100 ms; at its end every request is checked against AWS's model."""
    with Emulator() as running:
        yield running


def pytest_report_header() -> list[str]:
    """Says whether requests are checked against AWS's model."""
    return [] if model.is_at_hand() else [f"NOTICE: requests are not checked against AWS's model: {model.FILE} is not here"]
