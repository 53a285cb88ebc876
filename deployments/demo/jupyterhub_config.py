"""The demo's hub: the Fargate deployment as it is, against the local emulator, on loopback, with anybody allowed in."""

import os
from pathlib import Path

c = get_config()  # noqa: F821 - JupyterHub gives it
load_subconfig(str(Path(__file__).parents[1] / "fargate" / "jupyterhub_config.py"))  # noqa: F821

data = Path(os.environ["DEMO_DATA"])
address = os.environ["DEMO_ADDRESS"]

c.JupyterHub.bind_url = f"http://{address}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{os.environ['DEMO_HUB_PORT']}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{os.environ['DEMO_PROXY_API_PORT']}"
c.ConfigurableHTTPProxy.pid_file = str(data / "jupyterhub-proxy.pid")
c.JupyterHub.cookie_secret_file = str(data / "jupyterhub_cookie_secret")
c.JupyterHub.db_url = f"sqlite:///{data / 'jupyterhub.sqlite'}"

# A demo only: any name and password come in. Never do this where others can reach the hub.
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True

# The emulator's tasks are processes of this machine; they end with it, so the hub ends them first.
c.JupyterHub.cleanup_servers = True
c.Spawner.default_url = "/lab"
# JupyterLab's front end comes with its wheel; the demo has no other kernel than this environment's Python.
c.Spawner.args = ["--allow-root"]
