"""Azure Machine Learning: traits in, the program's `azure_ml` config out.

The environment variables of `aml_jupyterhub` still count where a trait is not set. What a setting means to Azure is the
program's business.
"""

from __future__ import annotations

import os
from typing import ClassVar

from traitlets import Dict, Enum, List, Unicode, default

from .errors import ConfigurationError
from .spawner import CloudSpawner
from .templates import expand, namespace
from .wire import JsonObject


class AMLSpawner(CloudSpawner):
    """Gives each person a compute instance of an Azure Machine Learning workspace, and leads them to its JupyterLab.

    In the texts of `tags`, `{username}` and `{servername}` stand for the escaped names.
    """

    backend: ClassVar[str] = "azure_ml"
    stop_waits: ClassVar[bool] = True

    subscription_id = Unicode(
        help="The subscription. By default the environment's SUBSCRIPTION_ID. Example: a GUID."
    ).tag(config=True)

    resource_group = Unicode(
        help='The resource group. By default the environment\'s RESOURCE_GROUP. Example: `"research"`.'
    ).tag(config=True)

    workspace = Unicode(help='The workspace. By default the environment\'s SPAWN_TO_WORK_SPACE. Example: `"lab"`.').tag(
        config=True
    )

    location = Unicode(
        help="""
        The region of the instances.

        By default the environment's LOCATION, else the workspace's own. Example: `"westeurope"`.
        """
    ).tag(config=True)

    vm_size = Unicode("Standard_DS11_v2", help="The size of the machines, as Azure names it.").tag(config=True)

    idle_shutdown = Unicode(
        "PT60M",
        help="""
        After how long an idle instance stops by itself, ISO 8601, 15 minutes to 3 days; empty for never.

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

    tenant_id = Unicode(help="The tenant, for client_secret. No default. Example: a GUID.").tag(config=True)
    client_id = Unicode(help="The app's or the managed identity's client id. No default. Example: a GUID.").tag(
        config=True
    )
    client_secret = Unicode(
        help="The app's secret. No default. Read it from a file or a vault, not from the configuration's text."
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

    @default("start_timeout")
    def _start_timeout_of_a_machine(self) -> int:
        return 900

    def credentials(self) -> JsonObject | None:
        """What the credential traits say. Raises ConfigurationError where a part is missing."""
        kind = self.credential_kind
        if kind == "developer":
            return None
        if kind == "managed_identity":
            return {"kind": kind, "client_id": self.client_id or None}
        if kind != "client_secret":
            return {"kind": kind}
        parts = {name: getattr(self, name) for name in ("tenant_id", "client_id", "client_secret")}
        if missing := [f"AMLSpawner.{name}" for name, value in parts.items() if not value]:
            raise ConfigurationError(f"set {', '.join(missing)}")
        return {"kind": kind, **parts}

    def cloud_config(self) -> JsonObject:
        """Where instances are, and what a stop does to them."""
        texts = {
            "subscription_id": self.subscription_id or os.environ.get("SUBSCRIPTION_ID", ""),
            "resource_group": self.resource_group or os.environ.get("RESOURCE_GROUP", ""),
            "workspace": self.workspace or os.environ.get("SPAWN_TO_WORK_SPACE", ""),
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

    async def start_config(self) -> JsonObject:
        """The same with what a new instance is like.

        Raises:
            ConfigurationError: something that a start needs is missing.
        """
        config = self.cloud_config()
        needed = ("subscription_id", "resource_group", "workspace")
        if missing := [f"AMLSpawner.{name}" for name in needed if name not in config]:
            raise ConfigurationError(f"set {', '.join(missing)}")
        config["vm_size"] = self.vm_size
        if location := self.location or os.environ.get("LOCATION", ""):
            config["location"] = location
        if self.idle_shutdown:
            config["idle_shutdown"] = self.idle_shutdown
        if self.tags:
            names = namespace(self.user.name, self.name)
            config["tags"] = {key: str(text) for key, text in expand(self.tags, names, "AMLSpawner.tags").items()}
        if self.properties:
            config["properties"] = dict(self.properties)
        return config
