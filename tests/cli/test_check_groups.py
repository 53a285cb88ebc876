"""The doctor on the tasks' security groups: whether RunTask takes them, who may reach a server, what a task may reach."""

from typing import Any

import pytest

from support.emulator import Emulator
from support.networks import EVERYWHERE, GROUP, VPC, findings, rule, say

NAME, WAY_IN, WAY_OUT = "security groups", "way in on port 8888", "way out of the security groups"
OTHER = "sg-0123dcba"
HUB = {"hub_url": "http://10.0.0.5:8081/hub/api"}


def with_rules(emulator: Emulator, direction: str, *rules: dict[str, Any]) -> None:
    """The tasks' group has these rules, and no others in this direction."""
    say(emulator, security_groups={GROUP: {direction: list(rules)}})


def test_who_may_reach_a_server_is_told(emulator: Emulator) -> None:
    found = findings(emulator)
    assert found[NAME]["message"] == GROUP
    assert (found[WAY_IN]["ok"], found[WAY_IN]["message"]) == (True, "from 10.0.0.0/16")
    assert "the hub" in found[WAY_IN]["hint"]
    assert (found[WAY_OUT]["ok"], found[WAY_OUT]["message"], found[WAY_OUT]["hint"]) == (True, "to everywhere", None)


def test_the_groups_of_a_task_add_up(emulator: Emulator) -> None:
    say(
        emulator,
        security_groups={
            GROUP: {"ipPermissions": [rule("sg-hub", ports=(8000, 9000))], "ipPermissionsEgress": []},
            OTHER: {"ipPermissions": [rule("10.1.0.0/16", protocol="-1"), rule("10.2.0.0/16", ports=(22, 22))]},
        },
    )
    found = findings(emulator, groups=(GROUP, OTHER))
    assert found[WAY_IN]["message"] == "from 10.1.0.0/16, sg-hub"
    assert found[WAY_OUT]["message"] == "to everywhere"


def test_without_groups_tasks_have_the_default_one_of_their_vpc(emulator: Emulator) -> None:
    found = findings(emulator, groups=())
    default = VPC.replace("vpc-", "sg-default-")
    assert found[NAME]["message"].endswith(f"the VPC's default one, {default}")
    assert found[WAY_IN]["message"] == f"from {default}"


def test_a_group_that_is_not_there_is_told(emulator: Emulator) -> None:
    say(emulator, security_groups={OTHER: None})
    found = findings(emulator, groups=(GROUP, OTHER))
    assert (found[NAME]["ok"], OTHER in found[NAME]["message"], WAY_IN in found) == (False, True, False)


def test_a_group_of_another_vpc_is_told_unless_it_is_associated_with_the_tasks(emulator: Emulator) -> None:
    say(emulator, security_groups={GROUP: {"vpcId": "vpc-other"}})
    found = findings(emulator)[NAME]
    assert (found["ok"], f"{GROUP} is of vpc-other, the subnets are of {VPC}" in found["message"]) == (False, True)
    say(emulator, security_groups={GROUP: {"vpcId": "vpc-other", "associated": [VPC]}})
    assert findings(emulator)[NAME]["ok"]
    emulator.fault("DescribeSecurityGroupVpcAssociations", "access_denied", count=None)
    found = findings(emulator)[NAME]
    assert (found["ok"], "could not be looked at" in found["message"]) == (True, True)


@pytest.mark.parametrize(
    "rules",
    [(), (rule(EVERYWHERE, ports=(22, 22)),), (rule(EVERYWHERE, protocol="udp", ports=(8888, 8888)),), (rule("::/0"),)],
)
def test_nobody_who_may_reach_the_port_is_bad_with_the_command_that_mends_it(
    emulator: Emulator, rules: tuple[dict[str, Any], ...]
) -> None:
    with_rules(emulator, "ipPermissions", *rules)
    found = findings(emulator, params={"port": 8888})[WAY_IN]
    assert not found["ok"]
    assert found["hint"].startswith(f"aws ec2 authorize-security-group-ingress --group-id {GROUP} --protocol tcp --port 8888 ")


def test_a_port_that_nobody_told_is_no_fault_where_another_is_open(emulator: Emulator) -> None:
    with_rules(emulator, "ipPermissions", rule(EVERYWHERE, ports=(9999, 9999)))
    assert findings(emulator)[WAY_IN]["ok"]
    assert findings(emulator, params={"port": 9999})["way in on port 9999"]["message"] == f"from {EVERYWHERE}"
    with_rules(emulator, "ipPermissions")
    assert not findings(emulator)[WAY_IN]["ok"]


def test_a_public_address_is_reached_from_addresses_and_not_from_groups(emulator: Emulator) -> None:
    public = {"assign": "ENABLED", "address": "public_ipv4", "params": {"port": 8888}}
    with_rules(emulator, "ipPermissions", rule("sg-hub", ports=(8888, 8888)))
    assert findings(emulator, params={"port": 8888})[WAY_IN]["ok"]
    found = findings(emulator, **public)[WAY_IN]
    assert (found["ok"], "--cidr" in found["hint"]) == (False, True)
    with_rules(emulator, "ipPermissions", rule(EVERYWHERE, ports=(8888, 8888)))
    found = findings(emulator, **public)[WAY_IN]
    assert (found["ok"], "nobody but the hub" in found["hint"]) == (True, True)


@pytest.mark.parametrize("port", [443, 8081])
def test_a_task_that_may_not_reach_its_image_or_the_hub_is_told(emulator: Emulator, port: int) -> None:
    with_rules(emulator, "ipPermissionsEgress", rule(EVERYWHERE, ports=(port, port)))
    other = {443: 8081, 8081: 443}[port]
    found = findings(emulator, params=HUB)[WAY_OUT]
    assert (found["ok"], found["message"]) == (False, f"no rule lets a task out on port {other}")
    assert f"authorize-security-group-egress --group-id {GROUP} --protocol tcp --port {other} " in found["hint"]


def test_https_that_is_shut_is_no_fault_where_nothing_tells_of_a_need_for_it(emulator: Emulator) -> None:
    with_rules(emulator, "ipPermissionsEgress")
    assert not findings(emulator)[WAY_OUT]["ok"]
    emulator.fault("DescribeTaskDefinition", "access_denied", count=None)
    assert findings(emulator)[WAY_OUT]["ok"]


def test_a_way_out_to_some_is_told_as_what_it_is(emulator: Emulator) -> None:
    rules = rule("10.0.0.0/16", protocol="-1"), rule("pl-6da54004", ports=(443, 443))
    with_rules(emulator, "ipPermissionsEgress", *rules)
    found = findings(emulator, params=HUB)[WAY_OUT]
    assert found["ok"]
    assert found["message"] == "on port 443 only to 10.0.0.0/16, pl-6da54004, on port 8081 only to 10.0.0.0/16"


def test_boto3_would_ask_and_read_the_same(emulator: Emulator) -> None:
    say(emulator, security_groups={GROUP: {"vpcId": "vpc-other", "associated": [VPC]}})
    findings(emulator)
    findings(emulator, groups=())
    ec2 = emulator.boto3("ec2")

    def filters(**values: str) -> list[dict[str, Any]]:
        return [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in values.items()]

    (named,) = ec2.describe_security_groups(Filters=filters(group_id=GROUP))["SecurityGroups"]
    (default,) = ec2.describe_security_groups(Filters=filters(vpc_id=VPC, group_name="default"))["SecurityGroups"]
    assert named["IpPermissions"][0]["IpRanges"] == [{"CidrIp": "10.0.0.0/16"}]
    assert default["IpPermissions"][0]["UserIdGroupPairs"] == [{"GroupId": default["GroupId"]}]
    associations = ec2.describe_security_group_vpc_associations(Filters=filters(group_id=GROUP, state="associated"))
    (association,) = associations["SecurityGroupVpcAssociations"]
    assert (association["VpcId"], association["State"]) == (VPC, "associated")
    for action in ("DescribeSecurityGroups", "DescribeSecurityGroupVpcAssociations"):
        bodies = emulator.bodies(action)
        assert bodies[: len(bodies) // 2] == bodies[len(bodies) // 2 :]
