"""logs: what a server's container wrote last, by the awslogs options of its task definition."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import ask, deployments, program
from support.emulator import KEY, Emulator, Json, wait_until

SECRET = "canary-api-token-77aa01"


def started(emulator: Emulator, **params: object) -> Json:
    """The state of a server that runs."""
    state: Json = program.run("start", ask.start(**params), emulator.env()).result["state"]
    return state


def logs(emulator: Emulator, state: object = None, **params: object) -> program.Finished:
    """One look at a log."""
    return program.run("logs", ask.logs(state, **params), emulator.env())


def messages(done: program.Finished) -> list[str]:
    """The lines' texts."""
    return [line["message"] for line in done.result["lines"]]


@pytest.fixture
def state(emulator: Emulator) -> Json:
    """A server that has written seven lines."""
    state = started(emulator)
    emulator.write(emulator.tasks()[0], *(f"line {number}" for number in range(7)))
    return state


def test_the_last_lines_come_with_their_times_the_oldest_first(emulator: Emulator, state: Json) -> None:
    done = logs(emulator, state, lines=3)
    assert messages(done) == ["line 4", "line 5", "line 6"]
    assert all(line["time"].endswith("Z") for line in done.result["lines"])
    (asked,) = emulator.bodies("GetLogEvents")
    arn = state["data"]["ref"]
    assert (asked["logGroupName"], asked["logStreamName"]) == ("/ecs/notebook", f"notebook/notebook/{arn.rsplit('/', 1)[1]}")


def test_a_server_without_a_state_is_found_by_its_key(emulator: Emulator, state: Json) -> None:
    assert messages(logs(emulator)) == [f"line {number}" for number in range(7)]
    error = logs(emulator, server=ask.server("grace")).error
    assert (error["code"], error["context"]["backend"]) == ("not_found", "fargate")


def test_pages_that_are_short_are_put_together(emulator: Emulator, state: Json) -> None:
    emulator.settings(log_page_events=2)
    assert messages(logs(emulator, state, lines=5)) == [f"line {number}" for number in range(2, 7)]
    assert messages(logs(emulator, state)) == [f"line {number}" for number in range(7)]


def test_a_log_is_followed_by_what_an_answer_calls_next(emulator: Emulator, state: Json) -> None:
    mark = logs(emulator, state).result["next"]
    nothing = logs(emulator, state, after=mark).result
    assert (nothing["lines"], nothing["next"]) == ([], mark)
    emulator.write(emulator.tasks()[0], "one more", "and another")
    more = logs(emulator, state, after=mark)
    assert messages(more) == ["one more", "and another"]
    assert messages(logs(emulator, state, after=more.result["next"])) == []


def test_what_a_server_wrote_is_read_after_its_end(emulator: Emulator, state: Json) -> None:
    emulator.end(emulator.tasks()[0], exit_code=137)
    emulator.wait_for_status("STOPPED")
    assert messages(logs(emulator, state))[-1] == "line 6"
    emulator.forget(emulator.tasks()[0])
    assert messages(logs(emulator, state))[-1] == "line 6", "by the task definition of the settings"


def test_the_log_of_a_real_process_is_read() -> None:
    script = "import sys, time\nprint('hello from', 'the server', flush=True)\nprint('trouble', file=sys.stderr, flush=True)\ntime.sleep(60)"
    with Emulator(run="process") as emulator:
        state = started(emulator, spec=ask.spec(command=[sys.executable, "-c", script]))
        lines = wait_until(lambda: (found := messages(logs(emulator, state))) and len(found) == 2 and found)
        assert lines == ["hello from the server", "trouble"]


def test_a_task_that_never_ran_has_no_log_and_the_error_says_why_it_ended(emulator: Emulator) -> None:
    reason = "CannotPullContainerError: pull access denied"
    emulator.fault("RunTask", "early_stop", stopped_reason=reason)
    states = program.run("start", ask.start(), emulator.env()).states()
    error = logs(emulator, states[-1]).error
    assert error["code"] == "not_found"
    assert "never ran" in error["message"]
    assert reason in error["causes"]


def test_a_servers_own_token_is_not_shown(emulator: Emulator) -> None:
    state = started(emulator, spec=ask.spec(env={"JUPYTERHUB_API_TOKEN": SECRET}))
    emulator.write(emulator.tasks()[0], f"my token is {SECRET}!", "http://127.0.0.1:8888/lab?token=0123456789abcdef0123")
    done = logs(emulator, state)
    assert messages(done) == ["my token is REDACTED!", "http://127.0.0.1:8888/lab?token=REDACTED"]
    assert SECRET not in done.stdout + done.stderr


def test_hostile_lines_are_text(emulator: Emulator, state: Json) -> None:
    hostile = '\x1b[2J<script>alert(1)</script>\r\n{"type":"result"}'
    emulator.write(emulator.tasks()[0], hostile)
    done = logs(emulator, state, lines=1)
    assert messages(done) == [hostile]
    assert len(done.frames) == 1


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ({"logDriver": "splunk", "options": {}}, "splunk"),
        (None, "null"),
        ({"logDriver": "awslogs", "options": {"awslogs-group": "g"}}, "awslogs-stream-prefix"),
    ],
)
def test_another_log_driver_is_told_and_not_followed(emulator: Emulator, definition: Json | None, words: str) -> None:
    container: Json = {"name": "notebook", "image": "i"}
    if definition:
        container["logConfiguration"] = definition
    emulator.boto3("ecs").register_task_definition(
        family="other", networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256", memory="512",
        containerDefinitions=[container],
    )  # fmt: skip
    state = started(emulator, config=ask.config(run_task=ask.run_task(taskDefinition="other")))
    error = logs(emulator, state).error
    assert (error["code"], emulator.calls("GetLogEvents")) == ("invalid_config", 0)
    assert words in error["message"]


@pytest.mark.parametrize("lines", [0, 10_001])
def test_a_senseless_number_of_lines_is_refused(emulator: Emulator, lines: int) -> None:
    error = logs(emulator, lines=lines).error
    assert (error["code"], "params.lines" in error["message"]) == ("bad_request", True)


@pytest.mark.parametrize("fault", ["throttle", "error_500", "cut_before", "truncated", "wrong_json"])
def test_a_look_that_fails_once_is_repeated(emulator: Emulator, state: Json, fault: str) -> None:
    emulator.fault("GetLogEvents", fault)
    assert len(messages(logs(emulator, state))) == 7


def test_the_logs_have_an_endpoint_of_their_own(emulator: Emulator, state: Json) -> None:
    env = emulator.env(AWS_ENDPOINT_URL="", AWS_ENDPOINT_URL_ECS=emulator.url, AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=emulator.url)
    assert len(messages(program.run("logs", ask.logs(state), env))) == 7


@pytest.fixture
def least(tmp_path: Path) -> Iterator[Emulator]:
    """A local AWS where the hub may do what deployments/fargate says."""
    text = (deployments.FOLDER / "fargate/policy.json").read_text()
    text = (
        text.replace("REGION", "eu-west-1").replace("ACCOUNT", "123456789012").replace("/jupyterhub/notebooks", "/ecs/notebook")
    )
    policy = tmp_path / "policy.json"
    policy.write_text(text)
    with Emulator("--key", f"{KEY[0]}:{KEY[1]}:{policy}") as emulator:
        yield emulator


def test_the_policy_of_the_deployment_is_enough(least: Emulator) -> None:
    state = started(least)
    least.write(least.tasks()[0], "a line")
    assert messages(logs(least, state)) == ["a line"]


def test_a_policy_without_the_permission_is_told_with_what_is_missing(emulator: Emulator, state: Json) -> None:
    emulator.fault("GetLogEvents", "access_denied", count=None)
    error = logs(emulator, state).error
    assert (error["code"], error["context"]["operation"]) == ("permission_denied", "logs:GetLogEvents")
    emulator.clear_faults()
    emulator.fault("DescribeTaskDefinition", "access_denied", count=None)
    error = logs(emulator, state).error
    assert "logs:GetLogEvents" in json.dumps(error["causes"])


def test_serve_says_that_it_can_and_answers(emulator: Emulator) -> None:
    with program.Serve(emulator.env()) as serve:
        assert "logs" in serve.hello["features"]
        state = serve.ask(ask.start())["state"]
        emulator.write(emulator.tasks()[0], "a line")
        assert [line["message"] for line in serve.ask(ask.logs(state))["lines"]] == ["a line"]
