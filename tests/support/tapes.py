"""Tapes that stand in the repository: what each backend must have, where, and how one is replayed and compared."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support import program
from support.binaries import REPOSITORY, clean_environment

Json = dict[str, Any]

FOLDER = REPOSITORY / "tests/tapes"
SCENES = ("start", "poll", "stop", "failed_creation", "throttled")
API_TOKEN = "tape-secret-api-token"
OFFLINE: Mapping[str, str] = clean_environment(AWS_REGION="eu-west-1")
"""No credentials and no endpoint: a replay needs neither."""


def folder(backend: str, scene: str) -> Path:
    """Where a scene stands: `request.json`, `frames.json` and the exchanges."""
    return FOLDER / backend / scene


def replay(backend: str, scene: str) -> list[Json]:
    """What the program tells when the scene's request is answered from its tape."""
    where = folder(backend, scene)
    request = json.loads((where / "request.json").read_text())
    done = program.run(request["verb"], request, OFFLINE, arguments=["--replay", str(where / "exchanges")])
    return told(done.frames)


def told(frames: list[Json]) -> list[Json]:
    """Frames but for the moment of the attempt."""
    frames_told: list[Json] = json.loads(re.sub(r'"attempted_at_ms": \d+', '"attempted_at_ms": 0', json.dumps(frames)))
    return frames_told
