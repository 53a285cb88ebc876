"""Which release runs is told where an admin looks."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from prometheus_client import REGISTRY

import cloudspawner
from conftest import Fake, MakeSpawner


def test_jupyterhubs_log_names_the_release_with_the_spawner() -> None:
    # JupyterHub writes "Using Spawner: cloudspawner.fargate.FargateSpawner-<this>".
    assert cloudspawner.__version__ == version("cloudspawner")


def test_metrics_tell_the_release() -> None:
    assert REGISTRY.get_sample_value("cloudspawner_info", {"version": version("cloudspawner")}) == 1


async def test_a_program_of_another_release_is_warned_of(
    make_spawner: MakeSpawner, fake: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    fake.plays(hello={"type": "hello", "v": [1], "version": "9.9.9", "backends": [], "features": []})
    await make_spawner().gc()
    assert "the program that runs is of release 9.9.9" in caplog.text


async def test_a_program_of_this_release_is_no_reason_to_warn(
    make_spawner: MakeSpawner, fake: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    await make_spawner().gc()
    assert "the program that runs is of release" not in caplog.text
