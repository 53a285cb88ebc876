"""A real JupyterHub in a process of its own, and a browser's view of it."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from support.ports import free_port

# A hub is up within ten seconds; this is for a machine under heavy load.
READY_SECONDS = 90.0


def wait_for(what: str, look: Callable[[], Any], seconds: float = 60.0, pause: float = 0.1) -> Any:
    """Look until something is true, and return it; fail with `what` where it never is."""
    until = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(pause)


TRAITS = """
c.FargateSpawner.cluster = "notebooks"
c.FargateSpawner.task_definition = "notebook"
c.FargateSpawner.container_name = "notebook"
c.FargateSpawner.subnets = ["subnet-0123abcd"]
"""


DELETES_ADAS_STORAGE = """
from traitlets import default
import cloudspawner

class Spawner(cloudspawner.{kind}):
    @default("delete_storage")
    def _asked_for_ada_alone(self):
        return self.user.name == "ada"

c.JupyterHub.spawner_class = Spawner
"""
"""Configuration of a hub whose admin wants Ada's storage to go with her, and nobody else's."""


class Hub:
    """A hub with cloudspawner in front of some ECS; its database outlives its process.

    Args:
        folder: where configuration, database, log and pid files live.
        env: what it gets beside this process's environment: the ECS, the credentials.
        config: Python that follows the usual configuration.
        traits: the simple traits of FargateSpawner, for the emulator's own cluster by default.
    """

    def __init__(self, folder: Path, env: dict[str, str], config: str = "", traits: str = TRAITS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log_path = folder / "hub.log"
        self.port, self.hub_port, self.proxy_api_port = free_port(), free_port(), free_port()
        self.token = secrets.token_hex(16)
        self.url = f"http://127.0.0.1:{self.port}"
        bin_folder = str(Path(sys.executable).parent)
        self.env = {
            **os.environ,
            **env,
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(16),
        }
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "config.py").write_text(self._base_config() + traits + textwrap.dedent(config))

    def _base_config(self) -> str:
        return textwrap.dedent(f"""
            c = get_config()
            c.JupyterHub.spawner_class = "fargate"
            c.JupyterHub.authenticator_class = "dummy"
            c.Authenticator.allow_all = True
            c.JupyterHub.bind_url = {self.url!r}
            c.JupyterHub.hub_bind_url = "http://127.0.0.1:{self.hub_port}"
            c.JupyterHub.hub_connect_url = "http://127.0.0.1:{self.hub_port}"
            c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{self.proxy_api_port}"
            c.JupyterHub.cleanup_servers = False
            # Requests for a server answer at once, while it starts.
            c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0}}
            c.JupyterHub.services = [{{"name": "test", "api_token": {self.token!r}}}]
            c.JupyterHub.load_roles = [
                {{"name": "test", "services": ["test"], "scopes": ["admin:users", "admin:servers", "list:users"]}}
            ]
            c.FargateSpawner.hub_id = "e2e"
            # Its calls are counted, and faults strike them.
            c.CloudSpawner.check_at_start = False
            c.Spawner.args = ["--allow-root"]
        """)

    def start(self, *, wait: bool = True) -> None:
        """Start the hub, again too; its log goes on."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", "config.py"],
                cwd=self.folder,
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until the hub answers through its proxy."""

        def answers() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"the hub ended:\n{self.log()[-4000:]}"
            try:
                return requests.get(f"{self.url}/hub/api/", timeout=5).ok
            except requests.RequestException:
                return False

        wait_for("the hub answers", answers, READY_SECONDS)

    def kill(self) -> None:
        """SIGKILL for the hub's process alone, as the kernel does when memory is short."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End the hub and its proxy. What it logged goes to stdout, which pytest shows where a test fails."""
        print(self.log()[-20_000:])
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        pid_file = self.folder / "jupyterhub-proxy.pid"
        if pid_file.exists():
            try:
                os.kill(int(pid_file.read_text()), signal.SIGTERM)
            except (ProcessLookupError, ValueError):
                pass

    def __enter__(self) -> Hub:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def log(self) -> str:
        """All that the hub has logged."""
        return self.log_path.read_text(errors="replace")

    def api(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """Call the hub's REST API as an admin, at the hub itself."""
        kwargs.setdefault("timeout", 90)
        headers = {"Authorization": f"token {self.token}"}
        url = f"http://127.0.0.1:{self.hub_port}/hub/api/{path.lstrip('/')}"
        return requests.request(method, url, headers=headers, **kwargs)

    def add_user(self, *names: str) -> None:
        """Make users."""
        answer = self.api("POST", "users", json={"usernames": list(names)})
        assert answer.status_code in (201, 409), answer.text

    def spawn(self, name: str, server: str = "") -> requests.Response:
        """Ask for a user's server."""
        path = f"users/{name}/servers/{server}" if server else f"users/{name}/server"
        return self.api("POST", path)

    def unspawn(self, name: str) -> requests.Response:
        """Ask for the end of a user's server."""
        return self.api("DELETE", f"users/{name}/server")

    def delete_user(self, name: str) -> None:
        """Delete a user, whose server is stopped first."""
        self.unspawn(name)
        wait_for(f"{name}'s server is gone", lambda: self.server(name) is None)
        answer = self.api("DELETE", f"users/{name}")
        assert answer.status_code == 204, answer.text

    def server(self, name: str, server: str = "") -> dict[str, Any] | None:
        """The hub's view of a user's server."""
        servers: dict[str, Any] = self.api("GET", f"users/{name}").json().get("servers", {})
        return servers.get(server)

    def is_ready(self, name: str) -> bool:
        """Whether a user's server is ready."""
        server = self.server(name)
        return bool(server and server["ready"])

    def ready_users(self) -> set[str]:
        """Everybody whose server is ready."""
        users = self.api("GET", "users?state=ready&limit=200").json()
        return {user["name"] for user in users}

    def child_pids(self) -> list[int]:
        """The program's serve processes below this hub."""
        assert self.process is not None
        found = subprocess.run(["pgrep", "-P", str(self.process.pid), "-f", "serve"], capture_output=True, text=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    def log_in(self, name: str) -> requests.Session:
        """Log in as a person does: the form, its token, the cookies."""
        session = requests.Session()
        session.get(f"{self.url}/hub/login", timeout=30)
        answer = session.post(
            f"{self.url}/hub/login",
            params={"_xsrf": session.cookies.get("_xsrf", path="/hub/")},
            data={"username": name, "password": "any"},
            timeout=90,
        )
        assert answer.ok, answer.text
        return session
