"""Licences, sources and bans of deny.toml, by Cargo's own metadata: also where cargo-deny is not installed."""

import json
import re
import subprocess
from functools import cache
from typing import Any

import pytest

from support.binaries import REPOSITORY

tomllib = pytest.importorskip("tomllib", reason="Python 3.11 brings it")
DENY = tomllib.loads((REPOSITORY / "deny.toml").read_text())
TARGETS = [word for target in DENY["graph"]["targets"] for word in ("--filter-platform", target)]


@cache
def crates() -> list[dict[str, Any]]:
    """What is linked into a program for the targets, tests' own crates among it."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", *TARGETS]
    metadata = json.loads(subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout)
    resolved = {node["id"] for node in metadata["resolve"]["nodes"]}
    return [package for package in metadata["packages"] if package["id"] in resolved]


def is_allowed(expression: str) -> bool:
    """Whether the SPDX expression is fulfilled by the allowed licences."""

    def judged(word: re.Match[str]) -> str:
        return word[0].lower() if word[0] in {"AND", "OR"} else str(word[0] in DENY["licenses"]["allow"])

    condition = re.sub(r"[\w.+-]+(?: WITH [\w.-]+)?", judged, expression.replace("/", " OR "))
    return bool(eval(condition))  # made of True, False, and, or, brackets


def test_every_licence_is_allowed_and_every_allowed_one_is_met() -> None:
    assert {crate["name"]: crate["license"] for crate in crates() if not is_allowed(crate["license"])} == {}
    named = " ".join(crate["license"] for crate in crates())
    assert [licence for licence in DENY["licenses"]["allow"] if licence not in named] == []


def test_every_crate_is_from_cratesio_or_from_here() -> None:
    known = {None, *(f"registry+{registry}" for registry in DENY["sources"]["allow-registry"])}
    assert {crate["source"] for crate in crates()} == known


def test_no_banned_crate_is_there() -> None:
    banned = {ban["crate"] for ban in DENY["bans"]["deny"]}
    assert banned & {crate["name"] for crate in crates()} == set()
