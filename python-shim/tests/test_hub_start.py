"""The hub's start: what is misspelt or impossible is refused, and what a check finds is a warning."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from traitlets.config import Config

from cloudspawner import AMLSpawner, CloudSpawner, FargateSpawner
from cloudspawner.hub_start import impossible, stand_in
from cloudspawner.misspelt import misspelt
from conftest import LOG, SECRET, Fake, start_steps
from real_hub import MakeHub
from test_golden import assert_same_shape

FARGATE = {"cluster": "hub", "task_definition": "lab:2", "container_name": "notebook", "subnets": ["subnet-1"]}
AS_GOLDEN = {"aws_region": "eu-west-1", "security_groups": ["sg-1"], "clusters": ["hub"]}
LOGGED_IN = SimpleNamespace(enable_auth_state=False)


class Admins(FargateSpawner):
    """What an admin makes of it."""


@pytest.mark.parametrize(
    ("kind", "section", "name", "meant"),
    [
        (FargateSpawner, "FargateSpawner", "subnet", "'subnets'"),
        (FargateSpawner, "CloudSpawner", "hubid", "'hub_id'"),
        (Admins, "Admins", "task_definitions", "'task_definition'"),
        (Admins, "FargateSpawner", "start_timeouts", "'start_timeout'"),
        (AMLSpawner, "AMLSpawner", "vmsize", "'vm_size'"),
        (CloudSpawner, "AMLSpawner", "subnets", "'subnet'"),
        (CloudSpawner, "CloudSpawner", "profiles_list", "'profile_list'"),
        (FargateSpawner, "FargateSpawnerSecretAccessKeyAuthentication", "aws_access_key", "'aws_access_key_id'"),
    ],
)
def test_a_misspelt_name_is_told_with_the_one_that_was_meant(kind: Any, section: str, name: str, meant: str) -> None:
    (problem,) = misspelt(kind, Config({section: {name: "x"}}))
    assert problem == f"c.{section}.{name} is no setting; did you mean {meant}?"


def test_a_misspelt_class_is_told_with_the_one_that_was_meant() -> None:
    (problem,) = misspelt(FargateSpawner, Config(FargateSpawnr={"subnets": []}))
    assert problem == "c.FargateSpawnr is no class; did you mean c.FargateSpawner?"


def test_other_peoples_names_are_their_own() -> None:
    config = Config(
        Spawner={"whatever": 1},
        Admins={"cpu": 1, "environment": {"A": "b"}},
        KubeSpawner={"image": "x"},
        MySpawner={"y": 1},
    )
    config.FargateSpawner.environment.update({"A": "b"})
    config.FargateSpawner.OfOthers.name = 1
    assert misspelt(Admins, config) == []
    several = {"hub_id": "a", "profile_list": [], "cpu": 512, "vm_size": "x", "start_timeout": 9}
    assert misspelt(CloudSpawner, Config(CloudSpawner=several, AMLSpawner={"cmd": ["x"], "workspace": "x"})) == []


def made(kind: Any, fake: Fake, config: dict[str, Any]) -> Any:
    merged = Config(CloudSpawner={"program": fake.argv, "program_env": fake.env})
    merged.merge(Config(config))
    hub = SimpleNamespace(api_url="http://127.0.0.1:8081/hub/api")
    app = SimpleNamespace(tornado_settings={}, hub=hub, config=merged, authenticator=LOGGED_IN)
    return stand_in(kind, app)


@pytest.mark.parametrize(
    ("kind", "config", "words"),
    [
        (FargateSpawner, {"FargateSpawner": {"mount_userspace": True}}, "FargateSpawner.storage"),
        (
            FargateSpawner,
            {"FargateSpawnerSecretAccessKeyAuthentication": {"aws_access_key_id": "a"}},
            "authentication_class = FargateSpawnerSecretAccessKeyAuthentication",
        ),
        (AMLSpawner, {"AMLSpawner": {"identity": "user"}}, "enable_auth_state"),
        (AMLSpawner, {"AMLSpawner": {"assigned_user": True}}, "enable_auth_state"),
        (AMLSpawner, {"AMLSpawner": {"client_secret": SECRET}}, 'credential_kind = "client_secret"'),
        (AMLSpawner, {"AMLSpawner": {"create_workspace": True}}, "AMLSpawner.location"),
        (CloudSpawner, {"FargateSpawner": FARGATE}, "CloudSpawner.profile_list"),
        (CloudSpawner, {}, "c.FargateSpawner or c.AMLSpawner"),
    ],
)
def test_settings_that_cannot_go_together_are_told_by_name(
    fake: Fake, kind: Any, config: dict[str, Any], words: str
) -> None:
    (problem,) = impossible(made(kind, fake, config), LOGGED_IN)
    assert words in problem
    assert SECRET not in problem


def test_internal_ssl_is_refused_unless_the_admin_brings_the_certificates_to_the_servers(fake: Fake) -> None:
    class Brings(FargateSpawner):
        async def move_certs(self, paths: dict[str, Any]) -> dict[str, Any]:
            return paths

    def problems(kind: Any) -> list[str]:
        spawner = made(kind, fake, {"FargateSpawner": FARGATE})
        spawner.user.settings["internal_ssl"] = True
        return impossible(spawner, LOGGED_IN)

    (problem,) = problems(FargateSpawner)
    assert problem.startswith("JupyterHub.internal_ssl: its certificates lie on the hub's disk")
    assert problems(Brings) == []


def test_settings_that_can_work_are_not_refused(fake: Fake) -> None:
    assert impossible(made(FargateSpawner, fake, {"FargateSpawner": FARGATE}), LOGGED_IN) == []
    assert impossible(made(AMLSpawner, fake, {"AMLSpawner": {"workspace": "lab"}}), LOGGED_IN) == []


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelname == "WARNING" and r.name == LOG.name]


async def test_what_a_check_finds_is_a_warning_with_its_hint(
    fake: Fake, programs: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    finding = {"name": "cluster", "ok": False, "message": "not_found: hub", "hint": "Name another."}
    fake.plays(check={"checks": [{"name": "config", "ok": True, "message": "fine", "hint": None}, finding]})
    await made(FargateSpawner, fake, {"FargateSpawner": FARGATE | AS_GOLDEN}).check_clouds(LOG)
    assert warnings(caplog) == ["check of FargateSpawner: cluster: not_found: hub. Name another."]
    (sent,) = fake.sent("check")
    del sent["params"]["config"]["run_task"]["count"]  # the golden one leaves it to the default
    assert_same_shape(sent, "request_check")
    assert sent["params"]["config"]["run_task"]["taskDefinition"] == "lab:2"
    assert sent["params"]["hub_url"] == "http://127.0.0.1:8081/hub/api"


@pytest.mark.parametrize(("config", "port"), [({}, 8888), ({"port": 7777}, 7777), ({"notebook_port": 9999}, 9999)])
async def test_a_check_looks_at_the_port_that_servers_listen_on(
    fake: Fake, programs: None, config: dict[str, Any], port: int
) -> None:
    fake.plays(check={"checks": []})
    await made(FargateSpawner, fake, {"FargateSpawner": FARGATE | config}).check_clouds(LOG)
    assert [sent["params"]["port"] for sent in fake.sent("check")] == [port]


@pytest.mark.parametrize("scenario", [{"check": [["error", {"code": "unavailable", "message": "no way"}]]}, {}])
async def test_a_check_that_fails_is_a_warning_and_no_more(
    fake: Fake, programs: None, caplog: pytest.LogCaptureFixture, scenario: dict[str, Any]
) -> None:
    fake.plays(**scenario)
    config = {"FargateSpawner": FARGATE} if scenario else {}
    await made(FargateSpawner, fake, config).check_clouds(LOG)
    (warned,) = warnings(caplog)
    assert ("no way" if scenario else "FargateSpawner.cluster") in warned


@pytest.mark.parametrize("on", [True, False])
async def test_a_hub_looks_in_the_background_unless_it_is_switched_off(
    make_hub: MakeHub, fake: Fake, server_url: str, on: bool
) -> None:
    fake.plays(check={"checks": []}, start=start_steps(server_url))
    hub = await make_hub(check_at_start=on)
    assert (await hub.api("POST", "/users/ada/server")).code in (201, 202)
    await fake.was_sent("start")
    assert len(fake.sent("check")) == on


@pytest.mark.parametrize(
    ("kind", "override", "words"),
    [
        (FargateSpawner, {"subnetz": []}, "'subnetz' cannot be set; did you mean 'subnets'?"),
        (FargateSpawner, {"hub_id": "x"}, "'hub_id' cannot be set"),
        (FargateSpawner, {"vm_size": "x"}, "'vm_size' is a setting of azure_ml, and this profile is on fargate"),
        (CloudSpawner, {"vm_size": "x"}, "'vm_size' is a setting of azure_ml, and this profile is on fargate"),
    ],
)
def test_an_override_that_cannot_be_set_is_told_before_anybody_chooses_it(
    fake: Fake, kind: Any, override: dict[str, Any], words: str
) -> None:
    profiles = [
        {"display_name": "A", "backend": "fargate", "spawner_override": override},
        {"display_name": "B", "backend": "fargate", "spawner_override": {"cpu": 512, "environment": {}, "tags": print}},
    ]
    config = {"FargateSpawner": FARGATE, "CloudSpawner": {"profile_list": profiles}}
    (problem,) = impossible(made(kind, fake, config), LOGGED_IN)
    assert problem.startswith(f"profile_list[0]: spawner_override: {words}")


def test_a_list_that_a_function_gives_is_looked_at_when_it_is_asked(fake: Fake) -> None:
    config = {"FargateSpawner": {**FARGATE, "profile_list": lambda _spawner: [{"nonsense": 1}]}}
    assert impossible(made(FargateSpawner, fake, config), LOGGED_IN) == []


async def test_a_wrong_list_of_profiles_keeps_a_hub_from_starting_with_all_that_is_wrong(
    make_hub: MakeHub, fake: Fake
) -> None:
    twice = {"display_name": "Small", "slug": "s", "spawner_override": {"cpus": 512}}
    with pytest.raises(SystemExit, match="the slug s is there more than once") as refused:
        await make_hub(profile_list=[twice, {**twice, "backend": "azure_ml", "descripton": "x"}], mount_userspace=True)
    for words in (
        "FargateSpawner.storage",
        "did you mean 'cpu'",
        "did you mean 'description'",
        "unknown backend 'azure_ml'",
    ):
        assert words in str(refused.value)


async def test_a_misspelt_name_keeps_a_hub_from_starting(make_hub: MakeHub, fake: Fake) -> None:
    with pytest.raises(SystemExit, match="did you mean 'subnets'") as refused:
        await make_hub(subnet=["subnet-1"], mount_userspace=True)
    assert "FargateSpawner.storage" in str(refused.value)
