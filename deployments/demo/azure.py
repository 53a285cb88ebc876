"""The Azure deployment with its log-in as it is, against the local Entra ID and the local Azure Machine Learning."""

import os
from pathlib import Path

c = get_config()  # noqa: F821 - JupyterHub gives it
load_subconfig(str(Path(__file__).parents[1] / "azure_ad_auth_spawn_on_aml" / "jupyterhub_config.py"))  # noqa: F821

authority = f"{os.environ['DEMO_AUTHORITY']}/{os.environ['AAD_TENANT_ID']}/oauth2/v2.0"
c.AzureAdOAuthenticator.authorize_url = f"{authority}/authorize"
c.AzureAdOAuthenticator.token_url = f"{authority}/token"
c.AMLSpawner.authority_host = os.environ["DEMO_AUTHORITY"]
c.AMLSpawner.management_endpoint = os.environ["DEMO_MANAGEMENT"]
c.AMLSpawner.redirect_listen = os.environ["DEMO_REDIRECT"]

# As in ../no_auth_spawn_on_aml_with_userspaces: what is in ~/userfiles is there again on the next machine.
c.AMLSpawner.mount_userspace = True
c.AMLSpawner.storage = {"account": os.environ["STORAGE_ACCOUNT_NAME"]}
