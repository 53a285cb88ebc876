"""The Azure deployments as an admin uses them: their files, and the variables of env.template."""

import re
import secrets
from pathlib import Path

from support.azure import APP, Azure
from support.binaries import REPOSITORY

FOLDER = REPOSITORY / "deployments"
ROLES = (FOLDER / "aml_role.json", FOLDER / "aml_choices_role.json")
BOUND = [word for role in ROLES for word in ("--azure-role", str(role))]
"""Options of the emulator by which the hub may do what the roles allow, and nothing else."""
ON_AML = ("no_auth_spawn_on_aml", "azure_ad_auth_spawn_on_aml")


def config(name: str) -> Path:
    """A deployment's configuration."""
    return FOLDER / name / "jupyterhub_config.py"


def variables(name: str) -> set[str]:
    """What env.template names."""
    return set(re.findall(r"^([A-Z_]+)=", (FOLDER / name / "env.template").read_text(), re.MULTILINE))


def filled(name: str, azure: Azure) -> dict[str, str]:
    """env.template filled in for a local Azure, and nothing else."""
    values = {
        "SUBSCRIPTION_ID": azure.azure["subscription"],
        "RESOURCE_GROUP": azure.azure["resource_group"],
        "LOCATION": azure.azure["location"],
        "SPAWN_TO_WORK_SPACE": azure.azure["workspace"],
        "SPAWN_COMPUTE_INSTANCE_SUFFIX": "",
        "VM_SIZE": "Standard_DS2_v2",
        "HUB_ID": "e2e",
        "AAD_TENANT_ID": azure.azure["tenant"],
        "AAD_CLIENT_ID": APP[0],
        "AAD_CLIENT_SECRET": APP[1],
        "HOST": "localhost:8000",
        "JUPYTERHUB_CRYPT_KEY": secrets.token_hex(32),
    }
    return {name: values[name] for name in variables(name)}
