"""The deployments as an admin uses them: their files, the variables of env.template, the policies."""

import json
import re
import secrets
from pathlib import Path
from typing import Any

import yaml

from support import emulator
from support.azure import APP, Azure
from support.binaries import REPOSITORY

FOLDER = REPOSITORY / "deployments"
ROLES = (FOLDER / "aml_role.json", FOLDER / "aml_choices_role.json")
TEMPLATE = FOLDER / "fargate_hub_in_ecs" / "cloudformation.yaml"
STORAGE_ROLE = FOLDER / "aml_storage_role.json"
DELETED_WITH_A_HOME = (
    "Microsoft.Storage/storageAccounts/fileServices/shares",
    "Microsoft.ManagedIdentity/userAssignedIdentities",
)
"""What the README adds to the storage role, each with "/delete", where homes go with their people."""
BOUND = [word for role in ROLES for word in ("--azure-role", str(role))]
"""Options of the emulator by which the hub may do what the roles allow, and nothing else."""
HUB_KEY = ("AKIAHUB", "hub-secret")
"""Of a hub on Fargate that may do what the deployment's policy says."""
FILE_SYSTEM = "fs-0a1b2c3d4e5f60718"
"""The emulator's own."""
ON_AML = ("no_auth_spawn_on_aml", "no_auth_spawn_on_aml_with_userspaces", "azure_ad_auth_spawn_on_aml", "both_clouds")


class Watched(dict[str, str]):
    """An environment that remembers what was asked for."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def __contains__(self, name: object) -> bool:
        """Whether it is set."""
        self.asked.add(str(name))
        return super().__contains__(name)

    def __getitem__(self, name: str) -> str:
        """The value."""
        self.asked.add(name)
        return super().__getitem__(name)

    def get(self, name: str, otherwise: Any = None) -> Any:
        """The value, or the other."""
        self.asked.add(name)
        return super().get(name, otherwise)


class _Template(yaml.SafeLoader):
    """Reads CloudFormation's short forms: `!Sub x` is {"Sub": x}."""


_Template.add_multi_constructor("!", lambda loader, tag, node: {tag: _plain(loader, node)})


def _plain(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else loader.construct_sequence(node, deep=True)


def template() -> Any:
    """The CloudFormation file."""
    return yaml.load(TEMPLATE.read_text(), _Template)


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
        "STORAGE_ACCOUNT_NAME": "notebooksstorage",
        "STORAGE_ACCOUNT_CONN_STR": "",
        "SAS_TOKEN": "",
        "HOST": "localhost:8000",
        "JUPYTERHUB_CRYPT_KEY": secrets.token_hex(32),
        # The emulator's own; what stays empty has its default.
        "AWS_REGION": "eu-west-1",
        "NOTEBOOK_CLUSTER": "",
        "NOTEBOOK_TASK_DEFINITION": "",
        "NOTEBOOK_CONTAINER": "",
        "NOTEBOOK_SUBNETS": "subnet-0123abcd",
        "NOTEBOOK_SECURITY_GROUPS": "sg-0123abcd",
        "HUB_CONNECT_URL": "",
    }
    return {name: values[name] for name in variables(name)}


def policy(name: str, folder: Path, access_point: str = "*", deployment: str = "fargate_with_efs") -> str:
    """A policy of a deployment on Fargate, filled in for the local cloud: its file."""
    text = (FOLDER / deployment / f"{name}.json").read_text()
    values = {"ACCOUNT": "123456789012", "REGION": "eu-west-1", "FILE_SYSTEM": FILE_SYSTEM, "ACCESS_POINT": access_point}
    for variable, value in values.items():
        text = text.replace(variable, value)
    file = folder / f"{name}.json"
    file.write_text(text)
    return str(file)


def hub_role(folder: Path) -> str:
    """The policy of HubRole in the CloudFormation file, filled in for the local cloud: its file."""
    resources = template()["Resources"]
    names = {"AWS::Partition": "aws", "AWS::Region": "eu-west-1", "AWS::AccountId": "123456789012"}
    names["NotebookLogs"] = resources["NotebookLogs"]["Properties"]["LogGroupName"]
    arns = {"Cluster.Arn": f"arn:aws:ecs:eu-west-1:123456789012:cluster/{resources['Cluster']['Properties']['ClusterName']}"}
    for role in ("NotebookExecutionRole", "NotebookTaskRole"):
        arns[f"{role}.Arn"] = f"arn:aws:iam::123456789012:role/{resources[role]['Properties']['RoleName']}"

    def filled_in(value: Any) -> Any:
        """The same without functions."""
        if isinstance(value, list):
            return [filled_in(part) for part in value]
        if not isinstance(value, dict):
            return value
        if "Sub" in value:
            return re.sub(r"\$\{(.*?)\}", lambda name: names[name[1]], value["Sub"])
        if "GetAtt" in value:
            return arns[value["GetAtt"]]
        return {key: filled_in(part) for key, part in value.items()}

    (spawner,) = resources["HubRole"]["Properties"]["Policies"]
    file = folder / "hub-role.json"
    file.write_text(json.dumps(filled_in(spawner["PolicyDocument"])))
    return str(file)


def bound_on_fargate(folder: Path) -> list[str]:
    """Options of the emulator by which the hub, its tasks and the file system have the deployment's policies and no more."""
    hub, role, file_system = (policy(name, folder) for name in ("policy", "task-role-policy", "file-system-policy"))
    keys = [":".join(emulator.KEY), f"{HUB_KEY[0]}:{HUB_KEY[1]}:{hub}"]
    return [*(word for key in keys for word in ("--key", key)), "--role", f"notebook-task:{role}", "--efs-policy", file_system]
