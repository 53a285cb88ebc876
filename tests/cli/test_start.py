"""A start that goes well: the order of frames, and what reaches RunTask."""

import json
import os
import string
import subprocess
from typing import Any
from urllib.parse import quote

import pytest

from support import ask, model, program
from support.emulator import SLOW, Emulator


def run_task_body(emulator: Emulator, request: dict[str, Any]) -> dict[str, Any]:
    """The one RunTask that a start made."""
    done = program.run("start", request, emulator.env())
    assert done.exit_code == 0, (done.stdout, done.stderr)
    (body,) = emulator.bodies("RunTask")
    return body


def override_of(body: dict[str, Any], name: str = "notebook") -> dict[str, Any]:
    """A container's override."""
    overrides: list[dict[str, Any]] = body["overrides"]["containerOverrides"]
    (found,) = [override for override in overrides if override["name"] == name]
    return found


def environment_of(override: dict[str, Any]) -> dict[str, str]:
    """An override's environment; no name stands in it twice."""
    pairs = [(entry["name"], entry["value"]) for entry in override["environment"]]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def test_frames_come_in_order_and_the_last_is_the_result() -> None:
    with Emulator(delays="provisioning=400,pending=900,activating=900") as emulator:
        done = program.run("start", {**ask.start(), "id": "7"}, emulator.env())
    assert done.exit_code == 0
    assert {frame["id"] for frame in done.frames} == {"7"}
    *progress, last = done.frames
    assert [frame["seq"] for frame in progress] == list(range(1, len(progress) + 1))
    percents = [frame["percent"] for frame in progress if frame["type"] == "event"]
    assert percents == sorted(percents)
    assert all(0 <= percent <= 100 for percent in percents)
    stages = [frame["stage"] for frame in progress if frame["type"] == "event"]
    assert stages[0] == "requested"
    assert stages[-1] == "running"
    assert {"pending", "activating"} & set(stages)
    first, second = done.states()
    assert first["data"]["ref"] is None
    assert second["data"]["ref"]
    assert (last["type"], last["result"]["url"]) == ("result", "http://127.0.0.1:8888")
    state = last["result"]["state"]
    assert (state["v"], state["backend"]) == (1, "fargate")
    assert state["data"]["ref"] == second["data"]["ref"]


def test_the_tasks_page_in_the_console_comes_with_each_word_about_it() -> None:
    with Emulator(delays="provisioning=50,pending=50,activating=50") as emulator:
        done = program.run("start", ask.start(), emulator.env())
    links = {frame["stage"]: frame["link"] for frame in done.frames if frame["type"] == "event"}
    _, cluster, task = done.result["state"]["data"]["ref"].split("/")
    assert links["requested"] is None
    assert links["running"].startswith("https://")
    assert f".console.aws.amazon.com/ecs/v2/clusters/{cluster}/tasks/{task}/" in links["running"]


def test_a_state_is_written_before_run_task_is_called() -> None:
    with Emulator(delays=SLOW) as emulator:
        emulator.fault("RunTask", "hang", count=None)
        with program.Child("start", emulator.env()) as child:
            child.send(ask.start(timeout_ms=1000))
            state = child.wait_for_type("state")["state"]
            assert state["data"]["ref"] is None
            emulator.clear_faults()
            child.finish()


def test_what_the_state_keeps_is_what_the_protocol_asks_for(emulator: Emulator) -> None:
    request = ask.start()
    state = program.run("start", request, emulator.env()).result["state"]
    data = state["data"]
    assert len(json.dumps(state)) <= 4096
    assert data["attempt"] == request["params"]["attempt"]
    assert data["service_prefix"] == "/user/ada/"
    assert (data["region"], data["cluster"], data["endpoint"]) == ("eu-west-1", "notebooks", emulator.url)
    (task,) = emulator.tasks()
    assert 0 <= task["created_at_ms"] - data["attempted_at_ms"] < 30_000


def test_started_by_client_token_and_tags_are_ours_and_the_admins_tags_stay(emulator: Emulator) -> None:
    team = {"key": "team", "value": "data science"}
    request = ask.start(config=ask.config(run_task=ask.run_task(tags=[team])))
    body = run_task_body(emulator, request)
    key = body["startedBy"]
    attempt = request["params"]["attempt"]
    assert body["clientToken"] == f"{attempt}-1"
    assert body["tags"][0] == team
    ours = {tag["key"]: tag["value"] for tag in body["tags"][1:]}
    assert ours == {"cloudspawner-hub": "prod", "cloudspawner-key": key, "cloudspawner-attempt": attempt}
    parts = key.split("-")
    assert (parts[:2], len(parts[2]), len(parts[3])) == (["cs", "prod"], 10, 26)
    assert set(parts[2] + parts[3]) <= set(string.ascii_lowercase + "234567")


def test_every_argument_of_run_task_passes_unchanged() -> None:
    arguments = ask.run_task(
        platformVersion="1.4.0",
        group="family:notebook",
        enableECSManagedTags=True,
        enableExecuteCommand=False,
        propagateTags="TASK_DEFINITION",
        referenceId="café",
        placementConstraints=[],
        overrides={"cpu": "1024", "memory": "4096", "ephemeralStorage": {"sizeInGiB": 50}},
    )
    with Emulator(check_model=model.is_at_hand()) as emulator:
        body = run_task_body(emulator, ask.start(config=ask.config(run_task=arguments, container_name=None)))
    for name, value in arguments.items():
        assert body[name] == value, name


def test_an_argument_that_aws_may_add_one_day_passes_unchanged() -> None:
    brand_new = {"deep": [1, 2.5, None, {"x": "ü"}], "flag": True}
    with Emulator(check_model=False) as emulator:
        arguments = ask.run_task(brandNew=brand_new)
        body = run_task_body(emulator, ask.start(config=ask.config(run_task=arguments)))
    assert body["brandNew"] == brand_new


def test_without_a_container_name_run_task_goes_as_it_is(emulator: Emulator) -> None:
    body = run_task_body(emulator, ask.start(config=ask.config(container_name=None)))
    assert "overrides" not in body


def test_the_specs_command_args_and_environment_become_an_override(emulator: Emulator) -> None:
    spec = ask.spec(command=["a", "b c"], args=["--x=$(id)", "é"], env={"B": "2", "A": "1\n=;"})
    override = override_of(run_task_body(emulator, ask.start(spec=spec)))
    assert override["command"] == ["a", "b c", "--x=$(id)", "é"]
    assert environment_of(override) == {"A": "1\n=;", "B": "2"}


def test_an_empty_command_leaves_the_images_own(emulator: Emulator) -> None:
    override = override_of(run_task_body(emulator, ask.start(spec=ask.spec(command=[], args=[]))))
    assert "command" not in override


def test_the_admins_override_is_completed_and_never_overridden(emulator: Emulator) -> None:
    admins = {
        "name": "notebook",
        "command": ["mine"],
        "cpu": 256,
        "environment": [{"name": "JUPYTERHUB_USER", "value": "admin's"}, {"name": "OWN", "value": "1"}],
    }
    overrides = {"cpu": "1024", "containerOverrides": [admins]}
    arguments = ask.run_task(overrides=overrides)
    body = run_task_body(emulator, ask.start(config=ask.config(run_task=arguments)))
    override = override_of(body)
    assert (override["command"], override["cpu"], body["overrides"]["cpu"]) == (["mine"], 256, "1024")
    environment = environment_of(override)
    assert (environment["JUPYTERHUB_USER"], environment["OWN"]) == ("admin's", "1")
    assert environment["JUPYTERHUB_SERVICE_URL"] == "http://0.0.0.0:8888/user/ada/"


@pytest.mark.parametrize("name", ["startedBy", "clientToken"])
def test_a_value_of_the_admins_that_is_ours_alone_is_warned_about_on_stderr(emulator: Emulator, name: str) -> None:
    request = ask.start(config=ask.config(run_task=ask.run_task(**{name: "mine"})))
    done = program.run("start", request, emulator.env())
    assert done.exit_code == 0
    assert emulator.bodies("RunTask")[0][name] != "mine"
    (warning,) = [line for line in done.stderr.splitlines() if "WARN" in line]
    assert name in warning


def test_a_region_and_an_endpoint_in_config_win_over_the_environment(emulator: Emulator) -> None:
    env = emulator.env(AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_REGION="us-east-1")
    request = ask.start(config=ask.config(endpoint_url=emulator.url + "/"))
    assert program.run("start", request, env).result["url"]


def test_fargate_spot_works_by_a_capacity_provider_strategy(emulator: Emulator) -> None:
    strategy = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    arguments = ask.run_task(launchType=None, capacityProviderStrategy=strategy)
    body = run_task_body(emulator, ask.start(config=ask.config(run_task=arguments)))
    assert body["capacityProviderStrategy"] == strategy
    assert "launchType" not in body


def test_an_ipv6_address_stands_in_brackets() -> None:
    with Emulator("--ipv6") as emulator:
        done = program.run("start", ask.start(config=ask.config(address="ipv6")), emulator.env())
    assert done.result["url"].startswith("http://[")
    assert done.result["url"].endswith("]:8888")


def test_scheme_and_port_are_the_specs(emulator: Emulator) -> None:
    done = program.run("start", ask.start(spec=ask.spec(scheme="https", port=443)), emulator.env())
    assert done.result["url"] == "https://127.0.0.1:443"


HOSTILE = [
    "a.b", "a-b", "a_b", "A.B", "a b", "../../etc", "$(reboot)", "`id`", "'; rm -rf /", "a\nb", "\u0000", "日本語", "e\u0301", "é",
    "😀" * 255, "x" * 255, "%2e%2e", "cloudspawner-key", "-", "\u202egnp",
]  # fmt: skip


def test_hostile_names_never_collide_and_never_break_a_request() -> None:
    with Emulator() as emulator, program.Serve(emulator.env()) as serve:
        numbers = []
        for name in HOSTILE:
            prefix = f"/user/{quote(name)}/"
            request = ask.start(server=ask.server(name), spec=ask.spec(service_prefix=prefix))
            numbers.append(serve.begin(request))
            numbers.append(serve.begin(ask.start(server=ask.server("ada", name, hub="a hub, ünique"))))
        ends = [serve.last(number) for number in numbers]
        assert [end["type"] for end in ends] == ["result"] * len(numbers), ends
        keys = {end["result"]["state"]["data"]["key"] for end in ends}
        assert len(keys) == len(numbers)
        assert all(len(key) <= 128 and set(key) <= set(string.ascii_lowercase + string.digits + "-") for key in keys)
        assert len({task["started_by"] for task in emulator.tasks()}) == len(numbers)


def test_stdout_that_nobody_reads_means_that_nothing_is_created(emulator: Emulator) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [program.path(), "start"],
        input=json.dumps(ask.start(timeout_ms=5000)).encode(),
        stdout=writing,
        stderr=subprocess.PIPE,
        env=emulator.env(),
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 1
    assert emulator.calls("RunTask") == 0


def test_starts_side_by_side_share_their_describe_tasks_calls() -> None:
    with Emulator(delays="provisioning=900,pending=900") as emulator, program.Serve(emulator.env()) as serve:
        numbers = [serve.begin(ask.start(server=ask.server(f"user{n}"))) for n in range(30)]
        assert all(serve.last(number)["type"] == "result" for number in numbers)
        assert emulator.calls("RunTask") == 30
        assert emulator.calls("DescribeTasks") < 30
