"""Credential services with fixed addresses or hosts: the container's relative URI, and SSO.

The relative URI is always http://169.254.170.2, so that test runs in a network namespace of its own, where that address is
the test's.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support import ask, program
from support.emulator import Emulator

CONTAINER_ADDRESS = "169.254.170.2"
NO_KEYS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


@contextmanager
def service(emulator: Emulator, address: tuple[str, int], seen: list[str]) -> Iterator[int]:
    """A credentials service that hands out the emulator's temporary keys, as a container's and as SSO's; gives its port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            with urllib.request.urlopen(emulator.ready["credentials_url"], timeout=10) as answer:
                keys = json.loads(answer.read())
            if self.path.startswith("/federation/"):
                assert self.headers["x-amz-sso_bearer_token"] == "sso-token"
                keys = {
                    "roleCredentials": {
                        "accessKeyId": keys["AccessKeyId"],
                        "secretAccessKey": keys["SecretAccessKey"],
                        "sessionToken": keys["Token"],
                        "expiration": 4102444800000,
                    }
                }
            body = json.dumps(keys).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(address, Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_sso_gives_credentials_from_the_cached_token(emulator: Emulator, tmp_path: Path) -> None:
    seen: list[str] = []
    with service(emulator, ("127.0.0.1", 0), seen) as port:
        cache = tmp_path / ".aws" / "sso" / "cache"
        cache.mkdir(parents=True)
        start_url = "https://example.awsapps.com/start"
        token = {"accessToken": "sso-token", "expiresAt": "2099-01-01T00:00:00Z", "region": "eu-west-1", "startUrl": start_url}
        (cache / f"{hashlib.sha1(b'company').hexdigest()}.json").write_text(json.dumps(token))
        (tmp_path / ".aws" / "config").write_text(
            "[profile lab]\nsso_session = company\nsso_account_id = 123456789012\nsso_role_name = hub\nregion = eu-west-1\n"
            f"[sso-session company]\nsso_region = eu-west-1\nsso_start_url = {start_url}\n"
        )
        env = emulator.env(
            **NO_KEYS,
            HOME=str(tmp_path),
            AWS_CONFIG_FILE=str(tmp_path / ".aws" / "config"),
            AWS_PROFILE="lab",
            AWS_ENDPOINT_URL_SSO=f"http://127.0.0.1:{port}",
        )
        assert program.run("start", ask.start(), env).result["url"]
    assert seen == ["/federation/credentials?role_name=hub&account_id=123456789012"]


def test_a_containers_relative_address_gives_credentials() -> None:
    if not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("NOTICE: util-linux's unshare and iproute2's ip are needed")
    inside = subprocess.run(
        ["unshare", "--net", sys.executable, __file__],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    if "unshare failed" in inside.stderr:
        pytest.skip(f"NOTICE: no network namespace can be made here: {inside.stderr}")
    assert inside.returncode == 0, inside.stderr


def inside_the_namespace() -> None:
    """Makes the fixed address this namespace's own, and starts a server with nothing but the relative URI."""
    for command in (["ip", "link", "set", "lo", "up"], ["ip", "address", "add", f"{CONTAINER_ADDRESS}/32", "dev", "lo"]):
        subprocess.run(command, check=True)
    seen: list[str] = []
    with Emulator() as emulator, service(emulator, (CONTAINER_ADDRESS, 80), seen):
        env = emulator.env(**NO_KEYS, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="/v2/credentials/task")
        assert program.run("start", ask.start(), env).result["url"]
        explicit = ask.start(credentials={"kind": "ecs_role"})
        assert program.run("start", explicit, env).result["url"]
    assert seen == ["/v2/credentials/task"] * 2


if __name__ == "__main__":
    inside_the_namespace()
