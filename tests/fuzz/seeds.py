"""Writes what the fuzzer begins with: `seeds.py FOLDER` fills FOLDER/TARGET with the golden frames and the tapes' answers."""

import json
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent
TEXTS = ["12", "Wed, 21 Oct 2026 07:28:00 GMT", "2026-10-21T07:28:00.123456789Z", "PT30M", "hub\nada\ngpu", '{"token":"x"}']
STATUSES = [200, 201, 202, 400, 404, 409, 429, 503]
"""The first byte of an answer stands for one of these: src/fuzz.rs."""


def documents(folder: str) -> list[Any]:
    """Every document of a folder's JSON files and JSON lines."""
    found = []
    for file in sorted((TESTS / folder).rglob("*.json*")):
        text = file.read_text()
        found += [json.loads(line) for line in text.splitlines() if line] if file.suffix == ".jsonl" else [json.loads(text)]
    return found


def answers() -> list[bytes]:
    """Answers of the tapes as the targets read them: a byte for the status, then the body."""
    told = [frame["response"] for frame in documents("tapes") if isinstance(frame, dict) and "response" in frame]
    return [
        bytes([STATUSES.index(answer["status"])]) + json.dumps(answer["body"]).encode()
        for answer in told
        if answer.get("status") in STATUSES and answer.get("body") is not None
    ]


def main() -> None:
    frames = documents("wire")
    states = documents("wire/state")
    seeds = {
        "wire": [json.dumps(frame).encode() for frame in frames],
        "state": [json.dumps(state).encode() for state in states],
        "aws": answers(),
        "azure": answers(),
        "text": [text.encode() for text in TEXTS],
    }
    for target, found in seeds.items():
        if not found:
            raise SystemExit(f"no seeds for {target}: have the golden files or the tapes moved?")
        folder = Path(sys.argv[1]) / target
        folder.mkdir(parents=True, exist_ok=True)
        for nth, seed in enumerate(found):
            (folder / f"seed-{nth}").write_bytes(seed)
        print(f"{target}: {len(found)} seeds")


main()
