"""Whatever is killed at whatever moment: no server is lost, none is left over, none is started twice."""

import os
import signal
import stat
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from e2e.conftest import LIGHT, PROGRAM
from support.emulator import Emulator
from support.hub import Hub, wait_for

pytestmark = pytest.mark.e2e


def ready_or_none(hub: Hub, world: Emulator, name: str) -> bool:
    """The server is adopted (ready, one task), or stopped (no server, no task)."""
    alive = world.alive()
    server = hub.server(name)
    if server and server["ready"]:
        return len(alive) == 1
    return server is None and not alive


def killer(folder: Path) -> Path:
    """The program, behind something that kills the hub when the first state frame arrives, once."""
    script = folder / "kills_the_hub"
    script.write_text(
        textwrap.dedent(f"""\
        #!{sys.executable}
        import os, pathlib, signal, subprocess, sys, threading
        flag = pathlib.Path({str(folder / "killed")!r})
        child = subprocess.Popen([{str(PROGRAM)!r}, *sys.argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        def pump():
            while chunk := os.read(0, 65536):
                child.stdin.write(chunk)
                child.stdin.flush()
            child.stdin.close()
        threading.Thread(target=pump, daemon=True).start()
        for line in child.stdout:
            if b'"type":"state"' in line and not flag.exists():
                flag.touch()
                os.kill(os.getppid(), signal.SIGKILL)
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
        """)
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


def test_a_hub_killed_before_the_ack_has_created_nothing(world: Emulator, hub_of: Callable[[str], Hub], tmp_path: Path) -> None:
    hub = hub_of(LIGHT + f"c.FargateSpawner.program = [{str(killer(tmp_path))!r}]\n")
    hub.start()
    hub.add_user("ada")
    spawn_and_expect_death(hub)
    assert world.tasks() == []
    hub.start()
    wait_for("the hub knows of no server", lambda: hub.server("ada") is None)
    assert hub.spawn("ada").status_code in (201, 202)
    wait_for("the next start works", lambda: hub.is_ready("ada"))
    assert len(world.alive()) == 1


def spawn_and_expect_death(hub: Hub) -> None:
    """Asks for ada's server and waits for the hub's death."""
    try:
        hub.spawn("ada")
    except requests.ConnectionError:
        pass  # it died while it answered
    assert hub.process is not None
    hub.process.wait(30)


def test_a_hub_killed_after_run_task_and_before_its_answer_finds_the_task_again(
    world: Emulator, hub_of: Callable[[str], Hub]
) -> None:
    hub = hub_of(LIGHT)
    hub.start()
    hub.add_user("ada")
    # Every answer is lost, so that the hub never learns the task's ARN.
    world.fault("RunTask", "reply_lost", count=None)
    assert hub.spawn("ada").status_code == 202
    wait_for("the task is there", world.tasks)
    hub.kill()
    world.clear_faults()
    hub.start()
    wait_for("the server is adopted or stopped", lambda: ready_or_none(hub, world, "ada"), 150)
    assert len(world.tasks()) == 1


@pytest.mark.parametrize("seconds", [0.1, 3.0], ids=["just pending", "long pending"])
def test_a_hub_killed_while_the_task_is_pending_adopts_or_stops_it(
    world: Emulator, hub_of: Callable[[str], Hub], seconds: float
) -> None:
    world.settings(delays={"provisioning": 500, "pending": int(seconds * 1000) + 2000})
    hub = hub_of(LIGHT)
    hub.start()
    hub.add_user("ada")
    assert hub.spawn("ada").status_code == 202
    wait_for("the task is pending", lambda: any(task["status"] == "PENDING" for task in world.tasks()))
    hub.kill()
    hub.start()
    wait_for("the server is adopted or stopped", lambda: ready_or_none(hub, world, "ada"), 120)
    assert hub.is_ready("ada"), "it could have been adopted"
    assert len(world.tasks()) == 1


def test_a_delete_during_a_start_whose_clean_up_takes_long_succeeds_and_leaves_nothing(
    world: Emulator, hub_of: Callable[[str], Hub]
) -> None:
    hub = hub_of(LIGHT + "c.FargateSpawner.poll_interval = 2\n")
    hub.start()
    hub.add_user("ada")
    # RunTask answers after 14 s, and so does each StopTask; two of those are throttled: some 30 s of clean-up.
    world.fault("RunTask", "slow", delay_ms=14_000)
    world.fault("StopTask", "slow", delay_ms=14_000)
    world.fault("StopTask", "throttle", count=2)
    assert hub.spawn("ada").status_code == 202
    wait_for("RunTask was called", lambda: world.calls("RunTask") or world.tasks())
    answer = hub.unspawn("ada")
    assert answer.status_code in (202, 204), answer.text
    wait_for("no task is left", lambda: world.tasks() and not world.alive(), 90)
    wait_for("the hub knows of no server", lambda: hub.server("ada") is None, 90)
    assert hub.spawn("ada").status_code in (201, 202)
    wait_for("the next start works", lambda: hub.is_ready("ada"))
    assert len(world.alive()) == 1


def test_the_child_killed_while_50_servers_run_loses_none(world: Emulator, hub_of: Callable[[str], Hub]) -> None:
    names = [f"user{number}" for number in range(50)]
    config = "c.FargateSpawner.poll_interval = 2\nc.JupyterHub.concurrent_spawn_limit = 0\n"
    hub = hub_of(LIGHT + config)
    hub.start()
    hub.add_user(*names)
    for name in names:
        assert hub.spawn(name).status_code in (201, 202)
    wait_for("all are ready", lambda: hub.ready_users() == set(names), 120)
    (child,) = hub.child_pids()
    os.kill(child, signal.SIGKILL)
    described = world.calls("DescribeTasks")
    wait_for("another child polls", lambda: hub.child_pids() not in ([], [child]), 60)
    wait_for("it has polled a few times", lambda: world.calls("DescribeTasks") >= described + 3, 60)
    assert hub.ready_users() == set(names)
    assert len(world.alive()) == len(world.tasks()) == 50


def test_the_child_killed_while_5_start_starts_none_twice(world: Emulator, hub_of: Callable[[str], Hub]) -> None:
    names = [f"user{number}" for number in range(5)]
    world.settings(delays={"provisioning": 1500, "pending": 1500})
    hub = hub_of(LIGHT)
    hub.start()
    hub.add_user(*names)
    for name in names:
        assert hub.spawn(name).status_code == 202
    wait_for("all tasks are there", lambda: len(world.tasks()) == 5)
    (child,) = hub.child_pids()
    os.kill(child, signal.SIGKILL)
    wait_for("all are ready", lambda: hub.ready_users() == set(names), 120)
    assert len(world.alive()) == len(world.tasks()) == 5


def test_a_hub_that_restarts_while_ecs_throttles_every_call_loses_no_server(
    world: Emulator, hub_of: Callable[[str], Hub]
) -> None:
    names = [f"user{number}" for number in range(10)]
    hub = hub_of(LIGHT + "c.FargateSpawner.poll_interval = 2\n")
    hub.start()
    hub.add_user(*names)
    for name in names:
        assert hub.spawn(name).status_code in (201, 202)
    wait_for("all are ready", lambda: hub.ready_users() == set(names), 120)
    world.fault("*", "throttle", count=None)
    hub.kill()
    hub.start()
    wait_for("all are ready again", lambda: hub.ready_users() == set(names), 120)
    assert len(world.alive()) == 10
    world.clear_faults()
    described = world.calls("DescribeTasks")
    wait_for("polls go on", lambda: world.calls("DescribeTasks") >= described + 3, 60)
    assert hub.ready_users() == set(names)
    assert len(world.alive()) == len(world.tasks()) == 10
