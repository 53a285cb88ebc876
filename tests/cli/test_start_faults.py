"""A start that goes badly: it succeeds all the same, or says why, and never leaves a task behind."""

import signal
from typing import Any

import pytest

from support import ask, program
from support.emulator import SLOW, Emulator, wait_until

IMAGE = (
    "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref quay.io/x:latest: not found"
)
LOG_GROUP = (
    "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
    "ResourceNotFoundException: The specified log group does not exist."
)


def start(emulator: Emulator, timeout_ms: int = 20_000, **params: Any) -> program.Finished:
    """One start."""
    return program.run("start", ask.start(timeout_ms=timeout_ms, **params), emulator.env())


def tokens(emulator: Emulator) -> list[str]:
    """The client tokens of every RunTask, by the number at their end."""
    return [body["clientToken"].rsplit("-", 1)[1] for body in emulator.bodies("RunTask")]


@pytest.mark.parametrize("kind", ["reply_lost", "cut_before", "error_500", "error_503", "truncated", "html"])
def test_a_run_task_without_a_usable_answer_is_repeated_under_its_token_and_makes_one_task(emulator: Emulator, kind: str) -> None:
    emulator.fault("RunTask", kind, count=2)
    done = start(emulator)
    assert done.result["url"]
    assert len(emulator.tasks()) == 1
    assert tokens(emulator) == ["1", "1", "1"]
    bodies = emulator.bodies("RunTask")
    assert bodies[0] == bodies[1] == bodies[2]


def test_three_throttles_are_waited_out_and_told_of(emulator: Emulator) -> None:
    emulator.fault("RunTask", "throttle", count=3)
    done = start(emulator)
    assert done.result["url"]
    assert len(emulator.tasks()) == 1
    assert "busy" in " ".join(frame.get("message", "") for frame in done.frames)


@pytest.mark.parametrize(("kind", "code"), [("error_500", "unavailable"), ("throttle", "throttled")])
def test_a_run_task_that_never_succeeds_is_told_by_its_own_code_at_the_deadline(emulator: Emulator, kind: str, code: str) -> None:
    emulator.fault("RunTask", kind, count=None)
    done = start(emulator, timeout_ms=1500)
    assert (done.exit_code, done.error["code"], done.error["retry"]) == (1, code, "later")
    assert emulator.tasks() == []
    assert done.error["cleanup"] == ("none" if kind == "throttle" else "needed")
    assert done.error["context"]["operation"] == "ecs:RunTask"


def test_capacity_that_comes_back_starts_the_server_under_a_new_token(emulator: Emulator) -> None:
    emulator.fault("RunTask", "capacity")
    done = start(emulator)
    assert done.result["url"]
    assert tokens(emulator) == ["1", "2"]
    assert done.result["state"]["data"]["run"] == 2
    assert "capacity" in " ".join(frame.get("message", "") for frame in done.frames)


@pytest.mark.parametrize(("kind", "word"), [("capacity", "Capacity is unavailable"), ("resource_eni", "RESOURCE:ENI")])
def test_capacity_that_never_comes_is_told_at_the_deadline(emulator: Emulator, kind: str, word: str) -> None:
    emulator.fault("RunTask", kind, count=None)
    done = start(emulator, timeout_ms=1500)
    assert (done.error["code"], done.error["cleanup"], done.error["retry"]) == ("capacity_unavailable", "none", "later")
    assert word in done.error["message"]
    assert "capacity" in done.error["user_message"]
    assert done.error["context"]["http_status"] == 200
    assert emulator.tasks() == []


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ({"stop_code": "TaskFailedToStart", "stopped_reason": IMAGE}, "start_failed", "CannotPullContainerError"),
        ({"stop_code": "TaskFailedToStart", "stopped_reason": LOG_GROUP}, "start_failed", "log group does not exist"),
        (
            {"stop_code": "EssentialContainerExited", "stopped_reason": "Essential container in task exited", "exit_code": 137,
             "container_reason": "OutOfMemoryError: Container killed due to memory usage"},
            "start_failed", "OutOfMemoryError",
        ),
        (
            {"stop_code": "EssentialContainerExited", "stopped_reason": "Essential container in task exited", "exit_code": 3},
            "start_failed", "exit code 3",
        ),
        ({"stop_code": "UserInitiated", "stopped_reason": "by an operator"}, "start_failed", "by an operator"),
        ({"stop_code": "BrandNewCode", "stopped_reason": "no reason known"}, "start_failed", "no reason known"),
    ],
)  # fmt: skip
def test_a_task_that_stops_early_fails_the_start_at_once_with_ecs_own_words(
    emulator: Emulator, fault: dict[str, Any], code: str, words: str
) -> None:
    emulator.fault("RunTask", "early_stop", **fault)
    done = start(emulator)
    assert (done.error["code"], done.error["cleanup"]) == (code, "done")
    assert words in done.error["message"]
    assert words not in done.error["user_message"]
    assert emulator.alive() == []
    assert emulator.calls("RunTask") == 1


@pytest.mark.parametrize("stop_code", ["SpotInterruption", "InfrastructureHealth"])
def test_a_task_that_the_cloud_took_back_is_started_anew(emulator: Emulator, stop_code: str) -> None:
    emulator.fault("RunTask", "early_stop", stop_code=stop_code, stopped_reason="taken back")
    done = start(emulator)
    assert done.result["url"]
    assert tokens(emulator) == ["1", "2"]
    assert len(emulator.alive()) == 1


def test_an_interface_that_ecs_could_not_provide_is_a_matter_of_capacity(emulator: Emulator) -> None:
    reason = "Timeout waiting for network interface provisioning to complete."
    emulator.fault("RunTask", "early_stop", stop_code="TaskFailedToStart", stopped_reason=reason, count=None)
    done = start(emulator, timeout_ms=3000)
    assert (done.error["code"], done.error["cleanup"]) == ("capacity_unavailable", "done")
    assert reason in done.error["message"]
    assert emulator.alive() == []


def test_a_task_that_no_list_shows_yet_is_waited_for() -> None:
    with Emulator("--visible-after-ms", "1500") as emulator:
        assert start(emulator).result["url"]
        assert len(emulator.tasks()) == 1


def test_a_task_that_no_list_shows_yet_is_stopped_all_the_same() -> None:
    with Emulator("--visible-after-ms", "2500") as emulator:
        done = start(emulator, timeout_ms=1000)
        assert (done.error["code"], done.error["cleanup"]) == ("deadline", "done")
        assert emulator.alive() == []


def test_a_task_that_was_seen_and_then_vanishes_fails_the_start() -> None:
    with Emulator(delays=SLOW) as emulator, program.Child("start", emulator.env()) as child:
        child.send(ask.start())
        child.wait_for_stage("provisioning")
        emulator.forget(emulator.tasks()[0])
        error = child.finish().error
    assert (error["code"], error["cleanup"]) == ("start_failed", "done")
    assert "gone" in error["message"]


def test_a_conflict_adopts_the_task_that_has_the_token(emulator: Emulator) -> None:
    attempt = ask.attempt()
    first = start(emulator, attempt=attempt)
    again = start(emulator, attempt=attempt, spec=ask.spec(env={"A": "another"}))
    assert again.result["state"]["data"]["ref"] == first.result["state"]["data"]["ref"]
    assert len(emulator.tasks()) == 1


def test_at_the_deadline_a_pending_task_is_stopped() -> None:
    with Emulator(delays=SLOW) as emulator:
        done = start(emulator, timeout_ms=1500)
        assert (done.exit_code, done.error["code"], done.error["cleanup"]) == (1, "deadline", "done")
        assert emulator.alive() == []
        assert done.states()[-1]["data"]["ref"] == emulator.tasks()[0]["arn"]


def test_a_trouble_that_has_passed_is_not_the_reason_that_the_deadline_gives() -> None:
    with Emulator(delays=SLOW) as emulator:
        emulator.fault("RunTask", "capacity")
        emulator.fault("DescribeTasks", "throttle", count=1)
        with program.Child("start", emulator.env()) as child:
            child.send(ask.start(timeout_ms=5000))
            child.wait_for_stage("provisioning")
            error = child.finish().error
        assert (error["code"], error["cleanup"]) == ("deadline", "done")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_pending_stops_the_task_and_says_cancelled(number: signal.Signals) -> None:
    with Emulator(delays=SLOW) as emulator, program.Child("start", emulator.env()) as child:
        child.send(ask.start())
        child.wait_for_stage("provisioning")
        child.signal(number)
        done = child.finish()
        assert (done.exit_code, done.error["code"], done.error["cleanup"]) == (1, "cancelled", "done")
        assert emulator.alive() == []
        assert "cancelled" in emulator.bodies("StopTask")[0]["reason"].lower()


def test_a_signal_while_the_answers_of_run_task_are_lost_leaves_no_task() -> None:
    with Emulator(delays=SLOW) as emulator, program.Child("start", emulator.env()) as child:
        emulator.fault("RunTask", "reply_lost", count=2)
        child.send(ask.start())
        child.wait_for_stage("waiting")
        child.signal(signal.SIGTERM)
        done = child.finish()
        assert (done.error["code"], done.error["cleanup"]) == ("cancelled", "done")
        assert len(emulator.tasks()) == 1
        assert emulator.alive() == []


def test_a_signal_while_run_task_is_slow_leaves_no_task() -> None:
    with Emulator(delays=SLOW) as emulator, program.Child("start", emulator.env()) as child:
        emulator.fault("RunTask", "slow", delay_ms=1500)
        child.send(ask.start())
        child.wait_for_type("state")
        child.signal(signal.SIGTERM)
        done = child.finish()
        assert (done.error["code"], done.error["cleanup"]) == ("cancelled", "done" if emulator.tasks() else "none")
        assert emulator.alive() == []


def test_a_signal_while_run_task_hangs_leaves_no_task() -> None:
    with Emulator(delays=SLOW) as emulator, program.Child("start", emulator.env()) as child:
        emulator.fault("RunTask", "hang")
        child.send(ask.start())
        emulator.wait_for_calls("RunTask")
        child.signal(signal.SIGTERM)
        done = child.finish()
        assert (done.error["code"], done.error["cleanup"]) == ("cancelled", "done")
        assert emulator.alive() == []


@pytest.mark.parametrize("kind", ["throttle", "error_500", "cut_before", "reply_lost"])
def test_a_stop_task_that_fails_during_the_clean_up_is_repeated(kind: str) -> None:
    with Emulator(delays=SLOW) as emulator, program.Child("start", emulator.env()) as child:
        emulator.fault("StopTask", kind, count=2)
        child.send(ask.start())
        child.wait_for_stage("provisioning")
        child.signal(signal.SIGTERM)
        done = child.finish()
        assert (done.error["code"], done.error["cleanup"]) == ("cancelled", "done")
        assert emulator.alive() == []


def test_a_clean_up_that_the_cloud_does_not_accept_is_needed_and_the_stop_finishes_it() -> None:
    with Emulator(delays=SLOW) as emulator:
        emulator.fault("StopTask", "access_denied", count=None)
        done = start(emulator, timeout_ms=1500)
        assert (done.error["code"], done.error["cleanup"]) == ("deadline", "needed")
        assert any("ecs:StopTask" in cause for cause in done.error["causes"])
        emulator.clear_faults()
        assert program.run("stop", ask.stop(done.states()[-1]), emulator.env()).result["cleanup"] == "done"
        assert emulator.alive() == []


def test_a_new_attempt_stops_the_older_task_first(emulator: Emulator) -> None:
    first = start(emulator).result
    second = start(emulator, state=first["state"]).result
    assert second["state"]["data"]["ref"] != first["state"]["data"]["ref"]
    (alive,) = emulator.alive()
    assert alive["arn"] == second["state"]["data"]["ref"]
    actions = [request["action"] for request in emulator.requests() if request["action"] in ("RunTask", "StopTask")]
    assert actions == ["RunTask", "StopTask", "RunTask"]


def test_a_new_attempt_finds_the_older_task_by_its_key_where_the_state_was_lost(emulator: Emulator) -> None:
    start(emulator)
    other = start(emulator, server=ask.server("grace")).result
    second = start(emulator).result
    assert {task["arn"] for task in emulator.alive()} == {r["state"]["data"]["ref"] for r in (other, second)}


def test_a_start_that_cannot_stop_the_older_task_creates_nothing_and_says_that_a_stop_is_needed(emulator: Emulator) -> None:
    first = start(emulator).result
    emulator.fault("StopTask", "access_denied", count=None)
    done = start(emulator, timeout_ms=2000, state=first["state"])
    assert (done.error["code"], done.error["cleanup"]) == ("permission_denied", "needed")
    assert emulator.calls("RunTask") == 1


@pytest.mark.parametrize(
    "params",
    [{"config": {"regoin": "eu"}}, {"config": {}}, {"spec": ask.spec(port=0)}, {"credentials": {"kind": "?"}}],
    ids=["unknown field", "no run_task", "port 0", "credentials"],
)
def test_a_start_that_is_refused_while_an_older_task_runs_does_not_say_that_nothing_is_left(
    emulator: Emulator, params: dict[str, Any]
) -> None:
    first = start(emulator).result
    done = start(emulator, state=first["state"], **params)
    assert (done.error["code"], done.error["cleanup"]) == ("invalid_config", "needed")


def test_a_start_with_a_state_that_cannot_be_read_is_refused_and_keeps_it(emulator: Emulator) -> None:
    done = start(emulator, state={"v": 99, "backend": "fargate", "data": {}})
    assert (done.error["code"], done.error["cleanup"]) == ("state_unreadable", "needed")
    assert emulator.calls("RunTask") == 0


def test_the_same_attempt_with_its_first_state_carries_on_with_the_same_task(emulator: Emulator) -> None:
    request = ask.start()
    first = program.run("start", request, emulator.env())
    for state in [*first.states(), first.result["state"]]:
        request["params"]["state"] = state
        again = program.run("start", request, emulator.env())
        assert again.result["state"]["data"]["ref"] == first.result["state"]["data"]["ref"]
    assert len(emulator.tasks()) == 1
    bodies = emulator.bodies("RunTask")
    assert all(body == bodies[0] for body in bodies)


def test_the_same_attempt_is_carried_on_with_after_the_child_was_killed_mid_start() -> None:
    with Emulator(delays=SLOW) as emulator:
        request = ask.start()
        with program.Serve(emulator.env()) as serve:
            number = serve.begin(request, ack=True)
            serve.wait_for_stage("provisioning")
            serve.process.kill()
            serve.wait()
            states = [frame["state"] for frame in serve.frames_of(number) if frame["type"] == "state"]
        emulator.settings(delays={"provisioning": 30, "pending": 50})
        request["params"]["state"] = states[0]
        request["timeout_ms"] = 1500
        done = program.run("start", request, emulator.env())
        assert len(emulator.tasks()) == 1
        # The task was made to be slow, so the second try ends at its deadline, and takes the first one's task with it.
        assert (done.error["code"], done.error["cleanup"]) == ("deadline", "done")
        assert emulator.alive() == []


def test_run_task_that_is_denied_is_permission_denied_at_once(emulator: Emulator) -> None:
    emulator.fault("RunTask", "access_denied", count=None)
    done = start(emulator)
    assert (done.error["code"], done.error["cleanup"], done.error["retry"]) == ("permission_denied", "none", "after_fix")
    assert done.error["context"]["cloud_code"] == "AccessDeniedException"
    assert emulator.tasks() == []


def test_a_denial_that_follows_a_lost_answer_never_makes_a_second_task(emulator: Emulator) -> None:
    emulator.fault("RunTask", "reply_lost")
    emulator.fault("RunTask", "access_denied")
    done = start(emulator)
    assert len(emulator.tasks()) == 1
    assert (done.error["code"], done.error["cleanup"]) == ("permission_denied", "done")
    assert emulator.alive() == []


POLICY = """{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["ecs:RunTask"], "Resource": ["*"]},
  {"Effect": "Allow", "Action": ["ecs:StopTask", "ecs:DescribeTasks"], "Resource": ["*"]},
  {"Effect": "Allow", "Action": ["iam:PassRole"], "Resource": ["*"]}]}"""
"""What fargatespawner's README grants: no ecs:ListTasks and no ecs:TagResource."""


def test_the_predecessors_policy_is_enough_and_what_is_off_is_warned_about(tmp_path: Any) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text(POLICY)
    with Emulator("--key", f"AKIAOLD:old-secret:{policy}") as emulator:
        env = emulator.env(AWS_ACCESS_KEY_ID="AKIAOLD", AWS_SECRET_ACCESS_KEY="old-secret")
        done = program.run("start", ask.start(), env)
        state = done.result["state"]
        warnings = [line for line in done.stderr.splitlines() if "WARN" in line]
        assert any("ListTasks" in line for line in warnings)
        assert any("TagResource" in line for line in warnings)
        (task,) = emulator.tasks()
        assert not task["tags"]
        assert program.run("poll", ask.poll(ask.target(state)), env).result["servers"][0]["phase"] == "running"
        assert program.run("stop", ask.stop(state), env).result["cleanup"] == "done"
        assert emulator.alive() == []
        with program.Serve(env) as serve:
            first = serve.ask(ask.start(server=ask.server("grace")))
            emulator.reset_calls()
            serve.ask(ask.start(server=ask.server("alan")))
            assert emulator.calls("RunTask") == 1
            assert serve.ask(ask.stop(first["state"], server=ask.server("grace")))["cleanup"] == "done"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (ask.run_task(taskDefinition="nobody"), "invalid_config"),
        (ask.run_task(cluster="nowhere"), "not_found"),
        (ask.run_task(networkConfiguration=None), "invalid_config"),
        (ask.run_task(launchType=7), "invalid_config"),
    ],
    ids=["unknown definition", "unknown cluster", "no network", "a wrong type"],
)
def test_what_ecs_refuses_is_told_at_once_with_its_own_words(arguments: dict[str, Any], code: str) -> None:
    with Emulator(check_model=False) as emulator:
        done = start(emulator, config=ask.config(run_task=arguments))
        assert (done.error["code"], done.error["cleanup"], done.error["retry"]) == (code, "none", "after_fix")
        assert done.error["context"]["operation"] == "ecs:RunTask"
        assert done.error["context"]["cloud_code"]
        assert done.error["context"]["request_id"]
        assert emulator.tasks() == []


def test_an_endpoint_where_nobody_listens_is_unavailable_and_nothing_was_created(emulator: Emulator) -> None:
    env = emulator.env(AWS_ENDPOINT_URL="http://127.0.0.1:9")
    done = program.run("start", ask.start(timeout_ms=1500), env)
    assert (done.error["code"], done.error["cleanup"], done.error["retry"]) == ("unavailable", "none", "later")


def test_a_task_that_runs_only_after_many_looks_is_not_given_up() -> None:
    with Emulator(delays=SLOW) as emulator, program.Serve(emulator.env()) as serve:
        number = serve.begin(ask.start())
        serve.wait_for_stage("provisioning")
        emulator.fault("DescribeTasks", "error_503", count=3)
        wait_until(lambda: emulator.calls("DescribeTasks") >= 5)
        serve.ask(ask.cancel(number))
        error = serve.last(number)["error"]
        assert (error["code"], error["cleanup"]) == ("cancelled", "done")
