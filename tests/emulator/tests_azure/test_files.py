"""The files of a share: Microsoft's own client with a key, a signature and a token, and what each opens."""

import datetime

import pytest
from test_storage import SHARE_CONTRIBUTOR, Storage

share_client = pytest.importorskip("azure.storage.fileshare")

from azure.core.credentials import AccessToken  # noqa: E402
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError  # noqa: E402

READER = "b8eda974-7b85-4f76-af95-65846b26df6d"


class Token:
    """A credential that has one token."""

    def __init__(self, token):
        self.token = token

    def get_token(self, *_, **__):
        """The token, for an hour."""
        return AccessToken(self.token, int(datetime.datetime.now().timestamp()) + 3600)


@pytest.fixture
def storage(emulator):
    return Storage(emulator)


@pytest.fixture
def name(storage):
    return storage.emulator.ready["storage_account"]


@pytest.fixture
def key(storage):
    return storage.call("POST", f"{storage.account}/listKeys").json["keys"][0]["value"]


@pytest.fixture
def service(storage, name, key):
    credential = {"account_name": name, "account_key": key}
    return share_client.ShareServiceClient(storage.emulator.base, credential=credential, retry_total=0)


def share(storage, share_name, credential):
    """A client of one share; a token is only sent by https unless told otherwise."""
    more = {"token_intent": "backup"} if isinstance(credential, Token) else {}
    return share_client.ShareClient(storage.emulator.base, share_name, credential=credential, retry_total=0, **more)


def refused(call, code):
    with pytest.raises(HttpResponseError) as caught:
        call()
    assert caught.value.error_code == code, caught.value


def soon():
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)


def test_a_share_by_key_has_metadata_a_quota_and_files(service, storage):
    home = service.create_share("ada", metadata={"user": "ada"}, quota=5)
    with pytest.raises(ResourceExistsError):
        service.create_share("ada")
    assert home.get_share_properties().metadata == {"user": "ada"}
    home.set_share_metadata({"user": "lady"})
    home.set_share_quota(6)
    properties = home.get_share_properties()
    assert (properties.metadata, properties.quota) == ({"user": "lady"}, 6)
    assert storage.call("GET", f"{storage.shares}/ada").json["properties"]["metadata"] == {"user": "lady"}
    assert [item.name for item in service.list_shares(include_metadata=True)] == ["ada"]
    directory = home.create_directory("work")
    file = directory.get_file_client("a b.bin")
    content = bytes(range(256)) * 40
    file.upload_file(content, metadata={"kind": "x"})
    assert file.download_file().readall() == content
    assert file.download_file(offset=10, length=5).readall() == content[10:15]
    properties = file.get_file_properties()
    assert (properties.size, properties.metadata) == (len(content), {"kind": "x"})
    assert [item["name"] for item in directory.list_directories_and_files()] == ["a b.bin"]
    assert [item["name"] for item in home.list_directories_and_files()] == ["work"]
    refused(directory.delete_directory, "DirectoryNotEmpty")
    file.delete_file()
    directory.delete_directory()
    refused(lambda: home.get_file_client("no/such").upload_file(b"x"), "ParentNotFound")
    with pytest.raises(ResourceNotFoundError):
        home.get_file_client("no-file").download_file()
    home.delete_share()
    refused(home.get_share_properties, "ShareNotFound")


def test_a_wrong_key_and_an_account_without_keys_open_nothing(service, storage, name):
    service.create_share("ada")
    wrong = {"account_name": name, "account_key": "d3Jvbmc="}
    refused(share(storage, "ada", wrong).get_share_properties, "AuthenticationFailed")
    bare = storage.emulator.http("GET", "/ada?restype=share", headers={"x-ms-version": "2024-11-04"})
    assert (bare.status, bare.headers["x-ms-error-code"]) == (401, "NoAuthenticationInformation")
    body = storage.call("GET", storage.account).json
    no_keys = {**{m: body[m] for m in ("location", "kind", "sku")}, "properties": {"allowSharedKeyAccess": False}}
    assert storage.call("PUT", storage.account, no_keys).status == 200
    refused(lambda: list(service.list_shares()), "KeyBasedAuthenticationNotPermitted")


def test_a_share_over_its_quota_takes_no_file(service):
    home = service.create_share("ada", quota=1)
    refused(lambda: home.get_file_client("big").create_file(2 * 2**30), "ShareSizeLimitReached")


def test_a_signature_opens_what_it_says_and_not_another_share(service, storage, name, key):
    for user in ("ada", "bob"):
        service.create_share(user).get_file_client("mine").upload_file(user.encode())
    permission = share_client.ShareSasPermissions(read=True, write=True)
    sas = share_client.generate_share_sas(name, "ada", key, permission, soon())
    ada = share(storage, "ada", sas)
    assert ada.get_file_client("mine").download_file().readall() == b"ada"
    refused(lambda: list(ada.list_directories_and_files()), "AuthorizationPermissionMismatch")
    refused(share(storage, "bob", sas).get_file_client("mine").download_file, "AuthenticationFailed")
    refused(ada.get_share_properties, "AuthorizationResourceTypeMismatch")
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)
    old = share_client.generate_share_sas(name, "ada", key, permission, past)
    refused(share(storage, "ada", old).get_file_client("mine").download_file, "AuthenticationFailed")


def test_an_accounts_signature_opens_every_share(service, storage, name, key):
    for user in ("ada", "bob"):
        service.create_share(user)
    types = share_client.ResourceTypes(service=True, container=True)
    permission = share_client.AccountSasPermissions(read=True, list=True)
    sas = share_client.generate_account_sas(name, key, types, permission, soon())
    whole = share_client.ShareServiceClient(storage.emulator.base, credential=sas, retry_total=0)
    assert [item.name for item in whole.list_shares()] == ["ada", "bob"]
    refused(lambda: whole.create_share("eve"), "AuthorizationPermissionMismatch")
    refused(lambda: share(storage, "ada", sas).get_file_client("x").upload_file(b""), "AuthorizationResourceTypeMismatch")


def file_call(storage, method, path, token, **headers):
    """The client sends tokens by https alone, so this one is written by hand."""
    base = {"Authorization": f"Bearer {token}", "x-ms-version": "2024-11-04", "x-ms-file-request-intent": "backup"}
    return storage.emulator.http(method, path, headers={**base, **headers})


def test_a_token_opens_the_share_on_which_its_identity_has_a_role_and_no_other(service, storage):
    tokens = {}
    for user, role in (("ada", SHARE_CONTRIBUTOR), ("bob", READER)):
        service.create_share(user).get_file_client("mine").upload_file(user.encode())
        ids = storage.identity(f"cs-{user}")["properties"]
        scope = f"{storage.account}/fileServices/default/fileshares/{user}"
        assert storage.assign(scope, role, ids["principalId"]).status == 201
        answer = storage.machine_token("https://storage.azure.com", client_id=ids["clientId"])
        tokens[user] = answer.json["access_token"]
    assert file_call(storage, "GET", "/ada/mine", tokens["ada"]).text == "ada"
    denied = file_call(storage, "GET", "/bob/mine", tokens["ada"])
    assert (denied.status, denied.headers["x-ms-error-code"]) == (403, "AuthorizationPermissionMismatch")
    assert file_call(storage, "GET", "/bob/mine", tokens["bob"]).text == "bob"
    assert file_call(storage, "DELETE", "/bob/mine", tokens["bob"]).status == 403
    assert file_call(storage, "DELETE", "/ada/mine", tokens["ada"]).status == 202
    no_intent = {"x-ms-file-request-intent": "other"}
    assert file_call(storage, "GET", "/ada/mine", tokens["ada"], **no_intent).status == 400
    old = file_call(storage, "GET", "/ada?restype=share", tokens["ada"], **{"x-ms-version": "2024-05-04"})
    assert old.headers["x-ms-error-code"] == "FileOAuthManagementApiRestrictedToSrp"
    assert file_call(storage, "GET", "/ada?restype=share", tokens["ada"]).status == 200
    assert file_call(storage, "GET", "/ada/mine", storage.emulator.token()).status == 401


def test_a_busy_service_says_so_in_its_own_words(service, storage):
    storage.emulator.fault("file_shares.create", "throttle")
    refused(lambda: service.create_share("ada"), "ServerBusy")
    service.create_share("ada")
    assert storage.emulator.calls()["file_shares.create"] == 2
