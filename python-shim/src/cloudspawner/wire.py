"""The frames that the shim and the `cloudspawner` program exchange: JSON lines, version 1.

Only shapes and the few helpers that turn them into bytes and back. How frames are matched, acknowledged and
repeated is in `program`; what they mean to JupyterHub is in `spawner`.
"""

from __future__ import annotations

import json
from typing import Any, Literal, TypedDict, cast

VERSION = 1

# protocol.md, "Framing": one JSON object a line, at most 4 MiB.
MAX_FRAME_BYTES = 4 * 1024 * 1024

JsonObject = dict[str, Any]
Phase = Literal["pending", "running", "stopping", "exited", "gone", "unknown"]
Cleanup = Literal["none", "done", "needed"]


class Server(TypedDict):
    """What alone determines a server's key; names go raw, the program hashes them."""

    hub: str
    user: str
    name: str


class Spec(TypedDict):
    """What is to run."""

    command: list[str]
    args: list[str]
    env: dict[str, str]
    port: int
    scheme: str
    service_prefix: str
    user_options: JsonObject
    cpu_limit: float | None
    mem_limit_mib: int | None
    mounts: list[JsonObject]


class Common(TypedDict):
    """What every verb's params hold; credentials only where the admin gave explicit ones."""

    backend: str
    config: JsonObject
    credentials: JsonObject | None


class StartParams(Common):
    """Params of `start`; `state` is null, or the last one where a start is repeated."""

    server: Server
    attempt: str
    spec: Spec
    state: JsonObject | None


class Target(TypedDict):
    """One server of a poll."""

    server: Server
    state: JsonObject | None


class PollParams(Common):
    """Params of `poll`; an observation that is younger than `max_age_ms` is good enough."""

    max_age_ms: int
    ages: bool
    targets: list[Target]


class StopParams(Common):
    """Params of `stop`."""

    server: Server
    state: JsonObject | None
    reason: str
    wait: bool


class GcLimits(TypedDict, total=False):
    """What gc may be told beside: the only ones (the cloud's own names) that may be removed."""

    only: list[str]


class GcParams(Common, GcLimits):
    """Params of `gc`: what bears the hub's mark and is not in `keep` is stale."""

    hub: str
    keep: list[JsonObject]
    min_age_ms: int
    apply: bool
    force: bool


class CheckParams(Common):
    """Params of `check`; `hub_url` is where servers are to reach the hub, `port` where they listen.

    `hub_version` is that of the hub's JupyterHub.
    """

    hub_url: str | None
    port: int
    hub_version: str
    offline: bool


class ShareParams(Common):
    """Params of `share`: ensure, show, rename (`to` another name) or delete a person's own storage."""

    hub: str
    storage_id: str
    user: str
    action: str
    to: str | None


class LogsParams(Common):
    """Params of `logs`: the last lines of a server's log."""

    server: Server
    state: JsonObject | None
    lines: int


class CancelParams(TypedDict):
    """Params of `cancel`: the id of the request to cancel."""

    id: str


class ServerStatus(TypedDict, total=False):
    """One answer of a poll."""

    key: str
    phase: Phase
    exit_code: int | None
    url: str | None
    cleanup: Cleanup
    reason: str | None
    error: JsonObject | None
    last_activity: str | None
    age_ms: int
    state: JsonObject | None


class StopResult(TypedDict, total=False):
    """The result of a stop."""

    phase: Phase
    cleanup: Cleanup


class GcResult(TypedDict):
    """The result of gc: a plan, and what was removed of it."""

    stale: list[JsonObject]
    removed: list[str]
    errors: list[JsonObject]


class Event(TypedDict, total=False):
    """A step of a start, for the person who waits."""

    stage: str
    percent: int | None
    message: str
    link: str | None


class ProgramError(Exception):
    """An error frame, or a failure of the program itself told in the same words.

    Neither text holds a secret: the program promises that for its frames, and the shim never puts a request
    into one.

    Attributes:
        code: one of the protocol's codes.
        message: for the admin.
        user_message: for the person who waits on the spawn page.
        retry: "later", "after_fix" or "never".
        cleanup: whether something is left behind.
        context: the cloud's own words: operation, cloud_code, request_id, ….
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        user_message: str = "",
        retry: str = "later",
        cleanup: Cleanup = "none",
        context: JsonObject | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.user_message = user_message or "The server could not be reached or started. Try again later."
        self.retry = retry
        self.cleanup = cleanup
        self.context: JsonObject = context or {}

    @classmethod
    def from_frame(cls, frame: JsonObject) -> ProgramError:
        """Read an error frame; what is missing or of a wrong type gets the careful value."""
        error = frame.get("error")
        error = error if isinstance(error, dict) else {}
        cleanup, context = error.get("cleanup"), error.get("context")
        return cls(
            str(error.get("code") or "internal"),
            str(error.get("message") or "the program gave no reason"),
            user_message=str(error.get("user_message") or ""),
            retry=str(error.get("retry") or "later"),
            # Nothing is forgotten on a word that is not understood.
            cleanup=cleanup if cleanup in ("none", "done") else "needed",
            context=context if isinstance(context, dict) else None,
        )


def request(request_id: str, verb: str, params: object, *, timeout_ms: int, ack: bool = False) -> JsonObject:
    """Wrap a verb's params in the envelope."""
    frame: JsonObject = {
        "v": VERSION,
        "id": request_id,
        "verb": verb,
        "timeout_ms": timeout_ms,
        "params": params,
    }
    if ack:
        frame["ack"] = True
    return frame


def cancel(request_id: str, target_id: str) -> JsonObject:
    """Ask for the end of the request `target_id`; that one still gets its own last frame."""
    params: CancelParams = {"id": target_id}
    return {"v": VERSION, "id": request_id, "verb": "cancel", "params": params}


def ack(request_id: str, seq: int) -> JsonObject:
    """Say that the state frame `seq` is committed to the hub's database."""
    return {"type": "ack", "id": request_id, "seq": seq}


def encode(frame: JsonObject) -> bytes:
    """Turn a frame into one line.

    Raises:
        ProgramError: `bad_request`, where the frame holds what JSON cannot hold or is too large. The cause is
            left out on purpose: it could show a part of the frame.
    """
    try:
        line = json.dumps(frame, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        kind = "" if isinstance(error, UnicodeError) else f" ({error})"
        problem = f"the request cannot be written as JSON{kind}"
    else:
        if len(line) < MAX_FRAME_BYTES:
            return line + b"\n"
        problem = f"the request has {len(line)} bytes, more than the {MAX_FRAME_BYTES} that a line may have"
    raise ProgramError("bad_request", problem, retry="after_fix")


def decode(line: bytes) -> JsonObject:
    """Read one line.

    Raises:
        ValueError: the line is not a JSON object.
    """
    frame = json.loads(line)
    if not isinstance(frame, dict):
        raise ValueError("not a JSON object")
    return cast("JsonObject", frame)
