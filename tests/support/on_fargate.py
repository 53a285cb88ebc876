"""The deployments on Fargate as an admin uses them, before a local ECS that allows the hub its policy and no more."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from support import deployments, emulator
from support.emulator import Emulator
from support.hub import Hub

LIGHT = [sys.executable, str(Path(__file__).with_name("light_server.py"))]
VARIABLES = {
    "AWS_REGION": "eu-west-1",
    "NOTEBOOK_SUBNETS": "subnet-0123abcd",
    "NOTEBOOK_SECURITY_GROUPS": "sg-0123abcd",
    "HUB_ID": "e2e",
}
"""What `../fargate` needs; the rest has the emulator's own names for its defaults."""


def world(policy: str, *more: str) -> Emulator:
    """A local ECS whose tasks are processes; `policy` is the file of what the hub's key allows."""
    keys = [":".join(emulator.KEY), f"{':'.join(deployments.HUB_KEY)}:{policy}"]
    delays = "provisioning=100,pending=200,stopping=50,deprovisioning=50"
    return Emulator(*(word for key in keys for word in ("--key", key)), *more, run="process", delays=delays)


def hub_of(name: str, ecs: Emulator, folder: Path, more: str = "", **variables: str) -> Hub:
    """A deployment's hub, which is not started yet; `more` is Python that follows its configuration."""
    # After the deployment's own, what is this machine's: where the hub is, and servers that start at once.
    config = f"""
        bind_url = c.JupyterHub.bind_url
        load_subconfig({str(deployments.config(name))!r})
        c.JupyterHub.bind_url = bind_url
        c.Spawner.cmd = {LIGHT!r}
        c.Spawner.args = []
        {more}
    """
    key = {"AWS_ACCESS_KEY_ID": deployments.HUB_KEY[0], "AWS_SECRET_ACCESS_KEY": deployments.HUB_KEY[1]}
    return Hub(folder, {**ecs.env(**key), **VARIABLES, **variables}, config, traits="")


class Metadata(BaseHTTPRequestHandler):
    """What a container on Fargate is told of itself ("Task metadata version 4 for tasks on Fargate", "Example responses")."""

    def do_GET(self) -> None:
        """The container's metadata, as far as it matters."""
        networks = [{"NetworkMode": "awsvpc", "IPv4Addresses": ["127.0.0.1"], "PrivateDNSName": "localhost"}]
        body = json.dumps({"Name": "hub", "Networks": networks}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""
