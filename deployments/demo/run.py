"""The demo: a local ECS, a JupyterHub with cloudspawner, and a JupyterLab for whoever logs in. Nothing leaves this machine.

`make demo` runs it in the environment that it has built. Ctrl-C ends everything.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
# A hub is ready within ten seconds; this is for a machine under heavy load.
READY_SECONDS = 90


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> int:
    """Start everything, say where it is, and wait."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--emulator", type=Path, required=True, help="the cloudspawner-emulator binary")
    options.add_argument("--port", type=int, default=8000, help="where the hub answers; 0 is any free one")
    options.add_argument("--delays", default="provisioning=1500,pending=2500", help="how long a task takes, in ms a state")
    options.add_argument("--json", action="store_true", help="print one JSON line instead of a greeting")
    given = options.parse_args()
    # SIGTERM ends it as Ctrl-C does, so that nothing is left running.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    data = Path(tempfile.mkdtemp(prefix="cloudspawner-demo-"))
    emulator = hub = None
    try:
        emulator, world = start_emulator(given.emulator, given.delays, data)
        address = f"127.0.0.1:{given.port or free_port()}"
        hub = start_hub(address, world, data)
        wait_until_ready(address, hub, data)
        greet(address, world, data, as_json=given.json)
        return hub.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        # The hub first: it stops its servers, for which it needs the emulator.
        for process in (hub, emulator):
            end(process)
        shutil.rmtree(data, ignore_errors=True)


def start_emulator(binary: Path, delays: str, data: Path) -> tuple[subprocess.Popen[str], dict[str, str]]:
    """Start the local ECS; it ends when its stdin does."""
    command = [str(binary), "--until-stdin-closes", "--data", str(data / "emulator"), "--delays", delays]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # The notebooks' own program is found where this Python is.
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        start_new_session=True,
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def start_hub(address: str, world: dict[str, str], data: Path) -> subprocess.Popen[str]:
    """Start JupyterHub with the Fargate deployment's configuration, pointed at the local ECS."""
    hub_port = free_port()
    env = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": world["url"],
        "AWS_REGION": world["region"],
        "AWS_ACCESS_KEY_ID": "AKIAEMULATOR",
        "AWS_SECRET_ACCESS_KEY": "emulator-secret",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NOTEBOOK_SUBNETS": "subnet-0123abcd",
        "NOTEBOOK_SECURITY_GROUPS": "sg-0123abcd",
        "HUB_ID": "demo",
        "HUB_CONNECT_URL": f"http://127.0.0.1:{hub_port}",
        "DEMO_ADDRESS": address,
        "DEMO_DATA": str(data),
        "DEMO_HUB_PORT": str(hub_port),
        "DEMO_PROXY_API_PORT": str(free_port()),
    }
    with (data / "hub.log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(HERE / "jupyterhub_config.py")],
            env=env,
            cwd=data,
            stdout=log,
            stderr=log,
            text=True,
            start_new_session=True,
        )


def wait_until_ready(address: str, hub: subprocess.Popen[str], data: Path) -> None:
    """Wait until the hub answers through its proxy."""
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and hub.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{address}/hub/api/", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    sys.exit(f"the hub did not come up; its log ends:\n{(data / 'hub.log').read_text()[-3000:]}")


def greet(address: str, world: dict[str, str], data: Path, *, as_json: bool) -> None:
    """Say where everything is."""
    if as_json:
        print(json.dumps({"url": f"http://{address}", "emulator": world["url"], "log": str(data / "hub.log")}), flush=True)
        return
    print(
        f"""
  JupyterHub with cloudspawner is ready:  http://{address}

  Log in with any name and any password. Your JupyterLab is then started by RunTask on a local
  ECS ({world["url"]}), as it would be on Fargate.

  The hub's log: {data / "hub.log"}
  What the local cloud has seen: {world["url"]}/_emulator/tasks
  Ctrl-C ends everything.
""",
        flush=True,
    )


def end(process: subprocess.Popen[str] | None) -> None:
    """End a process: by SIGTERM, then by SIGKILL."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
