"""How long to soak."""

import os
import sys
from pathlib import Path

import pytest

os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option."""
    parser.addoption("--minutes", type=float, default=60.0, help="how long to soak")
