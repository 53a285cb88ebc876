"""JupyterHub that gives anybody a compute instance of Azure Machine Learning with a home of their own: for trying it out.

    python -m jupyterhub -f jupyterhub_config.py

What differs from site to site is an environment variable: env.template names them all, README.md tells where each comes from.
AMLSpawner itself reads SUBSCRIPTION_ID, RESOURCE_GROUP, LOCATION, SPAWN_TO_WORK_SPACE, SPAWN_COMPUTE_INSTANCE_SUFFIX, AAD_TENANT_ID,
AAD_CLIENT_ID, AAD_CLIENT_SECRET, STORAGE_ACCOUNT_NAME, STORAGE_ACCOUNT_CONN_STR and SAS_TOKEN.
"""

import os

c = get_config()  # noqa: F821 - JupyterHub gives it

# Anybody comes in, by any name and password, and each name may start a machine that costs money: on loopback alone.
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.bind_url = "http://127.0.0.1:8000"

c.JupyterHub.spawner_class = "azure_ml"
c.AMLSpawner.vm_size = os.environ.get("VM_SIZE") or "Standard_DS11_v2"
# The hub's own name in the subscription. Set it once and keep it: gc only ever touches instances of this name.
c.AMLSpawner.hub_id = os.environ.get("HUB_ID", "")

# Without an app's secret the hub is whoever ran `az login` on this machine.
if os.environ.get("AAD_CLIENT_SECRET"):
    c.AMLSpawner.credential_kind = "client_secret"

# Instances outlive the hub: a restarted hub finds them again.
c.JupyterHub.cleanup_servers = False

# Each person's own file share, made when it is first needed, mounted at each start of their instance, and there again on the
# next one. Their instance opens it by a managed identity of their own, which opens no other share.
c.AMLSpawner.mount_userspace = True
c.AMLSpawner.mount_userspace_location = "~/userfiles"
# Names the set of homes. It is part of each share's name: keep it, and people keep their files.
c.AMLSpawner.storage_id = "jupyterhub"
