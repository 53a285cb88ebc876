"""AWS Fargate: traits in, the program's `fargate` config out.

The trait names of `fargatespawner` are kept, so that its configuration works with only the import changed. What a
setting means to AWS is the program's business.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from jupyterhub.traitlets import Callable
from jupyterhub.utils import recursive_update
from traitlets import Bool, Dict, Enum, Instance, Integer, List, Type, Unicode, Union, default
from traitlets.config import Configurable

from .cloud import Cloud
from .errors import ConfigurationError
from .spawner import CloudSpawner
from .wire import JsonObject


class FargateSpawnerAuthentication(Configurable):
    """The official AWS chain: environment, profile, SSO, web identity, container role, instance profile."""

    def credentials(self) -> JsonObject | None:
        """What the program gets; None for its own chain."""
        return None


class FargateSpawnerSecretAccessKeyAuthentication(FargateSpawnerAuthentication):
    """A fixed access key."""

    aws_access_key_id = Unicode(help='The access key\'s id. No default. Example: `"AKIA…"`.').tag(config=True)
    aws_secret_access_key = Unicode(
        help="The access key's secret. No default. Read it from a file or a vault, not from the configuration's text."
    ).tag(config=True)
    aws_session_token = Unicode(help="The session token of temporary keys. Empty by default.").tag(config=True)

    def credentials(self) -> JsonObject | None:
        """The key. Raises ConfigurationError where a part is missing."""
        for trait in ("aws_access_key_id", "aws_secret_access_key"):
            if not getattr(self, trait):
                raise ConfigurationError(f"set {type(self).__name__}.{trait}")
        return {
            "kind": "static",
            "access_key_id": self.aws_access_key_id,
            "secret_access_key": self.aws_secret_access_key,
            "session_token": self.aws_session_token or None,
        }


class FargateSpawnerECSRoleAuthentication(FargateSpawnerAuthentication):
    """The role of the ECS task in which the hub runs."""

    def credentials(self) -> JsonObject | None:
        """The container's endpoint."""
        return {"kind": "ecs_role"}


class FargateSpawnerEC2InstanceProfileAuthentication(FargateSpawnerAuthentication):
    """The instance profile of the EC2 machine on which the hub runs."""

    def credentials(self) -> JsonObject | None:
        """The instance's metadata service."""
        return {"kind": "ec2_instance_profile"}


class Fargate(Cloud):
    """What a hub says of AWS Fargate.

    Either `get_run_task_args` gives RunTask's arguments, or the simple traits do. In the simple traits `{username}`
    and `{servername}` stand for the escaped names.
    """

    backend: ClassVar[str] = "fargate"
    class_name: ClassVar[str] = "FargateSpawner"
    mount_kind: ClassVar[str] = "efs"

    aws_region = Unicode(
        help="""
        The AWS region of the cluster.

        By default the program finds it as the AWS tools do (AWS_REGION, the profile, …). Example: `"eu-west-1"`.
        """,
    ).tag(config=True)

    aws_ecs_host = Unicode(
        help="""
        The host of the ECS endpoint, where it is not the region's own, for example a VPC endpoint.

        The region's own host counts as unset, so that AWS_ENDPOINT_URL works; any other is reached over https.
        A whole URL is taken as it is. Example: `"vpce-0123-abcd.ecs.eu-west-1.vpce.amazonaws.com"`.
        """,
    ).tag(config=True)

    notebook_port = Integer(
        help="""
        The port on which the server in the container listens; where set, it is also `port`.

        0 by default, which leaves it to `port` (8888). Example: `8888`.
        """,
    ).tag(config=True)

    notebook_scheme = Enum(
        ("", "http", "https"),
        default_value="",
        help="""
        The scheme that the server in the container speaks, "http" or "https".

        By default "http", with internal_ssl "https".
        """,
    ).tag(config=True)

    get_run_task_args = Callable(
        default_value=None,
        allow_none=True,
        help="""
        A function, plain or async, that takes the spawner and returns the arguments of ECS RunTask, as AWS spells them.

        Called once for each start. None by default: the simple traits give them. The container's command and
        environment are then the function's own business, unless container_name is set, too.
        Example: `lambda spawner: {"cluster": "hub", "taskDefinition": "lab:2", …}`.
        """,
    ).tag(config=True)

    authentication_class = Type(
        FargateSpawnerAuthentication,
        klass=FargateSpawnerAuthentication,
        help="""
        How the program gets AWS credentials.

        By default the official AWS chain. Others: FargateSpawnerSecretAccessKeyAuthentication,
        FargateSpawnerECSRoleAuthentication, FargateSpawnerEC2InstanceProfileAuthentication.
        """,
    ).tag(config=True)

    authentication = Instance(FargateSpawnerAuthentication)

    cluster = Unicode(help='The ECS cluster, by name or ARN. No default. Example: `"hub"`.').tag(config=True)

    clusters = List(
        Unicode(),
        help="""
        The clusters in which servers are looked for when nothing else says where, as by gc.

        By default `cluster` alone. Set it where get_run_task_args names the cluster. Example: `["hub"]`.
        """,
    ).tag(config=True)

    task_definition = Unicode(
        help='The task definition: family, family:revision or ARN. No default. Example: `"lab:2"`.'
    ).tag(config=True)

    container_name = Unicode(
        help="""
        The container of the task definition that runs the server; it gets the command, arguments and environment.

        No default. With get_run_task_args its override is added only where this is set. Example: `"notebook"`.
        """,
    ).tag(config=True)

    subnets = List(Unicode(), help='The subnets of the tasks. No default. Example: `["subnet-0123"]`.').tag(config=True)

    security_groups = List(
        Unicode(),
        help="""
        The security groups of the tasks; the hub and the proxy must reach their port.

        Empty by default, which is the VPC's default group. Example: `["sg-0123"]`.
        """,
    ).tag(config=True)

    assign_public_ip = Bool(
        False,
        help="""
        Whether a task gets a public address, by which it pulls its image where the subnet has no NAT gateway.

        False by default, since the hub reaches it by the private one unless address says otherwise.
        """,
    ).tag(config=True)

    launch_type = Unicode(
        "FARGATE",
        help="""
        The launch type, unless capacity_provider_strategy is set.

        "FARGATE" by default, which every cluster has without a capacity provider.
        """,
    ).tag(config=True)

    capacity_provider_strategy = List(
        Dict(),
        help="""
        Capacity providers instead of a launch type, as AWS spells them.

        Empty by default. Example: `[{"capacityProvider": "FARGATE_SPOT", "weight": 1}]`.
        """,
    ).tag(config=True)

    platform_version = Unicode(
        help="Fargate's platform version. AWS's default (LATEST) where empty. Example: `\"1.4.0\"`."
    ).tag(config=True)

    cpu = Union(
        [Unicode(), Integer()],
        default_value="",
        help="""
        CPU units of the task (1024 are one vCPU), over those of the task definition.

        Empty by default, which leaves the definition's. Example: `512`.
        """,
    ).tag(config=True)

    memory = Union(
        [Unicode(), Integer()],
        default_value="",
        help="""
        Memory of the task in MiB, over that of the task definition.

        Empty by default, which leaves the definition's. Example: `2048`.
        """,
    ).tag(config=True)

    tags = Dict(
        help="""
        Tags of the tasks, beside cloudspawner's own.

        Empty by default. Example: `{"user": "{unescaped_username}"}`.
        """,
    ).tag(config=True)

    address = Enum(
        ("private_ipv4", "public_ipv4", "ipv6"),
        default_value="private_ipv4",
        help="""
        Which of the task's addresses the hub uses.

        "private_ipv4" by default, which every awsvpc task has; "public_ipv4" for a hub outside the VPC, with
        assign_public_ip and the permission ec2:DescribeNetworkInterfaces; "ipv6" for subnets with IPv6 only.
        """,
    ).tag(config=True)

    token_in = Enum(
        ("environment", "secrets_manager"),
        default_value="environment",
        help="""
        How a server gets its JUPYTERHUB_API_TOKEN.

        "environment" by default: in RunTask's overrides, where whoever may describe the task can read it.
        "secrets_manager" keeps it in a secret for each server while that runs, by a copy of the task definition.
        """,
    ).tag(config=True)

    token_kms_key = Unicode(
        help="""
        The KMS key of the secrets with tokens: ARN, id or alias.

        Empty by default, which is the account's own for Secrets Manager. Example: `"alias/jupyterhub"`.
        """,
    ).tag(config=True)

    run_task_extra = Dict(
        help="""
        More RunTask arguments, as AWS spells them, merged over what the simple traits give (None removes one).

        Empty by default. Example: `{"enableExecuteCommand": True}`.
        """,
    ).tag(config=True)

    @default("authentication")
    def _authentication_of_class(self) -> FargateSpawnerAuthentication:
        return self.authentication_class(parent=self)

    @default("mount_userspace_location")
    def _home_of_the_jupyter_images(self) -> str:
        return "/home/jovyan"

    def credentials(self) -> JsonObject | None:
        """What the authentication class gives."""
        return self.authentication.credentials()

    def server_port(self) -> int:
        """`notebook_port`, or `port`."""
        return self.notebook_port or super().server_port()

    def server_scheme(self) -> str:
        """`notebook_scheme`, or what internal_ssl asks for."""
        return self.notebook_scheme or super().server_scheme()

    def cloud_config(self) -> JsonObject:
        """Region, endpoint and where to look."""
        config: JsonObject = {}
        if self.aws_region:
            config["region"] = self.aws_region
        if endpoint := self._endpoint_url():
            config["endpoint_url"] = endpoint
        clusters = self.clusters or ([self.cluster] if self.cluster else [])
        if clusters:
            config["clusters"] = self._expanded("clusters", clusters)
        if self.container_name:
            config["container_name"] = self._expanded("container_name", self.container_name)
        if self.address != "private_ipv4":
            config["address"] = self.address
        if self.token_in != "environment":  # noqa: S105 - it says where the token is
            config["token_in"] = self.token_in
            if self.token_kms_key:
                config["token_kms_key"] = self.token_kms_key
        return config

    def gc_config(self, overrides: Sequence[Mapping[str, Any]] = ()) -> JsonObject:
        """The same without what differs from user to user and is no place, and with the clusters of the profiles."""
        config = {
            name: value
            for name, value in self.cloud_config().items()
            if name not in ("container_name", "address", "token_kms_key")
        }
        if chosen := [name for override in overrides for name in _clusters(override)]:
            known = config.get("clusters", [])
            config["clusters"] = list(dict.fromkeys([*known, *self._expanded("clusters", chosen)]))
        if any(override.get("token_in") == "secrets_manager" for override in overrides):
            config["token_in"] = "secrets_manager"  # noqa: S105 - it says where tokens are
        if file_system := self.storage.get("file_system_id"):
            # Homes need copies of the task definition, of which gc retires the old ones.
            config["storage"] = {"file_system_id": self._filled_in("storage", file_system)}
        return config

    def check_config(self) -> JsonObject:
        """The same with RunTask's arguments, where they are no function's and no profile's."""
        config = super().check_config()
        if self.get_run_task_args is not None or (self.spawner.profile_list and self._missing()):
            return config
        return {**config, "run_task": self._run_task()}

    def impossible(self, authenticator: Any) -> list[str]:
        """Keys that nobody would use are no keys."""
        problems = super().impossible(authenticator)
        keys = FargateSpawnerSecretAccessKeyAuthentication
        if self.spawner.config.get(keys.__name__) and not issubclass(self.authentication_class, keys):
            problems.append(f"c.{keys.__name__} is not used: set FargateSpawner.authentication_class = {keys.__name__}")
        return problems

    async def start_config(self) -> JsonObject:
        """The same with RunTask's arguments.

        Raises:
            ConfigurationError: something that RunTask needs is missing, or get_run_task_args gave no dict.
        """
        self.spawner.port = self.server_port()  # JUPYTERHUB_SERVICE_URL and the address agree
        if self.get_run_task_args is None:
            return {**self.cloud_config(), "run_task": self._run_task()}
        run_task = self.get_run_task_args(self.spawner)
        if inspect.isawaitable(run_task):
            run_task = await run_task
        if not isinstance(run_task, dict):
            raise ConfigurationError(
                f"FargateSpawner.get_run_task_args must return a dict, not {type(run_task).__name__}"
            )
        return {**self.cloud_config(), "run_task": run_task}

    def _missing(self) -> list[str]:
        needed = ("cluster", "task_definition", "container_name", "subnets")
        return [f"FargateSpawner.{name}" for name in needed if not getattr(self, name)]

    def _run_task(self) -> JsonObject:
        if missing := self._missing():
            raise ConfigurationError(f"set {', '.join(missing)}, or FargateSpawner.get_run_task_args")
        network: JsonObject = {
            "subnets": self._expanded("subnets", self.subnets),
            "assignPublicIp": "ENABLED" if self.assign_public_ip else "DISABLED",
        }
        if self.security_groups:
            network["securityGroups"] = self._expanded("security_groups", self.security_groups)
        run_task: JsonObject = {
            "cluster": self._expanded("cluster", self.cluster),
            "taskDefinition": self._expanded("task_definition", self.task_definition),
            "count": 1,
            "networkConfiguration": {"awsvpcConfiguration": network},
        }
        if self.capacity_provider_strategy:
            run_task["capacityProviderStrategy"] = self._expanded(
                "capacity_provider_strategy", self.capacity_provider_strategy
            )
        else:
            run_task["launchType"] = self.launch_type
        if self.platform_version:
            run_task["platformVersion"] = self.platform_version
        if size := {name: str(getattr(self, name)) for name in ("cpu", "memory") if getattr(self, name)}:
            run_task["overrides"] = size
        if self.tags:
            tags = self._expanded("tags", self.tags)
            run_task["tags"] = [{"key": key, "value": str(value)} for key, value in tags.items()]
        recursive_update(run_task, self._expanded("run_task_extra", self.run_task_extra))
        return run_task

    def _expanded(self, trait: str, value: Any) -> Any:
        return self._filled_in(trait, value)

    def _endpoint_url(self) -> str:
        host, region = self.aws_ecs_host.strip().rstrip("/"), self.aws_region
        own = {f"ecs.{region}.{domain}" for domain in ("amazonaws.com", "amazonaws.com.cn", "api.aws")}
        if not host or host.lower() in own:
            return ""
        return host if "://" in host else f"https://{host}"


def _clusters(override: Mapping[str, Any]) -> list[str]:
    """The clusters that an override names, as far as no function does."""
    several = override.get("clusters")
    named = [override.get("cluster"), *(several if isinstance(several, (list, tuple)) else ())]
    return [name for name in named if isinstance(name, str) and name]


class FargateSpawner(Fargate, CloudSpawner):
    """Runs each single-user server as an ECS task on Fargate."""

    @default("port")
    def _port_of_a_container(self) -> int:
        return self.notebook_port or 8888
