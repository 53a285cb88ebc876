"""Created by the person, watched and stopped by the hub: tokens that a log-in left are exchanged for Resource Manager's."""

from collections.abc import Iterator

import pytest

from support import program
from support.azure import Azure


@pytest.fixture
def azure() -> Iterator[Azure]:
    """A local Azure whose instances run within 100 ms."""
    with Azure() as running:
        yield running


def start_as(azure: Azure, credentials: dict[str, object], **changes: object) -> program.Finished:
    """A start in a person's name."""
    config = azure.config(identity="user", **changes)
    return program.run("start", azure.ask("start", config=config, credentials=credentials), azure.env())


@pytest.mark.parametrize("kind", ["assertion", "refresh_token"])
def test_the_person_creates_and_the_hub_does_all_else(azure: Azure, kind: str) -> None:
    tokens = azure.sign_in("ada")
    token = tokens["access_token" if kind == "assertion" else "refresh_token"]
    # The person may create, and nothing else: whatever else the start asks goes in the hub's name.
    denied = [f"ada:Microsoft.MachineLearningServices/workspaces/computes/{verb}" for verb in ("read", "*/action", "delete")]
    azure.azure_admin("settings", {"deny": denied})
    done = start_as(azure, azure.person(**{kind: token}))
    state = done.result["state"]
    (instance,) = azure.instances()
    assert instance["owner"].startswith("ada@")
    for secret in (token, tokens["access_token"]):
        assert secret not in done.stdout + done.stderr
    # After the hub's restart the person's token is gone; its own identity watches and stops.
    servers = program.run("poll", azure.ask("poll", targets=[{"server": None, "state": state}]), azure.env()).result["servers"]
    assert servers[0]["phase"] == "running"
    stopped = program.run("stop", azure.ask("stop", state=state, wait=True), azure.env())
    assert stopped.result == {"phase": "exited", "cleanup": "done"}
    again = start_as(azure, azure.person(**{kind: token}))
    assert again.result["state"]["data"]["ref"] == state["data"]["ref"]


def test_two_people_get_an_instance_each_in_their_own_name(azure: Azure) -> None:
    for user in ("ada", "bob"):
        token = azure.sign_in(user)["access_token"]
        server = {"hub": "prod", "user": user, "name": ""}
        config = azure.config(identity="user")
        ask = azure.ask("start", config=config, credentials=azure.person(assertion=token), server=server)
        program.run("start", ask, azure.env()).result  # noqa: B018 - raises where it is an error
    assert sorted(i["owner"].split("@")[0] for i in azure.instances()) == ["ada", "bob"]


def test_without_the_hubs_own_credentials_the_persons_serve_for_the_whole_start(azure: Azure) -> None:
    token = azure.sign_in("ada")["access_token"]
    assert start_as(azure, azure.person(service=False, assertion=token)).result["url"]


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"consent_needed": ["ada"]}, "may not yet act for you"),
        ({"interaction_needed": ["ada"]}, "confirm who you are"),
    ],
)
def test_who_must_consent_or_log_in_again_is_told_so_and_nothing_is_created(
    azure: Azure, setting: dict[str, object], sentence: str
) -> None:
    token = azure.sign_in("ada")["access_token"]
    azure.azure_admin("settings", setting)
    error = start_as(azure, azure.person(assertion=token)).error
    assert (error["code"], error["retry"], error["cleanup"]) == ("unauthenticated", "after_fix", "none")
    assert sentence in error["user_message"]
    assert "AADSTS" in error["message"]
    assert azure.instances() == []


@pytest.mark.parametrize("kind", ["assertion", "refresh_token"])
def test_an_expired_log_in_is_told_to_the_person(azure: Azure, kind: str) -> None:
    azure.azure_admin("settings", {"token_lifetime_ms": 0, "refresh_token_lifetime_ms": 0})
    tokens = azure.sign_in("ada")
    azure.azure_admin("settings", {"token_lifetime_ms": 3_600_000})
    token = tokens["access_token" if kind == "assertion" else "refresh_token"]
    error = start_as(azure, azure.person(**{kind: token})).error
    assert error["code"] == "unauthenticated"
    assert "log in again" in error["user_message"]
    assert token not in str(error)
    assert azure.instances() == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"assertion": None}, "assertion or refresh_token"),
        ({"tenant_id": "a/../b"}, "credentials.tenant_id"),
        ({"client_secret": 7}, "user_assertion needs"),
        ({"service": {"kind": "magic"}}, "user_assertion needs"),
    ],
)
def test_bad_credentials_of_a_person_name_the_field(azure: Azure, change: dict[str, object], named: str) -> None:
    error = start_as(azure, {**azure.person(assertion="canary-token"), **change}).error
    assert error["code"] == "invalid_config"
    assert named in error["message"]
    assert "canary" not in str(error)


def test_a_persons_credentials_without_identity_user_are_refused(azure: Azure) -> None:
    ask = azure.ask("start", credentials=azure.person(assertion="x"))
    error = program.run("start", ask, azure.env()).error
    assert error["code"] == "invalid_config"
    assert "config.identity" in error["message"]
