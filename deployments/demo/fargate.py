"""The Fargate deployment with EFS as it is, against the local cloud, with anybody allowed in."""

from pathlib import Path

c = get_config()  # noqa: F821 - JupyterHub gives it
load_subconfig(str(Path(__file__).parents[1] / "fargate_with_efs" / "jupyterhub_config.py"))  # noqa: F821

# A demo only: any name and password come in. Never do this where others can reach the hub.
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True

c.Spawner.default_url = "/lab"
# JupyterLab's front end comes with its wheel; the demo has no other kernel than this environment's Python.
c.Spawner.args = ["--allow-root"]
