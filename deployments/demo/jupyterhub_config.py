"""The demo's hub: a deployment as it is, against the local cloud, on loopback."""

import os
from pathlib import Path

c = get_config()  # noqa: F821 - JupyterHub gives it
load_subconfig(str(Path(__file__).parent / f"{os.environ['DEMO_CLOUD']}.py"))  # noqa: F821

data = Path(os.environ["DEMO_DATA"])

c.JupyterHub.bind_url = f"http://{os.environ['DEMO_ADDRESS']}"
c.JupyterHub.hub_bind_url = f"http://{os.environ['DEMO_HUB']}"
c.ConfigurableHTTPProxy.api_url = f"http://{os.environ['DEMO_PROXY_API']}"
c.ConfigurableHTTPProxy.pid_file = str(data / "jupyterhub-proxy.pid")
c.JupyterHub.cookie_secret_file = str(data / "jupyterhub_cookie_secret")
c.JupyterHub.db_url = f"sqlite:///{data / 'jupyterhub.sqlite'}"

# The local cloud's tasks and instances are processes of this machine; they end with it, so the hub ends them first.
c.JupyterHub.cleanup_servers = True
