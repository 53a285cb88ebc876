"""JupyterHub with single-user servers on AWS Fargate: `jupyterhub -f jupyterhub_config.py`.

Everything that differs from site to site is an environment variable (see README.md beside this file), so that the file can
be used as it is, in a container, too.
"""

import os

c = get_config()  # noqa: F821 - JupyterHub gives it


def names(variable: str) -> list[str]:
    """The comma-separated names in an environment variable."""
    return [name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()]


c.JupyterHub.spawner_class = "fargate"

# Where servers run. The region may also come from the profile or the hub's own container.
c.FargateSpawner.aws_region = os.environ.get("AWS_REGION", "")
c.FargateSpawner.cluster = os.environ.get("NOTEBOOK_CLUSTER", "notebooks")
c.FargateSpawner.task_definition = os.environ.get("NOTEBOOK_TASK_DEFINITION", "notebook")
c.FargateSpawner.container_name = os.environ.get("NOTEBOOK_CONTAINER", "notebook")
c.FargateSpawner.subnets = names("NOTEBOOK_SUBNETS")
c.FargateSpawner.security_groups = names("NOTEBOOK_SECURITY_GROUPS")
c.FargateSpawner.assign_public_ip = os.environ.get("NOTEBOOK_PUBLIC_IP") == "1"

# The hub's own name in the cloud account. Set it once and keep it: gc only ever touches servers of this name.
c.FargateSpawner.hub_id = os.environ.get("HUB_ID", "")

# Cost allocation tags, beside cloudspawner's own.
c.FargateSpawner.tags = {"application": "jupyterhub", "jupyterhub-user": "{username}"}

# What runs in the container, and how the servers reach the hub.
c.Spawner.cmd = ["jupyterhub-singleuser"]
c.Spawner.start_timeout = 300
c.JupyterHub.hub_ip = "0.0.0.0"
if "HUB_CONNECT_URL" in os.environ:
    c.JupyterHub.hub_connect_url = os.environ["HUB_CONNECT_URL"]

# Servers outlive the hub: a restarted hub finds them again.
c.JupyterHub.cleanup_servers = False
