"""AMLSpawner: traits and the predecessor's environment variables become the program's config."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cloudspawner import AMLSpawner, ConfigurationError


def aml_spawner(**traits: Any) -> AMLSpawner:
    """A spawner of Ada's, without a hub."""
    return AMLSpawner(user=SimpleNamespace(name="ada"), **traits)


def test_the_predecessors_environment_variables_count_where_no_trait_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"SUBSCRIPTION_ID": "s", "RESOURCE_GROUP": "g", "SPAWN_TO_WORK_SPACE": "w"}.items():
        monkeypatch.setenv(name, text)
    config = aml_spawner(resource_group="mine").cloud_config()
    assert (config["subscription_id"], config["resource_group"], config["workspace"]) == ("s", "mine", "w")


async def test_a_start_without_a_workspace_names_the_trait() -> None:
    with pytest.raises(ConfigurationError, match=r"AMLSpawner\.workspace"):
        await aml_spawner(subscription_id="s", resource_group="g").start_config()


async def test_a_start_says_what_a_new_instance_is_like() -> None:
    spawner = aml_spawner(subscription_id="s", resource_group="g", workspace="w", tags={"owner": "{username}"})
    config = await spawner.start_config()
    assert config["vm_size"] == "Standard_DS11_v2"
    assert config["idle_shutdown"] == "PT60M"
    assert config["tags"]["owner"]
    assert spawner.start_timeout == 900
    assert spawner.stop_waits


def test_a_client_secret_needs_all_its_parts() -> None:
    spawner = aml_spawner(credential_kind="client_secret", tenant_id="t", client_id="c")
    with pytest.raises(ConfigurationError, match="client_secret"):
        spawner.credentials()
    spawner.client_secret = "x"
    assert spawner.credentials() == {
        "kind": "client_secret",
        "tenant_id": "t",
        "client_id": "c",
        "client_secret": "x",
    }
    assert aml_spawner().credentials() is None
