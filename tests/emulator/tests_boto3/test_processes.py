"""Tasks as processes of this machine."""

import json
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from support.ports import free_port

from emulated import address, describe, run, wait_for, wait_for_status


@pytest.fixture
def emulator(start_emulator, tmp_path):
    return start_emulator("--run", "process", "--data", str(tmp_path / "data"))


@pytest.fixture
def ecs(emulator):
    return emulator.client()


def overrides(*command: str, **environment: str) -> dict:
    variables = [{"name": name, "value": value} for name, value in environment.items()]
    return {"containerOverrides": [{"name": "notebook", "command": list(command), "environment": variables}]}


def answers(url: str):
    try:
        return urllib.request.urlopen(url, timeout=2).status == 200
    except (urllib.error.URLError, ConnectionError):
        return False


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_tasks_answer_at_their_own_addresses_and_are_gone_after_stop(emulator, ecs):
    served, port = {}, free_port()
    for _ in range(2):
        # The address is known only once the task exists: the service URL carries it to the process.
        code = (
            "import os,urllib.parse,http.server as h;"
            "at=urllib.parse.urlsplit(os.environ['JUPYTERHUB_SERVICE_URL']);h.HTTPServer((at.hostname,at.port),"
            "h.SimpleHTTPRequestHandler).serve_forever()"
        )
        command = overrides(sys.executable, "-c", code, JUPYTERHUB_SERVICE_URL=f"http://0.0.0.0:{port}/user/x/")
        arn = run(ecs, overrides=command)["taskArn"]
        ip = address(wait_for_status(ecs, arn, "RUNNING"))
        assert ip.startswith("127.") and ip != "127.0.0.1"
        wait_for(lambda ip=ip: answers(f"http://{ip}:{port}/"))
        served[arn] = ip
    assert len(set(served.values())) == 2
    for arn, ip in served.items():
        pid = emulator.tasks()[arn]["pid"]
        assert is_alive(pid)
        ecs.stop_task(cluster="notebooks", task=arn)
        stopped = wait_for_status(ecs, arn, "STOPPED")
        assert (stopped["stopCode"], stopped["containers"][0]["exitCode"]) == ("UserInitiated", 143)
        assert not is_alive(pid)
        assert not answers(f"http://{ip}:{port}/")


def test_pythons_own_server_runs_as_a_task(ecs):
    port = free_port()
    server = (sys.executable, "-m", "http.server", str(port), "--bind", "0.0.0.0")
    arn = run(ecs, overrides=overrides(*server))["taskArn"]
    ip = address(wait_for_status(ecs, arn, "RUNNING"))
    wait_for(lambda: answers(f"http://{ip}:{port}/"))
    ecs.stop_task(cluster="notebooks", task=arn)
    wait_for_status(ecs, arn, "STOPPED")
    assert not answers(f"http://{ip}:{port}/")


def test_a_task_sees_its_own_environment_and_no_shell(emulator, ecs, tmp_path):
    ecs.register_task_definition(
        family="class",
        networkMode="awsvpc",
        containerDefinitions=[
            {
                "name": "notebook",
                "image": "i",
                "entryPoint": [sys.executable, "-c"],
                "command": [
                    "import json,os,sys; print(json.dumps([dict(os.environ), os.getcwd(), sys.argv[1:]]), flush=True)"
                ],
                "environment": [{"name": "A", "value": "definition"}, {"name": "B", "value": "definition"}],
            }
        ],
    )
    override = {"name": "notebook", "environment": [{"name": "B", "value": "$(id); 'x'"}]}
    arn = run(ecs, taskDefinition="class", overrides={"containerOverrides": [override]})["taskArn"]
    stopped = wait_for_status(ecs, arn, "STOPPED")
    assert (stopped["stopCode"], stopped["stoppedReason"]) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    assert stopped["containers"][0]["exitCode"] == 0
    folder = tmp_path / "data" / "tasks" / arn.rsplit("/", 1)[1]
    environment, cwd, arguments = json.loads((folder / "log").read_text())
    assert set(environment) <= {"PATH", "LANG", "HOME", "A", "B", "LC_CTYPE"}
    assert (environment["A"], environment["B"]) == ("definition", "$(id); 'x'")
    assert environment["HOME"] == cwd == str(folder / "home")
    assert arguments == []


def test_a_program_that_fails_gives_its_exit_code(ecs):
    arn = run(ecs, overrides=overrides(sys.executable, "-c", "raise SystemExit(3)"))["taskArn"]
    stopped = wait_for_status(ecs, arn, "STOPPED")
    assert (stopped["stopCode"], stopped["containers"][0]["exitCode"]) == ("EssentialContainerExited", 3)


def test_a_program_that_is_not_there_fails_to_start(ecs):
    arn = run(ecs, overrides=overrides("no-such-program"))["taskArn"]
    stopped = wait_for_status(ecs, arn, "STOPPED")
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("TaskFailedToStart", "Task failed to start")
    assert "no-such-program" in stopped["containers"][0]["reason"]
    assert "exitCode" not in stopped["containers"][0]
    assert "startedAt" not in stopped


def test_a_process_that_ignores_sigterm_is_killed(emulator, ecs):
    code = (
        "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(99)"
    )
    arn = run(ecs, overrides=overrides(sys.executable, "-c", code))["taskArn"]
    wait_for_status(ecs, arn, "RUNNING")
    log = Path(emulator.ready["data"]) / "tasks" / arn.rsplit("/", 1)[1] / "log"
    wait_for(lambda: "ready" in log.read_text())
    ecs.stop_task(cluster="notebooks", task=arn)
    assert wait_for_status(ecs, arn, "STOPPED")["containers"][0]["exitCode"] == 137


def test_a_task_stopped_before_it_runs_never_starts_a_process(emulator, ecs):
    emulator.settings(delays={"pending": 5000})
    arn = run(ecs, overrides=overrides(sys.executable, "-c", "pass"))["taskArn"]
    ecs.stop_task(cluster="notebooks", task=arn)
    wait_for_status(ecs, arn, "STOPPED")
    assert emulator.tasks()[arn]["pid"] is None


def test_a_spot_interruption_ends_the_process(emulator, ecs):
    arn = run(ecs, overrides=overrides(sys.executable, "-c", "import time; time.sleep(99)"))["taskArn"]
    wait_for_status(ecs, arn, "RUNNING")
    emulator.admin(f"tasks/{arn.rsplit('/', 1)[1]}/end", {})
    stopped = wait_for_status(ecs, arn, "STOPPED")
    assert stopped["stopCode"] == "SpotInterruption"
    assert not is_alive(emulator.tasks()[arn]["pid"])


SLEEPER = overrides(sys.executable, "-c", "import subprocess,time; subprocess.Popen(['sleep','99']); time.sleep(99)")


def test_reset_ends_all_processes(emulator, ecs):
    arn = run(ecs, overrides=SLEEPER)["taskArn"]
    wait_for_status(ecs, arn, "RUNNING")
    pid = emulator.tasks()[arn]["pid"]
    emulator.admin("reset", {})
    wait_for(lambda: not is_alive(pid))


@pytest.mark.parametrize("how", ["stdin", signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_task_outlives_the_emulator(emulator, ecs, how):
    arn = run(ecs, overrides=SLEEPER)["taskArn"]
    wait_for_status(ecs, arn, "RUNNING")
    assert describe(ecs, arn)["desiredStatus"] == "RUNNING"
    pid = emulator.tasks()[arn]["pid"]
    if how == "stdin":
        emulator.process.stdin.close()
    else:
        emulator.process.send_signal(how)
    assert emulator.process.wait(10) == (-signal.SIGKILL if how == signal.SIGKILL else 0)
    wait_for(lambda: not is_alive(pid))


def test_a_task_can_have_an_ipv6_address_too(start_emulator):
    ecs = start_emulator("--run", "simulate", "--ipv6", "--unique-addresses").client()
    task = wait_for_status(ecs, run(ecs)["taskArn"], "RUNNING")
    interface = task["containers"][0]["networkInterfaces"][0]
    assert interface["ipv6Address"].startswith("2001:db8::")
    assert interface["privateIpv4Address"] == address(task)
    assert address(task).startswith("10.")
