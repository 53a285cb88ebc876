"""The demo: a local cloud, a JupyterHub with cloudspawner, and a JupyterLab for whoever logs in. Nothing leaves this machine.

`make demo` and `make demo-azure` run it in the environment that they have built. Ctrl-C ends everything.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType

from clouds import CLOUDS, Addresses, World, free_address

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
# A hub is ready within ten seconds; this is for a machine under heavy load.
READY_SECONDS = 90
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main() -> int:
    """Start everything, say where it is, and wait."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--emulator", type=Path, required=True, help="the cloudspawner-emulator binary")
    options.add_argument("--cloud", choices=CLOUDS, default="fargate", help="which cloud")
    options.add_argument("--port", type=int, default=8000, help="where the hub answers; 0 is any free one")
    options.add_argument("--delays", help="how long a task or an instance takes, in ms a state")
    options.add_argument("--json", action="store_true", help="print one JSON line instead of a greeting")
    given = options.parse_args()
    for number in SIGNALS:
        signal.signal(number, interrupt)
    data = Path(tempfile.mkdtemp(prefix="cloudspawner-demo-"))
    emulator = hub = None
    try:
        cloud = CLOUDS[given.cloud]
        emulator, world = start_emulator(given.emulator, cloud.options(given.delays or cloud.delays), data)
        public = f"127.0.0.1:{given.port}" if given.port else free_address()
        addresses = Addresses(public, hub=free_address(), proxy_api=free_address(), redirect=free_address())
        hub = start_hub(given.cloud, world, addresses, data)
        wait_until_ready(public, hub, data)
        greet(given.cloud, world, public, data, as_json=given.json)
        return hub.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        # The hub first: it stops its servers, for which it needs the emulator.
        for process in (hub, emulator):
            end(process)
        shutil.rmtree(data, ignore_errors=True)


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """End by either signal, once: a second one must not end the clean-up."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def start_emulator(binary: Path, options: list[str], data: Path) -> tuple[subprocess.Popen[str], World]:
    """Start the local cloud; it ends when its stdin does."""
    command = [str(binary), "--until-stdin-closes", "--data", str(data / "emulator"), *options]
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


def start_hub(cloud: str, world: World, addresses: Addresses, data: Path) -> subprocess.Popen[str]:
    """Start JupyterHub with the deployment's configuration, pointed at the local cloud."""
    env = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "HUB_ID": "demo",
        **CLOUDS[cloud].env(world, addresses),
        "DEMO_CLOUD": cloud,
        "DEMO_DATA": str(data),
        "DEMO_ADDRESS": addresses.public,
        "DEMO_HUB": addresses.hub,
        "DEMO_PROXY_API": addresses.proxy_api,
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


def greet(name: str, world: World, address: str, data: Path, *, as_json: bool) -> None:
    """Say where everything is."""
    cloud = CLOUDS[name]
    if as_json:
        print(json.dumps({"url": f"http://{address}", "emulator": cloud.url(world), "log": str(data / "hub.log")}), flush=True)
        return
    print(
        f"""
  JupyterHub with cloudspawner is ready:  http://{address}

  {cloud.greeting.format(cloud=cloud.url(world))}

  The hub's log: {data / "hub.log"}
  What the local cloud has seen: {cloud.url(world)}{cloud.seen}
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
