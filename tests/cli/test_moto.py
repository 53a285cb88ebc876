"""A life on moto, other people's ECS: as it comes, and with what AWS has and moto lacks added."""

from collections.abc import Iterator

import boto3
import pytest

from support import ask, program
from support.moto import TOOL, Moto

pytest.importorskip("moto", reason="moto is not installed")
pytestmark = pytest.mark.skipif(not TOOL.exists(), reason=f"NOTICE: moto is not tested against: {TOOL} is not here")


@pytest.fixture(scope="module", params=[False, True], ids=["stock", "patched"])
def moto(request: pytest.FixtureRequest) -> Iterator[Moto]:
    with Moto(patched=request.param) as running:
        yield running


def clients(env: dict[str, str]) -> dict[str, str]:
    """Where boto3 finds this moto."""
    return {
        "endpoint_url": env["AWS_ENDPOINT_URL"],
        "region_name": env.get("AWS_REGION") or env["AWS_DEFAULT_REGION"],
        "aws_access_key_id": env["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"],
    }


def container_of(moto: Moto) -> str:
    """The only container of its task definition."""
    ecs = boto3.client("ecs", **clients(moto.env()))
    described = ecs.describe_task_definition(taskDefinition=moto.run_task()["taskDefinition"])["taskDefinition"]
    ecs.close()
    name: str = described["containerDefinitions"][0]["name"]
    return name


def test_a_server_starts_is_polled_stopped_and_swept(moto: Moto) -> None:
    settings = ask.config(run_task=moto.run_task(), clusters=[moto.world["cluster"]])
    env = moto.env()
    done = program.run("start", ask.start(config=settings), env)
    state = done.result["state"]
    assert done.result["url"].startswith("http://")
    poll = ask.poll(ask.target(state), ask.target(), ask.target(user="grace"), config=settings)
    phases = [server["phase"] for server in program.run("poll", poll, env).result["servers"]]
    assert phases == ["running", "running", "gone"]
    assert program.run("stop", ask.stop(state, config=settings, wait=True), env).result["cleanup"] == "done"
    (server,) = program.run("poll", ask.poll(ask.target(state), config=settings), env).result["servers"]
    assert server["phase"] in ("exited", "gone")
    assert program.run("stop", ask.stop(state, config=settings), env).result["cleanup"] == "done"
    assert program.run("gc", ask.gc(config=settings), env).result["errors"] == []


def test_a_server_is_found_by_its_key_and_stopped(moto: Moto) -> None:
    settings = ask.config(run_task=moto.run_task(), clusters=[moto.world["cluster"]])
    env = moto.env()
    whose = ask.server("lost")
    program.run("start", ask.start(config=settings, server=whose), env)
    assert program.run("stop", ask.stop(None, config=settings, server=whose), env).result["cleanup"] == "done"
    poll = ask.poll(ask.target(user="lost"), config=settings)
    assert program.run("poll", poll, env).result["servers"][0]["phase"] in ("stopping", "exited", "gone")


def test_check_reads_its_subnets_and_route_tables(moto: Moto) -> None:
    settings = ask.config(run_task=moto.run_task(), clusters=[moto.world["cluster"]], container_name=container_of(moto))
    ec2 = boto3.client("ec2", **clients(moto.env()))
    ec2.describe_route_tables()  # Moto takes seconds to load what answers it.
    ec2.close()
    checks = program.run("check", ask.check(config=settings), moto.env()).result["checks"]
    found = [check["name"] for check in checks if "subnet" in check["name"]]
    subnets = settings["run_task"]["networkConfiguration"]["awsvpcConfiguration"]["subnets"]
    assert sorted(found) == sorted(f"way out of {subnet}" for subnet in subnets)


def test_a_servers_public_address_is_the_one_that_ec2_tells(moto: Moto) -> None:
    run_task = moto.run_task()
    network = {**run_task["networkConfiguration"]["awsvpcConfiguration"], "assignPublicIp": "ENABLED"}
    run_task["networkConfiguration"] = {"awsvpcConfiguration": network}
    settings = ask.config(run_task=run_task, clusters=[moto.world["cluster"]], address="public_ipv4")
    env = moto.env()
    ec2 = boto3.client("ec2", **clients(env))
    start = ask.start(config=settings, server=ask.server("outside"))
    with program.Child("start", env) as child:
        child.send(start)
        # Moto gives no task a public address; what gets one here is the interface that moto made for the task.
        child.wait_for_stage("running")
        state = [frame["state"] for frame in child.frames if frame["type"] == "state"][-1]
        ecs = boto3.client("ecs", **clients(env))
        (task,) = ecs.describe_tasks(cluster=moto.world["cluster"], tasks=[state["data"]["ref"]])["tasks"]
        details = {detail["name"]: detail["value"] for detail in task["attachments"][0]["details"]}
        address = ec2.allocate_address(Domain="vpc")
        ec2.associate_address(AllocationId=address["AllocationId"], NetworkInterfaceId=details["networkInterfaceId"])
        result = child.wait_for_type("result")["result"]
    ec2.close()
    ecs.close()
    assert result["url"] == f"http://{address['PublicIp']}:8888"


def test_a_servers_token_is_kept_in_secrets_manager_while_it_runs(moto: Moto) -> None:
    env = moto.env()
    run_task = {**moto.run_task(), "overrides": {"executionRoleArn": ask.ROLE}}
    container = container_of(moto)
    where = {"run_task": run_task, "clusters": [moto.world["cluster"]], "container_name": container}
    settings = ask.config(**where, token_in="secrets_manager")
    variables = {"JUPYTERHUB_API_TOKEN": "canary0123456789abcdef"}
    vault = boto3.client("secretsmanager", **clients(env))
    ecs = boto3.client("ecs", **clients(env))
    whose = ask.server("vault")
    for _ in range(2):
        start = ask.start(config=settings, server=whose, spec=ask.spec(env=variables))
        state = program.run("start", start, env).result["state"]
        name = f"cloudspawner/{state['data']['key']}"
        kept = vault.get_secret_value(SecretId=name)
        assert "canary0123456789abcdef" in kept["SecretString"]
        described = ecs.describe_task_definition(taskDefinition=state["data"]["task_definition"])["taskDefinition"]
        containers = {one["name"]: one for one in described["containerDefinitions"]}
        (secret,) = containers[container]["secrets"]
        assert secret == {"name": "JUPYTERHUB_API_TOKEN", "valueFrom": f"{kept['ARN']}:JUPYTERHUB_API_TOKEN::"}
        assert program.run("stop", ask.stop(state, config=settings, server=whose), env).result["cleanup"] == "done"
        assert "DeletedDate" in vault.describe_secret(SecretId=name)
    program.run("start", start, env)
    swept = program.run("gc", ask.gc(config=settings, apply=True, force=True), env).result
    assert swept["errors"] == []
    assert "DeletedDate" in vault.describe_secret(SecretId=name)
    vault.close()
    ecs.close()


def test_a_persons_home_on_efs_is_made_found_renamed_mounted_and_removed(moto: Moto) -> None:
    env = moto.env()
    efs = boto3.client("efs", **clients(env))
    file_system = efs.create_file_system(CreationToken=ask.attempt())["FileSystemId"]
    run_task = {**moto.run_task(), "overrides": {"taskRoleArn": ask.ROLE}}
    (subnet, *_) = run_task["networkConfiguration"]["awsvpcConfiguration"]["subnets"]
    efs.create_mount_target(FileSystemId=file_system, SubnetId=subnet)
    efs.close()
    settings = ask.config(run_task=run_task, clusters=[moto.world["cluster"]], storage=ask.storage(file_system_id=file_system))

    def share(action: str, user: str = "ada", **more: str) -> program.Finished:
        return program.run("share", ask.share(action, user, config=settings, **more), env)

    made = share("ensure").result["share"]
    assert share("ensure").result["share"] == {**made, "created": False}
    start = ask.start(config=settings, spec=ask.spec(mounts=[ask.home("/home/ada")]))
    state = program.run("start", start, env).result["state"]
    assert "-cs-" in state["data"]["task_definition"]
    assert program.run("stop", ask.stop(state, config=settings), env).result["cleanup"] == "done"
    assert share("rename", to="lovelace").result["share"]["name"] == made["name"]
    assert share("delete", "lovelace").result["share"]["name"] == made["name"]
    assert share("show", "lovelace").error["code"] == "not_found"
