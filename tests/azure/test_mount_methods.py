"""Shares that the hub mounts by ssh on instances that run: through the program, with a real sshd that stands for theirs."""

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support import program
from support.azure import Azure
from support.binaries import REPOSITORY
from support.emulator import wait_until
from support.sshd import PROGRAM, Sshd

pytestmark = pytest.mark.skipif(not Path(PROGRAM).exists(), reason=f"NOT RUN: mounts by ssh: {PROGRAM} is not here")

Json = dict[str, Any]

SCRIPT = (REPOSITORY / "src/mount/azure_files/mount.sh").read_text()
KEY = base64.b64encode(b"the key of all homes").decode()


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """It listens."""
    with Sshd(tmp_path / "sshd") as running:
        yield running


@pytest.fixture
def azure(sshd: Sshd) -> Iterator[Azure]:
    """A local Azure with one storage account, whose instances tell of that sshd."""
    with Azure("--azure-storage-account", "homes") as running:
        running.azure_admin("settings", {"ssh": {"address": "127.0.0.1", "port": sshd.port, "user": sshd.user}})
        yield running


def config(azure: Azure, sshd: Sshd, **changes: object) -> Json:
    """The settings of the method; what is changed to None is left out."""
    files = {"key_file": str(sshd.key_file), "known_hosts_file": str(sshd.known_hosts)}
    storage = {"account": "homes", "method": "ssh", "ssh": files, "account_key_opens_every_share": True, **changes}
    storage = {name: value for name, value in storage.items() if value is not None}
    return azure.config(storage=storage, location=azure.azure["location"], ssh_public_key=sshd.public_key)


def credentials(azure: Azure, secret: str = f"AccountName=homes;AccountKey={KEY}") -> Json:
    """The hub's own, with the account's key; shares are had through the account itself."""
    return {**azure.credentials(), "storage": {"connection_string": f"{secret};FileEndpoint={azure.azure['management']}/"}}


def account_key(azure: Azure) -> str:
    """The key that the local Azure gave the account."""
    group = f"/subscriptions/{azure.azure['subscription']}/resourceGroups/{azure.azure['resource_group']}"
    keys = azure.arm("POST", f"{group}/providers/Microsoft.Storage/storageAccounts/homes/listKeys", {})
    return str(keys["keys"][0]["value"])


def start(azure: Azure, settings: Json, timeout_ms: int = 60_000, state: Json | None = None, **mount: object) -> program.Finished:
    """A start with the person's share mounted."""
    given = credentials(azure, f"AccountName=homes;AccountKey={account_key(azure)}")
    ask = azure.ask("start", timeout_ms, config=settings, credentials=given, state=state)
    ask["params"]["spec"]["mounts"] = [{"kind": "azure_files", "path": "~/userfiles", **mount}]
    return program.run("start", ask, azure.env())


def events(done: program.Finished) -> list[str]:
    """What the person who waits was told."""
    return [frame["message"] for frame in done.frames if frame["type"] == "event"]


def test_a_share_is_mounted_before_the_start_answers_and_its_key_goes_by_stdin_alone(azure: Azure, sshd: Sshd) -> None:
    done = start(azure, config(azure, sshd), read_only=True)
    assert done.result["url"]
    (share,) = azure.azure_admin("storage")["shares"]
    (command,) = sshd.commands
    words = "--account homes --share {} --mount-point ~/userfiles --server homes.file.core.windows.net --read-only"
    expected = " ".join(f"'{word}'" for word in words.format(share["name"]).split())
    assert f"bash -s -- {expected} '--credential' 'stdin' '--patience' '" in command
    key = account_key(azure)
    assert sshd.stdin == f"{SCRIPT}{key}\n"
    assert "Your files are being mounted" in events(done)
    assert key not in done.stdout + done.stderr + azure.request_log.read_text()
    # The instance has the key that lets the hub in, no script, and no identity.
    (body,) = azure.bodies("computes.put")
    inner = body["properties"]["properties"]
    assert inner["sshSettings"] == {"sshPublicAccess": "Enabled", "adminPublicKey": sshd.public_key}
    assert "setupScripts" not in inner
    assert "identity" not in body
    assert azure.azure_admin("storage")["assignments"] == []


def test_each_start_mounts_again_and_a_changed_host_key_gets_nothing(azure: Azure, sshd: Sshd) -> None:
    settings = config(azure, sshd)
    state = start(azure, settings).result["state"]
    for again in (2, 3):
        program.run("stop", azure.ask("stop", state=state, wait=True), azure.env()).result  # noqa: B018 - raises on an error
        state = start(azure, settings, state=state).result["state"]
        assert (len(sshd.commands), azure.azure_calls("computes.put")) == (again, 1)
    assert len(sshd.known_hosts.read_text().splitlines()) == 1
    program.run("stop", azure.ask("stop", state=state, wait=True), azure.env()).result  # noqa: B018
    sshd.__exit__(None, None, None)
    sshd.new_key("host_key")
    with sshd:
        error = start(azure, settings, state=state).error
        assert (error["code"], error["cleanup"]) == ("unauthenticated", "done")
        assert "another host key" in error["message"]
        assert len(sshd.commands) == 3
        # What this start had started is stopped again; its disk stays.
        assert {instance["state"] for instance in azure.instances()} <= {"Stopping", "Stopped"}


def test_an_instance_that_was_made_anew_is_no_changed_host(azure: Azure, sshd: Sshd) -> None:
    settings = {**config(azure, sshd), "on_stop": "delete"}
    state = start(azure, settings).result["state"]
    program.run("stop", azure.ask("stop", config=settings, state=state, wait=True), azure.env()).result  # noqa: B018
    sshd.__exit__(None, None, None)
    sshd.new_key("host_key")
    with sshd:
        assert start(azure, settings).result["url"]
    assert len(sshd.commands) == 2


def test_a_mount_that_fails_fails_the_start_with_its_reason_and_leaves_no_instance(azure: Azure, sshd: Sshd) -> None:
    sshd.answer(8, "error: the account homes has no share a-home")
    error = start(azure, config(azure, sshd)).error
    assert (error["code"], error["cleanup"]) == ("not_found", "done")
    assert "the account homes has no share a-home" in error["message"]
    assert {instance["state"] for instance in azure.instances()} <= {"Deleting", "Deleted"}


def test_a_mount_that_is_optional_is_told_and_the_start_goes_on(azure: Azure, sshd: Sshd) -> None:
    sshd.answer(6, "error: homes.file.core.windows.net cannot be reached at port 445")
    done = start(azure, config(azure, sshd), mount_optional=True)
    assert done.result["url"]
    assert "The storage at ~/userfiles is not there now; your server starts without it" in events(done)
    assert "cannot be reached at port 445" in done.stderr
    assert len(sshd.commands) == 1, "the script itself tries for as long as it may"


def test_a_key_that_the_instance_does_not_know_is_told(azure: Azure, sshd: Sshd) -> None:
    settings = config(azure, sshd)
    sshd.new_key("users_key")
    error = start(azure, settings).error
    assert error["code"] == "permission_denied"
    assert f"does not let {sshd.user} in by ssh" in error["message"]
    assert error["causes"] == []


def test_a_key_that_others_may_read_is_told_of(azure: Azure, sshd: Sshd) -> None:
    sshd.key_file.chmod(0o644)
    error = start(azure, config(azure, sshd)).error
    assert error["code"] == "permission_denied"
    assert "chmod 600" in error["causes"][0]


def test_an_sshd_that_comes_late_is_waited_for(azure: Azure, sshd: Sshd) -> None:
    sshd.__exit__(None, None, None)
    with ThreadPoolExecutor() as pool:
        started = pool.submit(start, azure, config(azure, sshd))
        wait_until(lambda: [instance["state"] for instance in azure.instances()] == ["Running"])
        with sshd:
            assert started.result().result["url"]
    assert len(sshd.commands) == 1


def test_an_sshd_that_never_comes_fails_the_start(azure: Azure, sshd: Sshd) -> None:
    sshd.__exit__(None, None, None)
    error = start(azure, config(azure, sshd), timeout_ms=8_000).error
    assert (error["code"], error["cleanup"]) == ("unavailable", "done")
    assert f"127.0.0.1:{sshd.port} cannot be reached by ssh" in error["message"]


def test_an_instance_on_behalf_of_a_person_lets_the_hub_not_in_and_is_not_made(azure: Azure, sshd: Sshd) -> None:
    ada = {"object_id": "00000000-0000-0000-0000-00000000ada0", "tenant_id": azure.azure["tenant"]}
    error = start(azure, {**config(azure, sshd), "assigned_user": ada}).error
    assert (error["code"], error["cleanup"]) == ("invalid_config", "none")
    assert "config.assigned_user" in error["message"]
    assert azure.instances() == []


def test_an_instance_whose_port_was_closed_at_its_creation_says_what_to_do(azure: Azure, sshd: Sshd) -> None:
    settings = config(azure, sshd)
    without = {**settings, "ssh_public_key": None}
    error = start(azure, without).error
    assert "config.ssh_public_key" in error["message"]
    state = program.run("start", azure.ask("start", config=azure.config()), azure.env()).result["state"]
    error = start(azure, settings, state=state).error
    assert error["code"] == "start_failed"
    assert "created with its SSH port closed" in error["message"]
    assert sshd.commands == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"account_key_opens_every_share": None}, "config.storage.method"),
        ({"ssh": None}, "config.storage.ssh"),
        ({"ssh": {"key_file": "/k"}}, "storage"),
        ({"ssh": {"key_file": "k", "known_hosts_file": "/h"}}, "config.storage.ssh.key_file"),
        ({"method": "telnet"}, "storage.method"),
    ],
)
def test_what_is_missing_for_ssh_is_told_before_anything_is_made(azure: Azure, sshd: Sshd, changes: Json, field: str) -> None:
    error = start(azure, config(azure, sshd, **changes)).error
    assert error["code"] == "invalid_config"
    assert field in error["message"]
    assert azure.instances() == azure.azure_admin("storage")["shares"] == []


def test_without_the_accounts_key_nothing_is_made(azure: Azure, sshd: Sshd) -> None:
    settings = config(azure, sshd)
    for given in (azure.credentials(), credentials(azure, "SharedAccessSignature=sig=canary")):
        ask = azure.ask("start", config=settings, credentials=given)
        ask["params"]["spec"]["mounts"] = [{"kind": "azure_files", "path": "~/userfiles"}]
        done = program.run("start", ask, azure.env())
        assert "AccountKey" in done.error["message"]
        assert "canary" not in done.stdout + done.stderr
    assert azure.instances() == []


def test_check_warns_of_a_key_that_opens_every_share(azure: Azure, sshd: Sshd) -> None:
    for method in ("ssh", "data_mounts"):
        asked = azure.ask("check", config=config(azure, sshd, method=method), credentials=credentials(azure))
        checks = {check["name"]: check for check in program.run("check", asked, azure.env()).result["checks"]}
        assert not checks["storage"]["ok"]
        assert "opens every share" in checks["storage"]["message"]
        assert checks["ssh"]["ok"]
        assert ("experiment" in checks["storage"]["message"]) == (method == "data_mounts")
    sshd.key_file.unlink()
    asked = azure.ask("check", config=config(azure, sshd), offline=True)
    checks = {check["name"]: check for check in program.run("check", asked, azure.env()).result["checks"]}
    assert "config.storage.ssh.key_file" in checks["ssh"]["message"]
