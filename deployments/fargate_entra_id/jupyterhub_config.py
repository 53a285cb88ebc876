"""The Fargate deployment, where people log in by Entra ID (Azure AD): `jupyterhub -f jupyterhub_config.py`.

The same environment variables as in ../fargate, and four more: see README.md beside this file.
"""

import os
from pathlib import Path

c = get_config()  # noqa: F821 - JupyterHub gives it
load_subconfig(str(Path(__file__).parents[1] / "fargate" / "jupyterhub_config.py"))  # noqa: F821

tenant = os.environ["AAD_TENANT_ID"]
host = os.environ.get("HOST") or "localhost:8000"
# Entra ID takes http for one's own machine alone ("Redirect URI restrictions").
scheme = "http" if host.split(":")[0] in {"localhost", "127.0.0.1"} else "https"

c.JupyterHub.authenticator_class = "azuread"
c.AzureAdOAuthenticator.login_service = "Microsoft Entra ID"
c.AzureAdOAuthenticator.tenant_id = tenant
c.AzureAdOAuthenticator.client_id = os.environ["AAD_CLIENT_ID"]
# From a vault into the environment, never into this file.
c.AzureAdOAuthenticator.client_secret = os.environ["AAD_CLIENT_SECRET"]
c.AzureAdOAuthenticator.oauth_callback_url = f"{scheme}://{host}/hub/oauth_callback"
# The authenticator's own default is version 1 of these, which takes no scopes.
authority = f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0"
c.AzureAdOAuthenticator.authorize_url = f"{authority}/authorize"
c.AzureAdOAuthenticator.token_url = f"{authority}/token"
c.AzureAdOAuthenticator.scope = ["openid", "profile", "email"]
# The default, "name", is what people are called: two may have the same.
c.AzureAdOAuthenticator.username_claim = "preferred_username"
# Everybody whom the app lets in, which the tenant's administrator decides ("Assignment required?").
c.Authenticator.allow_all = True

# People are ada@example.org here. The tag holds that name; {username} would be its escaped form.
c.FargateSpawner.tags = {"application": "jupyterhub", "jupyterhub-user": "{unescaped_username}"}
