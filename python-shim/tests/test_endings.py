"""Why a start failed or a server died: on the page, on the next page, in the admin's log; and never as HTML."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from cloudspawner import SpawnFailed
from cloudspawner.endings import MOST_LINES, Ending, Endings, clean
from cloudspawner.progress import Progress
from conftest import SECRET, STARTED, STATE, Fake, MakeSpawner, start_steps, until
from real_hub import MakeHub

HOSTILE = "<script>alert(1)</script>"
LOG = [["result", {"lines": [{"time": None, "message": f"\x1b[31mboom {HOSTILE} {SECRET}\x1b[0m"}]}]]
FAILED = {
    "code": "start_failed",
    "message": f"CannotPullContainerError: {HOSTILE}",
    "user_message": "The server's image could not be fetched.",
    "cleanup": "done",
}
NOW = datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc)


async def test_a_failed_start_says_why_with_the_clouds_words_and_the_last_lines_folded_away(
    make_spawner: MakeSpawner, fake: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    fake.plays(start=[["state", STATE], ["ack"], ["error", FAILED]], logs=LOG)
    spawner = make_spawner(profile_list=[{"display_name": "A"}])
    with pytest.raises(SpawnFailed) as caught:
        await spawner.start()
    page = caught.value.jupyterhub_html_message
    assert page.startswith("The server&#x27;s image could not be fetched.<details>")
    assert "CannotPullContainerError: &lt;script&gt;" in page
    assert "boom &lt;script&gt;alert(1)&lt;/script&gt; [secret]" in page
    assert fake.sent("logs")[0]["params"]["state"] == STATE
    assert SECRET not in page + caplog.text
    assert "\x1b" not in page + caplog.text
    assert "it wrote last:\nboom" in caplog.text
    # The next form has it, and the next start's page; then it is forgotten.
    assert "Last time" in await spawner.get_options_form()
    assert page in await spawner.get_options_form()
    fake.plays(start=[["state", STATE], ["ack"], ["result", STARTED]])
    spawner.clear_state()
    await spawner.start()
    assert (await anext(spawner.progress()))["html_message"] == f"Last time: {page}"
    assert "Last time" not in await spawner.get_options_form()


@pytest.mark.parametrize("logs", [[["error", {"code": "unknown_verb"}]], [["result", {}]], [["result", {"lines": 7}]]])
async def test_without_log_lines_it_still_says_why(make_spawner: MakeSpawner, fake: Fake, logs: Any) -> None:
    fake.plays(start=[["state", STATE], ["ack"], ["error", FAILED]], logs=logs)
    with pytest.raises(SpawnFailed) as caught:
        await make_spawner().start()
    assert "CannotPullContainerError" in caught.value.jupyterhub_html_message


async def test_a_start_that_never_reached_the_cloud_asks_for_no_log(make_spawner: MakeSpawner, fake: Fake) -> None:
    fake.plays(start=[["error", {**FAILED, "cleanup": "none"}]])
    with pytest.raises(SpawnFailed):
        await make_spawner().start()
    assert not fake.sent("logs")


async def test_a_start_that_is_cancelled_while_its_log_is_read_has_ended(make_spawner: MakeSpawner, fake: Fake) -> None:
    fake.plays(start=[["state", STATE], ["ack"], ["error", FAILED]], logs=[["cancelled"]])
    spawner = make_spawner()
    start = asyncio.ensure_future(spawner.start())
    await fake.was_sent("logs")
    start.cancel()
    await asyncio.wait([start])
    assert await spawner.poll() == 1
    assert "cloud" not in spawner.get_state()


async def test_a_death_is_told_on_the_next_form(make_hub: MakeHub, fake: Fake, server_url: str) -> None:
    fake.plays(start=start_steps(server_url))
    hub = await make_hub(profile_list=[{"display_name": "A"}])
    await hub.api("POST", "/users/ada/server")
    await until(lambda: hub.spawner().ready)
    died = {"phase": "exited", "exit_code": 137, "reason": f"OutOfMemoryError: {HOSTILE}"}
    fake.plays(poll=died, logs=LOG)
    await hub.spawner().poll_and_notify()
    await fake.was_sent("logs")
    user = next(iter(hub.users.values()))
    await until(lambda: user.spawner._last_ending().lines)
    page = await user.spawner.get_options_form()
    assert "Your server was killed, most often for want of memory" in page
    assert "OutOfMemoryError: &lt;script&gt;" in page
    assert "boom" in page
    assert "<script>" not in page


async def test_a_hub_that_restarts_still_tells_why_a_server_died_until_it_has_run_again(
    make_hub: MakeHub, fake: Fake, server_url: str
) -> None:
    fake.plays(start=start_steps(server_url))
    profiles = [{"display_name": "A"}]
    hub = await make_hub(profile_list=profiles)
    await hub.api("POST", "/users/ada/server")
    await until(lambda: hub.spawner().ready)
    died = {"phase": "exited", "exit_code": 137, "reason": f"OutOfMemoryError: {HOSTILE}"}
    fake.plays(poll=died, logs=[["file", fake.path("go")], *LOG])
    row = hub.spawner().orm_spawner
    await hub.spawner().poll_and_notify()
    assert row.server is None
    assert row.state["last_ending"]["lines"] == []
    fake.release("go")
    await until(lambda: row.state["last_ending"]["lines"])
    await hub.die()

    hub = await make_hub(profile_list=profiles)
    page = await hub.spawner().get_options_form()
    assert "Your server was killed, most often for want of memory" in page
    assert "boom &lt;script&gt;" in page
    assert "<script>" not in page
    assert not fake.sent("stop")
    fake.plays(start=start_steps(server_url))
    await hub.api("POST", "/users/ada/server")
    await until(lambda: hub.spawner().ready)
    assert set(hub.spawner().orm_spawner.state) == {"cloud", "url", "profile", "backend"}
    assert "Last time" not in await hub.spawner().get_options_form()


async def test_a_hub_that_restarts_still_tells_why_a_start_failed(make_hub: MakeHub, fake: Fake) -> None:
    secret = {"MY_PASSWORD": "canary-password", "MY_KEY": SECRET}
    failed = {**FAILED, "message": "it said canary-password"}
    fake.plays(start=[["state", STATE], ["ack"], ["error", failed]], logs=LOG)
    hub = await make_hub(environment=secret)
    await hub.api("POST", "/users/ada/server")
    await until(lambda: not hub.spawner().active)
    state = hub.spawner().orm_spawner.state
    assert "canary" not in str(state)
    assert "[secret]" in state["last_ending"]["original"]
    await hub.die()

    hub = await make_hub(environment=secret)
    fake.plays(start=[["state", STATE], ["ack"], ["file", fake.path("go")]])
    assert (await hub.api("POST", "/users/ada/server")).code == 202
    told = await anext(hub.spawner().progress())
    assert told["html_message"].startswith("Last time: The server&#x27;s image could not be fetched.<details>")


async def test_lines_that_come_when_the_server_has_been_started_again_are_not_kept(
    make_spawner: MakeSpawner, fake: Fake
) -> None:
    fake.plays(start=[["state", STATE], ["ack"], ["result", STARTED]], poll={"phase": "exited"}, logs=LOG)
    spawner = make_spawner()
    await spawner.start()
    assert await spawner.poll() == 1
    again = spawner._asking_for_lines
    assert again is not None
    spawner._has_started()
    await again
    assert spawner._last_ending() is None


@pytest.mark.parametrize(
    "stored",
    [None, 7, {}, {"at": "x", "sentence": "a", "original": "", "lines": []}, {"at": "2026-01-02T03:04:05+00:00"}],
)
async def test_an_ending_that_was_not_stored_by_us_is_none(make_spawner: MakeSpawner, fake: Fake, stored: Any) -> None:
    spawner = make_spawner()
    spawner.load_state({"last_ending": stored})
    assert spawner._last_ending() is None
    assert await spawner.poll() == 0
    assert spawner.get_state() == {}


def test_what_is_stored_of_an_ending_is_bounded_and_comes_back() -> None:
    ending = Ending(NOW, "why", "the cloud's words", ("one", "two"))
    assert Ending.load(ending.dump()) == ending
    smiles, line = "\U0001f600" * 10_000, "\u20ac" * 500
    huge = Ending(NOW, smiles, smiles, tuple(f"{n}{line}" for n in range(30)))
    dumped = huge.dump()
    assert len(json.dumps(dumped)) < 24_000
    assert dumped["lines"][-1].startswith("29")
    assert 0 < len(dumped["lines"]) < 30


def test_an_ending_of_another_day_has_its_date() -> None:
    assert "Last time (2026-01-02 0" in Ending(NOW, "why").last_time()
    assert re.search(r"Last time \(\d\d:\d\d\)", Ending(datetime.now().astimezone(), "why").last_time())


async def test_only_an_admin_sees_links_into_the_console_and_only_real_ones() -> None:
    told: list[Any] = [
        {"message": "Task <b>", "link": 'https://console.example/?a="b"'},
        {"message": "Evil", "link": "javascript:alert(1)"},
    ]
    for shows_links in (True, False):
        progress = Progress(shows_links=shows_links)
        for event in told:
            progress.add(event)
        progress.close()
        seen = [event.get("html_message", "") async for event in progress.events()]
        assert bool(seen[0]) is shows_links
        assert not seen[1]
        assert not seen[0] or 'href="https://console.example/?a=&quot;b&quot;"' in seen[0]
        assert "<b>" not in seen[0]


async def test_a_stage_that_lasts_shows_that_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 5.0, 65.0, 80.0])
    monkeypatch.setattr("cloudspawner.progress._TICK_SECONDS", 0.001)
    monkeypatch.setattr("cloudspawner.progress.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    progress = Progress()
    progress.add({"message": "Waiting for capacity"})
    events = progress.events()
    seen = [(await anext(events))["message"] for _ in range(3)]
    assert seen == ["Waiting for capacity (0:05)", "Waiting for capacity (1:05)", "Waiting for capacity (1:20)"]
    await events.aclose()


def test_lines_are_cut_to_what_a_person_reads_and_hold_no_secret() -> None:
    env = {"JUPYTERHUB_API_TOKEN": "abcdef0123456789", "SHORT_KEY": "a", "HOME": "/home/jovyan"}
    lines = clean([f"n{n}" for n in range(100)], env)
    assert (len(lines), lines[-1]) == (MOST_LINES, "n99")
    (line,) = clean(["\x1b[1;31mx\u202e token=abcdef0123456789 /home/jovyan \x07" + "y" * 9999], env)
    assert line.startswith("x token=[secret] /home/jovyan y")
    assert len(line) == 500


def test_only_so_many_endings_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudspawner.endings._MOST_ENDINGS", 2)
    settings: dict[str, Any] = {}
    for server in (1, 2, 1, 3):
        Endings.of(settings).put(server, Ending(NOW, f"why {server}"))
    assert [Endings.of(settings).get(server) is not None for server in (1, 2, 3)] == [True, False, True]
    assert Ending(NOW, "a <b>", "a <b>").html() == "a &lt;b&gt;"


async def test_a_spot_task_that_the_cloud_takes_back_is_told_of_while_it_still_lives_and_only_once(
    make_spawner: MakeSpawner, fake: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    told = {
        "reason": "Your Spot Task was interrupted.",
        "error": {"user_message": "The cloud took its spare capacity back."},
    }
    fake.plays(start=[["state", STATE], ["ack"], ["result", STARTED]], poll={"phase": "stopping", **told}, logs=LOG)
    spawner = make_spawner(profile_list=[{"display_name": "A"}])
    await spawner.start()
    assert [await spawner.poll() for _ in range(2)] == [None, None]
    assert caplog.text.count("the cloud takes it down: Your Spot Task was interrupted.") == 1
    assert "The cloud took its spare capacity back." in await spawner.get_options_form()
    fake.plays(poll={"phase": "exited", "exit_code": 0, **told}, logs=LOG)
    assert await spawner.poll() == 0
    assert "The cloud took its spare capacity back." in await spawner.get_options_form(), "not that it ended by itself"
