"""The faults: what befalls which call how often, what the person is told, what is tried again, and what is left.

`told` is what the program answers: that the server is `running` or `stopped`, or the code of its error. `tries` is how often
the call was made in all, where that is a promise; `MANY` stands for as often as the time allows. `left` is what costs money
afterwards: the `server` as it should be, `nothing`, or something whose removal the answer says is `needed` and that a later
stop finishes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

MANY = -1
BOTH = ("fargate", "azure_ml")
FARGATE = ("fargate",)
AZURE = ("azure_ml",)


@dataclass(frozen=True)
class Case:
    """One row. `times` is None for a fault that stays; `stuck` servers never come up, so that the start's time runs out."""

    verb: Literal["start", "poll", "stop"]
    call: str
    befalls: str
    times: int | None
    told: str
    left: Literal["server", "nothing", "needed"]
    tries: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    clouds: tuple[str, ...] = BOTH
    timeout_ms: int = 1500
    stuck: bool = False

    def __str__(self) -> str:
        """The row's name among the tests."""
        often = "always" if self.times is None else f"{self.times}x"
        detail = "".join(f"-{value}" for value in self.more.values())
        return f"{self.verb}-{'stuck-' if self.stuck else ''}{self.call}-{self.befalls}{detail}-{often}"


def once(verb: Any, call: str, kinds: str, told: str, **more: Any) -> list[Case]:
    """Rows of faults that pass: the server is as it should be, and the call was repeated."""
    usual: dict[str, Any] = {"times": 1, "told": told, "left": "server" if verb != "stop" else "nothing", "timeout_ms": 20_000}
    return [Case(verb, call, kind, **{**usual, **more}) for kind in kinds.split()]


def always(verb: Any, call: str, kinds: str, told: str, left: Any, **more: Any) -> list[Case]:
    """Rows of faults that stay until the time is up."""
    return [Case(verb, call, kind, None, told, left, **more) for kind in kinds.split()]


PASSING = "throttle error_500 error_503 cut_before reply_lost truncated wrong_json html"
NOT_FOUND = {"status": 404}
GATEWAY = {"status": 502}

START = [
    # A creation that is not answered is repeated so that it makes one server.
    *once("start", "create", "throttle error_500 error_503 cut_before html", "running", tries=2),
    *once("start", "create", "reply_lost truncated", "running", clouds=FARGATE, tries=2),
    *once("start", "create", "wrong_json", "running", clouds=FARGATE, tries=2),
    *once("start", "create", "reply_lost truncated wrong_json", "running", clouds=AZURE, tries=1),
    *once("start", "create", "html", "running", more=GATEWAY, tries=2),
    *once("start", "create", "html", "running", more=NOT_FOUND, tries=2),
    *once("start", "create", "slow", "running", more={"delay_ms": 300}, tries=1),
    *once("start", "create", "throttle error_500 reply_lost", "running", times=3),
    # What it meets again and again is told by its own code, and what is not known to be nothing is needed.
    *always("start", "create", "throttle", "throttled", "nothing", tries=MANY, timeout_ms=4000),
    *always("start", "create", "error_500", "unavailable", "needed", tries=MANY),
    *always("start", "create", "reply_lost wrong_json", "unavailable", "needed", tries=MANY, clouds=FARGATE),
    *always("start", "create", "access_denied", "permission_denied", "nothing"),
    *always("start", "create", "expired_token", "unauthenticated", "nothing"),
    *always("start", "create", "clock_skew", "unauthenticated", "nothing", tries=2, clouds=FARGATE),
    *once("start", "create", "expired_token", "running", tries=2),
    *always("start", "create", "refused", "invalid_config", "nothing", clouds=FARGATE, tries=1, more={"message": "no such subnet"}),
    # Capacity and quota.
    *once("start", "create", "capacity resource_eni", "running", clouds=FARGATE, tries=2),
    *always("start", "create", "capacity resource_eni", "capacity_unavailable", "nothing", clouds=FARGATE),
    *always("start", "create", "quota_exceeded", "quota_exceeded", "nothing", clouds=AZURE, tries=1),
    *once("start", "create", "create_failed setup_failed", "start_failed", clouds=AZURE, left="nothing", tries=1,
          more={"code": "VmDoesNotBoot", "message": "It does not boot."}),
    # A creation that hangs is waited for: it may have had its effect.
    *once("start", "create", "hang", "deadline", left="nothing", clouds=FARGATE, timeout_ms=1000),
    *once("start", "create", "hang", "deadline", left="needed", clouds=AZURE, timeout_ms=1000),
    *always("start", "create", "hang", "deadline", "needed", timeout_ms=1000),
    # Looks that fail are tried again; the server is not given up for them.
    *once("start", "look", PASSING, "running", timeout_ms=30_000),
    *once("start", "look", "html", "running", more=NOT_FOUND, timeout_ms=30_000),
    *once("start", "look", "expired_token", "running", timeout_ms=30_000),
    *always("start", "look", "throttle", "throttled", "nothing", clouds=FARGATE, timeout_ms=2500),
    *always("start", "look", "error_500 cut_before html wrong_json", "unavailable", "nothing", clouds=FARGATE, timeout_ms=2500),
    *always("start", "look", "hang", "deadline", "nothing", clouds=FARGATE),
    *always("start", "look", "access_denied", "permission_denied", "nothing", clouds=FARGATE, timeout_ms=9000),
    *always("start", "look", "throttle", "throttled", "nothing", clouds=AZURE, tries=MANY, timeout_ms=3500),
    *always("start", "look", "error_500 cut_before html", "unavailable", "nothing", clouds=AZURE, tries=MANY),
    *always("start", "look", "hang", "deadline", "nothing", clouds=AZURE),
    *always("start", "look", "access_denied", "permission_denied", "nothing", clouds=AZURE, tries=1),
    # The lookup of older tasks.
    *once("start", "find", PASSING, "running", clouds=FARGATE),
    *always("start", "find", "access_denied", "running", "server", clouds=FARGATE, timeout_ms=20_000),
    *always("start", "find", "error_500 cut_before html wrong_json", "unavailable", "nothing", clouds=FARGATE),
    *always("start", "find", "hang", "deadline", "nothing", clouds=FARGATE),
    # The clean-up after a start whose time ran out.
    *once("start", "remove", PASSING + " slow", "deadline", clouds=FARGATE, left="nothing", stuck=True, timeout_ms=1500,
          more={"delay_ms": 300}),
    *always("start", "remove", "error_500 access_denied hang", "deadline", "needed", clouds=FARGATE, stuck=True),
    *once("start", "delete", PASSING + " slow", "deadline", clouds=AZURE, left="nothing", stuck=True, timeout_ms=1500,
          more={"delay_ms": 300}),
    *always("start", "delete", "error_500 access_denied hang", "deadline", "needed", clouds=AZURE, stuck=True),
    # The right to call at all.
    *once("start", "token", "throttle error_500 error_503 cut_before html truncated wrong_json", "running", clouds=AZURE, tries=2),
    *always("start", "token", "throttle error_500 cut_before html", "unavailable", "nothing", clouds=AZURE, tries=MANY),
    *always("start", "token", "hang", "deadline", "nothing", clouds=AZURE),
    *always("start", "token", "access_denied expired_token", "unauthenticated", "nothing", clouds=AZURE, tries=1),
]  # fmt: skip

POLL = [
    # A poll that gets no proof says so; the server lives on.
    *once("poll", "look", PASSING, "running"),
    *once("poll", "look", "slow", "running", more={"delay_ms": 300}),
    *once("poll", "look", "expired_token", "running"),
    *always("poll", "look", "throttle", "throttled", "server"),
    *always("poll", "look", "error_500 error_503 cut_before reply_lost wrong_json html", "unavailable", "server"),
    *always("poll", "look", "truncated", "unavailable", "server"),
    *always("poll", "look", "html", "unavailable", "server", more=NOT_FOUND),
    *always("poll", "look", "html", "unavailable", "server", more=GATEWAY),
    *always("poll", "look", "access_denied", "permission_denied", "server"),
    *always("poll", "look", "expired_token", "unauthenticated", "server"),
    *always("poll", "look", "clock_skew", "unauthenticated", "server", clouds=FARGATE, tries=2),
    *always("poll", "look", "hang", "deadline", "server", timeout_ms=800),
    *always("poll", "token", "throttle error_500 cut_before html wrong_json", "unavailable", "server", clouds=AZURE),
    *always("poll", "token", "hang", "deadline", "server", clouds=AZURE, timeout_ms=800),
    *always("poll", "token", "access_denied expired_token", "unauthenticated", "server", clouds=AZURE),
]

STOP = [
    # A stop is repeated until the cloud has accepted it; until then it is needed.
    *once("stop", "remove", PASSING, "stopped"),
    *once("stop", "remove", "html", "stopped", more=NOT_FOUND),
    *once("stop", "remove", "slow", "stopped", more={"delay_ms": 300}, tries=1),
    *once("stop", "remove", "expired_token", "stopped", tries=2),
    *always("stop", "remove", "throttle", "throttled", "needed"),
    *always("stop", "remove", "error_500 error_503 cut_before html", "unavailable", "needed", tries=MANY),
    *always("stop", "remove", "access_denied", "permission_denied", "needed", tries=1),
    *always("stop", "remove", "expired_token", "unauthenticated", "needed", tries=2),
    *always("stop", "remove", "hang", "deadline", "needed", timeout_ms=800),
    *once("stop", "look", PASSING, "stopped", clouds=AZURE),
    *always("stop", "look", "html", "unavailable", "needed", clouds=AZURE, more=NOT_FOUND),
    *always("stop", "look", "error_500 wrong_json hang", "unavailable deadline", "needed", clouds=AZURE),
    *once("stop", "token", "throttle error_500 cut_before html", "stopped", clouds=AZURE),
]

CASES = [*START, *POLL, *STOP]
