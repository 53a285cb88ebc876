"""The doctor on subnets without a way out: what the task definition needs, and whether the VPC's endpoints lead there."""

from typing import Any

import pytest

from support.emulator import Emulator
from support.networks import ECR_IMAGE, EVERYWHERE, INTERNET, ONE, REGION, VPC, Finding, define, findings, route, say

TABLE = ONE.replace("subnet-", "rtb-")
LOGS = {"logDriver": "awslogs", "options": {"awslogs-group": "g", "awslogs-region": REGION, "awslogs-stream-prefix": "p"}}
SECRET = {"name": "A", "valueFrom": f"arn:aws:secretsmanager:{REGION}:123456789012:secret:a-123456"}


def endpoints(*services: str, **changes: Any) -> dict[str, dict[str, Any]]:
    """Endpoints for these services; S3's is the subnet's gateway."""
    made = {f"vpce-{name}": {"serviceName": f"com.amazonaws.{REGION}.{name}", **changes} for name in services}
    if "s3" in services:
        made["vpce-s3"] |= {"vpcEndpointType": "Gateway", "routeTableIdSet": [TABLE]}
    return made


ALL = ("ecr.api", "ecr.dkr", "s3", "logs", "secretsmanager")


def way_out(
    emulator: Emulator,
    routes: list[dict[str, str]],
    image: str = ECR_IMAGE,
    owner: str = "123456789012",
    secrets: tuple[dict[str, str], ...] = (SECRET,),
    **config: Any,
) -> Finding:
    """The finding about a subnet with these routes, for a task with logs and a secret."""
    definition = define(emulator, image, logConfiguration=LOGS, secrets=list(secrets))
    say(emulator, subnets={ONE: {"routes": routes, "ownerId": owner}})
    return findings(emulator, definition=definition, **config)[f"way out of {ONE}"]


def test_endpoints_that_lead_to_all_that_a_task_needs_are_told(emulator: Emulator) -> None:
    say(emulator, vpc_endpoints=endpoints(*ALL))
    found = way_out(emulator, [route({"gatewayId": "vpce-s3"}, "pl-6da54004")])
    assert found["ok"]
    told = found["message"].split("endpoints lead to ")[1].split(", ")
    assert told == sorted(f"{REGION}.{name}" for name in ALL)
    assert "443" in found["hint"]


@pytest.mark.parametrize("missing", ALL)
def test_an_endpoint_that_is_missing_is_told_with_the_command_that_makes_it(emulator: Emulator, missing: str) -> None:
    say(emulator, vpc_endpoints=endpoints(*(name for name in ALL if name != missing)))
    found = way_out(emulator, [])
    assert not found["ok"]
    assert f" works, and {VPC} has no endpoint for {REGION}.{missing}: a start" in found["message"]
    kind = f"Gateway --route-table-ids {TABLE}" if missing == "s3" else f"Interface --private-dns-enabled --subnet-ids {ONE}"
    command = f"--vpc-id {VPC} --service-name com.amazonaws.{REGION}.{missing} --vpc-endpoint-type {kind}"
    assert f"aws ec2 create-vpc-endpoint {command}; or " in found["hint"]


def test_a_gateway_that_the_subnets_table_does_not_lead_to_is_none(emulator: Emulator) -> None:
    gateway = {"vpce-s3": {**endpoints("s3")["vpce-s3"], "routeTableIdSet": ["rtb-main"]}}
    say(emulator, vpc_endpoints=endpoints(*ALL) | gateway)
    found = way_out(emulator, [])
    assert (found["ok"], f"{TABLE} has no route to vpce-s3" in found["message"]) == (False, True)
    assert f"modify-vpc-endpoint --vpc-endpoint-id vpce-s3 --add-route-table-ids {TABLE}" in found["hint"]


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("logs", {"state": "pending"}, "is pending"),
        ("ecr.dkr", {"privateDnsEnabled": False}, "no private DNS"),
        ("s3", {"vpcEndpointType": "Interface"}, "needs a gateway"),
    ],
)
def test_an_endpoint_that_may_not_do_is_told_and_no_fault(
    emulator: Emulator, name: str, change: dict[str, Any], words: str
) -> None:
    made = endpoints(*ALL)
    made[f"vpce-{name}"] |= change
    say(emulator, vpc_endpoints=made)
    found = way_out(emulator, [])
    assert (found["ok"], words in found["message"]) == (True, True)


def test_an_endpoint_of_another_region_or_vpc_is_none(emulator: Emulator) -> None:
    elsewhere = {"serviceName": "com.amazonaws.eu-west-2.logs"}
    say(emulator, vpc_endpoints=endpoints(*ALL) | {"vpce-logs": elsewhere})
    assert f"no endpoint for {REGION}.logs" in way_out(emulator, [])["message"]
    say(emulator, vpc_endpoints={"vpce-logs": {"serviceName": f"com.amazonaws.{REGION}.logs", "vpcId": "vpc-other"}})
    assert f"no endpoint for {REGION}.logs" in way_out(emulator, [])["message"]


@pytest.mark.parametrize("image", ["quay.io/jupyter/base-notebook:latest", "jupyter/base-notebook"])
def test_an_image_of_the_internet_cannot_be_pulled_whatever_the_endpoints(emulator: Emulator, image: str) -> None:
    say(emulator, vpc_endpoints=endpoints(*ALL))
    emulator.fault("DescribeVpcEndpoints", "access_denied", count=None)
    found = way_out(emulator, [], image)
    assert (found["ok"], f"the registry of {image}, which cannot be pulled" in found["message"]) == (False, True)


def test_an_image_of_a_registry_that_may_be_anywhere_is_no_fault(emulator: Emulator) -> None:
    say(emulator, vpc_endpoints=endpoints(*ALL))
    found = way_out(emulator, [], "registry.lan:5000/lab")
    assert (found["ok"], "registry.lan:5000/lab" in found["message"]) == (True, True)


@pytest.mark.parametrize(
    "way",
    [
        route({"transitGatewayId": "tgw-1"}, "10.0.0.0/8"),
        route({"egressOnlyInternetGatewayId": "eigw-1"}, "::/0"),
        route({"brandNewId": "x-1"}, "10.1.0.0/16"),
    ],
)
def test_where_a_route_leads_to_other_networks_nothing_is_missing_for_sure(emulator: Emulator, way: dict[str, str]) -> None:
    found = way_out(emulator, [way])
    assert (found["ok"], "unless its other routes lead there" in found["message"]) == (True, True)


def test_in_a_subnet_of_another_account_nothing_is_missing_for_sure(emulator: Emulator) -> None:
    assert not way_out(emulator, [])["ok"]
    found = way_out(emulator, [], owner="210987654321")
    assert (found["ok"], "unless 210987654321, whose subnet it is" in found["message"]) == (True, True)


@pytest.mark.parametrize("dead", [{"natGatewayId": "nat-1"}, {"transitGatewayId": "tgw-1"}])
def test_a_route_that_leads_nowhere_is_no_way(emulator: Emulator, dead: dict[str, str]) -> None:
    found = way_out(emulator, [route(dead, state="blackhole")])
    assert (found["ok"], f"no route to {EVERYWHERE} that works" in found["message"]) == (False, True)


def test_an_internet_gateway_is_no_way_for_tasks_without_a_public_address(emulator: Emulator) -> None:
    found = way_out(emulator, [route(INTERNET)])
    assert (found["ok"], "assign_public_ip = True" in found["hint"]) == (False, True)


@pytest.mark.parametrize("kind", ["access_denied", "hang", "error_500"])
def test_endpoints_that_could_not_be_looked_at_are_no_fault(emulator: Emulator, kind: str) -> None:
    emulator.fault("DescribeVpcEndpoints", kind, count=None)
    found = way_out(emulator, [])
    assert (found["ok"], "could not be looked at" in found["message"]) == (True, True)
    assert ("check-policy.json" in found["hint"]) == (kind == "access_denied")


def test_without_a_task_definition_nothing_is_missing_for_sure(emulator: Emulator) -> None:
    emulator.fault("DescribeTaskDefinition", "access_denied", count=None)
    found = way_out(emulator, [])
    assert (found["ok"], "task definition" in found["message"]) == (True, True)


def test_a_token_in_secrets_manager_needs_its_endpoint(emulator: Emulator) -> None:
    say(emulator, vpc_endpoints=endpoints("ecr.api", "ecr.dkr", "s3", "logs"))
    assert "endpoints lead to" in way_out(emulator, [], secrets=())["message"]
    found = way_out(emulator, [], secrets=(), token_in="secrets_manager")
    assert f"no endpoint for {REGION}.secretsmanager" in found["message"]
