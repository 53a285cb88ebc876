"""What differs between the demo's clouds: the emulator's options, the deployment's environment, the words of greeting."""

from __future__ import annotations

import contextlib
import random
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

World = dict[str, Any]
"""The emulator's ready line."""


@dataclass(frozen=True)
class Addresses:
    """Where things of this demo answer, each as ADDRESS:PORT."""

    public: str
    hub: str
    proxy_api: str
    redirect: str


class Fargate:
    """A local ECS."""

    delays = "provisioning=1500,pending=2500"
    greeting = """Log in with any name and any password. Your JupyterLab is then started by RunTask on a local
  ECS ({cloud}), as it would be on Fargate."""
    seen = "/_emulator/tasks"

    def options(self, delays: str) -> list[str]:
        """The emulator's options."""
        return ["--delays", delays]

    def url(self, world: World) -> str:
        """Where the cloud is."""
        return str(world["url"])

    def env(self, world: World, addresses: Addresses) -> dict[str, str]:
        """The deployment's environment."""
        return {
            "AWS_ENDPOINT_URL": world["url"],
            "AWS_REGION": world["region"],
            "AWS_ACCESS_KEY_ID": "AKIAEMULATOR",
            "AWS_SECRET_ACCESS_KEY": "emulator-secret",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NOTEBOOK_SUBNETS": "subnet-0123abcd",
            "NOTEBOOK_SECURITY_GROUPS": "sg-0123abcd",
            "HUB_CONNECT_URL": f"http://{addresses.hub}",
            "EFS_FILE_SYSTEM": world["file_system"],
            "NOTEBOOK_TASK_ROLE": f"arn:aws:iam::{world['account']}:role/notebook-task",
        }


class Azure:
    """A local Entra ID and Azure Machine Learning, whose instances take seconds and not minutes."""

    delays = "creating=6000,setting_up=3000,starting=5000,stopping=2000,deleting=1000"
    greeting = """Log in by the emulated Entra ID with any name. A compute instance of your own is then made on a
  local Azure ({cloud}), and you land in its JupyterLab.
  What you keep in userfiles outlives the instance, and is yours alone."""
    seen = "/_emulator/azure/instances"

    def options(self, delays: str) -> list[str]:
        """The emulator's options: the hub may do what the deployment's roles allow, and nothing else."""
        folder = Path(__file__).resolve().parents[1]
        names = ("aml_role", "aml_choices_role", "aml_storage_role")
        roles = [word for name in names for word in ("--azure-role", str(folder / f"{name}.json"))]
        return ["--azure", "--azure-delays", delays, *roles]

    def url(self, world: World) -> str:
        """Where the cloud is."""
        return str(world["azure"]["management"])

    def env(self, world: World, addresses: Addresses) -> dict[str, str]:
        """The deployment's environment."""
        azure = world["azure"]
        return {
            "SUBSCRIPTION_ID": azure["subscription"],
            "RESOURCE_GROUP": azure["resource_group"],
            "LOCATION": azure["location"],
            "SPAWN_TO_WORK_SPACE": azure["workspace"],
            "STORAGE_ACCOUNT_NAME": azure["storage_account"],
            "AAD_TENANT_ID": azure["tenant"],
            # The emulator's own app registration; no secret rests on it.
            "AAD_CLIENT_ID": "11111111-1111-1111-1111-111111111111",
            "AAD_CLIENT_SECRET": "azure-secret",
            "HOST": addresses.public,
            "JUPYTERHUB_CRYPT_KEY": secrets.token_hex(32),
            "DEMO_AUTHORITY": azure["authority"],
            "DEMO_MANAGEMENT": azure["management"],
            "DEMO_REDIRECT": addresses.redirect,
        }


CLOUDS: dict[str, Fargate | Azure] = {"fargate": Fargate(), "azure": Azure()}


def free_address() -> str:
    """A port of this machine that nobody listens on, below those that Linux gives to whoever asks for any."""
    while True:
        port = random.randrange(28_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return f"127.0.0.1:{port}"
