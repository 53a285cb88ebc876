"""Fixtures that every folder of tests may use."""

from collections.abc import Iterator

import pytest

from support import azure_contract, model
from support.emulator import Emulator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A fresh local ECS, whose tasks run within 100 ms; at its end every request is checked against AWS's model."""
    with Emulator() as running:
        yield running


def pytest_report_header() -> list[str]:
    """Says whether requests are checked against the clouds' own models."""
    absent = [
        *([] if model.is_at_hand() else [("AWS", model.FILE)]),
        *([] if azure_contract.is_at_hand() else [("Azure", azure_contract.SCHEMA)]),
    ]
    return [f"NOTICE: requests are not checked against {whose}'s model: {file} is not here" for whose, file in absent]
