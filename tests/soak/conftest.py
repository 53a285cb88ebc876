"""How long to soak."""

import os
import sys
from pathlib import Path

import pytest

os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long, and before which cloud."""
    parser.addoption("--minutes", type=float, default=60.0, help="how long to soak")
    parser.addoption("--cloud", choices=["fargate", "azure_ml"], default="fargate", help="the simulated cloud")
