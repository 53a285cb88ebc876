"""The Fargate deployment, with named servers that another program starts over the REST API: `jupyterhub -f jupyterhub_config.py`.

The same environment variables as in ../fargate, and a token in Secrets Manager: see README.md beside this file.
"""

from pathlib import Path

from cloudspawner import get_secret

c = get_config()  # noqa: F821 - JupyterHub gives it
load_subconfig(str(Path(__file__).parents[1] / "fargate" / "jupyterhub_config.py"))  # noqa: F821

# Each person may have several servers, each a task of its own with its name in its URL.
c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = 5

# Who starts them without a person: a program of yours, which holds this token, too. It stands in the vault alone.
c.JupyterHub.services.append({"name": "spawner-admin", "api_token": get_secret("jupyterhub/spawner-admin")})
# admin:users makes users who never logged in; admin:servers starts, follows and stops servers. Neither opens a server.
c.JupyterHub.load_roles.append(
    {"name": "spawner-admin", "services": ["spawner-admin"], "scopes": ["admin:users", "admin:servers"]}
)
