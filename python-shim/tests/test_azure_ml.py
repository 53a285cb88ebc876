"""AMLSpawner: traits and the predecessor's environment variables become the program's config."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cloudspawner import AMLSpawner, ConfigurationError
from cloudspawner.choices import OptionsCache
from cloudspawner.errors import ChoiceRefused
from cloudspawner.wire import ProgramError

TOLD = {
    "projects": [
        {"resource_group": "g", "workspace": name, "display_name": shown, "location": place, "tags": {}}
        for name, shown, place in [
            ("lab", "<b>The lab</b>", "westeurope"),
            ("teaching-1", "teaching-1", "eastus"),
            ("other", "other", "eastus"),
        ]
    ],
    "sizes": {
        "westeurope": [{"name": "Standard_DS11_v2", "vcpus": 2, "gpus": 0, "memory_gib": 14.0}],
        "eastus": [{"name": "STANDARD_NC6S_V3", "vcpus": 6, "gpus": 1, "memory_gib": 112.0}],
    },
}


def aml_spawner(auth_state: object = None, told: object = TOLD, **traits: Any) -> AMLSpawner:
    """A spawner of Ada's, without a hub."""

    async def get_auth_state() -> object:
        return auth_state

    async def request(verb: str, params: object, timeout_ms: int) -> object:
        spawner.asked.append((verb, params))
        return told

    where = {"subscription_id": "s", "resource_group": "g", "workspace": "w"}
    spawner: Any = AMLSpawner(
        user=SimpleNamespace(name="ada", groups=[], settings={}, get_auth_state=get_auth_state), **where | traits
    )
    spawner.asked = []
    spawner._program = lambda: SimpleNamespace(request=request)
    return spawner  # type: ignore[no-any-return]


async def start_of(spawner: AMLSpawner) -> dict[str, Any]:
    """The config of a start with the spawner's user_options, as the hub makes one."""
    await spawner._choose()
    return await spawner.start_config()


@pytest.fixture(autouse=True)
def no_options_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test asks for the options anew."""
    monkeypatch.setattr("cloudspawner.azure_ml._OPTIONS", OptionsCache())


def test_the_predecessors_environment_variables_count_where_no_trait_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"SUBSCRIPTION_ID": "s", "RESOURCE_GROUP": "g", "SPAWN_TO_WORK_SPACE": "w"}.items():
        monkeypatch.setenv(name, text)
    config = aml_spawner(subscription_id="", resource_group="mine", workspace="").cloud_config()
    assert (config["subscription_id"], config["resource_group"], config["workspace"]) == ("s", "mine", "w")


async def test_a_start_without_a_workspace_names_the_trait() -> None:
    with pytest.raises(ConfigurationError, match=r"AMLSpawner\.workspace"):
        await aml_spawner(workspace="").start_config()


async def test_a_start_says_what_a_new_instance_is_like() -> None:
    spawner = aml_spawner(tags={"owner": "{username}"})
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


async def test_each_setting_of_an_instance_reaches_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPAWN_COMPUTE_INSTANCE_SUFFIX", "-dev")
    given = {
        "create_workspace": True,
        "workspace_properties": {"keyVault": "k"},
        "schedules": [{"action": "stop", "cron": "0 20 * * *"}],
        "subnet": "/subscriptions/s",
        "ssh_public_key": "ssh-rsa A",
        "managed_identities": ["system"],
        "creation_script": "true",
        "startup_script": "true",
        "properties": {"enableNodePublicIp": False},
        "idle_shutdown": 30,
    }
    config = await aml_spawner(**given).start_config()
    assert given.items() <= config.items()
    assert config["name_suffix"] == "-dev"
    assert "identity" not in config


async def test_an_instance_is_assigned_to_the_person_of_the_log_in() -> None:
    state = {"user": {"oid": "o", "tid": "t"}}
    config = await aml_spawner(state, assigned_user=True).start_config()
    assert config["assigned_user"] == {"object_id": "o", "tenant_id": "t"}
    with pytest.raises(ConfigurationError, match="oid and tid"):
        await aml_spawner(None, assigned_user=True).start_config()
    config = await aml_spawner(state, assigned_user=lambda _, auth: {"object_id": auth["user"]["oid"]}).start_config()
    assert config["assigned_user"] == {"object_id": "o"}


async def test_a_start_as_the_person_takes_their_token_and_every_other_verb_the_hubs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.setenv(f"AAD_{name}", name.lower())
    state = {"access_token": "a", "refresh_token": "r"}
    spawner = aml_spawner(state, identity="user", credential_kind="managed_identity")
    app = {"tenant_id": "tenant_id", "client_id": "client_id", "client_secret": "client_secret"}
    hub = {"kind": "managed_identity", "client_id": None}
    asked = {"kind": "user_assertion", **app, "assertion": "a", "refresh_token": "r", "service": hub}
    assert await spawner.start_credentials() == asked
    assert spawner.credentials() == hub
    assert (await spawner.start_config())["identity"] == "user"
    with pytest.raises(ConfigurationError, match="enable_auth_state"):
        await aml_spawner(None, identity="user").start_credentials()


SIZES = {"Small": "Standard_DS11_v2", "GPU": "Standard_NC6s_v3", "Nowhere": "Standard_X"}


async def test_the_form_offers_projects_by_the_filter_and_sizes_that_a_region_has() -> None:
    spawner = aml_spawner(choose_project=True, project_filter="lab|teaching-.*", sizes=SIZES)
    form = await spawner.get_options_form()
    assert "&lt;b&gt;The lab&lt;/b&gt; (lab)" in form
    assert "teaching-1" in form
    assert "<b>" not in form
    assert "other" not in form
    assert "Small: 2 CPUs, 14 GiB of memory" in form
    assert "GPU: 6 CPUs, 112 GiB of memory, 1 GPUs" in form
    assert "Nowhere" not in form
    assert await spawner.get_options_form() == form
    assert len(spawner.asked) == 1  # the second form is made of what was kept
    assert not await aml_spawner().get_options_form()


async def test_what_was_chosen_reaches_the_program() -> None:
    spawner = aml_spawner(choose_project=True, sizes=SIZES, location="westeurope")
    spawner.user_options = await spawner.options_from_form({"project": ["g/teaching-1"], "size": ["GPU"]})
    config = await start_of(spawner)
    assert (config["workspace"], config["vm_size"]) == ("teaching-1", "Standard_NC6s_v3")
    assert "location" not in config
    # Over REST a workspace's name and Azure's own name of a size will do.
    spawner.user_options = {"project": "lab", "size": "STANDARD_DS11_V2"}
    config = await start_of(spawner)
    assert (config["workspace"], config["vm_size"]) == ("lab", "Standard_DS11_v2")
    spawner.user_options = {}
    config = await start_of(spawner)
    assert (config["workspace"], config["vm_size"]) == ("w", "Standard_DS11_v2")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"project": "elsewhere"}, "project 'elsewhere' is not offered"),
        ({"project": "lab", "size": "GPU"}, "size 'GPU' is not offered there"),
        ({"size": "<script>"}, "is not offered"),
        ({"size": ["GPU"]}, "size must be a string"),
    ],
)
async def test_what_is_not_offered_is_refused_with_a_sentence(options: dict[str, Any], said: str) -> None:
    spawner = aml_spawner(choose_project=True, sizes=SIZES, location="westeurope")
    spawner.user_options = options
    with pytest.raises(ChoiceRefused) as caught:
        await start_of(spawner)
    assert caught.value.status_code == 400
    assert said in caught.value.jupyterhub_message
    assert "<script>" not in caught.value.jupyterhub_html_message


async def test_where_nothing_is_offered_nothing_can_be_chosen() -> None:
    spawner = aml_spawner()
    spawner.user_options = {"size": "Standard_M416ms_v2"}
    with pytest.raises(ChoiceRefused, match="cannot be chosen"):
        await start_of(spawner)


async def test_an_old_list_is_shown_while_a_new_one_is_fetched() -> None:
    cache, asked = OptionsCache(), []

    async def request(verb: str, params: object, timeout_ms: int) -> object:
        asked.append(verb)
        return {"answer": len(asked)}

    program: Any = SimpleNamespace(request=request)
    assert await cache.get("k", program, {}, 600) == {"answer": 1}
    assert await cache.get("k", program, {}, 0) == {"answer": 1}
    await asyncio.gather(*cache._asking.values())
    assert await cache.get("k", program, {}, 600) == {"answer": 2}


async def test_options_that_cannot_be_had_are_asked_for_again() -> None:
    cache, answers = OptionsCache(), [ProgramError("unavailable", "x"), {"answer": 1}]

    async def request(verb: str, params: object, timeout_ms: int) -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    program: Any = SimpleNamespace(request=request)
    with pytest.raises(ProgramError):
        await cache.get("k", program, {}, 600)
    assert await cache.get("k", program, {}, 600) == {"answer": 1}


async def test_homes_are_where_the_predecessors_environment_says_whatever_project_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, text in {"STORAGE_ACCOUNT_NAME": "homes", "RESOURCE_GROUP": "own", "LOCATION": "westeurope"}.items():
        monkeypatch.setenv(name, text)
    spawner = aml_spawner(resource_group="", mount_userspace=True)
    storage = spawner.with_storage({"resource_group": "chosen"})["storage"]
    assert storage == {"account": "homes", "resource_group": "own", "location": "westeurope"}
    assert spawner.mounts_of_a_start() == [
        {
            "path": "~/userfiles",
            "kind": "azure_files",
            "read_only": False,
            "per_user": True,
            "storage_id": "jupyterhub",
            "mount_optional": False,
        }
    ]
    assert "storage" not in aml_spawner(storage={}).with_storage({})


async def test_a_secret_of_the_storage_account_goes_with_the_credentials_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAS_TOKEN", "sig=canary")
    spawner = aml_spawner(storage={"account": "homes"})
    assert spawner.credentials() == {"kind": "developer", "storage": {"sas_token": "sig=canary"}}
    monkeypatch.setenv("STORAGE_ACCOUNT_CONN_STR", "AccountKey=canary")
    assert spawner.credentials() == {"kind": "developer", "storage": {"connection_string": "AccountKey=canary"}}
    assert "canary" not in str(spawner.with_storage(await spawner.start_config()))
    assert aml_spawner(storage={}).credentials() is None


def test_shares_are_mounted_by_the_instance_itself_unless_the_admin_says_so() -> None:
    assert "method" not in aml_spawner(storage={"account": "homes"}).with_storage({})["storage"]
    storage = aml_spawner(storage={"account": "homes"}, mount_method="data_mounts").with_storage({})["storage"]
    assert (storage["method"], "ssh" in storage) == ("data_mounts", False)


def test_what_the_hub_needs_for_ssh_is_told_by_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spawner = aml_spawner(storage={"account": "homes"}, mount_method="ssh", mount_ssh_key_file="keys/instances")
    storage = spawner.with_storage({})["storage"]
    assert (storage["account"], storage["method"]) == ("homes", "ssh")
    assert storage["ssh"] == {
        "key_file": f"{tmp_path}/keys/instances",
        "known_hosts_file": f"{tmp_path}/cloudspawner_known_hosts",
    }
