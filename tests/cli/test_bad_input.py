"""What cannot be understood: a frame that names the field, the exit code that the protocol gives, and nothing created."""

import copy
import json
from typing import Any

import pytest

from support import ask, program
from support.binaries import clean_environment
from support.emulator import Emulator

ENV = clean_environment(AWS_REGION="eu-west-1", AWS_ENDPOINT_URL="http://127.0.0.1:9")
"""Nobody listens there: whoever called would be told `unavailable`."""

MOST = 4 * 1024 * 1024


def without(request: dict[str, Any], *path: str) -> dict[str, Any]:
    """The request without one field."""
    request = copy.deepcopy(request)
    inner = request
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return request


def changed(request: dict[str, Any], value: object, *path: str) -> dict[str, Any]:
    """The request with one field changed or added."""
    request = copy.deepcopy(request)
    inner: Any = request
    for name in path[:-1]:
        inner = inner[int(name)] if isinstance(inner, list) else inner[name]
    inner[path[-1]] = value
    return request


START = ask.start(attempt="attempt-0001")
POLL = ask.poll(ask.target())
STOP = ask.stop()
GC = ask.gc()

UNREADABLE = [
    pytest.param("start", "", "JSON", id="empty stdin"),
    pytest.param("start", "\n", "JSON", id="an empty line"),
    pytest.param("start", "not json\n", "JSON", id="not JSON"),
    pytest.param("start", '{"v":1,', "JSON", id="JSON that breaks off"),
    pytest.param("start", "[1]\n", "object", id="an array"),
    pytest.param("start", "null\n", "object", id="null"),
    pytest.param("start", '"text"\n', "object", id="a string"),
    pytest.param("start", "[" * 5000 + "\n", "JSON", id="nested without end"),
    pytest.param("start", b'{"v":1,"verb":"start\xff"}\n', "UTF-8", id="not UTF-8"),
    pytest.param("start", b'{"v":1,"x":"' + b"x" * MOST + b'"}\n', "4 MiB", id="too long"),
    pytest.param("start", without(START, "v"), "v", id="no version"),
    pytest.param("start", changed(START, "1", "v"), "v", id="version as text"),
    pytest.param("start", changed(START, None, "v"), "v", id="version null"),
    pytest.param("start", changed(START, 7, "id"), "id", id="id as a number"),
    pytest.param("start", changed(START, 7, "verb"), "verb", id="verb as a number"),
    pytest.param("start", changed(START, "stop", "verb"), "verb", id="another verb than the command's"),
    pytest.param("poll", START, "verb", id="a start for poll"),
    pytest.param("start", changed(START, "soon", "timeout_ms"), "timeout_ms", id="timeout as text"),
    pytest.param("start", changed(START, -1, "timeout_ms"), "timeout_ms", id="a negative timeout"),
    pytest.param("start", changed(START, "yes", "ack"), "ack", id="ack as text"),
    pytest.param("start", {"type": "ack", "id": None, "seq": 1}, "ack", id="an ack"),
]


@pytest.mark.parametrize(("verb", "request_", "named"), UNREADABLE)
def test_a_request_that_cannot_be_read_is_a_bad_request_with_exit_code_2(verb: str, request_: object, named: str) -> None:
    try:
        done = program.run(verb, request_, ENV)
    except BrokenPipeError:
        pytest.fail("the program left before it had read its stdin")
    assert done.exit_code == 2
    assert [frame["type"] for frame in done.frames] == ["error"]
    assert done.last["id"] is None
    assert done.error["code"] == "bad_request"
    assert named in done.error["message"]
    assert (done.error["cleanup"], done.error["retry"]) == ("none", "never")


@pytest.mark.parametrize("version", [2, 0, -1, 1.5])
def test_a_version_that_is_not_spoken_is_told_with_the_requests_id_and_exit_code_2(version: float) -> None:
    done = program.run("start", {**START, "v": version, "id": "mine"}, ENV)
    assert done.exit_code == 2
    assert (done.last["id"], done.error["code"]) == ("mine", "unsupported_version")


WRONG: list[Any] = [
    pytest.param("start", without(START, "params"), "params", id="no params"),
    *(
        pytest.param("start", without(START, "params", *path), path[-1], id="start without " + ".".join(path))
        for path in [
            ("backend",), ("server",), ("attempt",), ("spec",), ("server", "hub"), ("server", "user"),
            ("spec", "command"), ("spec", "args"), ("spec", "env"), ("spec", "port"), ("spec", "scheme"),
        ]
    ),
    pytest.param("start", without(START, "params", "config"), "config", id="start without config"),
    pytest.param("poll", without(POLL, "params", "targets"), "targets", id="poll without targets"),
    pytest.param("poll", without(POLL, "params", "config"), "config", id="poll without config"),
    pytest.param("stop", without(STOP, "params", "server"), "server", id="stop without server"),
    pytest.param("gc", without(GC, "params", "hub"), "hub", id="gc without hub"),
    pytest.param("gc", without(GC, "params", "keep"), "keep", id="gc without keep"),
    *(
        pytest.param("start", changed(START, value, "params", *path), "params." + ".".join(path), id=f"{'.'.join(path)} = {value!r}")
        for value, path in [
            (7, ("backend",)), ("ada", ("server",)), (7, ("server", "user")), (None, ("server", "hub")), (7, ("attempt",)),
            ("ls", ("spec", "command")), ([7], ("spec", "command")), ({}, ("spec", "args")), ("8888", ("spec", "port")),
            (70000, ("spec", "port")), (-1, ("spec", "port")), (80.5, ("spec", "port")), (None, ("spec", "port")),
            (7, ("spec", "scheme")), ("one", ("spec", "cpu_limit")), ("x", ("spec", "mounts")),
        ]
    ),
    pytest.param("poll", changed(POLL, "soon", "params", "max_age_ms"), "params.max_age_ms", id="max_age_ms as text"),
    pytest.param("poll", changed(POLL, {}, "params", "targets"), "params.targets", id="targets as an object"),
    pytest.param("poll", changed(POLL, [{}], "params", "targets"), "params.targets[0]", id="a target of nobody"),
    pytest.param("stop", changed(STOP, "yes", "params", "wait"), "params.wait", id="wait as text"),
    pytest.param("gc", changed(GC, 1, "params", "apply"), "params.apply", id="apply as a number"),
    pytest.param("gc", changed(GC, [7], "params", "keep"), "params.keep[0]", id="keep of numbers"),
    pytest.param("start", changed(START, "cloudx", "params", "backend"), "fargate", id="an unknown backend"),
    pytest.param("poll", changed(POLL, "cloudx", "params", "backend"), "cloudx", id="an unknown backend for poll"),
    pytest.param("check", ask.check(backend="cloudx"), "cloudx", id="an unknown backend for check"),
    pytest.param("logs", ask.logs(backend="cloudx"), "cloudx", id="an unknown backend for logs"),
    pytest.param("logs", ask.logs(server=ask.server("")), "user", id="nobody's log"),
    *(
        pytest.param("start", changed(START, value, "params", "attempt"), "attempt", id=f"attempt {value[:12]!r}")
        for value in ["", "short", "x" * 49, "has space", "under_score", "dot.dot.dot", "ümlaut-ümlaut"]
    ),
    pytest.param("start", changed(START, "", "params", "server", "user"), "params.server.user", id="an empty user"),
    pytest.param("start", changed(START, "", "params", "server", "hub"), "params.server.hub", id="an empty hub"),
    pytest.param("gc", ask.gc(hub=""), "params.hub", id="gc for an empty hub"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "request_", "named"), WRONG)
def test_a_field_that_lacks_or_is_wrong_is_named_with_exit_code_1(verb: str, request_: object, named: str) -> None:
    done = program.run(verb, request_, ENV)
    assert done.exit_code == 1
    assert done.error["code"] == "bad_request"
    assert named in done.error["message"]


INVALID: list[Any] = [
    pytest.param(ask.start(config="x"), "config", id="config as text"),
    pytest.param(ask.start(config=None), "config", id="config null"),
    pytest.param(ask.start(config=ask.config(regoin="eu")), 'config.regoin: is not known; did you mean "region"?', id="regoin"),
    pytest.param(ask.start(config=ask.config(runtask={})), 'did you mean "run_task"', id="runtask"),
    pytest.param(ask.start(config=ask.config(zzz=1)), "config.zzz: is not known; use one of", id="zzz"),
    pytest.param(ask.start(config=ask.config(region=7)), "config.region", id="region as a number"),
    pytest.param(ask.start(config=ask.config(region="Not A Region!")), "config.region", id="region that is no name"),
    pytest.param(ask.start(config=ask.config(endpoint_url="ecs.example")), "config.endpoint_url", id="endpoint without scheme"),
    pytest.param(ask.start(config=ask.config(clusters="notebooks")), "config.clusters", id="clusters as text"),
    pytest.param(ask.start(config=ask.config(clusters=[7])), "config.clusters[0]", id="clusters of numbers"),
    pytest.param(ask.start(config=ask.config(address="public")), "config.address", id="an unknown kind of address"),
    pytest.param(ask.start(config=ask.config(run_task=None)), "config.run_task", id="no run_task"),
    pytest.param(ask.start(config=ask.config(run_task=[])), "config.run_task", id="run_task as a list"),
    pytest.param(ask.start(config=ask.config(run_task=ask.run_task(taskDefinition=None))), "taskDefinition", id="no definition"),
    pytest.param(ask.start(config=ask.config(run_task=ask.run_task(taskDefinition=7))), "taskDefinition", id="definition 7"),
    pytest.param(ask.start(config=ask.config(run_task=ask.run_task(cluster=7))), "config.run_task.cluster", id="cluster 7"),
    pytest.param(ask.start(config=ask.config(run_task=ask.run_task(count=2))), "config.run_task.count", id="count 2"),
    pytest.param(ask.start(config=ask.config(run_task=ask.run_task(tags={}))), "config.run_task.tags", id="tags as an object"),
    pytest.param(
        ask.start(config=ask.config(run_task=ask.run_task(tags=[{"key": f"k{n}", "value": "v"} for n in range(48)]))),
        "config.run_task.tags", id="48 tags",
    ),
    pytest.param(
        ask.start(config=ask.config(run_task=ask.run_task(tags=[{"key": "cloudspawner-key", "value": "mine"}]))),
        "cloudspawner-key", id="one of our own tags",
    ),
    pytest.param(
        ask.start(config=ask.config(run_task=ask.run_task(capacityProviderStrategy=[{"capacityProvider": "FARGATE_SPOT"}]))),
        "launchType", id="launch type and strategy",
    ),
    pytest.param(
        ask.start(config=ask.config(run_task=ask.run_task(overrides=[]))), "config.run_task.overrides", id="overrides as a list"
    ),
    pytest.param(
        ask.start(config=ask.config(run_task=ask.run_task(overrides={"containerOverrides": {}}))),
        "containerOverrides", id="container overrides as an object",
    ),
    pytest.param(ask.start(spec=ask.spec(env={"LONG": "x" * 8192})), "8192", id="overrides too long"),
    pytest.param(ask.start(spec=ask.spec(port=0)), "spec.port", id="port 0"),
    pytest.param(ask.start(spec=ask.spec(scheme="ftp")), "spec.scheme", id="scheme ftp"),
    pytest.param(ask.start(spec=ask.spec(scheme="")), "spec.scheme", id="no scheme"),
    pytest.param(ask.start(spec=ask.spec(mounts=[{"kind": "nfs", "path": "/home"}])), "spec.mounts", id="mounts"),
    pytest.param(ask.start(credentials="x"), "credentials", id="credentials as text"),
    pytest.param(ask.start(credentials={"kind": "magic"}), "credentials.kind", id="unknown credentials"),
    pytest.param(ask.start(credentials={"kind": "static", "access_key_id": "A"}), "secret_access_key", id="half a key"),
    pytest.param(ask.start(credentials={"kind": "profile"}), "name", id="profile without name"),
    pytest.param(ask.stop(config={"run_tsk": {}}), "run_task", id="stop with an unknown field"),
    pytest.param(ask.gc(config={"region": "eu-west-1"}), "config.clusters", id="gc without clusters"),
    pytest.param(ask.gc(config={"regiom": "eu-west-1"}), "region", id="gc with an unknown field"),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "named"), INVALID)
def test_a_config_that_cannot_work_is_invalid_config_and_nothing_is_asked_of_the_cloud(
    request_: dict[str, Any], named: str
) -> None:
    done = program.run(request_["verb"], request_, ENV)
    assert done.exit_code == 1
    assert [frame["type"] for frame in done.frames] == ["error"]
    assert (done.error["code"], done.error["retry"]) == ("invalid_config", "after_fix")
    assert named in done.error["message"]


CANARY = "canary-do-not-repeat"


@pytest.mark.parametrize(
    "request_",
    [
        ask.start(spec=ask.spec(env=CANARY)),
        ask.start(spec=ask.spec(env=[CANARY])),
        ask.start(spec=ask.spec(env={"JUPYTERHUB_API_TOKEN": [CANARY]})),
        ask.start(credentials=CANARY),
        ask.start(credentials=[CANARY]),
        ask.start(credentials={"kind": CANARY}),
        ask.start(credentials={"kind": "static", "access_key_id": [CANARY], "secret_access_key": CANARY}),
        ask.start(credentials={"kind": "static", "access_key_id": "A", "secret_access_key": {CANARY: 1}}),
        ask.poll(ask.target(), credentials=CANARY),
        '{"v":1,"verb":"start","params":{"spec":{"env":{"TOKEN":"' + CANARY + '"',
        '{"v":1,"verb":"start","params":{"credentials":{"kind":"static","secret_access_key":"' + CANARY + '"}}}',
    ],
)
def test_a_wrong_value_of_env_or_credentials_is_never_repeated(request_: Any) -> None:
    verb = request_["verb"] if isinstance(request_, dict) else "start"
    done = program.run(verb, request_, {**ENV, "CLOUDSPAWNER_LOG": "trace"})
    assert CANARY not in done.stdout + done.stderr


@pytest.mark.parametrize("verb", ["stats", "cancel", "frobnicate", ""])
def test_a_command_that_is_not_built_is_a_wrong_command_line(verb: str) -> None:
    done = program.run(verb, {"v": 1}, ENV)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr


@pytest.mark.parametrize("verb", ["restart", "frobnicate"])
def test_serve_answers_a_verb_that_is_not_built_with_unknown_verb_and_the_requests_id(verb: str) -> None:
    with program.Serve(ENV) as serve:
        error = serve.fail({"v": 1, "verb": verb, "params": {}})
        assert error["code"] == "unknown_verb"
        assert verb in error["message"]
        assert verb not in serve.hello["features"]


def test_serve_goes_on_after_every_line_that_is_no_request() -> None:
    lines: list[object] = [param.values[1] for param in UNREADABLE]
    lines += ["\x00\n", "}{\n", {"v": 2, "verb": "poll"}, {"v": 1, "verb": "poll"}, {"v": 1, "id": None, "verb": "poll"}]
    with program.Serve(ENV) as serve:
        for line in lines:
            serve.send(line)
            serve.send("\n")
        assert serve.ask(ask.check(offline=True))["checks"]
        errors = [frame for frame in serve.frames if frame["type"] == "error"]
        assert {frame["error"]["code"] for frame in errors} == {"bad_request", "unsupported_version"}
        for param in WRONG:
            assert serve.fail(param.values[1])["code"] == "bad_request"
        for param in INVALID:
            assert serve.fail(param.values[0])["code"] == "invalid_config"
        assert serve.ask(ask.check(offline=True))["checks"]


def test_serve_needs_an_id_and_a_verb() -> None:
    with program.Serve(ENV) as serve:
        serve.send(POLL)
        assert "id" in serve.last(None)["error"]["message"]
        assert "verb" in serve.fail(without(POLL, "verb"))["message"]


def test_a_line_of_4_mib_is_read() -> None:
    filler = MOST - len(json.dumps({**POLL, "x": ""}))
    line = json.dumps({**POLL, "x": "y" * filler})
    assert len(line) == MOST
    assert program.run("poll", line + "\n", ENV).result["servers"]


def test_unknown_fields_outside_config_are_ignored(emulator: Emulator) -> None:
    request = ask.start()
    request["later"] = {"a": 1}
    for inner in (request["params"], request["params"]["spec"], request["params"]["server"]):
        inner["later"] = [1]
    state = program.run("start", request, emulator.env()).result["state"]
    state["data"]["later"] = {"b": 2}
    done = program.run("poll", ask.poll({**ask.target(state), "later": 1}, later=2), emulator.env())
    assert done.result["servers"][0]["phase"] == "running"


def test_optional_fields_may_be_null(emulator: Emulator) -> None:
    nothing: Any = dict.fromkeys(["service_prefix", "user_options", "cpu_limit", "mem_limit_mib", "mounts"])
    request = ask.start(spec=ask.spec(**nothing), server={"hub": "prod", "user": "ada", "name": None})
    request.update(id=None, verb=None, timeout_ms=None, ack=None)
    settings = ask.config()
    settings.update(endpoint_url=None, address=None)
    request["params"]["config"] = settings
    state = program.run("start", request, emulator.env()).result["state"]
    assert state["data"]["service_prefix"] == "/"
    poll = ask.poll(ask.target(state), max_age_ms=None, credentials=None)
    assert program.run("poll", {**poll, "timeout_ms": None}, emulator.env()).result["servers"][0]["phase"] == "running"
    stop = ask.stop(state, reason=None, wait=None)
    assert program.run("stop", {**stop, "timeout_ms": None}, emulator.env()).result["cleanup"] == "done"
    gc = ask.gc(apply=None, force=None, min_age_ms=None)
    assert program.run("gc", {**gc, "timeout_ms": None}, emulator.env()).result["stale"] == []


def test_a_command_may_be_left_to_the_command_line_and_needs_no_newline() -> None:
    request = {"v": 1, "params": ask.check(offline=True)["params"]}
    assert program.run("check", json.dumps(request), ENV).result["checks"]
