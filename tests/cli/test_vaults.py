"""`cloudspawner secret get` and `get_secret`: the value and nothing else, once, and an error that says what to do."""

import base64
import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cloudspawner import SecretError, get_secret, secrets

from support import binaries
from support.azure import Azure
from support.emulator import KEY, Emulator

SECRETS_OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
"""The built-in role Key Vault Secrets Officer."""
VALUE = "canary-7f3a-ü\n with a second line"
PROGRAM = binaries.find("cloudspawner", "CLOUDSPAWNER_PROGRAM")
Get = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def vault(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """AWS with secrets in it, in this process's environment."""
    hub = json.dumps({"api_token": VALUE, "port": 7})
    emulator.admin(
        "secrets", {"hub": {"SecretString": hub}, "/hub/token": {"SecretString": VALUE}, "key": {"SecretBinary": "AAA="}}
    )
    for name, value in emulator.env().items():
        monkeypatch.setenv(name, value)
    secrets._known.clear()
    yield emulator
    secrets._known.clear()


def get(emulator: Emulator, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Runs `secret get`."""
    command = [PROGRAM, "secret", "get", *arguments]
    return subprocess.run(command, env=emulator.env(**env), capture_output=True, text=True, timeout=30, check=False)


def test_the_value_is_all_of_stdout_and_stands_in_no_log_and_on_no_tape(vault: Emulator, tmp_path: Path) -> None:
    done = get(vault, "hub", "--key", "api_token", CLOUDSPAWNER_LOG="trace", CLOUDSPAWNER_RECORD=str(tmp_path / "tape"))
    assert (done.returncode, done.stdout) == (0, VALUE)
    assert "canary" not in done.stderr
    assert not [tape for tape in tmp_path.rglob("*") if tape.is_file() and "canary" in tape.read_text()]
    assert get(vault, "hub", "--key", "port").stdout == "7"
    assert json.loads(get(vault, "hub").stdout)["api_token"] == VALUE


def test_a_parameter_is_decrypted(vault: Emulator) -> None:
    assert get(vault, "/hub/token", "--store", "parameter-store").stdout == VALUE
    assert vault.bodies("GetParameter") == [{"Name": "/hub/token", "WithDecryption": True}]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "is not there"),
        (["/nothing", "--store", "parameter-store"], "is not there"),
        (["hub", "--key", "tokn"], 'has no key "tokn"; it has api_token, port'),
        (["key"], "is binary"),
        (["https://example.org/secrets/x"], "is no secret's URL"),
        (["https://x.vault.azure.net.example.org/secrets/x"], "is no secret's URL"),
    ],
)
def test_what_cannot_be_had_is_a_sentence_without_any_value(vault: Emulator, arguments: list[str], words: str) -> None:
    done = get(vault, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert "canary" not in done.stderr


def test_a_secret_that_may_not_be_read_is_told_with_the_permission(vault: Emulator) -> None:
    vault.fault("GetSecretValue", "access_denied")
    done = get(vault, "hub")
    assert "secretsmanager:GetSecretValue" in done.stderr
    assert "permission_denied" in done.stderr


def test_get_secret_asks_once_and_takes_credentials_that_stand_in_no_argument(vault: Emulator) -> None:
    program = [str(PROGRAM)]
    assert get_secret("hub", "api_token", program=program) == VALUE
    assert get_secret("hub", "api_token", program=program) == VALUE
    assert vault.calls("GetSecretValue") == 1
    own = {"kind": "static", "access_key_id": KEY[0], "secret_access_key": KEY[1]}
    assert get_secret("hub", "port", credentials=own, program=program) == "7"
    wrong = {**own, "secret_access_key": "canary-of-a-key"}
    with pytest.raises(SecretError) as refused:
        get_secret("hub", "port", credentials=wrong, program=program)
    assert "canary" not in str(refused.value)


def test_a_secret_of_azure_key_vault_is_read_by_its_url_by_whom_a_role_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets._known.clear()
    with Azure() as azure:
        for name, value in azure.env(AZURE_AUTHORITY_HOST=azure.azure["authority"]).items():
            monkeypatch.setenv(name, value)

        def read(name: str) -> str:
            url = f"{azure.azure['management']}/secrets/{name}"
            return get_secret(url, credentials=azure.credentials(), program=[str(PROGRAM)])

        with pytest.raises(SecretError, match="Key Vault Secrets User"):
            read("db-password")
        claims = azure.bearer("https://vault.azure.net").split(".")[1]
        oid = json.loads(base64.urlsafe_b64decode(claims + "=="))["oid"]
        group = f"/subscriptions/{azure.azure['subscription']}/resourceGroups/{azure.azure['resource_group']}"
        role = f"/subscriptions/{azure.azure['subscription']}/providers/Microsoft.Authorization/roleDefinitions/{SECRETS_OFFICER}"
        scope = f"{group}/providers/Microsoft.KeyVault/vaults/{azure.azure['key_vault']}"
        properties = {"roleDefinitionId": role, "principalId": oid, "principalType": "ServicePrincipal"}
        path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
        azure.arm("PUT", path, {"properties": properties}, version="2022-04-01")
        azure.arm("PUT", "/secrets/db-password", {"value": VALUE}, version="7.4")
        assert read("db-password") == VALUE
        with pytest.raises(SecretError, match="is not there"):
            read("other")
