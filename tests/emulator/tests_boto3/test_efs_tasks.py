"""Tasks with EFS volumes: files last and are one user's; what may not be mounted stops the task with ECS's reason."""

import sys
from pathlib import Path

import pytest

from emulated import run, wait_for_status
from test_definitions import efs_volume, register
from test_efs import FILE_SYSTEM, change, create

PREFIX = "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS volumes: stderr: "
DENIED = "access denied by server while mounting"
ROLE = "arn:aws:iam::123456789012:role/{}"


@pytest.fixture
def processes(start_emulator, tmp_path):
    return start_emulator("--run", "process", "--data", str(tmp_path / "data"))


def point(emulator, name):
    """A user's access point, ready."""
    change(emulator, creating_ms=0)
    root = {"Path": f"/users/{name}", "CreationInfo": {"OwnerUid": 1000, "OwnerGid": 100, "Permissions": "0750"}}
    return create(emulator.client("efs"), token=name, RootDirectory=root)


def define(ecs, family, access_point, path="/home/jovyan", role="task", **changes):
    authorization = {"accessPointId": access_point, "iam": "ENABLED"}
    volume = efs_volume(authorizationConfig=authorization, **changes)
    mount = {"sourceVolume": "home", "containerPath": path}
    return register(ecs, family, [volume], [mount], taskRoleArn=ROLE.format(role))["taskDefinitionArn"]


def python(code, **environment):
    variables = [{"name": name, "value": value} for name, value in environment.items()]
    command = [sys.executable, "-c", code]
    return {"containerOverrides": [{"name": "notebook", "command": command, "environment": variables}]}


def finish(emulator, ecs, definition, code, **environment):
    """Runs a program to its end, and gives what it said."""
    arn = run(ecs, taskDefinition=definition, overrides=python(code, **environment))["taskArn"]
    stopped = wait_for_status(ecs, arn, "STOPPED")
    said = (Path(emulator.ready["data"]) / "tasks" / arn.rsplit("/", 1)[1] / "log").read_text()
    assert stopped["containers"][0]["exitCode"] == 0, said
    return said


WRITE = "import pathlib; pathlib.Path('mine').write_text('ada was here')"
READ = "import pathlib; print(pathlib.Path.home().joinpath('mine').read_text())"
LIST = "import os; print(sorted(os.listdir()))"


def test_a_file_in_the_home_is_there_in_the_next_task_and_in_no_other_users(processes):
    ecs = processes.client()
    ada, bob = (define(ecs, name, point(processes, name)["AccessPointId"]) for name in ("ada", "bob"))
    finish(processes, ecs, ada, WRITE)
    assert finish(processes, ecs, ada, READ) == "ada was here\n"
    assert finish(processes, ecs, bob, LIST) == "[]\n"
    row = processes.admin("efs")["access_points"][0]
    assert Path(row["directory"], "mine").read_text() == "ada was here"
    assert oct(Path(row["directory"]).stat().st_mode & 0o777) == "0o750"


def test_a_volume_below_the_home_is_a_link_and_paths_into_it_are_translated(processes):
    ecs = processes.client()
    definition = define(ecs, "work", point(processes, "ada")["AccessPointId"], path="/home/jovyan/work")
    finish(processes, ecs, definition, WRITE.replace("mine", "work/mine"))
    code = "import os; print(open(os.environ['AT'] + '/mine').read())"
    assert finish(processes, ecs, definition, code, AT="/home/jovyan/work") == "ada was here\n"


def test_the_files_go_at_the_end_unless_they_have_a_place_of_their_own(start_emulator, tmp_path):
    for arguments, stays in (((), False), (("--efs-data", str(tmp_path / "files")), True)):
        emulator = start_emulator("--run", "process", *arguments)
        ecs = emulator.client()
        finish(emulator, ecs, define(ecs, "ada", point(emulator, "ada")["AccessPointId"]), WRITE)
        directory = Path(emulator.admin("efs")["access_points"][0]["directory"])
        assert (directory / "mine").exists()
        emulator.close()
        assert (directory / "mine").exists() == stays


def test_a_simulated_task_tells_its_mounts(emulator, ecs):
    made = point(emulator, "ada")
    arn = starts(ecs, define(ecs, "class", made["AccessPointId"]))
    (mount,) = emulator.tasks()[arn]["mounts"]
    assert (mount["container_path"], mount["access_point"]) == ("/home/jovyan", made["AccessPointId"])
    assert not mount["read_only"]
    assert mount["directory"].endswith(f"/{FILE_SYSTEM}/users/ada")


def stops_with(ecs, definition, text):
    arn = run(ecs, taskDefinition=definition)["taskArn"]
    stopped = wait_for_status(ecs, arn, "STOPPED")
    assert (stopped["stopCode"], "startedAt" in stopped) == ("TaskFailedToStart", False)
    assert stopped["stoppedReason"].startswith(PREFIX)
    assert text in stopped["stoppedReason"]


def starts(ecs, definition):
    arn = run(ecs, taskDefinition=definition)["taskArn"]
    wait_for_status(ecs, arn, "RUNNING")
    return arn


@pytest.mark.parametrize("settings", [{"mount_targets": []}, {"vpc": "vpc-0badcafe"}])
def test_a_file_system_that_the_tasks_vpc_cannot_reach_stops_the_task(emulator, ecs, settings):
    definition = define(ecs, "class", point(emulator, "ada")["AccessPointId"])
    change(emulator, **settings)
    stops_with(ecs, definition, f'Failed to resolve "{FILE_SYSTEM}.efs.eu-west-1.amazonaws.com"')


def test_an_access_point_that_is_not_there_or_not_yet_stops_the_task(emulator, ecs):
    stops_with(ecs, define(ecs, "class", "fsap-00000000000000000"), DENIED)
    change(emulator, creating_ms=60_000)
    stops_with(ecs, define(ecs, "class", create(emulator.client("efs"))["AccessPointId"]), DENIED)


def test_an_access_point_of_another_file_system_stops_the_task(start_emulator):
    two = [word for system in (FILE_SYSTEM, "fs-00000000") for word in ("--efs-file-system", system)]
    emulator = start_emulator("--run", "simulate", *two)
    definition = define(emulator.client(), "class", point(emulator, "ada")["AccessPointId"], fileSystemId="fs-00000000")
    stops_with(emulator.client(), definition, DENIED)


def test_iam_authorization_needs_a_task_role(emulator, ecs):
    volume = efs_volume(
        authorizationConfig={"accessPointId": point(emulator, "ada")["AccessPointId"], "iam": "ENABLED"}
    )
    mount = {"sourceVolume": "home", "containerPath": "/home/jovyan"}
    stops_with(ecs, register(ecs, "class", [volume], [mount])["taskDefinitionArn"], "Secret Access Key are not found")


def mount_policy(access_point_arn, effect="Allow", actions=("ClientMount", "ClientWrite")):
    return {
        "Effect": effect,
        "Action": [f"elasticfilesystem:{action}" for action in actions],
        "Resource": f"arn:aws:elasticfilesystem:*:*:file-system/{FILE_SYSTEM}",
        "Condition": {"StringEquals": {"elasticfilesystem:AccessPointArn": access_point_arn}},
    }


ONLY_BY_ACCESS_POINT = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "elasticfilesystem:ClientMount",
    "Condition": {"Null": {"elasticfilesystem:AccessPointArn": "true"}},
}
"""A file system's policy that allows nobody anything by itself."""


def guard(emulator, *statements):
    """Gives the file systems a policy."""
    emulator.admin("efs/policy", {"Statement": list(statements)}, method="PUT")


def set_role(emulator, name, *statements):
    emulator.admin(f"roles/{name}", {"Statement": list(statements)}, method="PUT")


@pytest.fixture
def guarded(start_emulator):
    """An emulator whose file system allows nobody anything by itself."""
    emulator = start_emulator("--run", "simulate")
    guard(emulator, ONLY_BY_ACCESS_POINT)
    return emulator


def test_a_role_of_one_access_point_opens_that_and_no_other(guarded):
    ecs = guarded.client()
    ada, bob = (point(guarded, name) for name in ("ada", "bob"))
    set_role(guarded, "ada", mount_policy(ada["AccessPointArn"]))
    starts(ecs, define(ecs, "ada", ada["AccessPointId"], role="ada"))
    stops_with(ecs, define(ecs, "bob", bob["AccessPointId"], role="ada"), DENIED)


def test_a_role_that_may_not_mount_stops_the_task_and_one_that_may_not_write_reads(guarded):
    ecs = guarded.client()
    made = point(guarded, "ada")
    set_role(guarded, "none")
    set_role(guarded, "reader", mount_policy(made["AccessPointArn"], actions=["ClientMount"]))
    stops_with(ecs, define(ecs, "none", made["AccessPointId"], role="none"), DENIED)
    arn = starts(ecs, define(ecs, "reader", made["AccessPointId"], role="reader"))
    assert guarded.tasks()[arn]["mounts"][0]["read_only"]


def test_a_policy_of_the_file_system_alone_may_allow_a_role_its_access_point(guarded):
    ecs = guarded.client()
    ada, bob = (point(guarded, name) for name in ("ada", "bob"))
    allow = {**mount_policy(ada["AccessPointArn"]), "Principal": {"AWS": ROLE.format("ada")}}
    del allow["Resource"]
    guard(guarded, ONLY_BY_ACCESS_POINT, allow)
    for name in ("ada", "bob"):
        set_role(guarded, name)
    starts(ecs, define(ecs, "ada", ada["AccessPointId"], role="ada"))
    stops_with(ecs, define(ecs, "other-point", bob["AccessPointId"], role="ada"), DENIED)
    stops_with(ecs, define(ecs, "other-role", ada["AccessPointId"], role="bob"), DENIED)


def test_the_root_of_a_file_system_that_denies_it_is_mounted_by_nobody(guarded):
    guard(guarded, ONLY_BY_ACCESS_POINT, {"Effect": "Allow", "Principal": "*", "Action": "*"})
    ecs = guarded.client()
    mount = {"sourceVolume": "home", "containerPath": "/home/jovyan"}
    for iam in ("ENABLED", "DISABLED"):
        volume = efs_volume(authorizationConfig={"iam": iam})
        definition = register(ecs, "root", [volume], [mount], taskRoleArn=ROLE.format("task"))["taskDefinitionArn"]
        stops_with(ecs, definition, DENIED)
    starts(ecs, define(ecs, "ada", point(guarded, "ada")["AccessPointId"]))


def test_a_file_system_without_a_policy_lets_everybody_in_but_whom_his_role_denies(emulator, ecs):
    made = point(emulator, "ada")
    set_role(emulator, "none")
    set_role(emulator, "denied", mount_policy(made["AccessPointArn"], effect="Deny"))
    starts(ecs, define(ecs, "class", made["AccessPointId"], role="none"))
    stops_with(ecs, define(ecs, "class", made["AccessPointId"], role="denied"), DENIED)
