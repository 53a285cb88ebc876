"""boto3 against the task definitions of the emulator: revisions, volumes, lists, tags."""

import pytest

from emulated import refused, run

CLIENT = "ClientException"


def register(ecs, family="class", volumes=(), mount_points=(), **changes):
    container = {"name": "notebook", "image": "i", "mountPoints": list(mount_points)}
    return ecs.register_task_definition(
        family=family,
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[container],
        volumes=list(volumes),
        **changes,
    )["taskDefinition"]


def efs_volume(**changes):
    return {
        "name": "home",
        "efsVolumeConfiguration": {
            "fileSystemId": "fs-0a1b2c3d4e5f60718",
            "transitEncryption": "ENABLED",
            "authorizationConfig": {"accessPointId": "fsap-0123456789abcdef0", "iam": "ENABLED"},
            **changes,
        },
    }


POINT = {"sourceVolume": "home", "containerPath": "/home/jovyan"}


def test_a_definition_keeps_its_volumes_and_counts_its_revisions(ecs):
    first = register(ecs, volumes=[efs_volume(rootDirectory="/")], mount_points=[POINT])
    second = register(ecs, volumes=[efs_volume()], mount_points=[POINT])
    assert second["revision"] == first["revision"] + 1
    described = ecs.describe_task_definition(taskDefinition="class")["taskDefinition"]
    assert described == second
    assert described["volumes"] == [efs_volume()]
    assert described["containerDefinitions"][0]["mountPoints"] == [POINT]


@pytest.mark.parametrize(
    ("volume", "text"),
    [
        (efs_volume(transitEncryption="DISABLED"), "transit encryption"),
        (efs_volume(transitEncryption="DISABLED", authorizationConfig={"iam": "ENABLED"}), "transit encryption"),
        (efs_volume(rootDirectory="/users/ada"), "root directory"),
        ({"name": "home", "host": {"sourcePath": "/tmp"}}, "sourcePath"),
        ({"name": "a home"}, "Volume name"),
    ],
)
def test_volumes_that_ecs_would_refuse_are_refused(ecs, volume, text):
    refused(lambda: register(ecs, volumes=[volume]), CLIENT, text)


def test_a_mount_point_needs_its_volume(ecs):
    refused(lambda: register(ecs, mount_points=[POINT]), CLIENT, "Unknown volume 'home'.")


def test_a_deregistered_revision_runs_no_task_and_the_family_goes_back_to_the_one_before(ecs):
    first, second = (register(ecs, family="gone")["taskDefinitionArn"] for _ in range(2))
    gone = ecs.deregister_task_definition(taskDefinition=second)["taskDefinition"]
    assert gone["status"] == "INACTIVE"
    assert gone["deregisteredAt"] >= gone["registeredAt"]
    assert ecs.deregister_task_definition(taskDefinition=second)["taskDefinition"] == gone
    refused(lambda: run(ecs, taskDefinition=second), CLIENT, "inactive")
    assert run(ecs, taskDefinition="gone")["taskDefinitionArn"] == first
    assert ecs.describe_task_definition(taskDefinition=second)["taskDefinition"]["status"] == "INACTIVE"
    refused(lambda: ecs.deregister_task_definition(taskDefinition="gone"), CLIENT, "revision")
    refused(lambda: ecs.deregister_task_definition(taskDefinition="gone:9"), CLIENT)


def test_definitions_are_listed_by_family_status_and_order_in_pages(ecs):
    arns = [register(ecs, family="many")["taskDefinitionArn"] for _ in range(12)]
    register(ecs, family="many-more")
    ecs.deregister_task_definition(taskDefinition=arns[0])
    listed = lambda **more: ecs.list_task_definitions(familyPrefix="many", **more)  # noqa: E731
    assert listed()["taskDefinitionArns"] == arns[1:]
    assert listed(status="INACTIVE")["taskDefinitionArns"] == arns[:1]
    assert listed(sort="DESC")["taskDefinitionArns"] == arns[:0:-1]
    pages = list(ecs.get_paginator("list_task_definitions").paginate(familyPrefix="many", maxResults=5))
    assert [arn for page in pages for arn in page["taskDefinitionArns"]] == arns[1:]
    assert len(pages) == 3


def test_a_definition_is_tagged_at_its_registration_or_later(ecs):
    arn = register(ecs, tags=[{"key": "a", "value": "1"}])["taskDefinitionArn"]
    ecs.tag_resource(resourceArn=arn, tags=[{"key": "a", "value": "2"}, {"key": "b", "value": "3"}])
    described = ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"])
    assert described["tags"] == [{"key": "a", "value": "2"}, {"key": "b", "value": "3"}]
    assert "tags" not in ecs.describe_task_definition(taskDefinition=arn)
    refused(
        lambda: ecs.tag_resource(resourceArn=arn + "9", tags=[{"key": "a", "value": "2"}]), "InvalidParameterException"
    )


def test_registering_is_throttled_after_its_burst(emulator, ecs):
    emulator.settings(quotas="documented")
    made = []
    with pytest.raises(Exception, match="Rate exceeded"):
        while len(made) < 40:
            made.append(register(ecs, family="often"))
    assert 20 <= len(made) < 25
