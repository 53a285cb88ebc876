"""What JupyterHub sees of a spawner, failure first."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from cloudspawner import FargateSpawner, SpawnFailed
from cloudspawner import spawner as spawner_module
from cloudspawner.errors import ConfigurationError
from cloudspawner.program import Program
from conftest import SECRET, STARTED, STATE, STATE_WITH_REF, URL, Fake, MakeSpawner, until

START = [["state", STATE], ["ack"], ["state", STATE_WITH_REF], ["result", STARTED]]
SAVED = {"cloud": STATE_WITH_REF, "url": URL, "profile": None, "backend": "fargate"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawner_module, "_STOP_PAUSES", (0.01, 0.02))


def error(code: str, cleanup: str, **fields: Any) -> list[Any]:
    return ["error", {"code": code, "message": "for the admin", "cleanup": cleanup, **fields}]


async def started(make_spawner: MakeSpawner, fake: Fake, **scenario: Any) -> FargateSpawner:
    fake.plays(start=START, **scenario)
    spawner = make_spawner()
    assert await spawner.start() == URL
    return spawner


# start


async def test_a_start_returns_the_url_and_keeps_the_state(make_spawner: MakeSpawner, fake: Fake) -> None:
    spawner = await started(make_spawner, fake)
    assert spawner.get_state() == SAVED
    assert spawner.orm_spawner.state["cloud"] == STATE_WITH_REF


async def test_the_state_is_in_the_database_before_the_ack(make_spawner: MakeSpawner, fake: Fake, db: Any) -> None:
    fake.plays(start=[["state", STATE], ["ack"], ["file", fake.path("go")], ["result", STARTED]])
    spawner = make_spawner()
    start = asyncio.ensure_future(spawner.start())
    await fake.was_sent("ack")
    db.rollback()  # what is not committed is gone
    assert spawner.orm_spawner.state == {**SAVED, "cloud": STATE, "url": ""}
    assert await spawner.poll() is None
    fake.release("go")
    await start


async def test_a_failed_commit_is_rolled_back_not_acked_and_cancels_the_start(
    make_spawner: MakeSpawner, fake: Fake, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.plays(start=[["state", STATE], ["cancelled"], error("cancelled", "none")])
    spawner = make_spawner()
    rolled_back = []

    def refuse() -> None:
        raise OperationalError("insert", {}, Exception("locked"))

    monkeypatch.setattr(db, "commit", refuse)
    monkeypatch.setattr(db, "rollback", lambda: rolled_back.append(True))
    with pytest.raises(SpawnFailed):
        await spawner.start()
    assert rolled_back
    assert not fake.sent("ack")
    assert "cloud" not in spawner.get_state()
    assert await spawner.poll() == 1


@pytest.mark.parametrize("cleanup", ["none", "done"])
async def test_a_failed_start_without_a_rest_is_dead_and_forgotten(
    make_spawner: MakeSpawner, fake: Fake, cleanup: str
) -> None:
    fake.plays(start=[["state", STATE], ["ack"], error("start_failed", cleanup, user_message="No image <b>")])
    spawner = make_spawner()
    with pytest.raises(SpawnFailed, match="for the admin") as caught:
        await spawner.start()
    assert caught.value.jupyterhub_message == "No image <b>"
    assert caught.value.jupyterhub_html_message.startswith("No image &lt;b&gt;<details>")
    assert spawner.orm_spawner.state == {}
    assert await spawner.poll() == 1
    await spawner.stop()
    assert not fake.sent("stop")


async def test_a_failed_start_that_left_something_is_alive_until_stop_removed_it(
    make_spawner: MakeSpawner, fake: Fake
) -> None:
    fake.plays(start=[["state", STATE], ["ack"], error("deadline", "needed")])
    spawner = make_spawner()
    with pytest.raises(SpawnFailed):
        await spawner.start()
    assert await spawner.poll() is None
    assert spawner.get_state()["cloud"] == STATE
    await spawner.stop()
    assert fake.sent("stop")[0]["params"]["state"] == STATE
    assert await spawner.poll() == 0
    assert not fake.sent("poll")


@pytest.mark.parametrize("code", ["capacity_unavailable", "quota_exceeded", "throttled"])
async def test_want_of_capacity_is_a_spawn_exception(make_spawner: MakeSpawner, fake: Fake, code: str) -> None:
    spawner_errors = pytest.importorskip("jupyterhub.spawner")
    if not hasattr(spawner_errors, "SpawnException"):
        pytest.skip("JupyterHub 5 has no SpawnException")
    fake.plays(start=[error(code, "none", user_message="Try <later>")])
    with pytest.raises(spawner_errors.SpawnException) as caught:
        await make_spawner().start()
    assert caught.value.reason == code
    assert caught.value.message == "Try <later>"
    assert caught.value.jupyterhub_html_message.startswith("Try &lt;later&gt;<details>")
    assert "for the admin" in str(caught.value)


async def test_the_admin_reads_the_reason_and_no_secret_is_logged(
    make_spawner: MakeSpawner, fake: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    fake.plays(start=[error("start_failed", "none", context={"cloud_code": "RESOURCE:ENI", "request_id": None})])
    caplog.set_level(0)
    keys = {"aws_access_key_id": "AKIA", "aws_secret_access_key": SECRET}
    auth = "cloudspawner.FargateSpawnerSecretAccessKeyAuthentication"
    spawner = make_spawner(config={"FargateSpawnerSecretAccessKeyAuthentication": keys}, authentication_class=auth)
    asyncio.get_running_loop().set_debug(True)
    with pytest.raises(SpawnFailed):
        await spawner.start()
    assert await spawner.poll() == 1
    assert "for the admin" in caplog.text
    assert "RESOURCE:ENI" in caplog.text
    assert fake.sent("start")[0]["params"]["credentials"]["secret_access_key"] == SECRET
    assert fake.sent("start")[0]["params"]["spec"]["env"]["JUPYTERHUB_API_TOKEN"] == SECRET
    assert SECRET not in caplog.text
    assert SECRET not in str(spawner.get_state())


async def test_each_start_has_a_fresh_attempt(make_spawner: MakeSpawner, fake: Fake) -> None:
    spawner = await started(make_spawner, fake)
    spawner.clear_state()
    await spawner.start()
    first, second = (frame["params"]["attempt"] for frame in fake.sent("start"))
    assert first != second
    assert 8 <= len(first) <= 48
    assert first.replace("-", "").isalnum()


async def test_the_programs_deadline_is_before_the_hubs(make_spawner: MakeSpawner, fake: Fake) -> None:
    fake.plays(start=START)
    spawner = make_spawner()
    assert spawner.start_timeout == 300
    await spawner.start()
    assert 280_000 < fake.sent("start")[0]["timeout_ms"] <= 290_000


async def test_the_spec_is_what_jupyterhub_documents(make_spawner: MakeSpawner, fake: Fake) -> None:
    fake.plays(start=START)
    spawner = make_spawner(
        cmd=["lab"],
        args=["--x"],
        environment={"A": 1, "B": lambda spawner: spawner.user.name},
        mem_limit="1G",
        cpu_limit=2,
    )
    spawner.user_options = {"image": "x", "file": b"\x00"}
    await spawner.start()
    spec = fake.sent("start")[0]["params"]["spec"]
    env = spec.pop("env")
    assert spec == {
        "command": ["lab"],
        "args": ["--x"],
        "port": 8888,
        "scheme": "http",
        "service_prefix": "/user/ada/",
        "user_options": {"image": "x", "file": None},
        "cpu_limit": 2.0,
        "mem_limit_mib": 1024,
        "mounts": [],
    }
    assert (env["A"], env["B"]) == ("1", "ada")
    assert env["JUPYTERHUB_SERVICE_URL"] == "http://0.0.0.0:8888/user/ada/"
    assert all(isinstance(value, str) for value in env.values())


async def test_internal_ssl_is_refused_since_certificates_do_not_reach_the_server(make_spawner: MakeSpawner) -> None:
    with pytest.raises(ConfigurationError, match="override the spawner's move_certs") as caught:
        await make_spawner(internal_ssl=True).move_certs(
            {"keyfile": "/srv/key", "certfile": "/srv/cert", "cafile": "/srv/ca"}
        )
    assert "not configured correctly" in caught.value.jupyterhub_message


async def test_a_start_whose_child_died_goes_on(make_spawner: MakeSpawner, fake: Fake) -> None:
    fake.plays(start=[["state", STATE], ["ack"], ["die_once", fake.path("died")], *START[2:]])
    spawner = make_spawner()
    assert await spawner.start() == URL
    assert [frame["params"]["state"] for frame in fake.sent("start")] == [None, STATE]


# cancelling


async def test_a_cancelled_start_raises_at_once_and_is_alive_until_its_last_frame(
    make_spawner: MakeSpawner, fake: Fake
) -> None:
    go = fake.path("go")
    fake.plays(start=[["state", STATE], ["ack"], ["cancelled"], ["file", go], error("cancelled", "done")])
    spawner = make_spawner()
    start = asyncio.ensure_future(spawner.start())
    await fake.was_sent("ack")
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert await spawner.poll() is None
    stop = asyncio.ensure_future(spawner.stop())
    await fake.was_sent("cancel")
    assert not stop.done()
    fake.release("go")
    await stop
    assert not fake.sent("stop")
    assert await spawner.poll() == 0


async def test_a_cancelled_start_that_left_something_is_finished_by_stop(make_spawner: MakeSpawner, fake: Fake) -> None:
    fake.plays(start=[["state", STATE], ["ack"], ["cancelled"], error("cancelled", "needed")])
    spawner = make_spawner()
    start = asyncio.ensure_future(spawner.start())
    await fake.was_sent("ack")
    start.cancel()
    await asyncio.wait([start])
    await spawner.stop()
    assert [frame["params"]["state"] for frame in fake.sent("stop")] == [STATE]
    assert await spawner.poll() == 0


async def test_a_start_that_is_cancelled_while_its_child_dies_is_stopped(make_spawner: MakeSpawner, fake: Fake) -> None:
    fake.plays(start=[["state", STATE], ["ack"], ["cancelled"], ["die"]])
    spawner = make_spawner()
    start = asyncio.ensure_future(spawner.start())
    await fake.was_sent("ack")
    start.cancel()
    await asyncio.wait([start])
    await spawner.stop()
    assert len(fake.sent("start")) == 1
    assert [frame["params"]["state"] for frame in fake.sent("stop")] == [STATE]


async def test_a_cancel_that_comes_too_late_still_stops_the_server(make_spawner: MakeSpawner, fake: Fake) -> None:
    fake.plays(start=[["state", STATE], ["ack"], ["cancelled"], ["result", STARTED]])
    spawner = make_spawner()
    start = asyncio.ensure_future(spawner.start())
    await fake.was_sent("ack")
    start.cancel()
    await asyncio.wait([start])
    await until(lambda: spawner._settling is None)
    assert await spawner.poll() is None
    await spawner.stop()
    assert fake.sent("stop")[0]["params"]["state"] == STATE_WITH_REF


async def test_a_start_cancelled_before_the_program_was_asked_leaves_nothing(
    make_spawner: MakeSpawner, fake: Fake
) -> None:
    asked = asyncio.Event()

    async def slow(spawner: object) -> dict[str, object]:
        asked.set()
        await asyncio.Event().wait()
        return {}

    spawner = make_spawner(get_run_task_args=slow)
    start = asyncio.ensure_future(spawner.start())
    await asked.wait()
    assert await spawner.poll() is None
    start.cancel()
    await asyncio.wait([start])
    assert await spawner.poll() == 1
    await spawner.stop()
    assert not fake.sent()


async def test_a_stop_in_the_middle_of_a_start_ends_the_start(make_spawner: MakeSpawner, fake: Fake) -> None:
    fake.plays(start=[["state", STATE], ["ack"], ["cancelled"], error("cancelled", "done")])
    spawner = make_spawner()
    start = asyncio.ensure_future(spawner.start())
    await fake.was_sent("ack")
    await spawner.stop()
    with pytest.raises(SpawnFailed):
        await start
    assert "cloud" not in spawner.get_state()


async def test_a_new_start_waits_for_the_clean_up_of_the_old_one(make_spawner: MakeSpawner, fake: Fake) -> None:
    go = fake.path("go")
    fake.plays(start=[["state", STATE], ["ack"], ["cancelled"], ["file", go], error("cancelled", "done")])
    spawner = make_spawner()
    first = asyncio.ensure_future(spawner.start())
    await fake.was_sent("ack")
    first.cancel()
    await asyncio.wait([first])
    fake.plays(start=START)
    second = asyncio.ensure_future(spawner.start())
    await fake.was_sent("cancel")
    assert len(fake.sent("start")) == 1
    fake.release("go")
    assert await second == URL


# poll


async def test_a_server_that_was_never_started_is_dead_without_a_question(
    make_spawner: MakeSpawner, fake: Fake
) -> None:
    assert await make_spawner().poll() == 0
    assert not fake.sent()


@pytest.mark.parametrize("phase", ["pending", "running", "stopping", "unknown", "new-phase", None])
async def test_only_exited_and_gone_are_dead(make_spawner: MakeSpawner, fake: Fake, phase: str) -> None:
    spawner = await started(make_spawner, fake, poll={"phase": phase, "error": {"code": "throttled"}})
    assert await spawner.poll() is None


@pytest.mark.parametrize(
    "script",
    [
        [["error", {"code": "internal"}]],
        [["die"]],
        [["result", {}]],
        [["result", {"servers": []}]],
        [["result", {"servers": [None]}]],
        [["result", {"servers": ["gone"]}]],
    ],
)
async def test_an_error_is_never_taken_for_dead(
    make_spawner: MakeSpawner, fake: Fake, script: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudspawner.program._REPEAT_PAUSES", (0.01, 0.01))
    monkeypatch.setattr("cloudspawner.program._RESTART_PAUSES", (0.0,))
    spawner = await started(make_spawner, fake, poll=script)
    assert await spawner.poll() is None


async def test_a_program_that_is_gone_is_not_taken_for_a_dead_server(make_spawner: MakeSpawner) -> None:
    spawner = make_spawner(program=["/nowhere/cloudspawner"])
    spawner.load_state(SAVED)
    assert await spawner.poll() is None
    await spawner.stop()


@pytest.mark.parametrize(("exit_code", "status"), [(0, 0), (137, 137), (None, 1)])
async def test_a_death_is_kept_and_asked_for_once(
    make_spawner: MakeSpawner, fake: Fake, exit_code: int | None, status: int
) -> None:
    spawner = await started(make_spawner, fake, poll={"phase": "exited", "exit_code": exit_code})
    assert [await spawner.poll() for _ in range(3)] == [status] * 3
    spawner.clear_state()
    assert await spawner.poll() == status
    assert len(fake.sent("poll")) == 1
    assert not fake.sent("stop")


async def test_a_death_that_left_something_is_stopped_once(make_spawner: MakeSpawner, fake: Fake) -> None:
    spawner = await started(make_spawner, fake, poll={"phase": "gone", "exit_code": 1, "cleanup": "needed"})
    assert await asyncio.gather(*(spawner.poll() for _ in range(5))) == [1] * 5
    assert len(fake.sent("stop")) == 1


async def test_an_answer_from_before_a_stop_does_not_count(make_spawner: MakeSpawner, fake: Fake) -> None:
    answer = {"phase": "running", "url": "http://10.9.9.9:8888", "state": STATE}
    spawner = await started(make_spawner, fake, poll=[["file", fake.path("go")], ["result", {"servers": [answer]}]])
    poll = asyncio.ensure_future(spawner.poll())
    await fake.was_sent("poll")
    await spawner.stop()
    spawner.clear_state()
    fake.release("go")
    assert await poll == 0
    assert spawner.get_state() == {}


async def test_after_a_change_the_poll_is_fresh_then_as_old_as_the_interval_allows(
    make_spawner: MakeSpawner, fake: Fake
) -> None:
    spawner = await started(make_spawner, fake)
    await spawner.poll()
    await spawner.poll()
    assert [frame["params"]["max_age_ms"] for frame in fake.sent("poll")] == [0, 27_000]


async def test_what_a_poll_learned_is_saved(make_spawner: MakeSpawner, fake: Fake, db: Any) -> None:
    spawner = await started(make_spawner, fake, poll={"phase": "running", "url": "http://10.0.0.9:1", "state": STATE})
    await spawner.poll()
    db.rollback()
    assert spawner.orm_spawner.state == {**SAVED, "cloud": STATE, "url": "http://10.0.0.9:1"}


async def test_what_the_cloud_knows_of_the_last_use_reaches_the_hub(
    make_spawner: MakeSpawner, fake: Fake, db: Any
) -> None:
    spawner = await started(make_spawner, fake, poll={"phase": "running", "last_activity": "2030-01-02T02:04:05Z"})
    await spawner.poll()
    db.rollback()
    assert spawner.orm_spawner.last_activity == datetime(2030, 1, 2, 2, 4, 5)
    assert spawner.orm_spawner.user.last_activity == spawner.orm_spawner.last_activity


@pytest.mark.parametrize("told", ["2001-01-01T00:00:00Z", "yesterday", "2030-01-01", 7, None])
async def test_what_is_old_or_no_time_does_not_change_the_last_use(
    make_spawner: MakeSpawner, fake: Fake, told: object
) -> None:
    spawner = await started(make_spawner, fake, poll={"phase": "running", "last_activity": told})
    before = spawner.orm_spawner.last_activity = datetime(2020, 1, 1)
    await spawner.poll()
    assert spawner.orm_spawner.last_activity == before


async def test_many_polls_are_few_requests_and_keep_their_order(make_spawner: MakeSpawner, fake: Fake) -> None:
    spawners = [make_spawner(f"user{number}") for number in range(5)]
    for number, spawner in enumerate(spawners):
        spawner.load_state({**SAVED, "cloud": {**STATE, "data": {"n": number}}})
    assert await asyncio.gather(*(spawner.poll() for spawner in spawners * 200)) == [None] * 1000
    polls = fake.sent("poll")
    assert len(polls) == 5
    numbers = [target["state"]["data"]["n"] for poll in polls for target in poll["params"]["targets"]]
    assert numbers == list(range(5)) * 200


async def test_others_get_their_turns_while_many_polls_are_prepared_and_answered(
    make_spawner: MakeSpawner, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudspawner.slices._SECONDS", 0)  # a slice is over at once: each poll has a turn of its own
    spawner = make_spawner("ada")
    spawner.load_state(SAVED)
    turns, prepared_at = 0, []

    def config() -> dict[str, Any]:
        prepared_at.append(turns)
        return {}

    monkeypatch.setattr(spawner, "cloud_config", config)
    polls = asyncio.gather(*(spawner.poll() for _ in range(20)))
    while not polls.done():
        turns += 1
        await asyncio.sleep(0)
    assert await polls == [None] * 20
    assert len(set(prepared_at)) == 20


async def test_polls_with_other_settings_go_apart(make_spawner: MakeSpawner, fake: Fake) -> None:
    spawners = [make_spawner("a"), make_spawner("b", aws_region="eu-west-1")]
    for spawner in spawners:
        spawner.load_state(SAVED)
    await asyncio.gather(*(spawner.poll() for spawner in spawners))
    assert [len(poll["params"]["targets"]) for poll in fake.sent("poll")] == [1, 1]


# stop


async def test_a_stop_is_tried_again_and_never_raises(make_spawner: MakeSpawner, fake: Fake) -> None:
    spawner = await started(make_spawner, fake, stop=[error("throttled", "needed")])
    await spawner.stop()
    assert len(fake.sent("stop")) == 3
    assert fake.sent("stop")[0]["params"]["reason"] == "stopped by JupyterHub"
    assert len(program_of(spawner).stops) == 1


async def test_a_stop_that_is_refused_for_good_is_remembered_at_once(make_spawner: MakeSpawner, fake: Fake) -> None:
    spawner = await started(make_spawner, fake, stop=[error("permission_denied", "needed", retry="after_fix")])
    await spawner.stop()
    assert len(fake.sent("stop")) == 1
    assert len(program_of(spawner).stops) == 1


async def test_a_stop_that_could_not_be_finished_is_tried_again_later(
    make_spawner: MakeSpawner, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudspawner.stopping._RETRY_SECONDS", 0.0)
    spawner = await started(make_spawner, fake, stop={"phase": "running", "cleanup": "needed"})
    other = make_spawner("grace")
    other.load_state({**SAVED, "cloud": STATE})
    await spawner.stop()
    spawner.clear_state()
    assert len(program_of(spawner).stops) == 1
    fake.plays()
    await other.poll()
    await until(lambda: not len(program_of(spawner).stops))
    assert fake.sent("stop")[-1]["params"]["state"] == STATE_WITH_REF


async def test_a_stop_without_a_state_asks_nobody(make_spawner: MakeSpawner, fake: Fake) -> None:
    spawner = make_spawner()
    await spawner.stop()
    assert await spawner.poll() == 0
    assert not fake.sent()


async def test_the_setting_that_broke_since_does_not_make_stop_or_poll_raise(make_spawner: MakeSpawner) -> None:
    spawner = make_spawner(cluster="{nonsense}")
    spawner.load_state(SAVED)
    assert await spawner.poll() is None
    await spawner.stop()


def program_of(spawner: FargateSpawner) -> Program:
    return spawner._program()


# after a restart of the hub


async def test_a_restarted_hub_takes_the_state_back(make_spawner: MakeSpawner, fake: Fake) -> None:
    first = await started(make_spawner, fake)
    first.orm_spawner.state = first.get_state()  # as the hub does after start
    spawner = make_spawner()
    assert spawner.get_state() == SAVED
    assert await spawner.poll() is None
    assert fake.sent("poll")[0]["params"]["targets"][0]["state"] == STATE_WITH_REF


@pytest.mark.parametrize("state", [{"task_arn": "arn:x"}, {"cloud": 7}, {"cloud": "x", "url": 1}, ["x"], "x"])
async def test_a_foreign_state_does_not_stop_the_hub_and_is_kept(
    make_spawner: MakeSpawner, fake: Fake, state: Any
) -> None:
    spawner = make_spawner()
    spawner.load_state(state)
    assert await spawner.poll() is None
    assert spawner.get_state() == (state if isinstance(state, dict) else {})
    await spawner.stop()
    assert fake.sent("stop")[0]["params"]["state"] is None


@pytest.mark.parametrize("state", [{}, {"task_arn": "", "task_cluster_arn": ""}, {"cloud": None, "url": ""}])
async def test_an_empty_state_is_no_server(make_spawner: MakeSpawner, state: Any) -> None:
    spawner = make_spawner()
    spawner.load_state(state)
    assert spawner.get_state() == {}
    assert await spawner.poll() == 0


async def test_a_state_that_the_program_cannot_read_is_alive(make_spawner: MakeSpawner, fake: Fake) -> None:
    fake.plays(poll={"phase": "unknown", "error": {"code": "state_unreadable", "message": "?"}})
    spawner = make_spawner()
    spawner.load_state({"cloud": {"v": 99}, "url": URL})
    assert await spawner.poll() is None


async def test_get_url_answers_at_once_from_the_state(make_spawner: MakeSpawner, fake: Fake) -> None:
    spawner = make_spawner()
    spawner.load_state(SAVED)
    assert await spawner.get_url() == f"{URL}/user/ada/"
    assert not fake.sent()


async def test_get_url_waits_for_a_server_that_is_starting(make_spawner: MakeSpawner, fake: Fake) -> None:
    fake.plays(poll={"phase": "pending"})
    spawner = make_spawner()
    spawner._url_pause = 0.001
    spawner.load_state({**SAVED, "url": ""})
    spawner.orm_spawner.started = datetime.now(timezone.utc).replace(tzinfo=None)
    url = asyncio.ensure_future(spawner.get_url())
    await fake.was_sent("poll", times=2)
    fake.plays(poll={"phase": "running", "url": URL})
    assert await url == f"{URL}/user/ada/"
    assert {frame["params"]["max_age_ms"] for frame in fake.sent("poll")} == {0, 1000}


@pytest.mark.parametrize("poll", [{"phase": "pending"}, {"phase": "gone", "exit_code": 1}, [["error", {}]]])
async def test_get_url_gives_the_databases_answer_where_there_is_none(
    make_spawner: MakeSpawner, fake: Fake, poll: Any
) -> None:
    fake.plays(poll=poll)
    spawner = make_spawner()
    spawner.load_state({**SAVED, "url": ""})
    spawner.orm_spawner.started = datetime.now(timezone.utc).replace(tzinfo=None) - timedelta(hours=1)
    assert await spawner.get_url() == spawner.server.url


async def test_get_url_never_raises(make_spawner: MakeSpawner, monkeypatch: pytest.MonkeyPatch) -> None:
    spawner = make_spawner()
    spawner.load_state({**SAVED, "url": ""})

    async def broken(self: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(FargateSpawner, "_find_url", broken)
    assert await spawner.get_url() == spawner.server.url


# who


async def test_the_hubs_name_is_stable_and_does_not_show_the_secret(make_spawner: MakeSpawner) -> None:
    first, second = make_spawner("a")._identity(), make_spawner("b")._identity()
    assert first["hub"] == second["hub"]
    assert len(first["hub"]) == 16
    assert SECRET not in first["hub"]
    assert make_spawner("c", hub_id="prod")._identity() == {"hub": "prod", "user": "c", "name": ""}


async def test_names_go_raw(make_spawner: MakeSpawner, fake: Fake) -> None:
    hostile = "../é\u202e;$(rm)\"'" + "x" * 200
    fake.plays(start=START)
    spawner = make_spawner(hostile, hub_id="prod")
    await spawner.start()
    assert fake.sent("start")[0]["params"]["server"] == {"hub": "prod", "user": hostile, "name": ""}


# progress


async def test_progress_is_the_same_for_every_viewer(
    make_spawner: MakeSpawner, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [
        ["event", {"stage": "provisioning", "percent": 20, "message": "Task <b>accepted</b>", "link": None}],
        ["event", {"stage": "pull", "percent": 200, "message": "", "link": "https://x"}],
        ["event", {"stage": "run", "percent": None, "message": "Running"}],
    ]
    fake.plays(start=[events[0], ["touch", fake.path("told")], ["file", fake.path("go")], *events[1:], *START])
    spawner = make_spawner()
    monkeypatch.setattr("cloudspawner.progress.time", SimpleNamespace(monotonic=lambda: 0.0))
    spawner.clear_state()

    async def view() -> list[dict[str, Any]]:
        return [dict(event) async for event in spawner.progress()]

    early = asyncio.ensure_future(view())
    start = asyncio.ensure_future(spawner.start())
    await until((fake.folder / "told").exists)
    middle = asyncio.ensure_future(view())
    fake.release("go")
    await start
    assert await early == await middle == await view()
    assert await early == [
        {"message": "Task <b>accepted</b> (0:00)", "progress": 20},
        {"message": "pull (0:00)", "progress": 99},
        {"message": "Running (0:00)"},
    ]
    spawner.clear_state()
    again = asyncio.ensure_future(view())
    await asyncio.sleep(0)
    assert not again.done()
    spawner.clear_state()
    assert await again == []


# gc


async def test_gc_keeps_every_server_of_the_database(make_spawner: MakeSpawner, fake: Fake) -> None:
    fake.plays(start=START, poll={"phase": "running", "key": "cs-old-name"})
    spawner = make_spawner(hub_id="prod")
    make_spawner("grace", hub_id="prod")
    await spawner.start()
    assert await spawner.gc() == {"stale": [], "removed": [], "errors": []}
    params = fake.sent("gc")[0]["params"]
    keep = [{"server": {"hub": "prod", "user": user, "name": ""}} for user in ("ada", "grace")]
    assert params["keep"] == [*keep, {"key": "cs-old-name"}]
    assert (params["hub"], params["apply"], params["force"], params["min_age_ms"]) == ("prod", False, False, 900_000)
    assert params["config"]["clusters"] == ["hub"]


async def test_gc_removes_only_where_the_hub_has_a_name(make_spawner: MakeSpawner, fake: Fake) -> None:
    with pytest.raises(SpawnFailed, match="hub_id"):
        await make_spawner().gc(apply=True)
    await make_spawner("b", hub_id="prod").gc(apply=True)
    assert fake.sent("gc")[0]["params"]["apply"] is True


async def test_a_poll_builds_its_request_without_waiting(make_spawner: MakeSpawner, fake: Fake) -> None:
    spawner = await started(make_spawner, fake)
    began = time.process_time()
    await asyncio.gather(*(spawner.poll() for _ in range(100)))
    assert time.process_time() - began < 5  # a guard against a blocking call, not a figure
