"""People's own storage on Fargate: one access point for each, never two, never another's, mounted by a copy of the definition."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support import ask, deployments, program
from support.emulator import Emulator, Json

ALL_STEPS = (
    "DescribeMountTargets",
    "DescribeAccessPoints",
    "CreateAccessPoint",
    "DescribeTaskDefinition",
    "RegisterTaskDefinition",
    "RunTask",
)


def run(emulator: Emulator, request: Json) -> program.Finished:
    """One request, in a process of its own."""
    return program.run(request["verb"], request, emulator.env())


def points(emulator: Emulator) -> list[Json]:
    """Every access point."""
    found: list[Json] = emulator.admin("efs")["access_points"]
    return found


def marks(point: Json) -> dict[str, str]:
    """An access point's tags."""
    return {tag["Key"]: tag["Value"] for tag in point["tags"]}


def copies(emulator: Emulator) -> list[str]:
    """The definitions that were registered, by ARN."""
    arns: list[str] = emulator.boto3("ecs").list_task_definitions()["taskDefinitionArns"]
    return [arn for arn in arns if "-cs-" in arn]


def change(emulator: Emulator, **settings: object) -> None:
    """Changes what EFS is like."""
    emulator.admin("efs/settings", settings)


def mounted(emulator: Emulator) -> list[list[tuple[str, str]]]:
    """What each task has mounted: paths and access points."""
    return [[(m["container_path"], m["access_point"]) for m in task["mounts"]] for task in emulator.tasks()]


def test_a_person_gets_an_access_point_and_their_task_mounts_it(emulator: Emulator) -> None:
    done = run(emulator, ask.start_with(config=ask.config(
        run_task=ask.run_task(overrides={"taskRoleArn": ask.ROLE}),
        storage=ask.storage(root="/homes", posix_uid=1234, posix_gid=50, permissions="0750", transit_encryption_port=20049),
    )))  # fmt: skip
    assert done.result["url"]
    (point,) = points(emulator)
    assert point["posix_user"] == {"Uid": 1234, "Gid": 50}
    assert point["root_directory"]["Path"].startswith(f"/homes/{point['client_token']}-")
    assert point["root_directory"]["CreationInfo"] == {"OwnerUid": 1234, "OwnerGid": 50, "Permissions": "0750"}
    assert marks(point) == {
        "cloudspawner-hub": "prod",
        "cloudspawner-storage-id": "jupyterhub",
        "cloudspawner-user": "ada",
        "Name": point["client_token"],
    }
    assert mounted(emulator) == [[("/home/jovyan", point["id"])]]
    (copy,) = emulator.bodies("RegisterTaskDefinition")
    assert copy["volumes"][0]["efsVolumeConfiguration"] == {
        "fileSystemId": ask.FILE_SYSTEM,
        "transitEncryption": "ENABLED",
        "transitEncryptionPort": 20049,
        "authorizationConfig": {"accessPointId": point["id"], "iam": "ENABLED"},
    }
    tags = {tag["key"]: tag["value"] for tag in copy["tags"]}
    assert tags["cloudspawner-hub"] == "prod"
    assert tags["cloudspawner-from"].endswith(":task-definition/notebook:1")
    *_, before_creation, _ = done.states()
    assert before_creation["data"]["task_definition"] == copies(emulator)[0]


def test_the_second_start_uses_what_the_first_made(emulator: Emulator) -> None:
    for name in ("", "", "second"):
        assert run(emulator, ask.start_with(server=ask.server(name=name))).result["url"]
    assert (len(points(emulator)), len(copies(emulator))) == (1, 1)
    assert emulator.calls("CreateAccessPoint") == emulator.calls("RegisterTaskDefinition") == 1


def test_two_people_never_share_and_the_root_of_the_file_system_is_never_asked_for(emulator: Emulator) -> None:
    people = ["ada", "Ada", "a.da", "a-da", "ada ", "áda", "a" * 300]
    with program.Serve(emulator.env()) as serve:
        for number in [serve.begin(ask.start_with(server=ask.server(user))) for user in people]:
            assert serve.last(number)["type"] == "result"
    assert len({tuple(mounts) for mounts in mounted(emulator)}) == len(people)
    assert len({point["directory"] for point in points(emulator)}) == len(people)
    for request in emulator.bodies("CreateAccessPoint"):
        assert request["RootDirectory"]["Path"].startswith("/cloudspawner/cs-")
    for request in emulator.bodies("RegisterTaskDefinition"):
        for volume in request["volumes"]:
            assert volume["efsVolumeConfiguration"]["authorizationConfig"]["accessPointId"]


def test_two_starts_at_once_make_one_access_point(emulator: Emulator) -> None:
    with ThreadPoolExecutor(2) as pool:
        requests = [ask.start_with(server=ask.server(name=name)) for name in ("one", "two")]
        for done in pool.map(lambda request: run(emulator, request), requests):
            assert done.result["url"]
    (point,) = points(emulator)
    assert mounted(emulator) == [[("/home/jovyan", point["id"])]] * 2
    assert len({arn.rpartition(":")[0] for arn in copies(emulator)}) == 1


@pytest.mark.parametrize("action", ALL_STEPS)
def test_killed_at_any_step_and_run_again_there_is_one_of_each(emulator: Emulator, action: str) -> None:
    emulator.fault(action, "slow", delay_ms=2_000)
    request = ask.start_with()
    with program.Serve(emulator.env()) as serve:
        number = serve.begin(request)
        emulator.wait_for_calls(action)
        states = [frame["state"] for frame in serve.frames_of(number) if frame["type"] == "state"]
        serve.signal(signal.SIGKILL)
        serve.wait()
    emulator.clear_faults()
    again = {**request, "params": {**request["params"], "state": states[-1]}}
    assert run(emulator, again).result["url"]
    assert (len(points(emulator)), len(copies(emulator)), len(emulator.alive())) == (1, 1, 1)


@pytest.mark.parametrize("kind", ["reply_lost", "cut_before", "error_500", "throttle", "truncated"])
@pytest.mark.parametrize("action", ["CreateAccessPoint", "RegisterTaskDefinition"])
def test_a_creation_without_a_usable_answer_makes_one(emulator: Emulator, action: str, kind: str) -> None:
    emulator.fault(action, kind)
    assert run(emulator, ask.start_with()).result["url"]
    assert (len(points(emulator)), len(copies(emulator))) == (1, 1)


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ({"access_point_limit": 0}, "quota_exceeded", "as many access points as it may"),
        ({"mount_targets": []}, "invalid_config", "mount target"),
    ],
)
def test_what_is_wrong_with_the_file_system_fails_the_start_before_a_task(
    emulator: Emulator, settings: Json, code: str, words: str
) -> None:
    change(emulator, **settings)
    error = run(emulator, ask.start_with()).error
    assert (error["code"], error["cleanup"], error["retry"]) == (code, "none", "after_fix")
    assert words in error["message"]
    assert emulator.calls("RunTask") == 0


def test_a_file_system_that_is_not_there_is_named_with_the_setting(emulator: Emulator) -> None:
    settings = ask.config(storage=ask.storage(file_system_id="fs-00000000000000000"))
    error = run(emulator, ask.share("ensure", config=settings)).error
    assert error["code"] == "not_found"
    assert "config.storage.file_system_id" in error["message"]
    assert error["context"]["cloud_code"] == "FileSystemNotFound"


def test_a_file_system_in_another_vpc_fails_the_start_with_what_to_look_at(emulator: Emulator) -> None:
    change(emulator, vpc="vpc-elsewhere")
    error = run(emulator, ask.start_with()).error
    assert (error["code"], error["cleanup"]) == ("start_failed", "done")
    assert "Your files could not be mounted" in error["user_message"]
    assert "VPC" in error["causes"][0]


def test_a_mount_that_is_optional_is_left_out_and_told_of(emulator: Emulator) -> None:
    change(emulator, access_point_limit=0)
    done = run(emulator, ask.start_with(ask.home(mount_optional=True)))
    assert done.result["url"]
    assert "without it" in " ".join(frame.get("message", "") for frame in done.frames)
    assert (mounted(emulator), emulator.calls("RegisterTaskDefinition")) == ([[]], 0)
    assert emulator.bodies("RunTask")[0]["taskDefinition"] == "notebook"


def create(emulator: Emulator, token: str, **tags: str) -> str:
    """An access point that somebody else made."""
    made = emulator.boto3("efs").create_access_point(
        ClientToken=token,
        FileSystemId=ask.FILE_SYSTEM,
        PosixUser={"Uid": 0, "Gid": 0},
        Tags=[{"Key": name.replace("_", "-"), "Value": value} for name, value in tags.items()],
    )
    return str(made["AccessPointId"])


def test_another_hubs_storage_is_refused_by_that_hubs_name(emulator: Emulator) -> None:
    run(emulator, ask.share("ensure", hub="old"))
    error = run(emulator, ask.start_with()).error
    assert (error["code"], error["cleanup"]) == ("conflict", "none")
    assert 'hub_id = "old"' in error["message"]
    assert "storage_id" in error["message"]
    assert emulator.calls("RunTask") == 0
    assert run(emulator, ask.share("delete")).error["code"] == "conflict"
    assert len(points(emulator)) == 1


def test_an_access_point_without_marks_is_given_to_nobody(emulator: Emulator) -> None:
    run(emulator, ask.share("ensure"))
    (ours,) = points(emulator)
    emulator.boto3("efs").delete_access_point(AccessPointId=ours["id"])
    create(emulator, ours["client_token"])
    error = run(emulator, ask.start_with()).error
    assert error["code"] == "conflict"
    assert "no mark" in error["message"]


def test_a_renamed_person_keeps_their_storage_and_a_new_one_of_the_old_name_gets_their_own(emulator: Emulator) -> None:
    first = run(emulator, ask.share("ensure")).result["share"]
    assert first["created"] is True
    for _ in "twice":
        assert run(emulator, ask.share("rename", to="lovelace")).result["share"]["name"] == first["name"]
    assert run(emulator, ask.share("show", "lovelace")).result["share"] == {**first, "created": False}
    assert run(emulator, ask.share("show")).error["code"] == "not_found"
    second = run(emulator, ask.share("ensure")).result["share"]
    assert (second["created"], second["name"] != first["name"]) == (True, True)
    assert run(emulator, ask.share("ensure")).result["share"] == {**second, "created": False}
    assert run(emulator, ask.share("rename", to="lovelace")).error["code"] == "conflict"
    assert [point["client_token"][29:] for point in points(emulator)] == ["", "-2"]


def test_one_process_sees_what_another_has_renamed_or_removed(emulator: Emulator) -> None:
    with program.Serve(emulator.env()) as serve:
        first = serve.ask(ask.share("ensure"))["share"]["name"]
        run(emulator, ask.share("rename", to="lovelace"))
        second = serve.ask(ask.share("ensure"))["share"]["name"]
        assert first != second
        run(emulator, ask.share("delete"))
        third = serve.ask(ask.share("ensure"))["share"]["name"]
        assert len({first, second, third}) == 3


def test_storage_goes_only_by_its_verb_and_a_later_person_of_that_name_never_gets_its_files(emulator: Emulator) -> None:
    assert run(emulator, ask.share("delete")).error["code"] == "not_found"
    state = run(emulator, ask.start_with()).result["state"]
    (point,) = points(emulator)
    run(emulator, ask.stop(state, wait=True))
    run(emulator, ask.gc(apply=True, force=True))
    assert len(points(emulator)) == 1
    assert run(emulator, ask.share("delete")).result["share"]["name"] == point["id"]
    assert points(emulator) == []
    run(emulator, ask.share("ensure"))
    assert points(emulator)[0]["directory"] != point["directory"]


def test_a_new_hub_id_loses_nobodys_home_and_another_storage_id_begins_anew(emulator: Emulator) -> None:
    first = run(emulator, ask.share("ensure")).result["share"]
    assert run(emulator, ask.share("show", hub="")).result["share"]["name"] == first["name"]
    other = run(emulator, ask.share("ensure", storage_id="teaching")).result["share"]
    assert other["name"] != first["name"]


def test_with_more_people_than_fit_a_page_everybody_is_found(emulator: Emulator) -> None:
    client = emulator.boto3("efs")
    for number in range(250):
        marks = {"cloudspawner_hub": "prod", "cloudspawner_storage_id": "jupyterhub", "cloudspawner_user": f"u{number}"}
        create(emulator, f"other-{number}", **marks)
    assert run(emulator, ask.share("show", "u249")).result["share"]["name"].startswith("fsap-")
    assert client.describe_access_points()["NextToken"]
    emulator.reset_calls()
    with program.Serve(emulator.env()) as serve:
        for number in [serve.begin(ask.share("show", f"u{number}")) for number in range(100)]:
            assert serve.last(number)["type"] == "result"
    # Three pages a list; a list serves all who began to wait before it.
    assert emulator.calls("DescribeAccessPoints") <= 9


def test_shared_data_is_an_access_point_that_the_admin_made(emulator: Emulator) -> None:
    point = create(emulator, "data")
    data = ask.home("/data", per_user=False, access_point_id=point, read_only=True)
    assert run(emulator, ask.start_with(ask.home(), data)).result["url"]
    (mounts,) = mounted(emulator)
    assert ("/data", point) in mounts
    (copy,) = emulator.bodies("RegisterTaskDefinition")
    assert copy["containerDefinitions"][0]["mountPoints"][1]["readOnly"] is True


@pytest.mark.parametrize(
    ("mount", "field"),
    [
        (ask.home("~/files"), "spec.mounts[0].path"),
        (ask.home("relative"), "spec.mounts[0].path"),
        (ask.home(kind="azure_files"), "spec.mounts[0].kind"),
        (ask.home(per_user=False), "spec.mounts[0].access_point_id"),
        (ask.home(per_user=False, access_point_id=""), "spec.mounts[0].access_point_id"),
        (ask.home(per_user=False, access_point_id="fsap-01234567", file_system_id="x"), "spec.mounts[0].file_system_id"),
        (ask.home(storage_id=7), "spec.mounts[0].storage_id"),
        (ask.home(mount_optional="yes"), "spec.mounts[0].mount_optional"),
    ],
)
def test_a_mount_that_cannot_be_is_refused_by_its_field(emulator: Emulator, mount: Json, field: str) -> None:
    error = run(emulator, ask.start_with(mount)).error
    assert (error["code"], error["message"].split(": ")[0]) == ("invalid_config", field)
    assert emulator.requests() == []


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        (None, "config.storage"),
        ({"file_system_id": "nfs"}, "config.storage.file_system_id"),
        (ask.storage(root="homes"), "config.storage.root"),
        (ask.storage(permissions="rwx"), "config.storage.permissions"),
        (ask.storage(posix_user=1), "posix_user"),
        (ask.storage(endpoint_url="ftp://x"), "config.storage.endpoint_url"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(emulator: Emulator, storage: Json | None, words: str) -> None:
    for request in (ask.start_with(), ask.share("ensure")):
        request["params"]["config"] = ask.config(storage=storage)
        error = run(emulator, request).error
        assert error["code"] == "invalid_config"
        assert words in error["message"]
    assert emulator.requests() == []


def test_a_definition_that_cannot_take_the_mount_says_what_to_set(emulator: Emulator) -> None:
    error = run(emulator, ask.start_with(role=None)).error
    assert (error["code"], "taskRoleArn" in error["message"]) == ("invalid_config", True)
    settings = ask.config(run_task=ask.run_task(taskDefinition="nowhere"), storage=ask.storage())
    error = run(emulator, ask.start_with(config=settings)).error
    assert (error["code"], '"nowhere"' in error["message"]) == ("invalid_config", True)
    settings = ask.config(
        run_task=ask.run_task(overrides={"taskRoleArn": ask.ROLE}), storage=ask.storage(), container_name="sidecar"
    )
    error = run(emulator, ask.start_with(config=settings)).error
    assert (error["code"], "container_name" in error["message"]) == ("invalid_config", True)
    assert emulator.calls("RunTask") == 0


def test_the_check_tells_of_the_storage(emulator: Emulator) -> None:
    def look(**settings: object) -> Json:
        checks = run(emulator, ask.check(config=ask.config(**settings))).result["checks"]
        (found,) = [check for check in checks if check["name"].startswith("storage")]
        return dict(found)

    assert look(storage=ask.storage())["ok"]
    elsewhere = ask.run_task(networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-other"]}})
    assert "vpc-0123abcd" in look(storage=ask.storage(), run_task=elsewhere)["message"]
    assert not look(storage=ask.storage(file_system_id="fs-00000000"))["ok"]
    change(emulator, mount_targets=[])
    found = look(storage=ask.storage())
    assert (found["ok"], "mount target" in found["message"]) == (False, True)


def policy(folder: Path, *statements: Json) -> str:
    """A policy's file."""
    file = folder / "policy.json"
    file.write_text(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))
    return str(file)


def test_a_hub_without_the_permission_is_told_where_the_policy_is(tmp_path: Path) -> None:
    allowed = policy(tmp_path, {"Effect": "Allow", "Action": ["ecs:*", "iam:PassRole"], "Resource": "*"})
    with Emulator("--key", f"AKIAPOOR:secret:{allowed}") as emulator:
        env = emulator.env(AWS_ACCESS_KEY_ID="AKIAPOOR", AWS_SECRET_ACCESS_KEY="secret")
        error = program.run("start", ask.start_with(), env).error
    assert (error["code"], error["cleanup"]) == ("permission_denied", "none")
    assert "deployments/fargate_with_efs" in error["message"]
    assert error["context"]["operation"].startswith("elasticfilesystem:")


def test_the_deployments_policies_are_enough_and_what_they_leave_out_is_needed(tmp_path: Path) -> None:
    with Emulator(*deployments.bound_on_fargate(tmp_path)) as emulator:
        key, secret = deployments.HUB_KEY
        env = emulator.env(AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret)
        role = ask.ROLE.replace("notebook", "notebook-task")
        state = program.run("start", ask.start_with(role=role), env).result["state"]
        assert program.run("share", ask.share("rename", to="lovelace"), env).result["share"]["kind"] == "efs"
        assert program.run("stop", ask.stop(state, wait=True), env).result["cleanup"] == "done"
        assert program.run("share", ask.share("delete", "lovelace"), env).error["code"] == "permission_denied"
        assert state["data"]["tagged"] is True


def test_a_role_that_is_narrowed_to_one_access_point_opens_no_other(tmp_path: Path) -> None:
    def policy_of(name: str, access_point: str = "*") -> Any:
        return json.loads(Path(deployments.policy(name, tmp_path, access_point)).read_text())

    with Emulator() as emulator:
        own = run(emulator, ask.share("ensure")).result["share"]["name"]
        run(emulator, ask.share("ensure", "bob"))
        emulator.admin("efs/policy", policy_of("file-system-policy"), "PUT")
        emulator.admin("roles/ada", policy_of("task-role-policy", own), "PUT")
        role = ask.ROLE.replace("notebook", "ada")
        assert run(emulator, ask.start_with(role=role)).result["url"]
        error = run(emulator, ask.start_with(role=role, server=ask.server("bob"))).error
        assert error["code"] == "start_failed"
        assert "access denied by server" in error["message"]


def test_the_file_systems_policy_lets_nobody_mount_its_root(tmp_path: Path) -> None:
    with Emulator(*deployments.bound_on_fargate(tmp_path)) as emulator:
        volume = {"fileSystemId": ask.FILE_SYSTEM, "transitEncryption": "ENABLED", "authorizationConfig": {"iam": "ENABLED"}}
        emulator.boto3("ecs").register_task_definition(
            family="thief",
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            taskRoleArn=ask.ROLE.replace("notebook", "anybody"),
            volumes=[{"name": "all", "efsVolumeConfiguration": volume}],
            containerDefinitions=[
                {"name": "notebook", "image": "i", "mountPoints": [{"sourceVolume": "all", "containerPath": "/all"}]}
            ],
        )
        error = run(emulator, ask.start(config=ask.config(run_task=ask.run_task(taskDefinition="thief")))).error
        assert "access denied by server" in error["message"]
