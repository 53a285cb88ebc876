"""File shares through the program: each person's own, never another's, found again by name and by mark."""

import base64
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from support import program
from support.azure import Azure

Json = dict[str, Any]


@pytest.fixture
def azure() -> Iterator[Azure]:
    """A local Azure with one storage account."""
    with Azure("--azure-storage-account", "homes") as running:
        yield running


def config(azure: Azure, **storage: object) -> Json:
    """The settings with storage."""
    return azure.config(storage={"account": "homes", **storage}, location=azure.azure["location"])


def share(azure: Azure, action: str, user: str = "ada", hub: str = "prod", **more: Any) -> program.Finished:
    """One request of the verb."""
    settings = more.pop("config", None) or config(azure)
    ask = azure.ask("share", action=action, user=user, hub=hub, storage_id="jupyterhub", config=settings, **more)
    return program.run("share", ask, azure.env())


def start(azure: Azure, user: str = "ada", settings: Json | None = None, **mount: object) -> program.Finished:
    """A start with the person's share mounted."""
    mounts = [{"kind": "azure_files", "path": "~/userfiles", "read_only": False, "per_user": True, **mount}]
    ask = azure.ask("start", config=settings or config(azure), server={"hub": "prod", "user": user, "name": ""})
    ask["params"]["spec"]["mounts"] = mounts
    return program.run("start", ask, azure.env())


def shares(azure: Azure) -> list[Json]:
    """Every share that there is."""
    found: list[Json] = azure.azure_admin("storage")["shares"]
    return found


def test_a_share_is_made_once_and_found_again(azure: Azure) -> None:
    made = share(azure, "ensure").result["share"]
    assert (made["kind"], made["created"]) == ("azure_files", True)
    assert share(azure, "ensure").result["share"] == {**made, "created": False}
    assert share(azure, "show").result["share"] == {**made, "created": False}
    (there,) = shares(azure)
    assert there["name"] == made["name"]
    assert there["quota_gib"] == 100
    assert sorted(there["metadata"].values()) == ["ada", "jupyterhub", "prod"]


def test_show_makes_nothing(azure: Azure) -> None:
    assert share(azure, "show").error["code"] == "not_found"
    assert shares(azure) == []


def test_two_at_once_make_one_share(azure: Azure) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: share(azure, "ensure").result["share"]["name"], range(4)))
    assert len(set(done)) == len(shares(azure)) == 1


@pytest.mark.parametrize("kind", ["reply_lost", "throttle", "error_503", "cut_before"])
def test_a_share_whose_making_was_disturbed_is_one_share(azure: Azure, kind: str) -> None:
    azure.azure_fault("shares.put", kind)
    assert share(azure, "ensure", timeout_ms=60_000).result["share"]["name"]
    assert len(shares(azure)) == 1


def test_names_that_look_alike_get_a_share_each(azure: Azure) -> None:
    users = ["ada", "Ada", "a.da", "a-da", "a--da", "áda", "ada ", "a" * 300]
    names = {share(azure, "ensure", user=user).result["share"]["name"] for user in users}
    assert len(names) == len(users) == len(shares(azure))


def test_a_share_of_another_hub_is_given_to_nobody_and_the_error_says_what_to_set(azure: Azure) -> None:
    share(azure, "ensure", hub="old")
    for action in ("ensure", "show", "delete"):
        error = share(azure, action, hub="new").error
        assert error["code"] == "conflict"
        assert 'hub_id = "old"' in error["message"]
        assert "nothing is lost" in error["user_message"]
    (there,) = shares(azure)
    assert "old" in there["metadata"].values()


def test_a_share_without_marks_is_given_to_nobody(azure: Azure) -> None:
    name = share(azure, "ensure").result["share"]["name"]
    azure.arm("PATCH", storage_path(azure, f"shares/{name}"), {"properties": {"metadata": {}}})
    error = share(azure, "ensure").error
    assert error["code"] == "conflict"
    assert "bears no mark" in error["message"]


def storage_path(azure: Azure, below: str) -> str:
    """A path below the account's file service."""
    group = f"/subscriptions/{azure.azure['subscription']}/resourceGroups/{azure.azure['resource_group']}"
    return f"{group}/providers/Microsoft.Storage/storageAccounts/homes/fileServices/default/{below}"


def test_a_renamed_person_keeps_the_share_and_a_newcomer_with_the_old_name_gets_another(azure: Azure) -> None:
    name = share(azure, "ensure").result["share"]["name"]
    assert share(azure, "rename", to="countess").result["share"]["name"] == name
    assert share(azure, "rename", to="countess").result["share"]["name"] == name
    assert share(azure, "ensure", user="countess").result["share"] == {"name": name, "kind": "azure_files", "created": False}
    newcomer = share(azure, "ensure").result["share"]
    assert newcomer["created"]
    assert newcomer["name"] == f"{name}-2"
    assert share(azure, "ensure").result["share"]["name"] == newcomer["name"]
    taken = share(azure, "rename", user="ada", to="countess").error
    assert taken["code"] == "conflict"
    assert share(azure, "rename", user="nobody", to="somebody").error["code"] == "not_found"


def test_delete_removes_the_share_and_the_identity_and_may_be_repeated(azure: Azure) -> None:
    start(azure).result  # noqa: B018 - raises where it is an error
    assert azure.azure_admin("storage")["identities"]
    share(azure, "delete").result  # noqa: B018
    share(azure, "delete").result  # noqa: B018
    world = azure.azure_admin("storage")
    assert (world["shares"], world["identities"]) == ([], [])


def test_a_server_mounts_its_persons_share_with_an_identity_that_opens_it_alone(azure: Azure) -> None:
    done = start(azure)
    assert done.result["url"]
    world = azure.azure_admin("storage")
    ((home,), (grant,)) = world["shares"], world["assignments"]
    assert grant["scope"].endswith(f"/storageAccounts/homes/fileServices/default/fileshares/{home['name']}")
    (body,) = azure.bodies("computes.put")
    assert body["identity"]["type"] == "UserAssigned"
    (path,) = body["identity"]["userAssignedIdentities"]
    assert path.rpartition("/")[2] == f"homes-{home['name']}"
    identity = azure.arm("GET", path, version="2023-01-31")["properties"]
    assert grant["principal_id"] == identity["principalId"]
    script = startup_script(body)
    words = words_of(script)
    assert words[words.index("--share") + 1] == home["name"]
    assert words[words.index("--client-id") + 1] == identity["clientId"]
    assert words[words.index("--mount-point") + 1] == "~/userfiles"
    other = start(azure, user="bob")
    assert other.result["url"]
    assert len({grant["principal_id"] for grant in azure.azure_admin("storage")["assignments"]}) == 2


def words_of(script: str) -> list[str]:
    """What reaches the script that mounts, by way of a shell whose user is root."""
    line = next(line for line in script.splitlines() if line.startswith('bash "$mount"'))
    show = line.replace('bash "$mount"', "printf '%s\\n'").removesuffix(" || exit")
    return subprocess.run(
        ["bash", "-c", show], env={"HOME": "/root"}, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def startup_script(body: Json) -> str:
    """What runs at each start of the instance."""
    scripts = body["properties"]["properties"]["setupScripts"]["scripts"]
    return base64.b64decode(scripts["startupScript"]["scriptData"]).decode()


def test_the_admins_own_script_runs_after_the_mount_and_no_secret_is_in_it(azure: Azure) -> None:
    settings = {**config(azure), "startup_script": "#!/bin/sh\necho 'mine'\n"}
    start(azure, settings=settings).result  # noqa: B018
    (body,) = azure.bodies("computes.put")
    script = startup_script(body)
    assert base64.b64encode(b"#!/bin/sh\necho 'mine'\n").decode() in script
    assert script.rstrip().endswith('exec "$own"')
    assert "azure-secret" not in script


def test_a_start_whose_share_cannot_be_had_fails_with_the_reason_before_any_instance(azure: Azure) -> None:
    settings = config(azure)
    settings["storage"]["account"] = "elsewhere"
    error = start(azure, settings=settings).error
    assert error["code"] == "not_found"
    assert "share" in error["context"]["operation"]
    assert azure.instances() == []
    assert start(azure, settings=settings, mount_optional=True).result["url"]


def test_the_accounts_key_is_handed_out_only_where_the_admin_said_what_it_opens(azure: Azure) -> None:
    secret = "https://vault.vault.azure.net/secrets/key"
    error = start(azure, settings=config(azure, credential="key_vault", vault_secret=secret)).error
    assert error["code"] == "invalid_config"
    assert "opens everybody's share" in error["message"]
    assert shares(azure) == []


@pytest.mark.parametrize(
    ("mount", "field"),
    [
        ({"kind": "efs"}, "spec.mounts[0].kind"),
        ({"path": "/a;rm"}, "spec.mounts[0].path"),
        ({"per_user": False}, "spec.mounts[0].share"),
        ({"per_user": False, "share": "cs-someones"}, "spec.mounts[0].share"),
    ],
)
def test_bad_mounts_name_the_field_and_create_nothing(azure: Azure, mount: Json, field: str) -> None:
    error = start(azure, **mount).error
    assert error["code"] == "invalid_config"
    assert field in error["message"]
    assert shares(azure) == azure.instances() == []


def test_mounts_without_storage_say_so(azure: Azure) -> None:
    error = start(azure, settings=azure.config()).error
    assert "config.storage" in error["message"]


def test_a_share_for_all_is_mounted_read_only_and_not_made(azure: Azure) -> None:
    azure.arm("PUT", storage_path(azure, "shares/course"), {"properties": {"shareQuota": 5}})
    start(azure, per_user=False, share="course", read_only=True, path="/data").result  # noqa: B018
    assert [s["name"] for s in shares(azure)] == ["course"]
    (body,) = azure.bodies("computes.put")
    assert "--share course --mount-point /data" in startup_script(body)
    assert "--read-only" in startup_script(body)


def test_check_tells_of_the_account_and_of_a_key_that_opens_too_much(azure: Azure) -> None:
    def checks(settings: Json) -> dict[str, Json]:
        done = program.run("check", azure.ask("check", config=settings), azure.env())
        return {check["name"]: check for check in done.result["checks"]}

    good = checks(config(azure))
    assert good["storage"]["ok"]
    assert good["read the storage account"]["ok"]
    secret = f"{azure.azure['management']}/secrets/key"
    identity = {"vault_secret": secret, "vault_identity": "/subscriptions/x"}
    bad = checks(config(azure, credential="key_vault", account_key_opens_every_share=True, **identity))
    assert not bad["storage"]["ok"]
    assert "every share" in bad["storage"]["message"]
    assert not checks(config(azure, account="elsewhere"))["read the storage account"]["ok"]


@pytest.fixture(params=["sas", "connection_string", "connection_string_with_sas"])
def by_the_account(azure: Azure, request: pytest.FixtureRequest) -> Json:
    """Credentials that reach the account itself, as the predecessor's .env has them."""
    path = storage_path(azure, "").partition("/fileServices")[0]
    key = azure.arm("POST", f"{path}/listKeys", {})["keys"][0]["value"]
    sas = account_sas("homes", key)
    endpoint = f"FileEndpoint={azure.azure['management']}/"
    secret = {
        "sas": {"connection_string": f"{endpoint};SharedAccessSignature={sas}"},
        "connection_string": {"connection_string": f"AccountName=homes;AccountKey={key};{endpoint}"},
        "connection_string_with_sas": {"connection_string": f"{endpoint};SharedAccessSignature=?{sas}"},
    }[request.param]
    return {**azure.credentials(), "storage": secret}


def account_sas(account: str, key: str) -> str:
    """A shared access signature by Microsoft's own client."""
    shared = pytest.importorskip("azure.storage.fileshare")
    until = datetime.now(timezone.utc) + timedelta(hours=1)
    permission = shared.AccountSasPermissions(read=True, write=True, delete=True, list=True, create=True)
    types = shared.ResourceTypes(service=True, container=True)
    return str(shared.generate_account_sas(account, key, types, permission, until))


def test_shares_can_be_had_from_the_account_itself(azure: Azure, by_the_account: Json) -> None:
    made = share(azure, "ensure", credentials=by_the_account).result["share"]
    assert made["created"]
    assert share(azure, "ensure", credentials=by_the_account).result["share"] == {**made, "created": False}
    # Both ways lead to the same share, and see the same marks.
    assert share(azure, "show").result["share"]["name"] == made["name"]
    assert share(azure, "rename", to="countess", credentials=by_the_account).result["share"]["name"] == made["name"]
    assert share(azure, "show", user="countess", credentials=by_the_account).result["share"]["name"] == made["name"]
    assert share(azure, "ensure", credentials=by_the_account).result["share"]["name"] == f"{made['name']}-2"
    other = share(azure, "ensure", hub="other", user="countess", credentials=by_the_account).error
    assert other["code"] == "conflict"
    share(azure, "delete", user="countess", credentials=by_the_account).result  # noqa: B018
    assert [s["name"] for s in shares(azure)] == [f"{made['name']}-2"]
    secret = by_the_account["storage"]["connection_string"]
    assert secret.partition("Key=")[2].partition(";")[0] not in str(made) + other["message"] or "Key=" not in secret


@pytest.mark.parametrize(
    "secret",
    [
        {"sas_token": "canary"},
        {"sas_token": 7},
        {"connection_string": "AccountName=other;AccountKey=Y2FuYXJ5"},
        {"connection_string": "canary"},
        {"connection_string": "AccountKey=canary!;FileEndpoint=https://homes.file.core.windows.net"},
        {"connection_string": "FileEndpoint=http://elsewhere.example;SharedAccessSignature=sig=canary"},
        {},
        {"key": "canary"},
    ],
)
def test_a_bad_storage_secret_is_refused_and_not_repeated(azure: Azure, secret: Json) -> None:
    done = share(azure, "ensure", credentials={**azure.credentials(), "storage": secret})
    assert done.error["code"] == "invalid_config"
    assert "credentials.storage" in done.error["message"]
    assert "canary" not in done.stdout + done.stderr
    assert "Y2FuYXJ5" not in done.stdout + done.stderr


def test_another_persons_server_cannot_mount_the_share_whatever_it_runs() -> None:
    delays = "creating=60,setting_up=0,user_setting_up=20,deleting=50"
    with Azure("--azure-storage-account", "homes", run="process", delays=delays) as azure:
        own = {"kind": "azure_files", "path": "~/userfiles"}
        names = {user: share(azure, "ensure", user=user).result["share"]["name"] for user in ("ada", "mallory")}
        ask = azure.ask("start", 1_000, config=config(azure), server={"hub": "prod", "user": "mallory", "name": ""})
        ask["params"]["spec"]["mounts"] = [own]
        program.run("start", ask, azure.env())
        (body,) = azure.bodies("computes.put")
        (identity,) = body["identity"]["userAssignedIdentities"]
        client_id = azure.arm("GET", identity, version="2023-01-31")["properties"]["clientId"]
        # Whoever is root on a machine can run this line, with the one identity that the machine has.
        line = f'bash "$mount" --account homes --share {names["ada"]} --mount-point ~/stolen --client-id {client_id}'
        stolen = config(azure) | {"startup_script": f"{line}\n", "managed_identities": [identity], "name_suffix": "x"}
        ask = azure.ask("start", config=stolen, server={"hub": "prod", "user": "mallory", "name": "second"})
        error = program.run("start", ask, azure.env()).error
        assert error["code"] == "start_failed"
        assert "the server refuses the credential" in error["message"]


def test_a_persons_start_makes_the_share_with_the_secret_of_the_hubs_own_part(azure: Azure, by_the_account: Json) -> None:
    token = azure.sign_in("ada")["access_token"]
    credentials = {**azure.person(assertion=token), "service": by_the_account}
    settings = {**config(azure), "identity": "user"}
    ask = azure.ask("start", config=settings, credentials=credentials)
    ask["params"]["spec"]["mounts"] = [{"kind": "azure_files", "path": "~/userfiles"}]
    assert program.run("start", ask, azure.env()).result["url"]
    assert len(shares(azure)) == 1
    # Through the account itself, not through Resource Manager.
    assert azure.azure_calls("shares.put") == 0


def test_two_sets_of_homes_are_two_shares_and_one_identity_opens_both(azure: Azure) -> None:
    ask = azure.ask("start", config=config(azure))
    paths = [("~/userfiles", "jupyterhub"), ("~/course", "teaching"), ("~/again", "jupyterhub")]
    ask["params"]["spec"]["mounts"] = [
        {"kind": "azure_files", "path": path, "storage_id": storage_id} for path, storage_id in paths
    ]
    program.run("start", ask, azure.env()).result  # noqa: B018 - raises where it is an error
    named = {share["metadata"]["cloudspawner_storage_id"]: share["name"] for share in shares(azure)}
    assert sorted(named) == ["jupyterhub", "teaching"]
    (body,) = azure.bodies("computes.put")
    lines = [line.split() for line in startup_script(body).splitlines() if line.startswith('bash "$mount"')]
    mounted = [words[words.index("--share") + 1] for words in lines]
    assert mounted == [named["jupyterhub"], named["teaching"], named["jupyterhub"]]
    assert len(azure.azure_admin("storage")["assignments"]) == 2
    assert len(body["identity"]["userAssignedIdentities"]) == 1
