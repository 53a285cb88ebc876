"""The doctor on the tasks' way out: their subnets' VPC and routes, as EC2 tells them."""

from typing import Any

import pytest

from support import ask, program
from support.emulator import Emulator

ONE, OTHER = "subnet-0123abcd", "subnet-0123dcba"
INTERNET, NAT = {"gatewayId": "igw-0123abcd", "state": "active"}, {"natGatewayId": "nat-0123abcd", "state": "active"}


def findings(emulator: Emulator, *subnets: str, assign: str = "DISABLED", **more: Any) -> dict[str, dict[str, Any]]:
    """What a check finds of these subnets, by name."""
    network = {"subnets": list(subnets or (ONE,)), "assignPublicIp": assign}
    settings = ask.config(run_task=ask.run_task(networkConfiguration={"awsvpcConfiguration": network}), **more)
    done = program.run("check", ask.check(config=settings), emulator.env())
    found = {finding["name"]: finding for finding in done.result["checks"]}
    return {name: finding for name, finding in found.items() if "subnet" in name}


def test_a_subnet_of_the_main_route_table_with_a_nat_gateway_is_good(emulator: Emulator) -> None:
    found = findings(emulator)[f"way out of {ONE}"]
    assert (found["ok"], found["message"][:4]) == (True, "nat-")


@pytest.mark.parametrize(
    ("route", "assign", "hint"),
    [
        (INTERNET, "ENABLED", None),
        (NAT, "DISABLED", None),
        ({"transitGatewayId": "tgw-1", "state": "active"}, "DISABLED", None),
        (INTERNET, "DISABLED", "assign_public_ip"),
        (None, "ENABLED", "NAT gateway"),
        ({"natGatewayId": "nat-1", "state": "blackhole"}, "DISABLED", "NAT gateway"),
    ],
)
def test_each_way_out_is_told_and_none_is_told_as_what_endpoints_may_mend(
    emulator: Emulator, route: object, assign: str, hint: str | None
) -> None:
    emulator.admin("subnets", {ONE: {"route": route}})
    found = findings(emulator, assign=assign)[f"way out of {ONE}"]
    assert found["ok"], "what endpoints do is not known"
    assert ("endpoints" in found["message"]) == (hint is not None)
    assert hint in found["hint"] if hint else found["hint"] is None


def test_a_public_address_needs_an_internet_gateway(emulator: Emulator) -> None:
    assert not findings(emulator, assign="ENABLED", address="public_ipv4")[f"way out of {ONE}"]["ok"]
    emulator.admin("subnets", {ONE: {"route": INTERNET}})
    assert findings(emulator, assign="ENABLED", address="public_ipv4")[f"way out of {ONE}"]["ok"]


def test_subnets_of_different_vpcs_and_one_that_is_not_there_are_told(emulator: Emulator) -> None:
    emulator.admin("subnets", {OTHER: {"vpc": "vpc-other", "route": NAT}})
    (found,) = findings(emulator, ONE, OTHER).values()
    assert (found["ok"], "vpc-other" in found["message"]) == (False, True)
    emulator.admin("subnets", {OTHER: None})
    (found,) = findings(emulator, ONE, OTHER).values()
    assert (found["ok"], OTHER in found["message"]) == (False, True)


@pytest.mark.parametrize("action", ["DescribeSubnets", "DescribeRouteTables"])
@pytest.mark.parametrize("kind", ["access_denied", "hang", "error_500"])
def test_what_could_not_be_looked_at_is_no_fault(emulator: Emulator, action: str, kind: str) -> None:
    emulator.fault(action, kind, count=None)
    (found,) = findings(emulator).values()
    assert (found["ok"], "could not be looked at" in found["message"]) == (True, True)
    assert ("ec2:DescribeRouteTables" in found["hint"]) == (kind == "access_denied")


def test_boto3_would_ask_and_read_the_same(emulator: Emulator) -> None:
    emulator.admin("subnets", {ONE: {"route": INTERNET}})
    findings(emulator)
    ec2 = emulator.boto3("ec2")
    (subnet,) = ec2.describe_subnets(Filters=[{"Name": "subnet-id", "Values": [ONE]}])["Subnets"]
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [subnet["VpcId"]]}])["RouteTables"]
    (own,) = [table for table in tables if table["Associations"][0].get("SubnetId") == ONE]
    assert own["Routes"][1] == {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-0123abcd", "State": "active"}
    for action in ("DescribeSubnets", "DescribeRouteTables"):
        ours, theirs = emulator.bodies(action)
        assert ours == theirs
