"""The doctor on the tasks' way out: their subnets' VPC and routes, as EC2 tells them."""

import json
import time
from pathlib import Path

import pytest

from support import deployments
from support.emulator import KEY, Emulator
from support.networks import ECR_IMAGE, GROUP, INTERNET, NAT, ONE, OTHER, VPC, define, findings, route, say

WAY_OUT = f"way out of {ONE}"


def test_a_subnet_of_the_main_route_table_with_a_nat_gateway_is_good(emulator: Emulator) -> None:
    found = findings(emulator)[WAY_OUT]
    assert (found["ok"], found["message"][:4], found["hint"]) == (True, "nat-", None)


@pytest.mark.parametrize(
    ("target", "assign"), [(INTERNET, "ENABLED"), (NAT, "DISABLED"), ({"transitGatewayId": "tgw-1"}, "DISABLED")]
)
def test_each_way_out_is_told(emulator: Emulator, target: dict[str, str], assign: str) -> None:
    say(emulator, subnets={ONE: {"routes": [route(target)]}})
    found = findings(emulator, assign=assign)[WAY_OUT]
    assert (found["ok"], found["message"], found["hint"]) == (True, *target.values(), None)


def test_a_public_address_needs_an_internet_gateway(emulator: Emulator) -> None:
    assert not findings(emulator, assign="ENABLED", address="public_ipv4")[WAY_OUT]["ok"]
    say(emulator, subnets={ONE: {"routes": [route(INTERNET)]}})
    assert findings(emulator, assign="ENABLED", address="public_ipv4")[WAY_OUT]["ok"]


def test_subnets_of_different_vpcs_and_one_that_is_not_there_are_told(emulator: Emulator) -> None:
    say(emulator, subnets={OTHER: {"vpcId": "vpc-other", "routes": [route(NAT)]}})
    found = findings(emulator, ONE, OTHER)["subnets"]
    assert (found["ok"], "vpc-other" in found["message"]) == (False, True)
    say(emulator, subnets={OTHER: None})
    found = findings(emulator, ONE, OTHER)["subnets"]
    assert (found["ok"], OTHER in found["message"]) == (False, True)


@pytest.mark.parametrize(
    ("action", "name"),
    [("DescribeSubnets", "subnets"), ("DescribeRouteTables", "subnets"), ("DescribeSecurityGroups", "security groups")],
)
@pytest.mark.parametrize("kind", ["access_denied", "hang", "error_500"])
def test_what_could_not_be_looked_at_is_no_fault(emulator: Emulator, action: str, name: str, kind: str) -> None:
    emulator.fault(action, kind, count=None)
    found = findings(emulator)[name]
    assert (found["ok"], "could not be looked at" in found["message"]) == (True, True)
    assert ("check-policy.json" in found["hint"]) == (kind == "access_denied")


def test_an_ec2_that_never_answers_costs_three_seconds_in_all(emulator: Emulator) -> None:
    actions = ("DescribeRouteTables", "DescribeSecurityGroups", "DescribeVpcEndpoints")
    for action in actions:
        emulator.fault(action, "hang", count=None)
    began = time.monotonic()
    assert all(finding["ok"] for finding in findings(emulator).values())
    assert time.monotonic() - began < 5
    assert [emulator.calls(action) for action in actions] == [1, 1, 1]


ACTIONS = [
    action
    for statement in json.loads((deployments.FOLDER / "fargate/check-policy.json").read_text())["Statement"]
    for action in statement["Action"]
]


@pytest.mark.parametrize("without", [None, *ACTIONS])
def test_the_shipped_policy_is_enough_and_needed(tmp_path: Path, without: str | None) -> None:
    allowed = ["ecs:*", "iam:PassRole", "sts:*", *(action for action in ACTIONS if action != without)]
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"Statement": [{"Effect": "Allow", "Action": allowed, "Resource": "*"}]}))
    with Emulator("--key", f"{KEY[0]}:{KEY[1]}:{policy}") as emulator:
        say(emulator, subnets={ONE: {"routes": []}}, security_groups={GROUP: {"vpcId": "vpc-other", "associated": [VPC]}})
        found = findings(emulator, definition=define(emulator, ECR_IMAGE))
    unseen = [f for f in found.values() if "could not be looked at" in f["message"]]
    assert len(unseen) == (without is not None)


def test_boto3_would_ask_and_read_the_same(emulator: Emulator) -> None:
    say(
        emulator,
        subnets={ONE: {"routes": [route(INTERNET)]}},
        vpc_endpoints={"vpce-1": {"serviceName": "com.amazonaws.eu-west-1.logs", "routeTableIds": []}},
    )
    findings(emulator)
    ec2 = emulator.boto3("ec2")
    (subnet,) = ec2.describe_subnets(Filters=[{"Name": "subnet-id", "Values": [ONE]}])["Subnets"]
    vpc = [{"Name": "vpc-id", "Values": [subnet["VpcId"]]}]
    tables = ec2.describe_route_tables(Filters=vpc)["RouteTables"]
    (own,) = [table for table in tables if table["Associations"][0].get("SubnetId") == ONE]
    assert own["Routes"][1] == {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-0123abcd", "State": "active"}
    (endpoint,) = ec2.describe_vpc_endpoints(Filters=vpc)["VpcEndpoints"]
    assert (endpoint["VpcEndpointType"], endpoint["State"], endpoint["PrivateDnsEnabled"]) == ("Interface", "available", True)
    assert (subnet["VpcId"], endpoint["VpcId"]) == (VPC, VPC)
    for action in ("DescribeSubnets", "DescribeRouteTables", "DescribeVpcEndpoints"):
        ours, theirs = emulator.bodies(action)
        assert ours == theirs
