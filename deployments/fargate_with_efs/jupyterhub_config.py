"""The Fargate deployment, with a home on EFS for each person: `jupyterhub -f jupyterhub_config.py`.

The same environment variables as in ../fargate, and two more: see README.md beside this file.
"""

import os
from pathlib import Path

c = get_config()  # noqa: F821 - JupyterHub gives it
load_subconfig(str(Path(__file__).parents[1] / "fargate" / "jupyterhub_config.py"))  # noqa: F821

# The home of the Jupyter images is the person's own access point, made at their first start.
c.FargateSpawner.mount_userspace = True
c.FargateSpawner.storage = {"file_system_id": os.environ.get("EFS_FILE_SYSTEM", "")}

# The role with which tasks mount, where it is not the task definition's own. With {username} in it, each person has a role of
# their own, which opens their access point alone.
if task_role := os.environ.get("NOTEBOOK_TASK_ROLE"):
    c.FargateSpawner.run_task_extra = {"overrides": {"taskRoleArn": task_role}}
