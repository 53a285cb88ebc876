"""The deployment with both clouds as it stands in its folder, before a local ECS and a local Azure."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import deployments
from support.azure import Azure
from support.emulator import Emulator
from support.hub import Hub
from support.ports import free_port

LIGHT = [sys.executable, str(Path(__file__).with_name("light_server.py"))]


@contextmanager
def clouds(provisioning_ms: int, creating_ms: int) -> Iterator[tuple[Emulator, Azure]]:
    """Both clouds, with the times that a task and an instance take at first."""
    task = f"provisioning={provisioning_ms},pending=300,stopping=50,deprovisioning=50"
    instance = f"creating={creating_ms},starting=300,stopping=200,deleting=100"
    with Emulator(run="process", delays=task) as ecs, Azure(*deployments.BOUND, delays=instance, run="process") as azure:
        yield ecs, azure


def hub_of(ecs: Emulator, azure: Azure, folder: Path, more: str = "") -> Hub:
    """The deployment's hub, which is not started yet; `more` is Python that follows its configuration."""
    authority = f"{azure.azure['authority']}/{azure.azure['tenant']}/oauth2/v2.0"
    # After the deployment's own, what is this machine's: where the hub and the clouds are, and servers that start at once.
    config = f"""
        bind_url = c.JupyterHub.bind_url
        load_subconfig({str(deployments.config("both_clouds"))!r})
        c.JupyterHub.bind_url = bind_url
        c.AzureAdOAuthenticator.authorize_url = "{authority}/authorize"
        c.AzureAdOAuthenticator.token_url = "{authority}/token"
        c.AMLSpawner.authority_host = {azure.azure["authority"]!r}
        c.AMLSpawner.management_endpoint = {azure.azure["management"]!r}
        c.AMLSpawner.redirect_listen = "127.0.0.1:{free_port()}"
        c.FargateSpawner.cmd = {LIGHT!r}
        c.Spawner.args = []
        # A request for a server waits for a refusal.
        c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 5}}
        {more}
    """
    hub = Hub(folder, {**ecs.env(), **deployments.filled("both_clouds", azure)}, config, traits="")
    hub.env["HOST"] = f"127.0.0.1:{hub.port}"
    return hub
