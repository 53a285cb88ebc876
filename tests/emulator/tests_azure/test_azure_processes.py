"""Instances that run a program of this machine."""

import json
import sys
import urllib.request
from pathlib import Path

import pytest
from azure_emulated import wait_for

SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/write":
            open("kept", "w").write("kept")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str([os.getpid(), os.path.exists("kept"), os.getcwd() == os.environ["HOME"]]).encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""


@pytest.fixture
def emulator(start_emulator, tmp_path):
    program = tmp_path / "server.py"
    program.write_text(SERVER)
    command = f"{sys.executable} {program} {{address}} {{port}}"
    return start_emulator("--data", str(tmp_path / "data"), "--azure-command", command, "--azure-port", "8899")


def ask(url: str):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=5) as answer:
        return json.loads(answer.read().decode().replace("True", "true").replace("False", "false"))


def address(emulator, name: str) -> str:
    applications = emulator.get(name)["properties"]["properties"]["applications"]
    return next(app["endpointUri"] for app in applications if app["displayName"] == "Jupyter Lab")


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_a_running_instance_answers_and_its_home_stays_over_a_stop(emulator):
    emulator.running("ada-first")
    url = address(emulator, "ada-first")
    assert url.startswith("http://127.")
    assert not url.startswith("http://127.0.0.1")
    assert url.endswith(":8899/lab")
    pid, kept, at_home = ask(url.replace("/lab", "/write"))
    assert (pid, at_home) == (emulator.instance("ada-first")["pid"], True)
    assert emulator.arm("POST", f"{emulator.compute('ada-first')}/stop").status == 202
    emulator.wait_for_state("ada-first", "Stopped")
    wait_for(lambda: not is_alive(pid))
    answers = [emulator.arm("POST", f"{emulator.compute('ada-first')}/start") for _ in range(2)]
    emulator.wait_for_state("ada-first", "Running")
    headers = {"Authorization": f"Bearer {emulator.token()}"}
    results = [emulator.http("GET", answer.headers["location"], headers=headers).status for answer in answers]
    assert results == [200, 200]
    assert address(emulator, "ada-first") == url
    again, kept, _ = ask(url)
    assert again != pid
    assert kept
    emulator.arm("POST", f"{emulator.compute('ada-first')}/restart")
    emulator.wait_for_state("ada-first", "Running")
    wait_for(lambda: not is_alive(again))


def test_two_instances_have_two_addresses_and_end_with_the_emulator(emulator):
    for name in ("ada-first", "bob-first"):
        emulator.running(name)
    pids = [ask(address(emulator, name))[0] for name in ("ada-first", "bob-first")]
    emulator.arm("DELETE", emulator.compute("ada-first"), underlyingResourceAction="Delete")
    wait_for(lambda: not is_alive(pids[0]))
    emulator.process.stdin.close()
    emulator.process.wait(10)
    wait_for(lambda: not is_alive(pids[1]))


def test_a_program_that_is_missing_makes_the_instance_unusable(start_emulator, tmp_path):
    emulator = start_emulator("--data", str(tmp_path), "--azure-command", "no-such-program")
    emulator.put("ada-first")
    details = emulator.wait_for_state("ada-first", "Unusable")["properties"]["properties"]
    assert "no-such-program" in details["errors"][0]["error"]["message"]
