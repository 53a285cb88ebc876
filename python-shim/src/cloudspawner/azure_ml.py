"""Azure Machine Learning: traits in, the program's `azure_ml` config out.

The environment variables of `aml_jupyterhub` still count where a trait is not set. What a setting means to Azure is the
program's business.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from jupyterhub.utils import maybe_future
from traitlets import Bool, Callable, Dict, Enum, Integer, List, Unicode, Union, default

from .azure_mounts import AzureMountTraits
from .azure_places import elsewhere
from .choices import Choices, OptionsCache
from .cloud import Cloud
from .errors import ConfigurationError
from .profiles import Option
from .spawner import CloudSpawner
from .wire import JsonObject

# Traits that are the program's settings as they stand; an empty one is left out.
_PASSED_ON = (
    "create_workspace",
    "workspace_properties",
    "idle_shutdown",
    "schedules",
    "subnet",
    "ssh_public_key",
    "managed_identities",
    "creation_script",
    "startup_script",
    "properties",
)
_OPTIONS = OptionsCache()


class AzureMl(AzureMountTraits, Cloud):
    """What a hub says of Azure Machine Learning.

    In the texts of `tags`, `{username}` and `{servername}` stand for the escaped names.
    """

    backend: ClassVar[str] = "azure_ml"
    class_name: ClassVar[str] = "AMLSpawner"
    mount_kind: ClassVar[str] = "azure_files"
    stop_waits: ClassVar[bool] = True
    usual_start_timeout: ClassVar[int] = 900
    own_names: ClassVar[tuple[str, ...]] = ("project", "size")

    subscription_id = Unicode(
        help="The subscription. By default the environment's SUBSCRIPTION_ID. Example: a GUID."
    ).tag(config=True)

    resource_group = Unicode(
        help='The resource group. By default the environment\'s RESOURCE_GROUP. Example: `"research"`.'
    ).tag(config=True)

    workspace = Unicode(help='The workspace. By default the environment\'s SPAWN_TO_WORK_SPACE. Example: `"lab"`.').tag(
        config=True
    )

    create_workspace = Bool(
        False,
        help="""
        Whether a start creates the workspace where it is not there; needs `location`.

        Off by default: a workspace outlives its servers, and neither stop nor gc ever removes one.
        """,
    ).tag(config=True)

    workspace_properties = Dict(
        help="""
        A new workspace's own properties, as Azure spells them.

        Empty by default. Example: `{"storageAccount": "/subscriptions/…", "keyVault": "/subscriptions/…"}`.
        """
    ).tag(config=True)

    choose_project = Bool(
        False,
        help="""
        Whether people choose their project: the workspaces that the hub's identity can see in `resource_group`, or in
        the whole subscription where none is set.

        Off by default: everybody's server is in `workspace`.
        """,
    ).tag(config=True)

    project_filter = Unicode(
        ".*",
        help="""
        The workspaces that are offered: a regular expression that the whole name matches.

        All by default. Example: `"teaching-.*"`.
        """,
    ).tag(config=True)

    sizes = Dict(
        help="""
        The sizes that people choose from: your names, with Azure's; only those that the region offers are shown.

        Empty by default: everybody gets `vm_size`. The first is the default. Example:
        `{"Small": "Standard_DS11_v2", "GPU": "Standard_NC6s_v3"}`.
        """
    ).tag(config=True)

    options_max_age = Integer(
        600,
        min=0,
        help="""
        After how many seconds the lists of projects and sizes are asked for again; an older one is shown meanwhile.

        Ten minutes by default: workspaces and sizes seldom change.
        """,
    ).tag(config=True)

    location = Unicode(
        help="""
        The region of the instances.

        By default the environment's LOCATION, else the workspace's own. Example: `"westeurope"`.
        """
    ).tag(config=True)

    vm_size = Unicode("Standard_DS11_v2", help="The size of the machines, as Azure names it.").tag(config=True)

    compute_instance_suffix = Unicode(
        help="""
        Letters and digits at the end of the readable part of each instance's name; at most 4 are used.

        By default the environment's SPAWN_COMPUTE_INSTANCE_SUFFIX. Names never collide without it, too.
        Example: `"dev"`.
        """
    ).tag(config=True)

    idle_shutdown = Union(
        [Unicode(), Integer()],
        default_value="PT60M",
        help="""
        After how long an idle instance stops by itself, in minutes or ISO 8601, 15 minutes to 3 days; empty for never.

        An hour by default, since an instance bills until it is stopped.
        """,
    ).tag(config=True)

    on_stop = Enum(
        ("stop", "delete"),
        default_value="stop",
        help="""
        What a stop does to the instance: "stop" keeps its disk, "delete" removes all of it.

        "stop" by default, so that the next start is quick and finds the person's files.
        """,
    ).tag(config=True)

    schedules = List(
        Dict(),
        help="""
        When instances start and stop by the clock: `action` ("start" or "stop"), `cron` (five fields), `time_zone`
        (Windows' names; UTC by default).

        Empty by default. Example: `[{"action": "stop", "cron": "0 20 * * *", "time_zone": "GMT Standard Time"}]`.
        """,
    ).tag(config=True)

    subnet = Unicode(
        help='The subnet that instances are put into, by its resource id. Example: `"/subscriptions/…/subnets/lab"`.'
    ).tag(config=True)

    ssh_public_key = Unicode(
        help="""
        The public key that opens an instance's SSH port to its owner; the port is closed without one.

        Azure ML takes it at the creation only. Example: `"ssh-rsa AAAA…"`.
        """
    ).tag(config=True)

    managed_identities = List(
        Unicode(),
        help="""
        The managed identities of instances: "system", or resource ids of user-assigned ones.

        Empty by default. An instance with an identity stops when idle only where that identity is Contributor on the
        workspace.
        """,
    ).tag(config=True)

    creation_script = Unicode(
        help="""
        The text of a shell script that runs as root when an instance is created.

        Everybody with access to the instance can read it: no secret belongs here. Example: `"pip install pandas"`.
        """
    ).tag(config=True)

    startup_script = Unicode(
        help="The same for a script that runs at each start of an instance. Empty by default."
    ).tag(config=True)

    assigned_user = Union(
        [Bool(), Callable()],
        default_value=False,
        help="""
        Whether the hub creates each instance on behalf of its person, to whom alone it then answers.

        True takes object id and tenant from the log-in's auth_state, which AzureAdOAuthenticator fills where
        `enable_auth_state` is on; a function of the spawner and its auth_state gives
        `{"object_id": …, "tenant_id": …}`. Off by default: only whoever owns the hub's credentials reaches the
        instance.
        """,
    ).tag(config=True)

    identity = Enum(
        ("service", "user"),
        default_value="service",
        help="""
        In whose name an instance is created: the hub's ("service"), or that of the person who logged in ("user").

        "user" exchanges the token in auth_state, for which the app of the log-in (login_tenant_id, login_client_id,
        login_client_secret) needs the delegated permission user_impersonation of Azure Service Management. Polls, stops
        and gc keep to the hub's own credentials, so that they work after a restart. "service" by default.
        """,
    ).tag(config=True)

    login_tenant_id = Unicode(
        help="The tenant of the app that people log in to. By default the environment's AAD_TENANT_ID."
    ).tag(config=True)
    login_client_id = Unicode(help="That app's client id. By default the environment's AAD_CLIENT_ID.").tag(config=True)
    login_client_secret = Unicode(help="That app's secret. By default the environment's AAD_CLIENT_SECRET.").tag(
        config=True
    )

    tags = Dict(help='Tags of the instances, beside cloudspawner\'s own. Example: `{"owner": "{username}"}`.').tag(
        config=True
    )

    properties = Dict(
        help="""
        More properties of the compute instance, as Azure spells them, over those that the other traits give.

        Empty by default. Example: `{"enableNodePublicIp": False}`.
        """
    ).tag(config=True)

    credential_kind = Enum(
        ("developer", "client_secret", "workload_identity", "managed_identity", "azure_cli"),
        default_value="developer",
        help="""
        How the hub proves who it is to Azure.

        "developer" by default: whoever is logged in by `az login` or `azd auth login`. "client_secret" needs tenant_id,
        client_id and client_secret; "managed_identity" takes client_id for a user-assigned one.
        """,
    ).tag(config=True)

    tenant_id = Unicode(help="The tenant, for client_secret. By default the environment's AAD_TENANT_ID.").tag(
        config=True
    )
    client_id = Unicode(
        help="""
        The app's client id, by default the environment's AAD_CLIENT_ID; or the managed identity's. Example: a GUID.
        """
    ).tag(config=True)
    client_secret = Unicode(
        help="""
        The app's secret. By default the environment's AAD_CLIENT_SECRET.

        Read it from a file or a vault, not from the configuration's text.
        """
    ).tag(config=True)

    management_endpoint = Unicode(
        help='Resource Manager of another cloud than the public one. Example: `"https://management.usgovcloudapi.net"`.'
    ).tag(config=True)
    authority_host = Unicode(
        help='Entra ID of another cloud than the public one. Example: `"https://login.microsoftonline.us"`.'
    ).tag(config=True)

    redirect_listen = Unicode(
        "127.0.0.1:9001",
        help="""
        Where the program listens for people on their way to their instances.

        Loopback by default, where the hub's proxy runs on the same machine, too; fixed, so that it is the same after
        a restart.
        """,
    ).tag(config=True)
    redirect_url = Unicode(
        help='How the proxy reaches that address, where it runs elsewhere. Example: `"http://hub:9001"`.'
    ).tag(config=True)
    redirect_hosts = List(
        Unicode(),
        help="Domains beside Azure ML's own to which people may be sent. Empty by default.",
    ).tag(config=True)

    storage_sas_token = Unicode(
        help="""
        A shared access signature by which shares are made through the storage account itself, not Resource Manager.

        By default the environment's SAS_TOKEN. Without it, and without a connection string, the hub needs no secret of
        the storage account: its role is enough.
        """
    ).tag(config=True)
    storage_connection_string = Unicode(
        help="The same as a connection string. By default the environment's STORAGE_ACCOUNT_CONN_STR."
    ).tag(config=True)

    @default("storage")
    def _storage_of_the_predecessor(self) -> JsonObject:
        if not (self.mount_userspace or self.mounts):
            return {}
        account = os.environ.get("STORAGE_ACCOUNT_NAME", "")
        return {"account": account} if account else {}

    def credentials(self) -> JsonObject | None:
        """What the credential traits say. Raises ConfigurationError where a part is missing."""
        given = self._own_credentials()
        if not self.storage:
            return given
        secret = {
            "sas_token": self._setting("storage_sas_token", "SAS_TOKEN"),
            "connection_string": self._setting("storage_connection_string", "STORAGE_ACCOUNT_CONN_STR"),
        }
        # One of the two is enough; the predecessor's .env has both.
        name = "connection_string" if secret["connection_string"] else "sas_token"
        if not secret[name]:
            return given
        return {**(given or {"kind": "developer"}), "storage": {name: secret[name]}}

    def with_storage(self, config: JsonObject) -> JsonObject:
        """A chosen project has another resource group and region; homes stay where they are."""
        config = super().with_storage(config)
        if "storage" in config:
            usual = {
                "resource_group": self._setting("resource_group", "RESOURCE_GROUP"),
                "location": self._setting("location", "LOCATION"),
            }
            given = {name: text for name, text in usual.items() if text}
            config["storage"] = given | self._mounting() | config["storage"]
        return config

    def _own_credentials(self) -> JsonObject | None:
        kind = self.credential_kind
        if kind == "developer":
            return None
        if kind == "managed_identity":
            return {"kind": kind, "client_id": self.client_id or None}
        if kind != "client_secret":
            return {"kind": kind}
        return {"kind": kind, **self._app("")}

    def _app(self, prefix: str) -> JsonObject:
        """An app registration: the traits, else the environment's AAD_ variables."""
        names = ("tenant_id", "client_id", "client_secret")
        parts = {name: getattr(self, prefix + name) or os.environ.get(f"AAD_{name.upper()}", "") for name in names}
        if missing := [f"AMLSpawner.{prefix}{name}" for name, value in parts.items() if not value]:
            raise ConfigurationError(f"set {', '.join(missing)}")
        return parts

    async def start_credentials(self) -> JsonObject | None:
        """With `identity = "user"` the person's, and the hub's own beside them."""
        if self.identity == "service":
            return self.credentials()
        auth_state = await self._auth_state()
        tokens = {"refresh_token": auth_state.get("refresh_token"), "assertion": auth_state.get("access_token")}
        tokens = {name: token for name, token in tokens.items() if token}
        if not tokens:
            raise ConfigurationError(
                'identity = "user" needs a token in auth_state: set Authenticator.enable_auth_state'
            )
        service = self.credentials() or {"kind": "developer"}
        return {"kind": "user_assertion", **self._app("login_"), **tokens, "service": service}

    async def _auth_state(self) -> JsonObject:
        return await self.spawner.user.get_auth_state() or {}

    async def _assigned_user(self) -> JsonObject | None:
        if not self.assigned_user:
            return None
        auth_state = await self._auth_state()
        if callable(self.assigned_user):
            found: JsonObject = await maybe_future(self.assigned_user(self.spawner, auth_state))
            return found
        # The claims of the id token, as AzureAdOAuthenticator keeps them.
        claims = auth_state.get("user") or {}
        if not (claims.get("oid") and claims.get("tid")):
            raise ConfigurationError(
                "assigned_user needs the claims oid and tid in auth_state: log in by AzureAdOAuthenticator, "
                "with Authenticator.enable_auth_state"
            )
        return {"object_id": claims["oid"], "tenant_id": claims["tid"]}

    # What people choose

    def offers_choices(self) -> bool:
        """Whether projects or sizes are to be chosen."""
        return bool(self.choose_project or self.sizes)

    async def own_options(self, override: Mapping[str, Any]) -> dict[str, Option]:
        """Project and size, where the admin offers them and the profile does not say them."""
        choices = await self._choices(override)
        return choices.options() if choices else {}

    async def check_own(self, choice: JsonObject, override: Mapping[str, Any]) -> None:
        """A size must be there in the project's region."""
        if choices := await self._choices(override):
            choices.check(choice, self._setting("location", "LOCATION") or None)

    async def _choices(self, override: Mapping[str, Any]) -> Choices | None:
        sizes = {} if "vm_size" in override else self.sizes
        choose_project = self.choose_project and "workspace" not in override
        if not (sizes or choose_project):
            return None
        config = self.cloud_config()
        config.pop("workspace", None)
        if location := self._setting("location", "LOCATION"):
            config["location"] = location
        params: JsonObject = {"backend": self.backend, "config": config, "credentials": self.credentials()}
        key = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()
        told = await _OPTIONS.get(key, self.spawner._program(), params, self.options_max_age)
        return Choices.of(told, sizes, self.project_filter if choose_project else None)

    async def _own_settings(self) -> JsonObject:
        choices = await self._choices(self.own_override)
        if choices is None:
            return {}
        chosen = choices.check(self.own_choice, self._setting("location", "LOCATION") or None)
        # The location of a chosen project stands in its workspace; the program asks there.
        chosen.pop("location", None)
        return chosen

    def _setting(self, trait: str, variable: str) -> str:
        """A trait, else the predecessor's environment variable."""
        return str(getattr(self, trait) or os.environ.get(variable, ""))

    def cloud_config(self) -> JsonObject:
        """Where instances are, and what a stop does to them."""
        texts = {
            "subscription_id": self._setting("subscription_id", "SUBSCRIPTION_ID"),
            "resource_group": self._setting("resource_group", "RESOURCE_GROUP"),
            "workspace": self._setting("workspace", "SPAWN_TO_WORK_SPACE"),
            "management_endpoint": self.management_endpoint,
            "authority_host": self.authority_host,
            "redirect_listen": self.redirect_listen,
            "redirect_url": self.redirect_url,
            "on_stop": self.on_stop,
        }
        config: JsonObject = {name: text for name, text in texts.items() if text}
        if self.redirect_hosts:
            config["redirect_hosts"] = list(self.redirect_hosts)
        return config

    def gc_config(self, overrides: Sequence[Mapping[str, Any]] = ()) -> JsonObject:
        """The same with each workspace that a profile names, and all that people may choose from."""
        config = self.cloud_config()
        if places := elsewhere(config, overrides, choose_project=self.choose_project):
            config["workspaces"] = places
        return config

    def check_config(self) -> JsonObject:
        """The same with what all new instances are like."""
        config = super().check_config()
        config["vm_size"] = self.vm_size
        if location := self._setting("location", "LOCATION"):
            config["location"] = location
        return config | self._passed_on()

    def impossible(self, authenticator: Any) -> list[str]:
        """Log-ins that leave no token, a secret that nobody would use, and a workspace in no region."""
        problems = super().impossible(authenticator)
        for trait, wanted in (("identity", "user"), ("assigned_user", True)):
            if getattr(self, trait) == wanted and not authenticator.enable_auth_state:
                problems.append(f"AMLSpawner.{trait} = {wanted!r} needs Authenticator.enable_auth_state = True")
        if self.client_secret and self.credential_kind != "client_secret":
            problems.append('AMLSpawner.client_secret is not used: set AMLSpawner.credential_kind = "client_secret"')
        if self.create_workspace and not self._setting("location", "LOCATION"):
            problems.append("AMLSpawner.create_workspace needs AMLSpawner.location")
        return problems

    def _passed_on(self) -> JsonObject:
        return {name: value for name in _PASSED_ON if (value := getattr(self, name))}

    async def start_config(self) -> JsonObject:
        """The same with what a new instance is like.

        Raises:
            ConfigurationError: something that a start needs is missing.
        """
        config = self.cloud_config()
        config["vm_size"] = self.vm_size
        if location := self._setting("location", "LOCATION"):
            config["location"] = location
        if chosen := await self._own_settings():
            config |= chosen
            if "workspace" in chosen:
                config.pop("location", None)
        needed = ("subscription_id", "resource_group", "workspace")
        if missing := [f"AMLSpawner.{name}" for name in needed if name not in config]:
            raise ConfigurationError(f"set {', '.join(missing)}")
        if self.tags:
            config["tags"] = {key: str(text) for key, text in self._filled_in("tags", self.tags).items()}
        given: JsonObject = self._passed_on()
        given["name_suffix"] = self._setting("compute_instance_suffix", "SPAWN_COMPUTE_INSTANCE_SUFFIX")
        given["identity"] = "" if self.identity == "service" else self.identity
        given["assigned_user"] = await self._assigned_user()
        return config | {name: value for name, value in given.items() if value}


class AMLSpawner(AzureMl, CloudSpawner):
    """Gives each person a compute instance of an Azure Machine Learning workspace, and leads them to its JupyterLab."""

    @default("start_timeout")
    def _start_timeout_of_a_machine(self) -> int:
        return self.usual_start_timeout
