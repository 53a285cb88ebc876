"""Faults and the rest of the admin endpoint."""

import http.client
import time
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from emulated import address, describe, refused, run, run_task_arguments, wait_for, wait_for_status


def list_tasks(client):
    return lambda: client.list_tasks(cluster="notebooks")


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        ("throttle", "ThrottlingException", 400),
        ("error_500", "ServerException", 500),
        ("error_503", "ServiceUnavailableException", 503),
        ("access_denied", "AccessDeniedException", 400),
    ],
)
def test_a_fault_strikes_as_often_as_it_was_asked_to(emulator, ecs, kind, code, status):
    emulator.fault("RunTask", kind, skip=1, count=2)
    run(ecs)
    ecs.list_tasks(cluster="notebooks")
    for _ in range(2):
        refused(lambda: run(ecs), code, status=status)
    run(ecs)
    assert len(emulator.tasks()) == 2
    assert emulator.admin("faults") == {"faults": []}


def test_faults_can_be_listed_and_cleared(emulator, ecs):
    number = emulator.fault("*", "throttle", count=None)
    assert [(fault["id"], fault["fault"]["kind"]) for fault in emulator.admin("faults")["faults"]] == [
        (number, "throttle")
    ]
    for _ in range(3):
        refused(list_tasks(ecs), "ThrottlingException", "Rate exceeded")
    assert emulator.admin("calls")["throttled"] == 3
    emulator.admin("faults", method="DELETE")
    ecs.list_tasks(cluster="notebooks")


def test_a_fault_can_be_for_one_task_alone(emulator, ecs):
    first, second = run(ecs, startedBy="a")["taskArn"], run(ecs, startedBy="b")["taskArn"]
    emulator.fault("StopTask", "error_500", count=None, body_contains=first)
    refused(lambda: ecs.stop_task(cluster="notebooks", task=first), "ServerException", status=500)
    ecs.stop_task(cluster="notebooks", task=second)


def test_an_unknown_kind_or_field_is_refused(emulator):
    for fault in ({"kind": "meteor"}, {"kind": "slow", "delay": 1}):
        with pytest.raises(urllib.error.HTTPError, match="400"):
            emulator.admin("faults", fault)


def test_a_cut_before_has_no_effect_and_a_lost_reply_has(emulator, ecs):
    emulator.fault("RunTask", "cut_before")
    with pytest.raises(ConnectionClosedError):
        run(ecs)
    assert emulator.tasks() == {}
    emulator.fault("RunTask", "reply_lost")
    with pytest.raises(ConnectionClosedError):
        run(ecs, clientToken="t")
    (arn,) = emulator.tasks()
    assert run(ecs, clientToken="t")["taskArn"] == arn


def test_a_truncated_reply_and_a_proxys_page_are_no_json(emulator, ecs):
    emulator.fault("RunTask", "truncated")
    assert "tasks" not in ecs.run_task(**run_task_arguments())  # botocore reads half a JSON text as an empty answer
    assert len(emulator.tasks()) == 1
    form = b"Action=AssumeRoleWithWebIdentity&RoleArn=arn:aws:iam::1:role/hub&RoleSessionName=hub&WebIdentityToken=x"
    emulator.fault("AssumeRoleWithWebIdentity", "truncated")
    with pytest.raises(http.client.IncompleteRead), urllib.request.urlopen(emulator.url, form) as answer:
        answer.read()
    emulator.fault("ListTasks", "html")
    assert "taskArns" not in ecs.list_tasks(cluster="notebooks")
    emulator.fault("ListTasks", "html", status=502)
    with pytest.raises(ClientError, match="502"):
        ecs.list_tasks(cluster="notebooks")


def test_slow_and_hang_and_latency(emulator, ecs):
    emulator.fault("ListTasks", "slow", delay_ms=200)
    started = time.monotonic()
    ecs.list_tasks(cluster="notebooks")
    assert time.monotonic() - started >= 0.2
    emulator.settings(latency_ms=100)
    started = time.monotonic()
    ecs.list_tasks(cluster="notebooks")
    assert 0.1 <= time.monotonic() - started < 1
    emulator.fault("ListTasks", "hang")
    client = emulator.client(read_timeout=0.5)
    with pytest.raises(ReadTimeoutError):
        client.list_tasks(cluster="notebooks")


@pytest.mark.parametrize(
    ("kind", "reason"), [("capacity", "Capacity is unavailable at this time."), ("resource_eni", "RESOURCE:ENI")]
)
def test_run_task_can_fail_to_place(emulator, ecs, kind, reason):
    emulator.fault("RunTask", kind)
    answer = ecs.run_task(**run_task_arguments())
    assert answer["tasks"] == []
    assert answer["failures"][0]["reason"].startswith(reason)
    assert emulator.tasks() == {}


def test_a_task_can_stop_before_it_runs(emulator, ecs):
    reason = "CannotPullContainerError: pull image manifest has been retried 1 time(s)"
    emulator.fault(
        "RunTask", "early_stop", stop_code="TaskFailedToStart", stopped_reason=reason, container_reason=reason
    )
    task = wait_for_status(ecs, run(ecs)["taskArn"], "STOPPED")
    assert (task["stopCode"], task["stoppedReason"], task["containers"][0]["reason"]) == (
        "TaskFailedToStart",
        reason,
        reason,
    )
    assert "startedAt" not in task
    emulator.fault("RunTask", "early_stop", stop_code="EssentialContainerExited", exit_code=137)
    task = wait_for_status(ecs, run(ecs)["taskArn"], "STOPPED")
    assert task["containers"][0]["exitCode"] == 137


def test_a_task_can_run_without_an_address(emulator, ecs):
    emulator.fault("RunTask", "no_address")
    assert address(wait_for_status(ecs, run(ecs)["taskArn"], "RUNNING")) is None


def test_the_cloud_can_end_and_forget_a_task(emulator, ecs):
    arn = run(ecs, clientToken="t", tags=[{"key": "k", "value": "v"}])["taskArn"]
    wait_for_status(ecs, arn, "RUNNING")
    number = arn.rsplit("/", 1)[1]
    end = {"stop_code": "SpotInterruption", "stopped_reason": "Your Spot Task was interrupted.", "exit_code": 143}
    emulator.admin(f"tasks/{number}/end", end)
    task = wait_for_status(ecs, arn, "STOPPED")
    assert (task["stopCode"], task["containers"][0]["exitCode"]) == ("SpotInterruption", 143)
    row = emulator.tasks()[arn]
    assert (row["status"], row["desired_status"], row["started_by"], row["client_token"]) == (
        "STOPPED",
        "STOPPED",
        "test",
        "t",
    )
    assert row["created_at_ms"] < row["running_at_ms"] < row["stopped_at_ms"]
    assert row["tags"] == [{"key": "k", "value": "v"}]
    emulator.admin(f"tasks/{number}/forget", {})
    assert ecs.describe_tasks(cluster="notebooks", tasks=[arn])["failures"][0]["reason"] == "MISSING"
    assert list(emulator.tasks()) == [arn]
    with pytest.raises(urllib.error.HTTPError, match="404"):
        emulator.admin(f"tasks/{'0' * 32}/end", {})


def test_settings_change_at_run_time_and_only_known_ones(emulator, ecs):
    settings = emulator.settings(delays={"provisioning": 0, "pending": 0})
    assert settings["delays"]["stopping"] == 40
    assert describe(ecs, run(ecs)["taskArn"])["lastStatus"] == "RUNNING"
    with pytest.raises(urllib.error.HTTPError, match="400"):
        emulator.settings(delays={"sleeping": 1})


def test_reset_forgets_everything(emulator, ecs):
    run(ecs, clientToken="t")
    emulator.fault("*", "throttle", count=None)
    emulator.admin("reset", {})
    assert emulator.tasks() == {}
    assert wait_for(lambda: ecs.list_tasks(cluster="notebooks"))["taskArns"] == []
    assert len(emulator.tasks()) == 0
    run(ecs, clientToken="t", group="other")
