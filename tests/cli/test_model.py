"""Every emulator checks at its end that all its requests fit AWS's own model of ECS; here the check itself is tested."""

import pytest

from support import ask, model, program
from support.emulator import Emulator

pytestmark = pytest.mark.skipif(
    not model.is_at_hand(), reason=f"NOTICE: no request is checked against AWS's model: {model.FILE} is not here"
)


def test_a_request_that_does_not_fit_the_model_is_reported() -> None:
    def request(body: object) -> list[dict[str, object]]:
        return [{"service": "ecs", "action": "RunTask", "body": body}]

    model.check(request({"taskDefinition": "notebook"}))
    for body in (
        {},
        {"taskDefinition": 7},
        {"taskDefinition": "x", "overrides": {"cpus": 1}},
        {"taskDefinition": "x", "brandNew": 1},
    ):
        with pytest.raises(AssertionError):
            model.check(request(body))


def test_every_call_of_a_whole_life_fits_the_model() -> None:
    with Emulator() as emulator:
        with program.Serve(emulator.env()) as serve:
            tags = [{"key": "team", "value": "data"}]
            request = ask.start(
                config=ask.config(run_task=ask.run_task(tags=tags)), server=ask.server("日本 😀", "a;b", hub="a hub, ü")
            )
            state = serve.ask(request)["state"]
            serve.ask(ask.poll(ask.target(state), ask.target(user="grace")))
            serve.ask(ask.gc(hub="a hub, ü"))
            serve.ask(ask.check())
            serve.ask(ask.stop(state, reason="日本 😀\n" * 100))
        actions = {entry["action"] for entry in emulator.requests()}
        looks = {"GetCallerIdentity", "DescribeTaskDefinition", "DescribeSubnets", "DescribeRouteTables"}
        looks |= {"DescribeSecurityGroups", "DescribeVpcEndpoints"}
        assert actions == {"RunTask", "DescribeTasks", "ListTasks", "StopTask"} | looks
        model.check(emulator.requests())
        assert emulator.admin("calls")["unknown_members"] == []
