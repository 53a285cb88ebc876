"""What a person sees: log in, wait, work, stop."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from e2e.conftest import LIGHT, REAL
from support.emulator import Emulator
from support.hub import Hub, wait_for

pytestmark = pytest.mark.e2e


def lab_page(hub: Hub, session: requests.Session, name: str, server: str = "") -> str:
    """The JupyterLab page, once it is there."""
    where = f"{hub.url}/user/{name}/{server + '/' if server else ''}lab"

    def page() -> str | None:
        answer = session.get(where, timeout=60)
        return answer.text if answer.ok and "jupyter-config-data" in answer.text else None

    found: str = wait_for("JupyterLab answers", page, 90, 0.5)
    return found


def test_a_person_logs_in_and_gets_a_jupyterlab_that_runs_as_a_task(world: Emulator, hub_of: Callable[[str], Hub]) -> None:
    with hub_of(REAL) as hub:
        session = hub.log_in("ada")
        assert "ada" in lab_page(hub, session, "ada")
        (task,) = world.alive()
        assert task["status"] == "RUNNING"
        assert task["started_by"].startswith("cs-e2e-")
        server = hub.server("ada")
        assert server is not None
        assert server["ready"]
        kernel = session.get(f"{hub.url}/user/ada/api/kernelspecs", timeout=30).json()
        assert "python3" in kernel["kernelspecs"]

        assert hub.unspawn("ada").status_code in (202, 204)
        wait_for("the task has stopped", lambda: not world.alive())
        assert len(world.tasks()) == 1


def test_named_servers_of_one_person_are_tasks_of_their_own(world: Emulator, hub_of: Callable[[str], Hub]) -> None:
    with hub_of(LIGHT + "c.JupyterHub.allow_named_servers = True\n") as hub:
        hub.add_user("ada")
        for server in ("", "gpu", "notes"):
            assert hub.spawn("ada", server).status_code in (201, 202)
        for server in ("", "gpu", "notes"):
            wait_for(f"{server!r} is ready", lambda server=server: (hub.server("ada", server) or {}).get("ready"))
        assert len({task["started_by"] for task in world.alive()}) == 3
        assert len({task["address"] for task in world.alive()}) == 3
        assert hub.api("DELETE", "users/ada/servers/gpu").status_code in (202, 204)
        wait_for("one has stopped", lambda: len(world.alive()) == 2)


def test_progress_tells_every_viewer_the_whole_story(world: Emulator, hub_of: Callable[[str], Hub]) -> None:
    world.settings(delays={"provisioning": 1000, "pending": 1000})
    with hub_of(LIGHT) as hub:
        hub.add_user("ada")
        assert hub.spawn("ada").status_code == 202

        def story(_: int) -> bytes:
            answer = hub.api("GET", "users/ada/server/progress", stream=True)
            return b"\n".join(line for line in answer.iter_lines() if line.startswith(b"data:"))

        with ThreadPoolExecutor(2) as viewers:
            stories = list(viewers.map(story, range(2)))
        for text in stories:
            assert b"Your server is being requested" in text
            assert b"waiting for capacity" in text
            assert b'"ready": true' in text


def test_a_failed_start_says_why_in_a_sentence_and_leaves_nothing(world: Emulator, hub_of: Callable[[str], Hub]) -> None:
    world.fault(
        "RunTask",
        "early_stop",
        stop_code="TaskFailedToStart",
        stopped_reason="CannotPullContainerError: <script>alert(1)</script>",
    )
    with hub_of(LIGHT) as hub:
        session = hub.log_in("ada")
        wait_for("the start has failed", lambda: hub.server("ada") is None and world.tasks() and not world.alive())
        page = wait_for("the page tells", lambda: (p := session.get(f"{hub.url}/hub/spawn-pending/ada", timeout=30).text) and p)
        assert "The server&#39;s image could not be fetched" in page or "image could not be fetched" in page
        assert "<script>alert(1)" not in page
        assert "CannotPullContainerError" in hub.log()
