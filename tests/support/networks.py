"""What a check finds of the tasks' network, and how a test says what EC2 tells of it."""

from typing import Any

from support import ask, program
from support.emulator import Emulator

Finding = dict[str, Any]

ONE, OTHER = "subnet-0123abcd", "subnet-0123dcba"
GROUP = "sg-0123abcd"
VPC = "vpc-0123abcd"
"""The emulator's own, of whatever nothing else is said."""
REGION = "eu-west-1"
ECR_IMAGE = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/lab:2"
EVERYWHERE = "0.0.0.0/0"
INTERNET, NAT = {"gatewayId": "igw-0123abcd"}, {"natGatewayId": "nat-0123abcd"}


def route(target: dict[str, str], destination: str = EVERYWHERE, **more: str) -> dict[str, str]:
    """A route, as DescribeRouteTables spells it."""
    name = "destinationPrefixListId" if destination.startswith("pl-") else "destinationCidrBlock"
    if ":" in destination:
        name = "destinationIpv6CidrBlock"
    return {name: destination, "state": "active", **target, **more}


def rule(*peers: str, ports: tuple[int, int] | None = None, protocol: str = "tcp") -> dict[str, Any]:
    """A security group's rule, as DescribeSecurityGroups spells it; without ports it is about all."""
    of = [("ipv6Ranges", "cidrIpv6", ":"), ("groups", "groupId", "sg-"), ("prefixListIds", "prefixListId", "pl-")]
    found: dict[str, Any] = {"ipProtocol": protocol}
    if ports:
        found |= {"fromPort": ports[0], "toPort": ports[1]}
    for peer in peers:
        kind, member = next(((kind, member) for kind, member, mark in of if mark in peer), ("ipRanges", "cidrIp"))
        found.setdefault(kind, []).append({member: peer})
    return found


def say(emulator: Emulator, **what: dict[str, Any]) -> None:
    """Says what EC2 tells of `subnets`, `security_groups` and `vpc_endpoints`, by their ids; None that they are not there."""
    emulator.admin("networks", what)


def define(emulator: Emulator, image: str, **container: Any) -> str:
    """Registers a task definition of this image; gives its name."""
    emulator.boto3("ecs").register_task_definition(
        family="lab",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        executionRoleArn="arn:aws:iam::123456789012:role/notebook-execution",
        containerDefinitions=[{"name": "notebook", "image": image, **container}],
    )
    return "lab"


def findings(
    emulator: Emulator,
    *subnets: str,
    assign: str = "DISABLED",
    groups: tuple[str, ...] = (GROUP,),
    definition: str = "notebook",
    params: dict[str, Any] | None = None,
    **config: Any,
) -> dict[str, Finding]:
    """What a check finds, by name."""
    network = {"subnets": list(subnets or (ONE,)), "securityGroups": list(groups), "assignPublicIp": assign}
    run_task = ask.run_task(taskDefinition=definition, networkConfiguration={"awsvpcConfiguration": network})
    done = program.run("check", ask.check(config=ask.config(run_task=run_task, **config), **(params or {})), emulator.env())
    return {finding["name"]: finding for finding in done.result["checks"]}
