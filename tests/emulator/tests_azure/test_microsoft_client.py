"""Microsoft's own clients against the emulator."""

import contextlib
import warnings

import pytest

pytest.importorskip("azure.identity")
with warnings.catch_warnings():
    # Microsoft's packages warn of each other while they load.
    warnings.simplefilter("ignore")
    pytest.importorskip("azure.ai.ml")
    from azure.ai.ml._restclient.arm_ml_service import MachineLearningServicesMgmtClient, models
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
    from azure.core.pipeline.transport import RequestsTransport
    from azure.identity import ClientSecretCredential

from azure_emulated import APP, MANAGEMENT, SECRET, instance_body

LOGIN = "https://login.microsoftonline.com"


class ToEmulator(RequestsTransport):
    """azure-identity speaks https alone: its requests take the way of a proxy that ends TLS before the emulator."""

    def __init__(self, base: str):
        super().__init__()
        self.base = base

    def send(self, request, **kwargs):
        """Sends it to the emulator."""
        assert request.url.startswith(LOGIN), request.url
        request.url = request.url.replace(LOGIN, self.base, 1)
        request.headers["X-Forwarded-Proto"] = "https"
        request.headers["X-Forwarded-Host"] = LOGIN.removeprefix("https://")
        return super().send(request, **kwargs)


class Client:
    """The generated client with what every call here needs."""

    def __init__(self, emulator, secret=SECRET):
        self.names = (emulator.ready["resource_group"], emulator.ready["workspace"])
        transport = ToEmulator(emulator.base)
        self.credential = ClientSecretCredential(
            emulator.tenant, APP, secret, transport=transport, disable_instance_discovery=True
        )
        self.api = MachineLearningServicesMgmtClient(
            self.credential, emulator.ready["subscription"], emulator.base,
            credential_scopes=[f"{MANAGEMENT}/.default"], polling_interval=0, retry_total=0,
        )  # fmt: skip

    def call(self, name: str, *arguments, **more):
        """One operation of the client."""
        return getattr(self.api.compute, name)(*self.names, *arguments, enforce_https=False, **more)

    def finish(self, name: str, *arguments, **more):
        """A long operation, to its end."""
        return self.call(name, *arguments, **more).result(20)

    def close(self):
        """Frees its connections."""
        self.api.close()
        self.credential.close()


@pytest.fixture(params=["official", "both", "async_operation", "location"])
def client(emulator, request):
    emulator.settings(operations=request.param, retry_after_s=0)
    with contextlib.closing(Client(emulator)) as client:
        yield client


def test_an_instance_is_created_read_stopped_started_restarted_and_deleted(emulator, client):
    created = client.finish("begin_create_or_update", "ada-first", instance_body({"k": "v"}))
    assert created.name == "ada-first"
    read = client.call("get", "ada-first")
    assert read.tags == {"k": "v"}
    assert read.properties.provisioning_state == models.ProvisioningState.SUCCEEDED
    details = read.properties.properties
    assert details.state == models.ComputeInstanceState.RUNNING
    assert [app.display_name for app in details.applications] == ["Jupyter", "Jupyter Lab"]
    assert details.created_by.user_name == APP
    for verb, state in (("stop", "Stopped"), ("start", "Running"), ("restart", "Running")):
        client.finish(f"begin_{verb}", "ada-first")
        details = client.call("get", "ada-first").properties.properties
        assert (details.state, details.last_operation.operation_status) == (state, "Succeeded")
        assert details.last_operation.operation_name == verb.capitalize()
    client.finish("begin_delete", "ada-first", underlying_resource_action="Delete")
    with pytest.raises(ResourceNotFoundError):
        client.call("get", "ada-first")
    assert emulator.instance("ada-first")["state"] == "Deleted"


def test_a_failed_creation_is_an_error_with_its_reason(emulator, client):
    emulator.fault("computes.put", "create_failed", code="SkuNotAvailable", message="None left.")
    with pytest.raises(HttpResponseError, match="SkuNotAvailable"):
        client.finish("begin_create_or_update", "ada-first", instance_body())
    read = client.call("get", "ada-first").properties
    assert (read.provisioning_state, read.properties.state) == ("Failed", "CreateFailed")
    assert read.properties.errors[0].error.code == "SkuNotAvailable"
    assert read.properties.last_operation.operation_status == "CreateFailed"


@pytest.fixture
def plain(emulator):
    with contextlib.closing(Client(emulator)) as client:
        yield client


def test_lists_are_paged_and_tell_the_state(emulator, plain):
    seed = {"name": "many", "count": 60, "workspace": "notebooks", "tags": {"k": "v"}}
    emulator.admin("instances", seed)
    emulator.admin("calls/reset", {})
    listed = list(plain.call("list"))
    assert len({item.name for item in listed}) == 60
    assert {item.properties.properties.state for item in listed} == {"Running"}
    assert emulator.calls()["computes.list"] == 3
    emulator.settings(page_size=100, list_states=False)
    listed = list(plain.call("list"))
    assert [item.properties.properties for item in listed] == [None] * 60
    assert emulator.calls()["computes.list"] == 4


def test_workspaces_are_read_listed_and_created(emulator, plain):
    group, name = plain.names
    workspaces = plain.api.workspaces
    assert workspaces.get(group, name, enforce_https=False).location == "eastus"
    emulator.settings(page_size=1)
    for listed in (workspaces.list_by_resource_group(group, enforce_https=False),
                   workspaces.list_by_subscription(enforce_https=False)):  # fmt: skip
        assert [workspace.name for workspace in listed] == ["notebooks", "other"]


def test_sizes_and_usages_of_a_region_are_read(emulator, plain):
    emulator.running("ada-first")
    sizes = plain.api.virtual_machine_sizes.list("eastus", enforce_https=False)
    names = [size.name for size in sizes.value]
    assert "Standard_DS2_v2" in names
    usages = list(plain.api.usages.list("eastus", enforce_https=False))
    assert sum(usage.current_value for usage in usages) == 2


def test_a_wrong_secret_is_told_by_azure_identity(emulator):
    wrong = contextlib.closing(Client(emulator, "wrong"))
    with wrong as client, pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        client.call("get", "ada-first")
