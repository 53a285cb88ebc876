"""File shares, storage accounts, identities, roles and secrets: Resource Manager's side, raw and by Microsoft's own client."""

import urllib.parse
import uuid

import pytest
from azure_emulated import APP, SECRET

VERSION = "2023-05-01"
SHARE_CONTRIBUTOR = "69566ab7-960f-475b-8e7c-b3118f30c6bd"
SECRETS_OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
VAULT = "https://vault.azure.net"


class Storage:
    """The paths and calls that these tests repeat."""

    def __init__(self, emulator):
        self.emulator = emulator
        self.accounts = f"{emulator.group}/providers/Microsoft.Storage/storageAccounts"
        self.account = f"{self.accounts}/{emulator.ready['storage_account']}"
        self.shares = f"{self.account}/fileServices/default/shares"
        self.identities = f"{emulator.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
        self.vault = f"{emulator.group}/providers/Microsoft.KeyVault/vaults/{emulator.ready['key_vault']}"

    def call(self, method, path, body=None, **query):
        """A call of Resource Manager."""
        return self.emulator.arm(method, path, body, version=VERSION, **query)

    def put_share(self, name, **properties):
        """Asks for a share."""
        return self.call("PUT", f"{self.shares}/{name}", {"properties": properties})

    def identity(self, name):
        """A new user-assigned identity."""
        answer = self.call("PUT", f"{self.identities}/{name}", {"location": "eastus"})
        assert answer.status == 201
        return answer.json

    def assign(self, scope, role, principal, name=None, **more):
        """Asks for a role assignment."""
        path = f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name or uuid.uuid4()}"
        role = f"/subscriptions/{self.emulator.ready['subscription']}/providers/Microsoft.Authorization/roleDefinitions/{role}"
        properties = {"roleDefinitionId": role, "principalId": principal, "principalType": "ServicePrincipal", **more}
        return self.emulator.arm("PUT", path, {"properties": properties}, version="2022-04-01")

    def machine_token(self, resource, instance=None, **query):
        """What a machine's metadata service answers."""
        query = {"api-version": "2018-02-01", "resource": resource, **query}
        path = f"/instances/{instance}" if instance else ""
        path += f"/metadata/identity/oauth2/token?{urllib.parse.urlencode(query)}"
        return self.emulator.http("GET", path, headers={"Metadata": "true"})

    def secret(self, method, name, body=None, token=None):
        """A call of Key Vault."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.emulator.http(method, f"/secrets/{name}?api-version=7.4", body, headers=headers)


@pytest.fixture
def storage(emulator):
    return Storage(emulator)


# Shares


def test_a_share_is_made_once_and_stays_as_it_is(storage):
    first = storage.put_share("ada", shareQuota=5, accessTier="Hot", metadata={"hub": "prod", "user": "ada"})
    assert first.status == 201
    assert first.json["properties"]["shareQuota"] == 5
    again = storage.put_share("ada", shareQuota=6, metadata={"hub": "other"})
    assert (again.status, again.json["properties"]["metadata"]) == (200, {"hub": "prod", "user": "ada"})
    got = storage.call("GET", f"{storage.shares}/ada").json
    assert got == again.json
    assert got["id"] == f"{storage.shares}/ada"
    assert got["properties"]["enabledProtocols"] == "SMB"


def test_a_patch_changes_what_it_names_and_nothing_else(storage):
    made = storage.put_share("ada", shareQuota=5, metadata={"user": "ada"}).json
    patched = storage.call("PATCH", f"{storage.shares}/ada", {"properties": {"metadata": {"user": "lady"}}})
    assert patched.status == 200
    properties = patched.json["properties"]
    assert (properties["shareQuota"], properties["metadata"]) == (5, {"user": "lady"})
    assert patched.json["etag"] != made["etag"]
    missing = storage.call("PATCH", f"{storage.shares}/bob", {"properties": {}})
    assert (missing.status, missing.code) == (404, "ShareNotFound")


def test_shares_are_listed_in_pages_and_deleted_once(storage):
    names = sorted(f"share-{number}" for number in range(7))
    for name in names:
        storage.put_share(name)
    page = storage.call("GET", storage.shares, **{"$maxpagesize": 3}).json
    found = page["value"]
    while "nextLink" in page:
        page = storage.emulator.arm("GET", page["nextLink"], version=None).json
        found += page["value"]
    assert [share["name"] for share in found] == names
    assert storage.call("DELETE", f"{storage.shares}/share-0").status == 200
    assert storage.call("DELETE", f"{storage.shares}/share-0").status == 204
    gone = storage.call("GET", f"{storage.shares}/share-0")
    assert (gone.status, gone.code) == (404, "ShareNotFound")


@pytest.mark.parametrize(
    ("name", "properties", "code"),
    [
        ("ab", {}, "InvalidResourceName"),
        ("a--b", {}, "InvalidResourceName"),
        ("Ada", {}, "InvalidResourceName"),
        ("ada", {"shareQuota": 0}, "InvalidRequestPropertyValue"),
        ("ada", {"shareQuota": 102401}, "InvalidRequestPropertyValue"),
        ("ada", {"accessTier": "Premium"}, "InvalidRequestPropertyValue"),
        ("ada", {"enabledProtocols": "NFS"}, "InvalidRequestPropertyValue"),
        ("ada", {"metadata": {"a-b": "c"}}, "InvalidRequestPropertyValue"),
        ("ada", {"metadata": {"a": "é"}}, "InvalidRequestPropertyValue"),
    ],
)
def test_what_the_service_does_not_allow_is_refused(storage, name, properties, code):
    answer = storage.put_share(name, **properties)
    assert (answer.status, answer.code) == (400, code)


def test_writes_are_throttled_beyond_ten_a_second_and_reads_are_not(storage):
    storage.emulator.settings(quotas="documented")
    statuses = [storage.put_share(f"share-{number}").status for number in range(20)]
    assert statuses.count(201) >= 10
    refused = statuses.count(429)
    assert refused > 0
    answer = next(a for a in (storage.put_share("ada") for _ in range(50)) if a.status == 429)
    assert (answer.code, answer.headers["retry-after"]) == ("TooManyRequests", "1")
    assert storage.call("GET", storage.shares).status == 200


def test_whoever_is_denied_a_write_makes_no_share(storage):
    storage.emulator.settings(deny=[f"{APP}:Microsoft.Storage/storageAccounts/fileServices/shares/write"])
    answer = storage.put_share("ada")
    assert (answer.status, answer.code) == (403, "AuthorizationFailed")
    assert storage.emulator.admin("storage")["shares"] == []


def test_a_reply_that_is_lost_leaves_one_share(storage):
    storage.emulator.fault("shares.put", "reply_lost")
    with pytest.raises(OSError, match=r"reset|closed|without"):
        storage.put_share("ada")
    assert storage.put_share("ada").status == 200
    assert [share["name"] for share in storage.emulator.admin("storage")["shares"]] == ["ada"]


# Accounts


def test_an_account_is_made_and_its_keys_are_listed(storage):
    path = f"{storage.accounts}/adas"
    body = {"location": "eastus", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "tags": {"user": "ada"}}
    assert storage.call("GET", path).code == "ResourceNotFound"
    made = storage.call("PUT", path, body)
    assert made.status == 202
    account = storage.emulator.arm("GET", made.headers["location"], version=None).json
    assert (account["name"], account["properties"]["provisioningState"]) == ("adas", "Succeeded")
    refusing = storage.call("PUT", path, {**body, "properties": {"allowSharedKeyAccess": False}})
    assert (refusing.status, refusing.json["properties"]["allowSharedKeyAccess"]) == (200, False)
    keys = storage.call("POST", f"{path}/listKeys").json["keys"]
    assert [key["keyName"] for key in keys] == ["key1", "key2"]
    bad = storage.call("PUT", f"{storage.accounts}/Adas-1", body)
    assert (bad.status, bad.code) == (400, "AccountNameInvalid")


# Identities, roles and secrets


def test_an_identity_has_ids_that_stay_and_a_machine_gets_its_token(storage):
    made = storage.identity("cs-ada")
    again = storage.call("PUT", f"{storage.identities}/cs-ada", {"location": "eastus"})
    assert (again.status, again.json["properties"]) == (200, made["properties"])
    ids = made["properties"]
    for query in ({"client_id": ids["clientId"]}, {"object_id": ids["principalId"]}, {"msi_res_id": made["id"]}):
        answer = storage.machine_token("https://storage.azure.com", **query)
        assert (answer.status, answer.json["client_id"]) == (200, ids["clientId"])
    assert storage.machine_token(VAULT, client_id=str(uuid.uuid4())).status == 400


def test_an_instance_gets_no_token_of_an_identity_that_it_does_not_have(storage):
    emulator = storage.emulator
    ada, bob = (storage.identity(name) for name in ("cs-ada", "cs-bob"))
    body = {"computeType": "ComputeInstance", "properties": {"vmSize": "STANDARD_DS2_V2"}}
    identity = {"type": "UserAssigned", "userAssignedIdentities": {ada["id"]: {}}}
    whole = {"location": "eastus", "identity": identity, "properties": body}
    shown = emulator.arm("PUT", emulator.compute("adas-box"), whole).json
    assert shown["identity"]["userAssignedIdentities"][ada["id"]]["clientId"] == ada["properties"]["clientId"]
    own = storage.machine_token(VAULT, "adas-box")
    assert (own.status, own.json["client_id"]) == (200, ada["properties"]["clientId"])
    assert storage.machine_token(VAULT, "adas-box", client_id=bob["properties"]["clientId"]).status == 400
    assert storage.machine_token(VAULT, "adas-box", client_id=APP).status == 400
    assert storage.machine_token(VAULT, "no-box").status == 400


def test_a_users_identity_manages_nothing(storage):
    ids = storage.identity("cs-ada")["properties"]
    token = storage.machine_token("https://management.azure.com", client_id=ids["clientId"]).json["access_token"]
    for method, path in (("GET", storage.shares), ("POST", f"{storage.account}/listKeys")):
        answer = storage.emulator.arm(method, path, token=token, version=VERSION)
        assert (answer.status, answer.code) == (403, "AuthorizationFailed")


def test_a_role_is_assigned_once_to_a_principal_on_a_scope(storage):
    principal = storage.identity("cs-ada")["properties"]["principalId"]
    scope = f"{storage.account}/fileServices/default/fileshares/ada"
    name = str(uuid.uuid4())
    assert storage.assign(scope, SHARE_CONTRIBUTOR, principal, name).status == 201
    assert storage.assign(scope, SHARE_CONTRIBUTOR, principal, name).status == 200
    twice = storage.assign(scope, SHARE_CONTRIBUTOR, principal)
    assert (twice.status, twice.code) == (409, "RoleAssignmentExists")
    path = f"{scope}/providers/Microsoft.Authorization/roleAssignments"
    listed = storage.call("GET", path, **{"$filter": f"principalId eq '{principal}'"}).json["value"]
    assert [row["name"] for row in listed] == [name]
    assert storage.call("GET", f"{path}/{name}").json == listed[0]
    assert storage.call("DELETE", f"{path}/{name}").status == 200
    assert storage.call("DELETE", f"{path}/{name}").status == 204
    storage.emulator.settings(needs_principal_type=True)
    unknown = storage.assign(scope, SHARE_CONTRIBUTOR, principal, principalType=None)
    assert (unknown.status, unknown.code) == (400, "PrincipalNotFound")


def test_a_secret_is_read_by_whom_a_role_allows_it_and_nobody_else(storage):
    emulator = storage.emulator
    hub = emulator.token_answer(grant_type="client_credentials", scope=f"{VAULT}/.default").json["access_token"]
    denied = storage.secret("PUT", "adas-key", {"value": "hush"}, hub)
    assert (denied.status, denied.code) == (403, "Forbidden")
    assert storage.secret("GET", "adas-key").headers["www-authenticate"].startswith("Bearer authorization=")
    assert storage.secret("GET", "adas-key", token=emulator.token()).status == 401
    storage.assign(storage.vault, SECRETS_OFFICER, hub_object_id(hub))
    made = storage.secret("PUT", "adas-key", {"value": "hush", "contentType": "key"}, hub)
    assert (made.status, made.json["value"]) == (200, "hush")
    tokens = {}
    for name in ("ada", "bob"):
        ids = storage.identity(f"cs-{name}")["properties"]
        storage.assign(f"{storage.vault}/secrets/{name}s-key", SECRETS_USER, ids["principalId"])
        tokens[name] = storage.machine_token(VAULT, client_id=ids["clientId"]).json["access_token"]
    assert storage.secret("GET", "adas-key", token=tokens["ada"]).json["value"] == "hush"
    assert storage.secret("GET", "adas-key", token=tokens["bob"]).status == 403
    missing = storage.secret("GET", "bobs-key", token=tokens["bob"])
    assert (missing.status, missing.code) == (404, "SecretNotFound")


def hub_object_id(token):
    jwt = pytest.importorskip("jwt")
    return jwt.decode(token, options={"verify_signature": False})["oid"]


def test_microsofts_own_client_makes_and_finds_shares(storage):
    pytest.importorskip("azure.mgmt.storage")
    pytest.importorskip("azure.identity")
    from azure.identity import ClientSecretCredential
    from azure.mgmt.storage import StorageManagementClient, models
    from test_microsoft_client import ToEmulator

    emulator = storage.emulator
    credential = ClientSecretCredential(
        emulator.tenant, APP, SECRET, transport=ToEmulator(emulator.base), disable_instance_discovery=True
    )
    client = StorageManagementClient(
        credential, emulator.ready["subscription"], base_url=emulator.base,
        credential_scopes=["https://management.azure.com/.default"], polling_interval=0, retry_total=0,
    )  # fmt: skip
    plain = {"enforce_https": False}
    group = emulator.ready["resource_group"]
    sku = models.Sku(name="Standard_LRS")
    parameters = models.StorageAccountCreateParameters(sku=sku, kind="StorageV2", location="eastus")
    account = client.storage_accounts.begin_create(group, "adas", parameters, **plain).result(20)
    assert account.provisioning_state == "Succeeded"
    assert client.storage_accounts.get_properties(group, "adas", **plain).name == "adas"
    assert len(client.storage_accounts.list_keys(group, "adas", **plain).keys_property or []) == 2
    share = client.file_shares.create(group, "adas", "home", models.FileShare(share_quota=7), **plain)
    assert share.share_quota == 7
    changed = client.file_shares.update(group, "adas", "home", models.FileShare(metadata={"user": "ada"}), **plain)
    assert changed.metadata == {"user": "ada"}
    assert [item.name for item in client.file_shares.list(group, "adas", **plain)] == ["home"]
    assert client.file_shares.get(group, "adas", "home", **plain).share_quota == 7
    client.file_shares.delete(group, "adas", "home", **plain)
    assert list(client.file_shares.list(group, "adas", **plain)) == []
