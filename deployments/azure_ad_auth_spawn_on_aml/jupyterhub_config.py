"""JupyterHub where people log in by Entra ID (Azure AD) and get a compute instance of their own in Azure Machine Learning.

    python -m jupyterhub -f jupyterhub_config.py

What differs from site to site is an environment variable: env.template names them all, README.md tells where each comes from.
AMLSpawner itself reads SUBSCRIPTION_ID, RESOURCE_GROUP, LOCATION and SPAWN_TO_WORK_SPACE; JupyterHub JUPYTERHUB_CRYPT_KEY.
"""

import os

c = get_config()  # noqa: F821 - JupyterHub gives it

tenant, app, secret = (os.environ[f"AAD_{name}"] for name in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"))
host = os.environ.get("HOST") or "localhost:8000"
# Entra ID takes http for one's own machine alone ("Redirect URI restrictions").
scheme = "http" if host.split(":")[0] in {"localhost", "127.0.0.1"} else "https"

# A tunnel or a proxy that ends TLS brings people here.
c.JupyterHub.bind_url = "http://127.0.0.1:8000"

c.JupyterHub.authenticator_class = "azuread"
c.AzureAdOAuthenticator.login_service = "Microsoft Entra ID"
c.AzureAdOAuthenticator.tenant_id = tenant
c.AzureAdOAuthenticator.client_id = app
c.AzureAdOAuthenticator.client_secret = secret
c.AzureAdOAuthenticator.oauth_callback_url = f"{scheme}://{host}/hub/oauth_callback"
# The authenticator's own default is version 1 of these, which takes no scopes.
authority = f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0"
c.AzureAdOAuthenticator.authorize_url = f"{authority}/authorize"
c.AzureAdOAuthenticator.token_url = f"{authority}/token"
# Who it is, and a refresh token; the last one lets the hub create the instance in the person's own name.
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
# Keeps the person's tokens and object id, encrypted with JUPYTERHUB_CRYPT_KEY.
c.Authenticator.enable_auth_state = True

c.JupyterHub.spawner_class = "azure_ml"
c.AMLSpawner.vm_size = os.environ.get("VM_SIZE") or "Standard_DS11_v2"
# The hub's own name in the subscription. Set it once and keep it: gc only ever touches instances of this name.
c.AMLSpawner.hub_id = os.environ.get("HUB_ID", "")
# The hub's own identity, for all that goes on without the person: watching, stopping, cleaning up.
c.AMLSpawner.credential_kind = "client_secret"
c.AMLSpawner.tenant_id = tenant
c.AMLSpawner.client_id = app
c.AMLSpawner.client_secret = secret


def assign(spawner, auth_state: dict) -> None:
    """The instance is made for the person who logged in: nobody else can open its JupyterLab."""
    person = {"objectId": auth_state["user"]["oid"], "tenantId": auth_state["user"]["tid"]}
    spawner.properties = {**spawner.properties, "personalComputeInstanceSettings": {"assignedUser": person}}


c.Spawner.auth_state_hook = assign

# Instances outlive the hub: a restarted hub finds them again.
c.JupyterHub.cleanup_servers = False
