"""What the program tells of itself: the schema of every frame, which the golden files fit, completions, the manual page."""

import json
import shutil
import subprocess
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from support import ask, program
from support.binaries import REPOSITORY, clean_environment
from support.emulator import Emulator

GOLDEN = sorted((REPOSITORY / "tests/wire/v1").glob("*.json"))
RESULTS = {"dry_run": "--dry-run"}
"""Where a golden file is not called by its verb."""


def told(*arguments: str) -> str:
    """What a command prints, with nothing to read and nobody to ask."""
    command = [program.path(), *arguments]
    done = subprocess.run(command, env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


@cache
def schema() -> dict[str, Any]:
    """The whole document."""
    document: dict[str, Any] = json.loads(told("schema"))
    return document


def faults(frame: object, part: object = None) -> list[str]:
    """Where a frame does not fit the schema, or one definition of it."""
    document = schema() if part is None else {"$defs": schema()["$defs"], **part}  # type: ignore[dict-item]
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(document).iter_errors(frame)]


def test_the_schema_is_a_good_one() -> None:
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_every_golden_file_fits_the_schema(file: Any) -> None:
    frame = json.loads(file.read_text())
    assert not faults(frame)
    kind, _, verb = file.stem.partition("_")
    if kind == "result":
        assert not faults(frame["result"], schema()["results"][RESULTS.get(verb, verb)])
    if kind == "request":
        assert not faults(frame, {"$ref": "#/$defs/Request"})
    if kind in ("hello", "state", "event", "error"):
        assert not faults(frame, {"$ref": "#/$defs/Frame"})


def test_every_verb_that_serve_knows_has_a_request_and_a_result(emulator: Emulator) -> None:
    with program.Serve(emulator.env()) as serve:
        unknown = serve.fail({"v": 1, "verb": "frobnicate", "params": {}})
    words = unknown["message"].split("use ")[1].replace(" or ", ", ").split(", ")
    verbs = {request["properties"]["verb"]["const"] for request in schema()["$defs"]["Request"]["oneOf"]}
    assert set(words) == verbs == set(schema()["results"]) - {"--dry-run"}


def test_every_frame_of_a_life_fits_the_schema(emulator: Emulator) -> None:
    start = ask.start()
    done = program.run("start", start, emulator.env())
    state = done.result["state"]
    lives = [(start, done)]
    for request in (ask.poll(ask.target(state)), ask.gc(), ask.check(), ask.logs(state), ask.stop(state), ask.gc(hub="")):
        lives.append((request, program.run(request["verb"], request, emulator.env())))
    for request, done in lives:
        assert not faults(request)
        for frame in done.frames:
            assert not faults(frame), frame
        if done.exit_code == 0:
            assert not faults(done.result, schema()["results"][request["verb"]])


@pytest.mark.parametrize(
    "broken",
    [
        {"v": 2, "verb": "start", "params": {}},
        {"v": 1, "verb": "frobnicate", "params": {}},
        {**ask.stop(), "params": {"backend": "fargate"}},
        ask.start(spec=ask.spec(port="8888")),
        {"type": "ack", "seq": "1"},
        {"type": "result"},
        [],
    ],
)
def test_a_frame_that_is_none_does_not_fit(broken: object) -> None:
    assert faults(broken)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_know_commands_and_flags_and_are_a_script(shell: str) -> None:
    script = told("completions", shell)
    for word in ("gc", "dry-run", "completions", "follow"):
        assert word in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_bash_completes_a_command() -> None:
    script = f"{told('completions', 'bash')}\nCOMP_WORDS=(cloudspawner st) COMP_CWORD=1; _cloudspawner cloudspawner st cloudspawner; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert "start" in done.stdout.split()


def test_the_manual_page_has_every_command_and_its_flags() -> None:
    page = told("man")
    assert ".TH cloudspawner 1" in page
    for words in ("cloudspawner\\-start", "\\-\\-dry\\-run", "\\-\\-keep\\-ref", "CLOUDSPAWNER_RECORD"):
        assert words in page
    if shutil.which("groff"):
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww"], input=page, text=True, capture_output=True, check=True)
        assert done.stderr == ""


def test_help_of_each_command_tells_of_stdin_and_flags() -> None:
    for command in ("start", "gc", "logs", "list"):
        assert "By hand, instead of a request on stdin" in told(command, "--help")
