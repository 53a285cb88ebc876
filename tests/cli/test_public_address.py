"""`address` "public_ipv4": the task's public address, which EC2 alone tells; for a hub outside the VPC."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support import ask, binaries, program
from support.emulator import KEY, Emulator

POLICIES = binaries.REPOSITORY / "deployments" / "fargate"
ASK = "DescribeNetworkInterfaces"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Its tasks' private addresses are 10.x.y.z, and nobody outside reaches them."""
    with Emulator("--unique-addresses") as running:
        yield running


def config(assign: str | None = "ENABLED") -> ask.Request:
    network = {"subnets": ["subnet-0123abcd"], **({"assignPublicIp": assign} if assign else {})}
    run_task = ask.run_task(networkConfiguration={"awsvpcConfiguration": network})
    return ask.config(run_task=run_task, address="public_ipv4")


def start(emulator: Emulator, timeout_ms: int = 60_000, **changes: Any) -> program.Finished:
    return program.run("start", ask.start(timeout_ms, config=config(), **changes), emulator.env())


def phase_of(emulator: Emulator, *targets: ask.Request) -> Any:
    (server,) = program.run("poll", ask.poll(*targets, config=config()), emulator.env()).result["servers"]
    return server


def test_a_server_answers_at_its_public_address_and_a_poll_needs_no_ec2(emulator: Emulator) -> None:
    result = start(emulator).result
    assert result["url"].startswith("http://203.0.113.")
    emulator.fault(ASK, "access_denied", count=None)
    emulator.reset_calls()
    server = phase_of(emulator, ask.target(result["state"]))
    assert (server["phase"], server["url"]) == ("running", result["url"])
    assert emulator.calls(ASK) == 0


def test_what_is_asked_of_ec2_is_what_boto3_would_ask(emulator: Emulator) -> None:
    start(emulator)
    interface = emulator.bodies(ASK)[-1]["Filter.1.Value.1"]
    ec2 = emulator.boto3("ec2")
    answer = ec2.describe_network_interfaces(Filters=[{"Name": "network-interface-id", "Values": [interface]}])
    (read,) = answer["NetworkInterfaces"]
    assert (read["NetworkInterfaceId"], read["Association"]["PublicIp"][:10]) == (interface, "203.0.113.")
    ours, theirs = emulator.bodies(ASK)[-2:]
    assert ours == theirs


def test_an_address_that_comes_late_is_waited_for(emulator: Emulator) -> None:
    emulator.fault("RunTask", "no_public_address", delay_ms=1500)
    assert start(emulator).result["url"].startswith("http://203.0.113.")
    assert emulator.calls(ASK) > 1


@pytest.mark.parametrize("kind", ["throttle", "error_500", "error_503", "html", "cut_before", "truncated", "wrong_json"])
def test_what_passes_is_asked_again(emulator: Emulator, kind: str) -> None:
    emulator.fault(ASK, kind, count=2)
    assert start(emulator).result["url"].startswith("http://203.0.113.")


@pytest.mark.parametrize("assign", ["DISABLED", None])
def test_without_assign_public_ip_nothing_is_started(emulator: Emulator, assign: str | None) -> None:
    error = program.run("start", ask.start(config=config(assign)), emulator.env()).error
    assert (error["code"], error["cleanup"]) == ("invalid_config", "none")
    assert "assignPublicIp" in error["message"]
    assert emulator.calls("RunTask") == 0


def test_a_task_that_never_gets_one_is_removed_with_an_error_that_names_the_setting(emulator: Emulator) -> None:
    emulator.fault("RunTask", "no_public_address")
    error = start(emulator).error
    assert (error["code"], error["cleanup"]) == ("invalid_config", "done")
    assert "assign_public_ip" in error["message"]
    assert emulator.alive() == []


def test_without_the_permission_the_task_is_removed_and_the_policy_is_named(emulator: Emulator) -> None:
    emulator.fault(ASK, "access_denied", count=None)
    error = start(emulator).error
    assert (error["code"], error["cleanup"]) == ("permission_denied", "done")
    assert error["context"]["cloud_code"] == "UnauthorizedOperation"
    assert any("public-address-policy.json" in cause for cause in error["causes"])
    assert emulator.alive() == []


def test_a_server_whose_state_was_lost_is_found_with_its_public_address(emulator: Emulator) -> None:
    url = start(emulator).result["url"]
    server = phase_of(emulator, ask.target())
    assert (server["phase"], server["url"]) == ("running", url)


def test_a_start_that_was_cut_off_is_found_running_by_a_poll(emulator: Emulator) -> None:
    state = start(emulator).states()[-1]
    assert state["data"]["url"] is None
    server = phase_of(emulator, ask.target(state))
    assert server["url"] == server["state"]["data"]["url"]
    assert server["url"].startswith("http://203.0.113.")


def test_many_servers_are_asked_for_in_one_call(emulator: Emulator) -> None:
    with program.Serve(emulator.env()) as serve:
        numbers = [serve.begin(ask.start(config=config(), server=ask.server(f"user-{n}"))) for n in range(30)]
        urls = {serve.last(number)["result"]["url"] for number in numbers}
    assert all(url.startswith("http://203.0.113.") for url in urls)
    assert emulator.calls(ASK) < 30


def test_the_shipped_policies_are_enough_and_needed() -> None:
    statements = []
    for name in ("policy.json", "public-address-policy.json"):
        text = (POLICIES / name).read_text().replace("REGION", "eu-west-1").replace("ACCOUNT", "123456789012")
        statements += json.loads(text)["Statement"]
    with Emulator("--unique-addresses") as before:
        policy = before.request_log.parent / "policy.json"
        policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": statements}))
        with Emulator("--unique-addresses", "--key", f"{KEY[0]}:{KEY[1]}:{policy}") as emulator:
            assert start(emulator).result["url"].startswith("http://203.0.113.")


def test_check_tells_of_the_permission_and_of_a_setting_that_gives_no_address(emulator: Emulator) -> None:
    def findings(settings: ask.Request) -> dict[str, Any]:
        done = program.run("check", ask.check(config=settings), emulator.env())
        return {finding["name"]: finding for finding in done.result["checks"]}

    name = "permission ec2:DescribeNetworkInterfaces"
    found = findings(config())
    assert found[name]["ok"]
    assert "public address" not in found
    assert name not in findings(ask.config())
    assert "assign_public_ip" in findings(config("DISABLED"))["public address"]["hint"]
    emulator.fault(ASK, "access_denied", count=None)
    finding = findings(config())[name]
    assert (finding["ok"], "ec2:DescribeNetworkInterfaces" in finding["hint"]) == (False, True)
