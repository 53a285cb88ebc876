"""boto3 against each EFS action of the emulator: its answers, its errors, its limits."""

import json

import pytest
from botocore.exceptions import ClientError

from emulated import KEY, refused, wait_for

FILE_SYSTEM = "fs-0a1b2c3d4e5f60718"
ROOT = {"Path": "/users/ada", "CreationInfo": {"OwnerUid": 1000, "OwnerGid": 100, "Permissions": "0750"}}


def create(efs, token="t", **changes):
    arguments = {
        "ClientToken": token,
        "FileSystemId": FILE_SYSTEM,
        "PosixUser": {"Uid": 1000, "Gid": 100},
        "RootDirectory": ROOT,
        "Tags": [{"Key": "Name", "Value": "ada"}],
        **changes,
    }
    return efs.create_access_point(**{name: value for name, value in arguments.items() if value is not None})


def change(emulator, **settings):
    return emulator.admin("efs/settings", settings)


def test_a_new_access_point_is_creating_and_then_available(efs):
    new = create(efs)
    assert (new["LifeCycleState"], new["Name"], new["OwnerId"]) == ("creating", "ada", "123456789012")
    assert new["AccessPointArn"] == (
        f"arn:aws:elasticfilesystem:eu-west-1:123456789012:access-point/{new['AccessPointId']}"
    )
    assert (new["RootDirectory"], new["PosixUser"]) == (ROOT, {"Uid": 1000, "Gid": 100})
    by_id = lambda: efs.describe_access_points(AccessPointId=new["AccessPointId"])["AccessPoints"][0]  # noqa: E731
    wait_for(lambda: by_id()["LifeCycleState"] == "available")
    by_arn = efs.describe_access_points(AccessPointId=new["AccessPointArn"])["AccessPoints"]
    assert by_arn == [by_id()]
    assert efs.describe_access_points(FileSystemId=FILE_SYSTEM)["AccessPoints"] == by_arn


def test_an_access_point_without_a_root_has_the_file_systems(efs):
    new = create(efs, RootDirectory=None, PosixUser=None, Tags=None)
    assert new["RootDirectory"] == {"Path": "/"}
    assert "PosixUser" not in new
    assert "Name" not in new


def test_a_client_token_is_used_once_and_names_what_it_made(efs):
    new = create(efs, token="ada-1")
    answer = refused(lambda: create(efs, token="ada-1"), "AccessPointAlreadyExists", status=409)
    assert answer["AccessPointId"] == new["AccessPointId"]
    assert len(efs.describe_access_points()["AccessPoints"]) == 1


def test_a_file_system_has_a_limit_of_access_points(emulator, efs):
    change(emulator, access_point_limit=2)
    for token in "ab":
        create(efs, token=token)
    refused(lambda: create(efs, token="c"), "AccessPointLimitExceeded", status=403)
    efs.delete_access_point(AccessPointId=efs.describe_access_points()["AccessPoints"][0]["AccessPointId"])
    create(efs, token="c")


def test_lists_come_in_pages(efs):
    made = {create(efs, token=str(number))["AccessPointId"] for number in range(5)}
    pages = list(efs.get_paginator("describe_access_points").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["AccessPoints"]) for page in pages] == [2, 2, 1]
    assert {point["AccessPointId"] for page in pages for point in page["AccessPoints"]} == made


def test_a_deleted_access_point_is_gone_and_its_token_is_free(efs):
    point = create(efs)["AccessPointId"]
    assert efs.delete_access_point(AccessPointId=point)["ResponseMetadata"]["HTTPStatusCode"] == 204
    refused(lambda: efs.delete_access_point(AccessPointId=point), "AccessPointNotFound", status=404)
    refused(lambda: efs.describe_access_points(AccessPointId=point), "AccessPointNotFound", status=404)
    create(efs)


def test_tags_are_merged_by_key(efs):
    new = create(efs)
    for resource in (new["AccessPointId"], new["AccessPointArn"]):
        efs.tag_resource(ResourceId=resource, Tags=[{"Key": "Name", "Value": "b"}, {"Key": "user", "Value": resource}])
    tags = {tag["Key"]: tag["Value"] for tag in efs.list_tags_for_resource(ResourceId=new["AccessPointId"])["Tags"]}
    assert tags == {"Name": "b", "user": new["AccessPointArn"]}
    assert efs.describe_access_points(AccessPointId=new["AccessPointId"])["AccessPoints"][0]["Name"] == "b"
    missing = "fsap-00000000000000000"
    refused(lambda: efs.list_tags_for_resource(ResourceId=missing), "AccessPointNotFound", status=404)
    refused(
        lambda: efs.tag_resource(ResourceId="fs-00000000", Tags=[{"Key": "a", "Value": "b"}]),
        "FileSystemNotFound",
        status=404,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"RootDirectory": {"Path": "users"}},
        {"RootDirectory": {"Path": "/a/b/c/d/e"}},
        {"RootDirectory": {"Path": "/a/../b"}},
        {"RootDirectory": {"Path": "/" + "a" * 100}},
        {"RootDirectory": {"Path": "/a", "CreationInfo": {"OwnerUid": 1, "OwnerGid": 1, "Permissions": "rwx"}}},
        {"PosixUser": {"Uid": 2**32, "Gid": 0}},
        {"PosixUser": {"Uid": 1, "Gid": 1, "SecondaryGids": list(range(17))}},
        {"Tags": [{"Key": "aws:x", "Value": "y"}]},
        {"Tags": [{"Key": "a", "Value": "ä€"}]},
        {"ClientToken": "x" * 65},
    ],
)
def test_values_outside_the_models_limits_are_refused(efs, changes):
    refused(lambda: create(efs, **changes), "BadRequest")


def test_what_excludes_each_other_or_is_not_there_is_refused(efs):
    point = create(efs)["AccessPointId"]
    refused(lambda: efs.describe_access_points(AccessPointId=point, FileSystemId=FILE_SYSTEM), "BadRequest")
    refused(lambda: create(efs, token="u", FileSystemId="fs-00000000"), "FileSystemNotFound", status=404)
    refused(lambda: efs.describe_mount_targets(), "BadRequest")
    target = "fsmt-00000000"
    refused(lambda: efs.describe_mount_targets(MountTargetId=target), "MountTargetNotFound", status=404)


def test_file_systems_and_mount_targets_are_described(emulator, efs):
    assert emulator.ready["file_system"] == FILE_SYSTEM
    (system,) = efs.describe_file_systems()["FileSystems"]
    assert (system["FileSystemId"], system["NumberOfMountTargets"]) == (FILE_SYSTEM, 1)
    assert efs.describe_file_systems(FileSystemId=system["FileSystemArn"])["FileSystems"] == [system]
    (target,) = efs.describe_mount_targets(FileSystemId=FILE_SYSTEM)["MountTargets"]
    assert (target["SubnetId"], target["VpcId"]) == ("subnet-0123abcd", "vpc-0123abcd")
    point = create(efs)["AccessPointId"]
    assert efs.describe_mount_targets(AccessPointId=point)["MountTargets"] == [target]
    assert efs.describe_mount_targets(MountTargetId=target["MountTargetId"])["MountTargets"] == [target]
    change(emulator, mount_targets=[])
    assert efs.describe_mount_targets(FileSystemId=FILE_SYSTEM)["MountTargets"] == []


def test_a_file_systems_policy_is_told(start_emulator, efs, tmp_path):
    missing = lambda: efs.describe_file_system_policy(FileSystemId=FILE_SYSTEM)  # noqa: E731
    refused(missing, "PolicyNotFound", status=404)
    policy = {"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*"}}
    (file := tmp_path / "policy.json").write_text(json.dumps(policy))
    other = start_emulator("--run", "simulate", "--efs-policy", str(file)).client("efs")
    assert json.loads(other.describe_file_system_policy(FileSystemId=FILE_SYSTEM)["Policy"]) == policy


def test_a_request_must_be_signed_for_efs(emulator):
    refused(lambda: create(emulator.client("efs", key=(KEY[0], "wrong"))), "InvalidSignatureException", status=403)
    refused(lambda: create(emulator.client("efs", key=("AKIAOTHER", "x"))), "UnrecognizedClientException", status=403)


def test_permissions_are_asked_for_each_action_on_its_resource(start_emulator, tmp_path):
    point = "arn:aws:elasticfilesystem:eu-west-1:123456789012:access-point/*"
    system = f"arn:aws:elasticfilesystem:eu-west-1:123456789012:file-system/{FILE_SYSTEM}"
    actions = ["CreateAccessPoint", "DescribeMountTargets"]
    allow = [
        {"Effect": "Allow", "Action": [f"elasticfilesystem:{a}" for a in actions], "Resource": system},
        {"Effect": "Allow", "Action": "elasticfilesystem:DescribeAccessPoints", "Resource": [system, point]},
    ]
    (file := tmp_path / "policy.json").write_text(json.dumps({"Statement": allow}))
    emulator = start_emulator("--run", "simulate", "--key", f"AKIALIMITED:secret:{file}")
    efs = emulator.client("efs", key=("AKIALIMITED", "secret"))
    new = create(efs, Tags=None)["AccessPointId"]
    efs.describe_access_points(AccessPointId=new)
    efs.describe_access_points(FileSystemId=FILE_SYSTEM)
    denied = {
        "TagResource": lambda: create(efs, token="tagged"),
        "DeleteAccessPoint": lambda: efs.delete_access_point(AccessPointId=new),
        "DescribeAccessPoints on resource: *": lambda: efs.describe_access_points(),
        "DescribeFileSystems": lambda: efs.describe_file_systems(),
    }
    for text, call in denied.items():
        refused(call, "AccessDeniedException", text, status=403)


def test_faults_strike_efs_in_its_own_words(emulator, efs):
    emulator.fault("CreateAccessPoint", "throttle")
    refused(lambda: create(efs), "ThrottlingException", status=429)
    emulator.fault("CreateAccessPoint", "error_500")
    refused(lambda: create(efs), "InternalServerError", status=500)
    emulator.fault("CreateAccessPoint", "reply_lost")
    with pytest.raises(Exception, match="Connection was closed"):
        create(efs)
    with pytest.raises(ClientError, match="AccessPointAlreadyExists"):
        create(efs)
    assert emulator.admin("calls")["counts"]["CreateAccessPoint"] == 4
