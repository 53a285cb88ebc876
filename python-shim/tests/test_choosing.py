"""Profiles on a spawner: what they set, what is taken back, and what a hub knows of them after a restart."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from jupyterhub import orm

from cloudspawner import CloudSpawner, ConfigurationError
from cloudspawner.choices import OptionsCache
from cloudspawner.errors import ChoiceRefused
from conftest import STARTED, STATE, STATE_WITH_REF, URL, Fake, MakeSpawner, start_steps, until
from real_hub import MakeHub

AZURE_STATE = {"v": 1, "backend": "azure_ml", "data": {"attempt": "a", "name": "csada-abc"}}
PROFILES: list[dict[str, Any]] = [
    {
        "display_name": "On Fargate",
        "slug": "fargate",
        "backend": "fargate",
        "spawner_override": {
            "environment": {"WHERE": "fargate"},
            "cpu": lambda spawner: len(spawner.user.name) * 256,
            "default_url": "/lab",
        },
        "profile_options": {
            "image": {
                "choices": {
                    "base": {"spawner_override": {"task_definition": "base:1"}},
                    "science": {"spawner_override": {"task_definition": "science:1", "cluster": "big"}},
                }
            }
        },
    },
    {
        "display_name": "On Azure",
        "slug": "azure",
        "backend": "azure_ml",
        "spawner_override": {"vm_size": "Standard_NC6s_v3"},
    },
]
BOTH: dict[str, Any] = {
    "FargateSpawner": {"environment": {"FROM": "section"}, "storage": {"file_system_id": "fs-1"}},
    "AMLSpawner": {"subscription_id": "s", "resource_group": "g", "workspace": "w", "cmd": ["azure-lab"]},
    "CloudSpawner": {"profile_list": PROFILES, "storage_id": "homes"},
}
START = [["state", STATE], ["ack"], ["result", STARTED]]


@pytest.fixture(autouse=True)
def no_options_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudspawner.azure_ml._OPTIONS", OptionsCache())


async def start(spawner: Any, fake: Fake, **options: Any) -> dict[str, Any]:
    """Start with these options as the hub does; gives the request."""
    spawner.clear_state()
    spawner.user_options = options
    await spawner._run_apply_user_options(options)
    await spawner.start()
    params: dict[str, Any] = fake.sent("start")[-1]["params"]
    return params


@pytest.fixture
def both(make_spawner: MakeSpawner, fake: Fake) -> Any:
    """A spawner of a hub with both clouds."""
    fake.plays(start=START)
    return make_spawner(config=BOTH, kind=CloudSpawner)


async def test_the_profile_decides_the_cloud_and_what_it_sets(both: Any, fake: Fake) -> None:
    params = await start(both, fake, profile="fargate", image="science")
    run_task = params["config"]["run_task"]
    assert params["backend"] == "fargate"
    assert (run_task["taskDefinition"], run_task["cluster"]) == ("science:1", "big")
    assert run_task["overrides"] == {"cpu": "768"}
    assert params["config"]["storage"] == {"file_system_id": "fs-1"}
    assert {"WHERE": "fargate", "FROM": "section"}.items() <= params["spec"]["env"].items()
    assert both.start_timeout == 300
    state = both.get_state()
    assert (state["backend"], state["profile"]) == ("fargate", {"profile": "fargate", "image": "science"})


async def test_a_second_choice_finds_nothing_of_the_first(both: Any, fake: Fake) -> None:
    await start(both, fake, profile="fargate", image="science")
    params = await start(both, fake, profile="azure")
    assert (params["backend"], params["config"]["vm_size"]) == ("azure_ml", "Standard_NC6s_v3")
    assert not {"WHERE", "FROM"} & set(params["spec"]["env"])
    assert (both.start_timeout, params["spec"]["command"], both.default_url) == (900, ["azure-lab"], "")
    params = await start(both, fake)
    assert params["config"]["run_task"]["taskDefinition"] == "base:1"
    assert params["config"]["run_task"]["cluster"] == "hub"
    assert params["spec"]["command"] == ["jupyterhub-singleuser"]
    assert PROFILES[0]["spawner_override"]["environment"] == {"WHERE": "fargate"}


async def test_what_is_not_offered_starts_nothing_and_is_not_kept_for_the_next_time(both: Any, fake: Fake) -> None:
    both.orm_spawner.user_options = {"profile": "nowhere"}
    with pytest.raises(ChoiceRefused, match="profile 'nowhere' is not offered; choose one of fargate, azure"):
        await start(both, fake, profile="nowhere")
    assert both.orm_spawner.user_options is None
    with pytest.raises(ChoiceRefused, match="there is no option 'cpu' here"):
        await start(both, fake, profile="fargate", cpu="1024")
    with pytest.raises(ChoiceRefused, match="there is no option 'image' here"):
        await start(both, fake, profile="azure", image="base")
    assert not fake.sent()
    assert await both.poll() == 1


async def test_profiles_of_groups_are_for_their_members(make_spawner: MakeSpawner, fake: Fake) -> None:
    listed = [PROFILES[0], {**PROFILES[1], "groups": ["ml"]}]
    ada: Any = make_spawner(config={**BOTH, "CloudSpawner": {"profile_list": listed}}, kind=CloudSpawner)
    assert "On Azure" not in await ada.get_options_form()
    with pytest.raises(ChoiceRefused, match=r"'azure' is not offered; choose one of fargate$"):
        await start(ada, fake, profile="azure")
    with pytest.raises(ChoiceRefused):
        await ada.run_options_from_form({"profile": ["azure"]})
    ada.user.groups.append(orm.Group(name="ml"))
    assert "On Azure" in await ada.get_options_form()


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_function_may_give_the_list(make_spawner: MakeSpawner, fake: Fake, is_async: bool) -> None:
    def plain(spawner: Any) -> list[dict[str, Any]]:
        return [{"display_name": f"For {spawner.user.name}", "backend": "azure_ml"}]

    async def later(spawner: Any) -> list[dict[str, Any]]:
        await asyncio.sleep(0)
        return plain(spawner)

    fake.plays(start=START)
    config = {**BOTH, "CloudSpawner": {"profile_list": later if is_async else plain}}
    spawner: Any = make_spawner(config=config, kind=CloudSpawner)
    assert "For ada" in await spawner.get_options_form()
    assert (await start(spawner, fake))["backend"] == "azure_ml"


async def test_a_hub_with_both_clouds_needs_profiles(make_spawner: MakeSpawner, fake: Fake) -> None:
    spawner: Any = make_spawner(kind=CloudSpawner)
    with pytest.raises(ConfigurationError, match=r"CloudSpawner\.profile_list"):
        await start(spawner, fake)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ({"vm_sise": "x"}, "'vm_sise' cannot be set; did you mean 'vm_size'?"),
        ({"hub_id": "other"}, "'hub_id' cannot be set"),
        ({"start_timeout": "soon"}, "start_timeout"),
    ],
)
async def test_an_override_that_cannot_be_is_told_to_the_admin(
    make_spawner: MakeSpawner, fake: Fake, override: dict[str, Any], said: str
) -> None:
    listed = [{**PROFILES[1], "spawner_override": override}]
    spawner: Any = make_spawner(config={**BOTH, "CloudSpawner": {"profile_list": listed}}, kind=CloudSpawner)
    with pytest.raises(ConfigurationError) as caught:
        await start(spawner, fake)
    assert said in str(caught.value)
    assert not fake.sent()


async def test_a_function_is_a_value_where_the_trait_takes_functions(make_spawner: MakeSpawner, fake: Fake) -> None:
    fake.plays(start=START)
    listed = [
        {"display_name": "A", "spawner_override": {"get_run_task_args": lambda spawner: {"cluster": spawner.user.name}}}
    ]
    spawner = make_spawner(profile_list=listed)
    assert (await start(spawner, fake, profile="a"))["config"]["run_task"] == {"cluster": "ada"}


async def test_sizes_of_azure_are_an_option_of_its_profiles_that_set_none(
    make_spawner: MakeSpawner, fake: Fake
) -> None:
    told = {"projects": [], "sizes": {"westeurope": [{"name": "Standard_DS11_v2", "vcpus": 2}]}}
    fake.plays(start=START, options=told)
    listed = [PROFILES[1], {"display_name": "Choose", "backend": "azure_ml"}]
    config = {
        "CloudSpawner": {"profile_list": listed},
        "AMLSpawner": {**BOTH["AMLSpawner"], "sizes": {"Small": "Standard_DS11_v2"}, "location": "westeurope"},
    }
    spawner: Any = make_spawner(config=config, kind=CloudSpawner)
    html = await spawner.get_options_form()
    assert 'name="profile-option-choose--size"' in html
    assert 'name="profile-option-azure--size"' not in html
    sent = {"profile": ["choose"], "profile-option-choose--size": ["Small"]}
    options = await spawner.run_options_from_form(sent)
    assert options == {"profile": "choose", "size": "Small"}
    assert (await start(spawner, fake, **options))["config"]["vm_size"] == "Standard_DS11_v2"
    assert (await start(spawner, fake, profile="azure"))["config"]["vm_size"] == "Standard_NC6s_v3"
    with pytest.raises(ChoiceRefused, match="size 'XL' is not offered there"):
        await spawner.run_options_from_form({**sent, "profile-option-choose--size": ["XL"]})
    assert len(fake.sent("options")) == 1


async def test_a_cloud_that_cannot_tell_its_options_keeps_nobody_from_the_other(
    make_spawner: MakeSpawner, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudspawner.choosing._OWN_OPTIONS_SECONDS", 0.05)
    fake.plays(start=START, options=[["cancelled"]])
    config = {**BOTH, "AMLSpawner": {**BOTH["AMLSpawner"], "choose_project": True}}
    spawner: Any = make_spawner(config=config, kind=CloudSpawner)
    html = await spawner.get_options_form()
    assert "Please try again in a minute" in html
    assert (await start(spawner, fake, profile="fargate"))["backend"] == "fargate"


async def test_a_restarted_hub_polls_with_the_chosen_profile(make_spawner: MakeSpawner, fake: Fake, both: Any) -> None:
    await start(both, fake, profile="fargate", image="science")
    both.orm_spawner.state = both.get_state()
    again: Any = make_spawner(config=BOTH, kind=CloudSpawner)
    assert await again.poll() is None
    (params,) = (frame["params"] for frame in fake.sent("poll"))
    assert (params["backend"], params["config"]["clusters"]) == ("fargate", ["big"])
    assert again.get_state() == both.get_state()
    await again.stop()
    assert fake.sent("stop")[0]["params"]["backend"] == "fargate"


@pytest.mark.parametrize("profile", [{"profile": "gone"}, None, "azure", {"profile": ["azure"]}])
async def test_a_profile_that_is_gone_strands_nobody(make_spawner: MakeSpawner, fake: Fake, profile: Any) -> None:
    spawner: Any = make_spawner(config=BOTH, kind=CloudSpawner)
    spawner.load_state({"cloud": AZURE_STATE, "url": URL, "profile": profile, "backend": "azure_ml"})
    assert await spawner.poll() is None
    await spawner.stop()
    assert {frame["params"]["backend"] for frame in fake.sent() if "params" in frame} == {"azure_ml"}
    assert fake.sent("stop")[0]["params"]["wait"] is True


async def test_the_state_of_a_hub_with_one_cloud_is_taken_over_by_both(make_spawner: MakeSpawner, fake: Fake) -> None:
    spawner: Any = make_spawner(config=BOTH, kind=CloudSpawner)
    spawner.load_state({"cloud": STATE_WITH_REF, "url": URL, "profile": None, "backend": "fargate"})
    assert await spawner.poll() is None
    assert fake.sent("poll")[0]["params"]["backend"] == "fargate"


async def test_gc_looks_on_both_clouds(make_spawner: MakeSpawner, fake: Fake) -> None:
    config = {**BOTH, "CloudSpawner": {**BOTH["CloudSpawner"], "hub_id": "prod", "gc_interval": 0.01}}
    spawner: Any = make_spawner(config=config, kind=CloudSpawner)
    await fake.was_sent("gc", 2)
    await spawner.gc()
    assert {frame["params"]["backend"] for frame in fake.sent("gc")} == {"fargate", "azure_ml"}


# In a real hub

HUB = {**BOTH, "JupyterHub": {"spawner_class": "cloudspawner.CloudSpawner"}}


async def test_the_rest_api_refuses_what_the_form_refuses_and_starts_nothing(make_hub: MakeHub, fake: Fake) -> None:
    hub = await make_hub(HUB)
    hub.tornado_settings["slow_spawn_timeout"] = hub.tornado_application.settings["slow_spawn_timeout"] = 30
    for options, said in [
        ({"profile": "<script>alert(1)</script>"}, "is not offered; choose one of fargate, azure"),
        ({"profile": "fargate", "image": 7}, "image must be a string, not int"),
        ({"profile": "fargate", "cpu": "4096"}, "there is no option 'cpu' here"),
    ]:
        answer = await hub.api("POST", "/users/ada/server", {"user_options": options})
        assert (answer.code, said in json.loads(answer.body)["message"]) == (400, True), answer.body
    assert not fake.sent("start")
    # What was refused is not the next start's choice.
    fake.plays(start=[["state", STATE], ["ack"], ["cancelled"], ["error", {"cleanup": "done"}]])
    hub.tornado_settings["slow_spawn_timeout"] = hub.tornado_application.settings["slow_spawn_timeout"] = 0.1
    assert (await hub.api("POST", "/users/ada/server")).code in (201, 202)
    await fake.was_sent("start")


@pytest.mark.parametrize("backend", ["fargate", "azure"])
async def test_a_hub_that_was_killed_knows_which_cloud_and_profile_a_server_has(
    make_hub: MakeHub,
    fake: Fake,
    server_url: str,
    backend: str,
) -> None:
    fake.plays(start=start_steps(server_url))
    hub = await make_hub(HUB)
    await hub.api("POST", "/users/ada/server", {"profile": backend})
    await until(lambda: hub.spawner().ready)
    await hub.die()
    fake.plays(poll={"phase": "running", "url": server_url})
    hub = await make_hub(HUB)
    await until(lambda: hub.spawner().ready)
    first = fake.sent("poll")[0]["params"]
    assert first["backend"] == {"fargate": "fargate", "azure": "azure_ml"}[backend]
    assert hub.spawner().default_url == ("/lab" if backend == "fargate" else "")
    await hub.api("DELETE", "/users/ada/server")
    await until(lambda: not hub.spawner().active)
    assert fake.sent("stop")[0]["params"]["backend"] == first["backend"]
