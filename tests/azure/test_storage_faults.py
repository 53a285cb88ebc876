"""Homes on Azure when something goes wrong on the way: one share, one identity, and a reason."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from support import program
from support.azure import Azure
from support.emulator import wait_until

Json = dict[str, Any]

STEPS = ("shares.put", "identities.put", "role_assignments.put", "computes.put")
"""What a first start makes, in this order."""


@pytest.fixture
def azure() -> Iterator[Azure]:
    """A local Azure with one storage account."""
    with Azure("--azure-storage-account", "homes") as running:
        yield running


def start(azure: Azure, storage: Json | None = None, **changes: object) -> Json:
    """The request of a start with the person's share mounted."""
    config = azure.config(storage={"account": "homes", **(storage or {})}, location=azure.azure["location"])
    ask = azure.ask("start", config={**config, **changes})
    ask["params"]["spec"]["mounts"] = [{"kind": "azure_files", "path": "~/userfiles"}]
    return ask


def share(azure: Azure, credentials: Json, **storage: object) -> program.Finished:
    """Ada's share, made where it is not there."""
    config = azure.config(storage={"account": "homes", **storage}, location=azure.azure["location"])
    whose = {"hub": "prod", "user": "ada", "storage_id": "jupyterhub", "action": "ensure"}
    return program.run("share", azure.ask("share", 5_000, config=config, credentials=credentials, **whose), azure.env())


def counts(azure: Azure) -> list[int]:
    """How many shares, identities, assignments and living instances there are."""
    world = azure.azure_admin("storage")
    living = [instance for instance in azure.instances() if instance["state"] != "Deleted"]
    return [len(found) for found in (world["shares"], world["identities"], world["assignments"], living)]


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_and_run_again_there_is_one_of_each(azure: Azure, step: str) -> None:
    azure.azure_fault(step, "slow", delay_ms=2_000)
    request = start(azure)
    with program.Serve(azure.env()) as serve:
        number = serve.begin({**request, "ack": True})
        wait_until(lambda: azure.azure_calls(step) >= 1)
        states = [frame["state"] for frame in serve.frames_of(number) if frame["type"] == "state"]
        serve.signal(signal.SIGKILL)
        serve.wait()
    azure.azure_admin("faults", method="DELETE")
    again = {**request, "params": {**request["params"], "state": states[-1]}}
    assert program.run("start", again, azure.env()).result["url"]
    assert counts(azure) == [1, 1, 1, 1]


@pytest.mark.parametrize("kind", ["reply_lost", "cut_before", "throttle", "error_503"])
@pytest.mark.parametrize("step", STEPS[1:3])
def test_an_identity_or_role_whose_making_was_disturbed_is_one(azure: Azure, step: str, kind: str) -> None:
    azure.azure_fault(step, kind)
    assert program.run("start", start(azure), azure.env()).result["url"]
    assert counts(azure) == [1, 1, 1, 1]


def test_quota_and_tier_are_what_the_settings_say(azure: Azure) -> None:
    assert program.run("start", start(azure, {"quota_gib": 7, "tier": "Cool"}), azure.env()).result["url"]
    (body,) = azure.bodies("shares.put")
    made = {name: body["properties"][name] for name in ("shareQuota", "accessTier", "enabledProtocols")}
    assert made == {"shareQuota": 7, "accessTier": "Cool", "enabledProtocols": "SMB"}


def test_a_tier_that_the_account_has_not_is_told_in_azures_words(azure: Azure) -> None:
    error = program.run("start", start(azure, {"tier": "Premium"}), azure.env()).error
    assert (error["cleanup"], error["context"]["operation"]) == ("none", "arm:PUT share")
    assert error["retry"] != "later"
    assert counts(azure)[3] == 0


def test_an_account_that_refuses_keys_says_so_and_makes_nothing(azure: Azure) -> None:
    group = f"/subscriptions/{azure.azure['subscription']}/resourceGroups/{azure.azure['resource_group']}"
    account = f"{group}/providers/Microsoft.Storage/storageAccounts/homes"
    key = azure.arm("POST", f"{account}/listKeys", {})["keys"][0]["value"]
    shown = azure.arm("GET", account)
    same = {"location": shown["location"], "kind": shown["kind"], "sku": {"name": shown["sku"]["name"]}}
    azure.arm("PUT", account, {**same, "properties": {"allowSharedKeyAccess": False}})
    secret = {"connection_string": f"AccountName=homes;AccountKey={key};FileEndpoint={azure.azure['management']}/"}
    done = share(azure, {**azure.credentials(), "storage": secret})
    assert (done.error["code"], done.error["context"]["cloud_code"]) == (
        "permission_denied",
        "KeyBasedAuthenticationNotPermitted",
    )
    assert key not in done.stdout + done.stderr
    assert counts(azure) == [0, 0, 0, 0]
    # By its role, which needs no key, the hub still can.
    assert share(azure, azure.credentials()).result["share"]["created"]


def test_the_admin_is_told_of_single_sign_on_and_of_idleness(azure: Azure) -> None:
    person = {"object_id": "44444444-4444-4444-4444-444444444444", "tenant_id": azure.azure["tenant"]}
    done = program.run("start", start(azure, assigned_user=person, idle_shutdown="PT60M"), azure.env())
    assert done.result["url"]
    assert "switches single sign-on off" in done.stderr
    assert "its user switches it on in the studio" in done.stderr
    assert "Contributor on the workspace" in done.stderr


def test_thirty_first_homes_at_once_are_all_made_under_the_documented_limits(azure: Azure) -> None:
    azure.azure_admin("settings", {"quotas": "documented"})
    whose = {"config": start(azure)["params"]["config"], "hub": "prod", "storage_id": "jupyterhub", "action": "ensure"}
    with program.Serve(azure.env()) as serve:
        asked = [serve.begin(azure.ask("share", user=f"person-{n}", **whose)) for n in range(30)]
        names = {serve.last(number)["result"]["share"]["name"] for number in asked}
    assert len(names) == counts(azure)[0] == 30
    # Calls that left in time may arrive closer together.
    assert azure.azure_admin("calls")["throttled"] <= 2
