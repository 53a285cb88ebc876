"""docs/protocol.md against the schema that the program prints."""

import json
import re
import subprocess
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from support import program
from support.binaries import REPOSITORY, clean_environment

PAGE = (REPOSITORY / "docs" / "protocol.md").read_text()
FRAMES = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]


@cache
def schema() -> dict[str, Any]:
    """The whole document."""
    done = subprocess.run([program.path(), "schema"], env=clean_environment(), capture_output=True, text=True, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def words(reference: dict[str, str]) -> set[str]:
    """The fields of a definition."""
    definition = schema()["$defs"][reference["$ref"].rsplit("/", 1)[1]]
    return set(definition.get("properties", {}))


def test_every_frame_on_the_page_fits_the_schema() -> None:
    validator = Draft202012Validator(schema())
    for frame in FRAMES:
        faults = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(frame)]
        assert not faults, frame
    assert {frame.get("type", "request") for frame in FRAMES} == {"hello", "state", "ack", "event", "result", "error", "request"}


def test_every_verb_has_its_section_with_each_of_its_fields() -> None:
    for request in schema()["$defs"]["Request"]["oneOf"]:
        verb = request["properties"]["verb"]["const"]
        section = PAGE.split(f"\n## {verb}\n")[1].split("\n## ")[0]
        fields = words(request["properties"]["params"]) | words(schema()["results"][verb])
        assert {field for field in fields if field not in section} == set(), verb


def test_hello_is_what_the_program_says() -> None:
    with program.Serve(clean_environment()) as serve:
        told = next(frame for frame in FRAMES if frame.get("type") == "hello")
        assert serve.hello == {**told, "version": serve.hello["version"]}


def test_every_code_phase_and_word_of_an_error_is_told() -> None:
    for name in ("Phase", "Retry", "Cleanup"):
        for word in schema()["$defs"][name]["oneOf"]:
            assert f"`{word['const']}`" in PAGE
