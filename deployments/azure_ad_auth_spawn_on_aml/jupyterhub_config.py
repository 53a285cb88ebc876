"""JupyterHub where people log in by Entra ID (Azure AD) and get a compute instance of their own in Azure Machine Learning.

    python -m jupyterhub -f jupyterhub_config.py

What differs from site to site is an environment variable: env.template names them all, README.md tells where each comes from.
AMLSpawner itself reads SUBSCRIPTION_ID, RESOURCE_GROUP, LOCATION, SPAWN_TO_WORK_SPACE, SPAWN_COMPUTE_INSTANCE_SUFFIX, AAD_TENANT_ID,
AAD_CLIENT_ID and AAD_CLIENT_SECRET, too; JupyterHub reads JUPYTERHUB_CRYPT_KEY.
"""

import os

c = get_config()  # noqa: F821 - JupyterHub gives it

tenant = os.environ["AAD_TENANT_ID"]
host = os.environ.get("HOST") or "localhost:8000"
# Entra ID takes http for one's own machine alone ("Redirect URI restrictions").
scheme = "http" if host.split(":")[0] in {"localhost", "127.0.0.1"} else "https"

# A tunnel or a proxy that ends TLS brings people here.
c.JupyterHub.bind_url = "http://127.0.0.1:8000"

c.JupyterHub.authenticator_class = "azuread"
c.AzureAdOAuthenticator.login_service = "Microsoft Entra ID"
c.AzureAdOAuthenticator.tenant_id = tenant
c.AzureAdOAuthenticator.client_id = os.environ["AAD_CLIENT_ID"]
c.AzureAdOAuthenticator.client_secret = os.environ["AAD_CLIENT_SECRET"]
c.AzureAdOAuthenticator.oauth_callback_url = f"{scheme}://{host}/hub/oauth_callback"
# The authenticator's own default is version 1 of these, which takes no scopes.
authority = f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0"
c.AzureAdOAuthenticator.authorize_url = f"{authority}/authorize"
c.AzureAdOAuthenticator.token_url = f"{authority}/token"
# Who it is, and a token by which the hub creates the instance in the person's own name.
c.AzureAdOAuthenticator.scope = [
    "openid",
    "profile",
    "email",
    "offline_access",
    "https://management.azure.com/user_impersonation",
]
# The default, "name", is what people are called: two may have the same.
c.AzureAdOAuthenticator.username_claim = "preferred_username"
# Everybody whom the app lets in, which the tenant's administrator decides ("Assignment required?").
c.Authenticator.allow_all = True
# Keeps the person's tokens, encrypted with JUPYTERHUB_CRYPT_KEY.
c.Authenticator.enable_auth_state = True

c.JupyterHub.spawner_class = "azure_ml"
# The hub's own name in the subscription. Set it once and keep it: gc only ever touches instances of this name.
c.AMLSpawner.hub_id = os.environ.get("HUB_ID", "")
# What people choose from: your names, with Azure's; those that the region lacks are not shown.
c.AMLSpawner.sizes = {"Small": "Standard_DS11_v2", "Large": "Standard_DS12_v2"}

# A person creates their own instance, with the token of their log-in, so nobody else can open its JupyterLab. The hub's own
# identity does what goes on without them: watching, starting again, stopping, cleaning up.
c.AMLSpawner.identity = "user"
c.AMLSpawner.credential_kind = "client_secret"
# Where people may not create instances, the hub can create them on their behalf; they are as much their own.
# c.AMLSpawner.identity = "service"
# c.AMLSpawner.assigned_user = True

# Instances outlive the hub: a restarted hub finds them again.
c.JupyterHub.cleanup_servers = False
