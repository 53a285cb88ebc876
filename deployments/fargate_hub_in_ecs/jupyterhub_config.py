"""JupyterHub itself as a task on Fargate, with its people's servers beside it; Dockerfile.hub starts it.

The environment variables of ../fargate_entra_id, which cloudformation.yaml fills in, and HUB_CONNECT_URL and HUB_PORT.
"""

import json
import os
import urllib.request
from pathlib import Path

from cloudspawner import FargateSpawnerECSRoleAuthentication

c = get_config()  # noqa: F821 - JupyterHub gives it
load_subconfig(str(Path(__file__).parents[1] / "fargate_entra_id" / "jupyterhub_config.py"))  # noqa: F821


def own_address() -> str:
    """This task's address in the VPC ("Amazon ECS task metadata endpoint version 4", for tasks on Fargate)."""
    with urllib.request.urlopen(os.environ["ECS_CONTAINER_METADATA_URI_V4"], timeout=5) as answer:
        return json.load(answer)["Networks"][0]["IPv4Addresses"][0]


# The load balancer, which ends TLS, reaches the proxy at JupyterHub's own default, port 8000 of all addresses.
c.JupyterHub.bind_url = "http://:8000"
c.JupyterHub.hub_port = int(os.environ.get("HUB_PORT") or "8081")
c.JupyterHub.hub_connect_url = f"http://{own_address()}:{c.JupyterHub.hub_port}"
# Servers outlive this task. By a name they reach the hub that comes after it, too; by this task's address they do not.
c.Spawner.hub_connect_url = os.environ.get("HUB_CONNECT_URL") or c.JupyterHub.hub_connect_url

# The hub acts as its task's role, HubRole in cloudformation.yaml.
c.FargateSpawner.authentication_class = FargateSpawnerECSRoleAuthentication

# Servers are in containers of another image: nothing of this one's environment, such as PATH, is theirs.
c.Spawner.env_keep = ["LANG", "LC_ALL"]
c.Spawner.ip = "0.0.0.0"
c.Spawner.port = 8888
# A cold start pulls the image.
c.Spawner.start_timeout = 300
