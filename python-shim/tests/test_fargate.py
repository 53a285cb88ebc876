"""The Fargate traits and the config that they become."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

import pytest
from jupyterhub.spawner import Spawner
from traitlets import TraitError
from traitlets.config import LoggingConfigurable

from cloudspawner import ConfigurationError, FargateSpawner
from cloudspawner import __all__ as exported
from cloudspawner.templates import escape
from conftest import STARTED, Fake, MakeSpawner


async def config_of_start(spawner: FargateSpawner) -> dict[str, Any]:
    return await spawner.start_config()


async def test_the_simple_traits_become_run_task(make_spawner: MakeSpawner) -> None:
    spawner = make_spawner(
        aws_region="eu-west-1",
        security_groups=["sg-1"],
        assign_public_ip=True,
        platform_version="1.4.0",
        cpu=512,
        memory="2048",
        tags={"team": "x"},
        run_task_extra={
            "enableExecuteCommand": True,
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["s"]}},
        },
    )
    assert await config_of_start(spawner) == {
        "region": "eu-west-1",
        "clusters": ["hub"],
        "container_name": "notebook",
        "run_task": {
            "cluster": "hub",
            "taskDefinition": "lab:2",
            "count": 1,
            "launchType": "FARGATE",
            "platformVersion": "1.4.0",
            "networkConfiguration": {
                "awsvpcConfiguration": {"subnets": ["s"], "securityGroups": ["sg-1"], "assignPublicIp": "ENABLED"}
            },
            "overrides": {"cpu": "512", "memory": "2048"},
            "tags": [{"key": "team", "value": "x"}],
            "enableExecuteCommand": True,
        },
    }


async def test_a_capacity_provider_takes_the_place_of_the_launch_type(make_spawner: MakeSpawner) -> None:
    spot = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    run_task = (await config_of_start(make_spawner(capacity_provider_strategy=spot)))["run_task"]
    assert run_task["capacityProviderStrategy"] == spot
    assert "launchType" not in run_task


@pytest.mark.parametrize("trait", ["cluster", "task_definition", "container_name", "subnets"])
async def test_a_missing_setting_is_named(make_spawner: MakeSpawner, trait: str) -> None:
    spawner = make_spawner(**{trait: [] if trait == "subnets" else ""})
    with pytest.raises(
        ConfigurationError, match=rf"FargateSpawner\.{trait}, or FargateSpawner\.get_run_task_args"
    ) as caught:
        await spawner.start()
    assert "administrator" in caught.value.jupyterhub_message
    assert await spawner.poll() == 1


async def test_run_task_args_pass_through_untouched(make_spawner: MakeSpawner) -> None:
    args = {"cluster": "{username}", "newField": [None, 1.5], "overrides": {"containerOverrides": [{"name": "x"}]}}
    spawner = make_spawner(get_run_task_args=lambda spawner: args, container_name="")
    assert await config_of_start(spawner) == {"clusters": ["hub"], "run_task": args}
    spawner = make_spawner("b", get_run_task_args=lambda spawner: args, container_name="x", clusters=["a", "b"])
    assert await config_of_start(spawner) == {"clusters": ["a", "b"], "container_name": "x", "run_task": args}


async def test_run_task_args_are_asked_for_once_a_start_only(make_spawner: MakeSpawner, fake: Fake) -> None:
    asked = []

    async def args(spawner: FargateSpawner) -> dict[str, str]:
        asked.append(spawner.user.name)
        return {"cluster": "hub"}

    fake.plays(start=[["result", STARTED]])
    spawner = make_spawner(get_run_task_args=args)
    await spawner.start()
    await spawner.poll()
    await spawner.gc()
    await spawner.stop()
    assert asked == ["ada"]
    assert fake.sent("start")[0]["params"]["config"]["run_task"] == {"cluster": "hub"}
    for verb in ("poll", "stop", "gc"):
        assert "run_task" not in fake.sent(verb)[0]["params"]["config"]


async def test_run_task_args_that_are_no_dict_are_a_clear_error(make_spawner: MakeSpawner) -> None:
    with pytest.raises(ConfigurationError, match="get_run_task_args must return a dict, not list"):
        await make_spawner(get_run_task_args=lambda spawner: []).start()


async def test_run_task_args_that_json_cannot_hold_are_a_clear_error(make_spawner: MakeSpawner) -> None:
    spawner = make_spawner(get_run_task_args=lambda spawner: {"x": {1, 2}})
    with pytest.raises(Exception, match="cannot be written as JSON"):
        await spawner.start()
    assert await spawner.poll() == 1


@pytest.mark.parametrize(
    ("region", "host", "endpoint"),
    [
        ("us-east-1", "", None),
        ("us-east-1", "ecs.us-east-1.amazonaws.com", None),
        ("us-east-1", " ECS.us-east-1.amazonaws.com ", None),
        ("us-east-1", "ecs.us-east-1.api.aws", None),
        ("cn-north-1", "ecs.cn-north-1.amazonaws.com.cn", None),
        ("us-east-1", "ecs.eu-west-1.amazonaws.com", "https://ecs.eu-west-1.amazonaws.com"),
        ("us-east-1", "ecs-fips.us-east-1.amazonaws.com", "https://ecs-fips.us-east-1.amazonaws.com"),
        ("", "vpce-1.ecs.amazonaws.com", "https://vpce-1.ecs.amazonaws.com"),
        ("us-east-1", "http://127.0.0.1:5000/", "http://127.0.0.1:5000"),
    ],
)
def test_only_another_host_is_an_endpoint(
    make_spawner: MakeSpawner, region: str, host: str, endpoint: str | None
) -> None:
    assert make_spawner(aws_region=region, aws_ecs_host=host).cloud_config().get("endpoint_url") == endpoint


@pytest.mark.parametrize(
    ("name", "traits", "expected"),
    [
        ("FargateSpawnerAuthentication", {}, None),
        ("FargateSpawnerECSRoleAuthentication", {}, {"kind": "ecs_role"}),
        ("FargateSpawnerEC2InstanceProfileAuthentication", {}, {"kind": "ec2_instance_profile"}),
        (
            "FargateSpawnerSecretAccessKeyAuthentication",
            {"aws_access_key_id": "AKIA", "aws_secret_access_key": "s"},
            {"kind": "static", "access_key_id": "AKIA", "secret_access_key": "s", "session_token": None},
        ),
    ],
)
def test_the_authentication_class_gives_the_credentials(
    make_spawner: MakeSpawner, name: str, traits: dict[str, str], expected: object
) -> None:
    assert name in exported
    spawner = make_spawner(config={name: traits}, authentication_class=f"cloudspawner.{name}")
    assert spawner.credentials() == expected


async def test_a_key_without_its_secret_is_a_clear_error(make_spawner: MakeSpawner) -> None:
    spawner = make_spawner(authentication_class="cloudspawner.FargateSpawnerSecretAccessKeyAuthentication")
    with pytest.raises(ConfigurationError, match=r"Authentication\.aws_access_key_id"):
        await spawner.start()


async def test_the_notebook_port_is_also_the_port(make_spawner: MakeSpawner, fake: Fake) -> None:
    fake.plays(start=[["result", STARTED]])
    spawner = make_spawner(notebook_port=9999, notebook_scheme="https", port=8888)
    await spawner.start()
    spec = fake.sent("start")[0]["params"]["spec"]
    assert (spec["port"], spec["scheme"]) == (9999, "https")
    assert spec["env"]["JUPYTERHUB_SERVICE_URL"] == "http://0.0.0.0:9999/user/ada/"
    assert make_spawner("b", notebook_port=9999).port == 9999


def test_the_defaults_are_those_of_a_container(make_spawner: MakeSpawner) -> None:
    spawner = make_spawner()
    assert (spawner.ip, spawner.port, spawner.start_timeout, spawner.server_scheme()) == ("0.0.0.0", 8888, 300, "http")
    base = {"Spawner": {"ip": "127.0.0.1", "port": 1, "start_timeout": 120}}
    spawner = make_spawner("b", config=base)
    assert (spawner.ip, spawner.port, spawner.start_timeout) == ("127.0.0.1", 1, 120)


def test_a_token_out_of_sight_and_a_public_address_are_asked_for(make_spawner: MakeSpawner) -> None:
    spawner = make_spawner(token_in="secrets_manager", token_kms_key="alias/hub", address="public_ipv4")
    config = spawner.cloud_config()
    assert (config["token_in"], config["token_kms_key"], config["address"]) == (
        "secrets_manager",
        "alias/hub",
        "public_ipv4",
    )
    assert spawner.gc_config()["token_in"] == "secrets_manager"
    assert {"token_kms_key", "address"}.isdisjoint(spawner.gc_config())
    assert make_spawner("c").gc_config([{"token_in": "secrets_manager"}])["token_in"] == "secrets_manager"
    assert not [name for name in make_spawner("b").cloud_config() if name.startswith("token")]


def test_ipv6_is_asked_for(make_spawner: MakeSpawner) -> None:
    assert make_spawner(address="ipv6").cloud_config()["address"] == "ipv6"
    with pytest.raises(TraitError):
        make_spawner("b").address = "public"


# Templates


async def test_templates_are_expanded_in_the_simple_traits(make_spawner: MakeSpawner) -> None:
    spawner = make_spawner(
        "Ada@x",
        "two",
        cluster="c-{username}",
        task_definition="lab-{servername}",
        tags={"user": "{unescaped_username}", "brace": "{{}}"},
        run_task_extra={"group": "g-{username}"},
    )
    run_task = (await config_of_start(spawner))["run_task"]
    assert run_task["cluster"] == "c--41da-40x"
    assert run_task["taskDefinition"] == "lab-two"
    assert run_task["tags"] == [{"key": "user", "value": "Ada@x"}, {"key": "brace", "value": "{}"}]
    assert run_task["group"] == "g--41da-40x"
    assert spawner.cloud_config()["clusters"] == ["c--41da-40x"]


@pytest.mark.parametrize(
    "template", ["{user}", "{", "}", "{}", "{0}", "{username.__class__}", "{username!r}", "{username:9}"]
)
async def test_a_wrong_template_is_a_clear_error(make_spawner: MakeSpawner, template: str) -> None:
    with pytest.raises(ConfigurationError, match=r"FargateSpawner\.task_definition = .* \{username\}"):
        await make_spawner(task_definition=template).start()


def test_escaped_names_never_collide() -> None:
    names = ["", "a", "A", "-", "--", "a-b", "a.b", "a_b", "-2d", "2d", "é", "e\u0301", "ada ", "x" * 100, "x" * 101]
    names += ["x" * 102, "é" * 255, "é" * 254 + "e", "x" * 66 + "--" + "0" * 32, "/../", "a\x00", "$(rm)"]
    escaped = [escape(name) for name in names]
    assert len(set(escaped)) == len(names)
    assert max(map(len, escaped)) <= 100
    assert set("".join(escaped)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert escape("ada") == "ada"


# What people read


def test_every_trait_has_a_help() -> None:
    for name, trait in FargateSpawner.class_own_traits(config=True).items():
        assert trait.help.strip(), name
        assert "efault" in trait.help or "Example" in trait.help, name


def test_no_private_name_hides_one_of_jupyterhubs() -> None:
    known = set(dir(Spawner)) - set(dir(LoggingConfigurable))
    ours = {*vars(FargateSpawner), *vars(FargateSpawner.__mro__[1])}
    overridden = {"get_state", "load_state", "clear_state", "start", "poll", "get_url", "stop", "progress"}
    assert (ours & known) - overridden <= {"__module__", "__doc__"}


def test_the_entry_point_is_installed() -> None:
    found = entry_points(group="jupyterhub.spawners")
    if "fargate" not in found.names:
        pytest.skip("the package is not installed")
    assert found["fargate"].load() is FargateSpawner


async def test_gc_is_told_of_storage_and_of_nothing_in_it_that_differs_from_user_to_user(
    make_spawner: MakeSpawner,
) -> None:
    spawner = make_spawner(storage={"file_system_id": "fs-01234567", "root": "/homes/{username}"})
    assert spawner.gc_config()["storage"] == {"file_system_id": "fs-01234567"}
    assert "storage" not in make_spawner("b").gc_config()
