"""JupyterHub spawners that start single-user servers in the cloud, through the `cloudspawner` program."""

from . import clouds as _clouds  # noqa: F401 - the clouds are known to CloudSpawner by it
from .azure_ml import AMLSpawner
from .errors import ConfigurationError, SpawnFailed
from .fargate import (
    FargateSpawner,
    FargateSpawnerAuthentication,
    FargateSpawnerEC2InstanceProfileAuthentication,
    FargateSpawnerECSRoleAuthentication,
    FargateSpawnerSecretAccessKeyAuthentication,
)
from .hub_start import listen as _listen
from .release import __version__
from .secrets import SecretError, get_secret
from .spawner import CloudSpawner

__all__ = [
    "AMLSpawner",
    "CloudSpawner",
    "ConfigurationError",
    "FargateSpawner",
    "FargateSpawnerAuthentication",
    "FargateSpawnerEC2InstanceProfileAuthentication",
    "FargateSpawnerECSRoleAuthentication",
    "FargateSpawnerSecretAccessKeyAuthentication",
    "SecretError",
    "SpawnFailed",
    "__version__",
    "get_secret",
]

_listen()
