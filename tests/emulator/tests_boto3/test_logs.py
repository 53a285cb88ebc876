"""boto3 against GetLogEvents of the emulator: pages in both directions, and what is refused."""

import pytest

from emulated import KEY, refused, run, wait_for_status

GROUP = "/ecs/notebook"


@pytest.fixture
def logs(emulator):
    return emulator.client("logs")


@pytest.fixture
def stream(emulator, ecs):
    """The stream of a task that has written seven lines."""
    arn = run(ecs)["taskArn"]
    wait_for_status(ecs, arn, "RUNNING")
    task = emulator.tasks()[arn]
    emulator.admin(f"tasks/{task['id']}/log", [f"line {number}" for number in range(7)])
    return f"notebook/notebook/{task['id']}"


def read(logs, stream, **arguments):
    answer = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, **arguments)
    return [event["message"][-1] for event in answer["events"]], answer


def test_the_latest_lines_come_first_and_in_the_order_of_time(logs, stream):
    assert read(logs, stream)[0] == list("0123456")
    assert read(logs, stream, limit=3)[0] == list("456")
    assert read(logs, stream, limit=3, startFromHead=True)[0] == list("012")


def test_tokens_lead_in_both_directions_and_are_the_same_at_an_end(logs, stream, emulator):
    _, last = read(logs, stream, limit=3)
    lines, older = read(logs, stream, limit=5, nextToken=last["nextBackwardToken"])
    assert lines == list("0123")
    lines, oldest = read(logs, stream, nextToken=older["nextBackwardToken"])
    assert (lines, oldest["nextBackwardToken"]) == ([], older["nextBackwardToken"])
    forward = {"nextToken": last["nextForwardToken"], "startFromHead": True}
    lines, none = read(logs, stream, **forward)
    assert (lines, none["nextForwardToken"]) == ([], last["nextForwardToken"])
    emulator.admin(f"tasks/{stream.rsplit('/', 1)[1]}/log", ["line 7"])
    assert read(logs, stream, **forward)[0] == ["7"]


def test_a_page_may_be_shorter_than_its_limit(logs, stream, emulator):
    emulator.settings(log_page_events=2)
    assert read(logs, stream, limit=5)[0] == list("56")


def test_a_time_range_is_kept_to(logs, stream):
    _, answer = read(logs, stream)
    at = answer["events"][0]["timestamp"]
    assert read(logs, stream, startTime=at)[0] == list("0123456")
    assert read(logs, stream, endTime=at)[0] == []


def test_what_is_not_there_is_not_found(logs, stream, ecs):
    def get(group, name):
        return lambda: logs.get_log_events(logGroupName=group, logStreamName=name)

    refused(get("/ecs/other", stream), "ResourceNotFoundException", "log group does not exist")
    refused(get(GROUP, "notebook/notebook/" + "0" * 32), "ResourceNotFoundException", "log stream does not exist")
    young = run(ecs)["taskArn"].rsplit("/", 1)[1]
    refused(get(GROUP, f"notebook/notebook/{young}"), "ResourceNotFoundException", "log stream does not exist")


def test_bad_parameters_are_refused(logs, stream):
    forward = read(logs, stream)[1]["nextForwardToken"]
    refused(lambda: read(logs, stream, nextToken=forward), "InvalidParameterException", "startFromHead")
    refused(lambda: read(logs, stream, nextToken="x"), "InvalidParameterException", "nextToken")


def test_reading_needs_a_permission_on_the_stream(start_emulator, tmp_path):
    policy = tmp_path / "policy.json"
    policy.write_text(
        '{"Statement": [{"Effect": "Allow", "Action": "ecs:*", "Resource": "*"}, {"Effect": "Allow", "Action":'
        ' "logs:GetLogEvents", "Resource": "arn:aws:logs:*:*:log-group:/ecs/other:log-stream:*"}]}'
    )
    emulator = start_emulator("--run", "simulate", "--key", f"{KEY[0]}:{KEY[1]}:{policy}")
    client = emulator.client("logs")
    refused(
        lambda: client.get_log_events(logGroupName=GROUP, logStreamName="x"),
        "AccessDeniedException",
        "logs:GetLogEvents",
    )
