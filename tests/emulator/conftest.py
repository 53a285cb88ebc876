"""The emulator's own tests run one after the other, whatever runs beside them: their tasks listen on the machine's ports."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("emulator"))
