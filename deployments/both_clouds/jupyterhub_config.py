"""One JupyterHub, two clouds: people log in by Entra ID and choose between AWS Fargate and Azure Machine Learning.

    python -m jupyterhub -f jupyterhub_config.py

What differs from site to site is an environment variable: env.template names them all, README.md tells where each comes from.
AMLSpawner itself reads SUBSCRIPTION_ID, RESOURCE_GROUP, LOCATION, SPAWN_TO_WORK_SPACE, SPAWN_COMPUTE_INSTANCE_SUFFIX, AAD_TENANT_ID,
AAD_CLIENT_ID and AAD_CLIENT_SECRET, too; JupyterHub reads JUPYTERHUB_CRYPT_KEY.
"""

import os

c = get_config()  # noqa: F821 - JupyterHub gives it


def names(variable: str) -> list[str]:
    """The comma-separated names in an environment variable."""
    return [name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()]


tenant = os.environ["AAD_TENANT_ID"]
host = os.environ.get("HOST") or "localhost:8000"
# Entra ID takes http for one's own machine alone ("Redirect URI restrictions").
scheme = "http" if host.split(":")[0] in {"localhost", "127.0.0.1"} else "https"

# A tunnel or a proxy that ends TLS brings people here; tasks and the hub's proxy reach the hub by HUB_CONNECT_URL.
c.JupyterHub.bind_url = "http://127.0.0.1:8000"
c.JupyterHub.hub_ip = "0.0.0.0"
if url := os.environ.get("HUB_CONNECT_URL"):
    c.JupyterHub.hub_connect_url = url

c.JupyterHub.authenticator_class = "azuread"
c.AzureAdOAuthenticator.login_service = "Microsoft Entra ID"
c.AzureAdOAuthenticator.tenant_id = tenant
c.AzureAdOAuthenticator.client_id = os.environ["AAD_CLIENT_ID"]
c.AzureAdOAuthenticator.client_secret = os.environ["AAD_CLIENT_SECRET"]
c.AzureAdOAuthenticator.oauth_callback_url = f"{scheme}://{host}/hub/oauth_callback"
authority = f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0"
c.AzureAdOAuthenticator.authorize_url = f"{authority}/authorize"
c.AzureAdOAuthenticator.token_url = f"{authority}/token"
c.AzureAdOAuthenticator.scope = ["openid", "profile", "email"]
c.AzureAdOAuthenticator.username_claim = "preferred_username"
c.Authenticator.allow_all = True
# Who somebody is to Azure: the hub makes each instance for its person, to whom alone it then answers.
c.Authenticator.enable_auth_state = True

c.JupyterHub.spawner_class = "cloudspawner"
# The hub's own name on both clouds. Set it once and keep it: gc only ever touches what bears this name.
c.CloudSpawner.hub_id = os.environ.get("HUB_ID", "")
c.CloudSpawner.profile_list = [
    {
        "display_name": "Small",
        "description": "Half a CPU and 1 GiB of memory, within a minute. Files end with the server.",
        "backend": "fargate",
        "default": True,
        "spawner_override": {"cpu": 512, "memory": 1024},
    },
    {
        "display_name": "Large",
        "description": "For data that fits into memory. Files end with the server.",
        "backend": "fargate",
        "profile_options": {
            "memory": {
                "display_name": "Memory",
                "choices": {
                    "8": {"display_name": "8 GiB, 2 CPUs", "spawner_override": {"cpu": 2048, "memory": 8192}},
                    "16": {"display_name": "16 GiB, 4 CPUs", "spawner_override": {"cpu": 4096, "memory": 16384}},
                },
            },
        },
    },
    {
        "display_name": "A machine of your own",
        "slug": "machine",
        "description": "Takes a few minutes, keeps its disk, and stops by itself when it is idle.",
        "backend": "azure_ml",
    },
    {
        "display_name": "A machine with a GPU",
        "slug": "gpu",
        "description": "For members of the group gpu.",
        "backend": "azure_ml",
        "groups": ["gpu"],
        "spawner_override": {"vm_size": "Standard_NC6s_v3", "idle_shutdown": "PT30M"},
    },
]

# What holds for all servers on Fargate.
c.FargateSpawner.aws_region = os.environ.get("AWS_REGION", "")
c.FargateSpawner.cluster = os.environ.get("NOTEBOOK_CLUSTER") or "notebooks"
c.FargateSpawner.task_definition = os.environ.get("NOTEBOOK_TASK_DEFINITION") or "notebook"
c.FargateSpawner.container_name = os.environ.get("NOTEBOOK_CONTAINER") or "notebook"
c.FargateSpawner.subnets = names("NOTEBOOK_SUBNETS")
c.FargateSpawner.security_groups = names("NOTEBOOK_SECURITY_GROUPS")
c.FargateSpawner.tags = {"application": "jupyterhub", "jupyterhub-user": "{username}"}
c.FargateSpawner.cmd = ["jupyterhub-singleuser"]

# What holds for all on Azure; sizes that the region lacks are not shown.
c.AMLSpawner.credential_kind = "client_secret"
c.AMLSpawner.assigned_user = True
c.AMLSpawner.sizes = {"Small": "Standard_DS11_v2", "Large": "Standard_DS12_v2"}

# Servers outlive the hub: a restarted hub finds them again, each on its cloud.
c.JupyterHub.cleanup_servers = False
