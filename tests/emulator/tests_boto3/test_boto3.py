"""boto3 against each ECS action of the emulator: its answers, its errors, its states."""

import json
import time

import pytest
from botocore.exceptions import ClientError

from emulated import address, describe, refused, run, run_task_arguments, wait_for, wait_for_status

# States


def test_a_task_passes_through_the_states_with_its_address_from_pending_on(emulator, ecs):
    emulator.settings(delays={"provisioning": 120, "pending": 120, "activating": 120})
    task = run(ecs)
    assert (task["lastStatus"], task["desiredStatus"], address(task)) == ("PROVISIONING", "RUNNING", None)
    assert task["taskArn"].startswith("arn:aws:ecs:eu-west-1:123456789012:task/notebooks/")
    assert len(task["taskArn"].rsplit("/", 1)[1]) == 32
    seen = []

    def step():
        now = describe(ecs, task["taskArn"])
        if not seen or seen[-1][0] != now["lastStatus"]:
            seen.append((now["lastStatus"], address(now)))
        return now["lastStatus"] == "RUNNING"

    wait_for(step)
    ip = "127.0.0.1"
    assert seen == [("PROVISIONING", None), ("PENDING", ip), ("ACTIVATING", ip), ("RUNNING", ip)]
    container = describe(ecs, task["taskArn"])["containers"][0]
    assert (container["name"], container["lastStatus"]) == ("notebook", "RUNNING")
    assert container["networkInterfaces"][0]["privateIpv4Address"] == ip


def test_a_stopped_task_says_why_and_loses_its_tags(ecs):
    task = run(ecs, tags=[{"key": "user", "value": "a+b"}])
    arn = task["taskArn"]
    wait_for_status(ecs, arn, "RUNNING")
    assert describe(ecs, arn)["tags"] == [{"key": "user", "value": "a+b"}]
    assert not ecs.describe_tasks(cluster="notebooks", tasks=[arn])["tasks"][0].get("tags")
    assert ecs.stop_task(cluster="notebooks", task=arn, reason="bye")["task"]["desiredStatus"] == "STOPPED"
    stopped = wait_for_status(ecs, arn, "STOPPED")
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "bye")
    assert stopped["containers"][0]["exitCode"] == 143
    assert stopped["tags"] == []
    assert stopped["createdAt"] < stopped["startedAt"] < stopped["stoppedAt"]
    again = ecs.stop_task(cluster="notebooks", task=arn, reason="other")["task"]
    assert (again["lastStatus"], again["stoppedReason"]) == ("STOPPED", "bye")


def test_a_task_stopped_on_its_way_up_never_runs(emulator, ecs):
    emulator.settings(delays={"pending": 5000})
    task = run(ecs)
    ecs.stop_task(cluster="notebooks", task=task["taskArn"])
    stopped = wait_for_status(ecs, task["taskArn"], "STOPPED")
    assert "startedAt" not in stopped
    assert "exitCode" not in stopped["containers"][0]


def test_a_stopped_task_is_missing_after_its_hour(emulator, ecs):
    task = run(ecs)
    ecs.stop_task(cluster="notebooks", task=task["taskArn"])
    wait_for_status(ecs, task["taskArn"], "STOPPED")
    emulator.settings(stopped_visible_ms=0)
    answer = ecs.describe_tasks(cluster="notebooks", tasks=[task["taskArn"]])
    assert answer["failures"] == [{"arn": task["taskArn"], "reason": "MISSING"}]


def test_a_new_task_is_missing_at_first(emulator, ecs):
    emulator.settings(visible_after_ms=60_000)
    arn = run(ecs)["taskArn"]
    answer = ecs.describe_tasks(cluster="notebooks", tasks=[arn])
    assert (answer["tasks"], answer["failures"]) == ([], [{"arn": arn, "reason": "MISSING"}])
    assert ecs.list_tasks(cluster="notebooks")["taskArns"] == []
    refused(
        lambda: ecs.stop_task(cluster="notebooks", task=arn),
        "InvalidParameterException",
        "The referenced task was not found.",
    )
    emulator.settings(visible_after_ms=0)
    assert ecs.list_tasks(cluster="notebooks")["taskArns"] == [arn]


# RunTask


def test_an_answer_carries_what_was_asked_for(ecs):
    tags = [{"key": "k", "value": "v"}]
    overrides = {
        "containerOverrides": [{"name": "notebook", "environment": [{"name": "A", "value": "b"}]}],
        "cpu": "512",
    }
    task = run(ecs, tags=tags, overrides=overrides, group="class", enableExecuteCommand=True, platformVersion="1.4.0")
    assert (task["startedBy"], task["group"], task["cpu"], task["memory"]) == ("test", "class", "512", "512")
    assert task["overrides"]["containerOverrides"] == overrides["containerOverrides"]
    assert (task["tags"], task["enableExecuteCommand"], task["launchType"]) == (tags, True, "FARGATE")
    assert "capacityProviderName" not in task


def test_count_runs_as_many_tasks(ecs):
    assert len(ecs.run_task(**run_task_arguments(count=10))["tasks"]) == 10


def test_spot_runs_by_its_capacity_provider(ecs):
    strategy = [{"capacityProvider": "FARGATE", "weight": 1}, {"capacityProvider": "FARGATE_SPOT", "weight": 4}]
    task = run(ecs, launchType=None, capacityProviderStrategy=strategy)
    assert (task["capacityProviderName"], task["launchType"]) == ("FARGATE_SPOT", "FARGATE")


def network(**changes):
    return {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["s"], "securityGroups": [], **changes}}}


INVALID = "InvalidParameterException"


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"taskDefinition": "unknown"}, "ClientException", "TaskDefinition not found."),
        ({"taskDefinition": "notebook:9"}, "ClientException", "TaskDefinition not found."),
        ({"cluster": "unknown"}, "ClusterNotFoundException", "Cluster not found."),
        ({"cluster": None}, "ClusterNotFoundException", "Cluster not found."),
        ({"networkConfiguration": None}, INVALID, "Network Configuration must be provided"),
        (network(subnets=[]), INVALID, "subnets"),
        (network(subnets=["s"] * 17), INVALID, "subnets"),
        (network(securityGroups=["g"] * 6), INVALID, "securityGroups"),
        ({"capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]}, INVALID, "launch type"),
        ({"launchType": None, "capacityProviderStrategy": [{"capacityProvider": "OTHER"}]}, INVALID, "not associated"),
        ({"launchType": "EC2"}, INVALID, "No Container Instances"),
        ({"count": 0}, INVALID, "Count"),
        ({"count": 11}, INVALID, "Count"),
        ({"overrides": {"containerOverrides": [{"name": "other"}]}}, INVALID, "other"),
        ({"overrides": {"containerOverrides": [{"name": "notebook", "command": ["x" * 8192]}]}}, INVALID, "8192"),
        ({"startedBy": "a b"}, INVALID, "startedBy"),
        ({"startedBy": "a" * 129}, INVALID, "startedBy"),
        ({"clientToken": "a" * 65}, INVALID, "clientToken"),
        ({"clientToken": "a b"}, INVALID, "clientToken"),
        ({"tags": [{"key": str(n), "value": ""} for n in range(51)]}, INVALID, "50"),
        ({"tags": [{"key": "k" * 129, "value": ""}]}, INVALID, "key"),
        ({"tags": [{"key": "k", "value": "v" * 257}]}, INVALID, "value"),
        ({"tags": [{"key": "k", "value": "<&>"}]}, INVALID, "value"),
        ({"tags": [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]}, INVALID, "Duplicate"),
        ({"tags": [{"key": "aws:k", "value": ""}]}, INVALID, "aws:"),
        ({"platformVersion": "9"}, "PlatformUnknownException", "platform"),
    ],
)  # fmt: skip
def test_what_ecs_refuses_is_refused_and_runs_nothing(emulator, ecs, changes, code, text):
    refused(lambda: ecs.run_task(**run_task_arguments(**changes)), code, text)
    assert emulator.tasks() == {}


def raw(client, change):
    """Lets a test change the JSON that botocore would not send."""

    def before_call(params, **_):
        body = json.loads(params["body"])
        change(body)
        params["body"] = json.dumps(body).encode()

    client.meta.events.register("before-call.ecs.*", before_call)


@pytest.mark.parametrize(
    "change",
    [{"taskDefinition": 7}, {"count": "1"}, {"tags": {"key": "a"}}, {"overrides": []}, {"enableExecuteCommand": "yes"}],
)
def test_a_wrong_type_is_a_serialization_exception(ecs, change):
    raw(ecs, lambda body: body.update(change))
    refused(lambda: ecs.run_task(**run_task_arguments()), "SerializationException")


def test_an_unknown_member_is_ignored_and_reported(emulator, ecs):
    raw(ecs, lambda body: body.update(launchTpye="FARGATE"))
    run(ecs)
    assert emulator.admin("calls")["unknown_members"] == ["RunTask.launchTpye"]


def test_the_task_definition_is_required(ecs):
    raw(ecs, lambda body: body.pop("taskDefinition"))
    refused(lambda: ecs.run_task(**run_task_arguments()), "ClientException", "TaskDefinition")


def test_an_operation_that_is_not_there_is_unknown(ecs):
    refused(lambda: ecs.list_services(), "UnknownOperationException")


# Idempotency


def test_the_same_token_gives_the_same_task_also_after_it_stopped(emulator, ecs):
    arn = run(ecs, clientToken="t")["taskArn"]
    assert run(ecs, clientToken="t")["taskArn"] == arn
    ecs.stop_task(cluster="notebooks", task=arn)
    wait_for_status(ecs, arn, "STOPPED")
    again = run(ecs, clientToken="t")
    assert (again["taskArn"], again["lastStatus"]) == (arn, "STOPPED")
    assert len(emulator.tasks()) == 1


def test_the_same_token_with_other_parameters_conflicts(emulator, ecs):
    arn = run(ecs, clientToken="t")["taskArn"]
    answer = refused(lambda: run(ecs, clientToken="t", group="other"), "ConflictException", "clientToken")
    assert answer["resourceIds"] == [arn]
    assert len(emulator.tasks()) == 1


def test_a_token_is_free_again_after_failures(emulator, ecs):
    emulator.fault("RunTask", "capacity")
    answer = ecs.run_task(**run_task_arguments(clientToken="t"))
    assert (answer["tasks"], len(answer["failures"])) == ([], 1)
    assert "Capacity is unavailable" in answer["failures"][0]["reason"]
    run(ecs, clientToken="t", group="other")


# DescribeTasks and ListTasks


def test_describe_takes_a_hundred_tasks_and_no_malformed_one(ecs):
    arn = run(ecs)["taskArn"]
    many = [f"{n:032x}" for n in range(99)]
    answer = ecs.describe_tasks(cluster="notebooks", tasks=[*many, arn])
    assert (len(answer["tasks"]), len(answer["failures"])) == (1, 99)
    describe_many = lambda tasks: lambda: ecs.describe_tasks(cluster="notebooks", tasks=tasks)  # noqa: E731
    refused(describe_many([*many, arn, arn]), INVALID, "Tasks cannot have more than 100 elements.")
    refused(describe_many([arn, "short"]), INVALID)
    refused(describe_many([arn, arn.replace("eu-west-1", "eu-west-2")]), INVALID)
    refused(describe_many([arn, arn.replace("/notebooks/", "/other/")]), INVALID)
    refused(describe_many([]), INVALID)
    refused(lambda: ecs.describe_tasks(tasks=[many[0]]), "ClusterNotFoundException")


def test_list_filters_by_started_by_family_and_desired_status(ecs):
    ecs.register_task_definition(
        family="other", containerDefinitions=[{"name": "c", "image": "i"}], networkMode="awsvpc"
    )
    mine = run(ecs, startedBy="me")["taskArn"]
    other = run(ecs, taskDefinition="other", startedBy="you")["taskArn"]
    listed = lambda **filters: ecs.list_tasks(cluster="notebooks", **filters)["taskArns"]  # noqa: E731
    assert listed() == [mine, other]
    assert listed(startedBy="me") == [mine]
    assert listed(family="other") == [other]
    assert listed(desiredStatus="PENDING") == []
    ecs.stop_task(cluster="notebooks", task=mine)
    assert listed(startedBy="me") == []
    assert listed(startedBy="me", desiredStatus="STOPPED") == [mine]
    refused(lambda: listed(startedBy="me", family="other"), INVALID, "only filter")
    refused(lambda: ecs.list_tasks(cluster="none"), "ClusterNotFoundException")


def test_list_comes_in_pages(ecs):
    arns = [task["taskArn"] for _ in range(25) for task in ecs.run_task(**run_task_arguments(count=10))["tasks"]]
    pages = [page["taskArns"] for page in ecs.get_paginator("list_tasks").paginate(cluster="notebooks")]
    assert [len(page) for page in pages] == [100, 100, 50]
    assert [arn for page in pages for arn in page] == arns
    first = ecs.list_tasks(cluster="notebooks", maxResults=7)
    assert len(first["taskArns"]) == 7
    second = ecs.list_tasks(cluster="notebooks", maxResults=7, nextToken=first["nextToken"])
    assert second["taskArns"] == arns[7:14]
    refused(lambda: ecs.list_tasks(cluster="notebooks", maxResults=101), INVALID)
    refused(lambda: ecs.list_tasks(cluster="notebooks", nextToken="nonsense"), INVALID)


def test_stopping_what_is_not_there_is_refused(ecs):
    refused(lambda: ecs.stop_task(cluster="notebooks", task="0" * 32), INVALID, "The referenced task was not found.")
    refused(lambda: ecs.stop_task(cluster="notebooks", task="x"), INVALID)


# Task definitions and clusters


def test_a_definition_is_registered_in_revisions_and_described(ecs):
    definition = {
        "family": "class", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
        "cpu": "256", "memory": "512",
        "containerDefinitions": [{"name": "c", "image": "i", "environment": [{"name": "A", "value": "b"}]}],
        "tags": [{"key": "k", "value": "v"}],
    }  # fmt: skip
    first = ecs.register_task_definition(**definition)["taskDefinition"]
    second = ecs.register_task_definition(**definition)["taskDefinition"]
    assert second["revision"] == first["revision"] + 1
    assert first["containerDefinitions"][0]["essential"] is True
    found = ecs.describe_task_definition(taskDefinition="class", include=["TAGS"])
    assert found["taskDefinition"]["taskDefinitionArn"] == second["taskDefinitionArn"]
    assert found["tags"] == definition["tags"]
    by_arn = ecs.describe_task_definition(taskDefinition=first["taskDefinitionArn"])["taskDefinition"]
    assert by_arn["revision"] == first["revision"]
    refused(lambda: ecs.describe_task_definition(taskDefinition="none"), "ClientException", "Unable to describe")
    refused(lambda: ecs.register_task_definition(**{**definition, "family": "a b"}), "ClientException")
    refused(
        lambda: ecs.register_task_definition(**{**definition, "networkMode": "bridge"}), "ClientException", "awsvpc"
    )
    refused(lambda: ecs.register_task_definition(**{**definition, "containerDefinitions": []}), "ClientException")


def test_a_cluster_counts_its_tasks(ecs):
    wait_for_status(ecs, run(ecs)["taskArn"], "RUNNING")
    answer = ecs.describe_clusters(clusters=["notebooks", "other"])
    cluster = answer["clusters"][0]
    assert (cluster["status"], cluster["runningTasksCount"], cluster["pendingTasksCount"]) == ("ACTIVE", 1, 0)
    assert answer["failures"][0]["reason"] == "MISSING"


# Scale, quotas, the log


def test_thousands_of_simulated_tasks_are_cheap_to_list_and_describe(ecs):
    for _ in range(200):
        run(ecs, count=10)
    started = time.monotonic()
    pages = ecs.get_paginator("list_tasks").paginate(cluster="notebooks")
    arns = [arn for page in pages for arn in page["taskArns"]]
    assert len(arns) == 2000
    assert ecs.describe_tasks(cluster="notebooks", tasks=arns[:100])["failures"] == []
    assert time.monotonic() - started < 5


def test_over_the_documented_quota_calls_are_throttled(emulator, ecs):
    emulator.settings(quotas="documented")

    def listed():
        try:
            ecs.list_tasks(cluster="notebooks")
        except ClientError as error:
            assert error.response["Error"] == {"Code": "ThrottlingException", "Message": "Rate exceeded"}
            return True
        return False

    assert any(listed() for _ in range(400))
    assert emulator.admin("calls")["throttled"] == 1


def test_every_call_is_counted_and_logged(start_emulator, tmp_path):
    log = tmp_path / "requests"
    emulator = start_emulator("--run", "simulate", "--request-log", str(log))
    ecs = emulator.client()
    run(ecs)
    ecs.list_tasks(cluster="notebooks")
    emulator.client("sts").get_caller_identity()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["service"], line["action"], line["status"]) for line in lines] == [
        ("ecs", "RunTask", 200), ("ecs", "ListTasks", 200), ("sts", "GetCallerIdentity", 200),
    ]  # fmt: skip
    assert lines[0]["body"]["taskDefinition"] == "notebook"
    calls = emulator.admin("calls")
    assert calls["counts"] == {"RunTask": 1, "ListTasks": 1, "GetCallerIdentity": 1}
    assert [call["action"] for call in calls["last"]] == ["RunTask", "ListTasks", "GetCallerIdentity"]
    emulator.admin("calls/reset", {})
    assert emulator.admin("calls")["counts"] == {}
