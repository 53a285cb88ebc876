"""Workspaces: which there are to choose from, and one that is created where the admin allows it."""

from collections.abc import Iterator

import pytest

from support import program
from support.azure import Azure


@pytest.fixture
def azure() -> Iterator[Azure]:
    """A local Azure with two workspaces."""
    with Azure("--azure-workspace", "lab", "--azure-workspace", "teaching") as running:
        yield running


def start(azure: Azure, **changes: object) -> program.Finished:
    """One start with these changes of the config."""
    return program.run("start", azure.ask("start", config=azure.config(**changes)), azure.env())


def options(azure: Azure, **changes: object) -> program.Finished:
    """What there is to choose from."""
    settings = {"vm_size": None, "workspace": None, **changes}
    return program.run("options", azure.ask("options", config=azure.config(**settings)), azure.env())


def test_options_tell_the_workspaces_and_the_sizes_of_their_regions(azure: Azure) -> None:
    told = options(azure).result
    assert [p["workspace"] for p in told["projects"]] == ["lab", "teaching"]
    (region,) = {p["location"] for p in told["projects"]}
    names = [size["name"] for size in told["sizes"][region]]
    assert "Standard_DS11_v2" in names
    assert all(size["vcpus"] and size["memory_gib"] for size in told["sizes"][region])
    whole = options(azure, resource_group=None).result
    assert whole == told


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"subscription_id": None}, "invalid_config"),
        ({"resource_group": "a/../b"}, "invalid_config"),
        ({"resource_group": "nowhere"}, "not_found"),
    ],
)
def test_options_that_cannot_be_had_are_an_error(azure: Azure, change: dict[str, object], code: str) -> None:
    assert options(azure, **change).error["code"] == code


def test_a_backend_without_a_choice_says_so(azure: Azure) -> None:
    ask = {"v": 1, "params": {"backend": "fargate", "config": {"region": "eu-west-1"}}}
    assert program.run("options", ask, azure.env()).error["code"] == "bad_request"


EVERYWHERE = [
    [{"resource_group": "notebooks", "workspace": "teaching"}],
    ["TEACHING", "lab", {"workspace": "Teaching"}],
    [{}],
    [{"resource_group": "notebooks"}],
]


@pytest.mark.parametrize("elsewhere", EVERYWHERE)
def test_gc_and_list_look_in_every_workspace_that_the_settings_name(azure: Azure, elsewhere: list[object]) -> None:
    refs = {start(azure, workspace=name).result["state"]["data"]["ref"] for name in ("lab", "teaching")}
    config = azure.config(workspaces=elsewhere)
    listed = program.run("list", azure.ask("list", config=config, hub="prod"), azure.env()).result["servers"]
    assert sorted(server["ref"] for server in listed) == sorted(refs)
    ask = azure.ask("gc", config=config, hub="prod", keep=[], min_age_ms=0, apply=True)
    done = program.run("gc", ask, azure.env()).result
    assert (sorted(done["removed"]), done["errors"]) == (sorted(refs), [])


def test_a_workspace_that_cannot_be_looked_into_keeps_nobody_from_the_others(azure: Azure) -> None:
    ref = start(azure).result["state"]["data"]["ref"]
    ask = azure.ask("gc", config=azure.config(workspaces=["nowhere"]), hub="prod", keep=[], min_age_ms=0, apply=True)
    done = program.run("gc", ask, azure.env()).result
    assert done["removed"] == [ref]
    assert [error["code"] for error in done["errors"]] == ["not_found"]


@pytest.mark.parametrize(
    ("elsewhere", "named"), [(["a/b"], "config.workspace"), ([{"group": "x"}], "config.workspaces"), ("lab", "config.workspaces")]
)
def test_a_wrong_place_is_refused_by_name(azure: Azure, elsewhere: object, named: str) -> None:
    ask = azure.ask("gc", config=azure.config(workspaces=elsewhere), hub="prod", keep=[])
    error = program.run("gc", ask, azure.env()).error
    assert (error["code"], named in error["message"]) == ("invalid_config", True)


def test_a_workspace_that_is_not_there_is_created_only_where_the_admin_allows_it(azure: Azure) -> None:
    refused = start(azure, workspace="fresh").error
    assert refused["code"] == "not_found"
    assert "create_workspace" in refused["message"]
    location = azure.azure["location"]
    done = start(azure, workspace="fresh", create_workspace=True, location=location, tags={"team": "x"})
    assert done.result["url"]
    (body,) = azure.bodies("workspaces.put")
    assert body["tags"] == {"team": "x", "cloudspawner-hub": "prod"}
    assert azure.azure_calls("workspaces.put") == 1
    again = start(azure, workspace="fresh", create_workspace=True, location=location)
    assert again.result["url"]
    assert azure.azure_calls("workspaces.put") == 1


def test_a_workspace_whose_creation_lost_its_answer_is_used(azure: Azure) -> None:
    azure.azure_fault("workspaces.put", "reply_lost")
    done = start(azure, workspace="fresh", create_workspace=True, location=azure.azure["location"])
    assert done.result["url"]
    assert azure.azure_calls("workspaces.put") == 1


def test_an_instance_gets_all_that_the_settings_say(azure: Azure) -> None:
    done = start(
        azure,
        idle_shutdown=30,
        name_suffix="-dev",
        schedules=[{"action": "stop", "cron": "0 18 * * *"}],
        subnet="/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/s",
        ssh_public_key="ssh-rsa AAAA",
        managed_identities=["system"],
        creation_script="echo once",
        startup_script="echo each time",
        assigned_user={"object_id": "22222222-2222-2222-2222-222222222222", "tenant_id": azure.azure["tenant"]},
        properties={"enableNodePublicIp": False},
    )
    assert done.result["url"]
    (body,) = azure.bodies("computes.put")
    properties = body["properties"]["properties"]
    assert properties["idleTimeBeforeShutdown"] == "PT30M"
    (rule,) = properties["schedules"]["computeStartStop"]
    assert (rule["action"], rule["cron"]["expression"], rule["cron"]["timeZone"]) == ("Stop", "0 18 * * *", "UTC")
    assert properties["subnet"]["id"].endswith("/subnets/s")
    assert properties["sshSettings"] == {"sshPublicAccess": "Enabled", "adminPublicKey": "ssh-rsa AAAA"}
    assert set(properties["setupScripts"]["scripts"]) == {"creationScript", "startupScript"}
    assert properties["personalComputeInstanceSettings"]["assignedUser"]["tenantId"] == azure.azure["tenant"]
    assert properties["enableNodePublicIp"] is False
    assert body["identity"] == {"type": "SystemAssigned"}
    (instance,) = azure.instances()
    assert instance["name"].startswith("csadadev-h")


def test_a_creation_that_azure_gave_up_before_anybody_saw_it_is_told_by_its_operation(azure: Azure) -> None:
    # The instance is never listed: only the long operation knows.
    azure.azure_admin("settings", {"visible_after_ms": 3_600_000})
    azure.azure_fault("computes.put", "create_failed", code="QuotaExceeded", message="No cores are left.")
    error = start(azure).error
    assert (error["code"], error["cleanup"]) == ("quota_exceeded", "done")
    assert "No cores are left." in error["message"]
    assert error["context"]["cloud_code"] == "QuotaExceeded"
