"""A thousand servers and ten thousand, polled as a hub polls them: spread over its poll interval.

Beside them stands a process with as many spawners that do nothing: what it takes is the measuring itself.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from hub_side import Json, Side
from poll_figures import Measured, peak_megabytes
from table import Figure
from tls_front import Front

from support import program
from support.emulator import Emulator
from support.states import state_of

# JupyterHub's own poll interval is 30 s.
SECONDS, ROUNDS = 30, 2
# The targets of the table are exclusive: at most 12 and 120 calls in an interval.
SIZES = {1_000: 13, 10_000: 121}
# The peer's ten thousand polls take longer than the interval.
PEER_AT_MOST = 1_000
HUB_MS, PROGRAM_MS, MEGABYTES, STALL_MS = 0.2, 0.05, 60, 50
# About what JupyterHub gives to a server; ECS repeats it whenever it describes the task.
ENVIRONMENT = [{"name": f"JUPYTERHUB_VARIABLE_{number:02}", "value": "x" * 40} for number in range(20)]


@dataclass(frozen=True)
class Polled:
    """What the polls of one process took, and for how many milliseconds its loop was blocked at most."""

    spread: Measured
    longest_stall_ms: float


@dataclass(frozen=True)
class Ours(Polled):
    """Ours, with what the spawners beside it took that do nothing."""

    at_once: Measured
    most_calls: int
    peak_megabytes: float
    idle_ms: float
    idle_stall_ms: float


def figures(folder: Path, size: int, *, peer: bool) -> list[Figure]:
    """What polls of so many servers cost; the program has just begun, as after a restart of the hub."""
    with Emulator(check_model=False) as emulator, Front(folder, emulator.url) as front:
        overrides = {"containerOverrides": [{"name": "notebook", "environment": ENVIRONMENT}]}
        arns = emulator.run(size, overrides=overrides)
        emulator.wait_for_status("RUNNING")
        ours = measure_ours(emulator, front, arns)
        theirs = measure_peer(emulator, front, arns) if peer and size <= PEER_AT_MOST else None
    return lines(size, ours, theirs)


def measure_ours(emulator: Emulator, front: Front, arns: list[str]) -> Ours:
    """All at once, then spread, once without being measured, then spread again with an eye on the loop."""
    env = emulator.env(AWS_ENDPOINT_URL="", **front.trust)
    with (
        Side("ours", env, host=front.host, program=program.path()) as side,
        Side("idle", env, host="", program="") as idle,
    ):
        idle.begin("adopt", states=[{}] * len(arns))
        side.ask("adopt", states=[state(emulator, front, number, arn) for number, arn in enumerate(arns)])
        idle.end()
        at_once = Measured(emulator, side)
        # What all know from that has to be old before what polls cost in the long run is seen.
        side.ask("poll_spread", seconds=SECONDS, rounds=1)
        began_ms = time.time() * 1000
        idle.begin("poll_spread", seconds=SECONDS, rounds=ROUNDS)
        spread = Measured(emulator, side, "poll_spread", seconds=SECONDS, rounds=ROUNDS)
        idle_ms: float = idle.end()["cpu_ms"]
        calls = most_calls(emulator, began_ms)
        stall_ms, idle_stall_ms = longest_stalls(side, idle)
        (child,) = side.children()
        return Ours(spread, stall_ms, at_once, calls, peak_megabytes(child), idle_ms, idle_stall_ms)


def measure_peer(emulator: Emulator, front: Front, arns: list[str]) -> Polled:
    """The same servers, spread; all at once it would make as many calls."""
    cluster = emulator.ready["cluster"]
    with Side("peer", emulator.env(AWS_ENDPOINT_URL="", **front.trust), host=front.host, program="") as side:
        side.ask("adopt", states=[{"task_arn": arn, "task_cluster_arn": cluster} for arn in arns])
        spread = Measured(emulator, side, "poll_spread", seconds=SECONDS, rounds=1)
        return Polled(spread, *longest_stalls(side))


def most_calls(emulator: Emulator, since_ms: float) -> int:
    """The most calls in any interval since then."""
    times = [call["at_ms"] for call in emulator.requests() if call["at_ms"] >= since_ms]
    return max(sum(begin <= at < begin + SECONDS * 1000 for at in times) for begin in times)


def longest_stalls(*sides: Side) -> list[float]:
    """For how many milliseconds the loop of each was blocked at most, in one interval of polls, all at once."""
    for side in sides:
        side.begin("stalls", of="poll_spread", seconds=SECONDS, rounds=1)
    return [side.end()["longest_ms"] for side in sides]


def lines(size: int, ours: Ours, theirs: Polled | None) -> list[Figure]:
    """The table's lines."""
    who = f"{size:,} servers"
    every = f"{who} polled every {SECONDS} s"
    of_both = size <= PEER_AT_MOST
    spread = theirs.spread if theirs else None

    def beyond_idle(stall_ms: float) -> float:
        return round(max(0.0, stall_ms - ours.idle_stall_ms), 1)

    return [
        Figure(f"ECS calls for the first poll of {who}, all at once", ours.at_once.calls, "", more=ours.at_once.more),
        Figure(
            f"most ECS calls in any {SECONDS} s, {every}",
            ours.most_calls,
            "",
            SIZES[size],
            spread.calls if spread else None if of_both else size,
            ours.spread.more,
            spread.more if spread else "" if of_both else ", not run",
            of_both=True,
        ),
        Figure(
            f"hub's CPU a poll, {every}",
            ours.spread.cpu_ms,
            "ms",
            HUB_MS,
            spread.cpu_ms if spread else None,
            f" (a no-op spawner's: {ours.idle_ms:.2f})",
            of_both=of_both,
        ),
        Figure(
            f"hub's CPU a poll beyond a no-op spawner's, {every}",
            max(0.0, ours.spread.cpu_ms - ours.idle_ms),
            "ms",
            HUB_MS,
            max(0.0, spread.cpu_ms - ours.idle_ms) if spread else None,
            of_both=of_both,
        ),
        Figure(f"program's CPU a poll, {every}", ours.spread.program_ms / size / ROUNDS, "ms", PROGRAM_MS),
        Figure(f"program's CPU a poll, {who} all at once", ours.at_once.program_ms / size, "ms", PROGRAM_MS),
        Figure(f"peak memory of `serve` after that, {who}", ours.peak_megabytes, "MB", MEGABYTES),
        Figure(
            f"longest stall of the hub's loop beyond a no-op spawner's, {every}",
            beyond_idle(ours.longest_stall_ms),
            "ms",
            STALL_MS,
            beyond_idle(theirs.longest_stall_ms) if theirs else None,
            f" ({ours.longest_stall_ms:.1f}, and {ours.idle_stall_ms:.1f} of a no-op)",
            of_both=of_both,
        ),
    ]


def state(emulator: Emulator, front: Front, number: int, arn: str) -> Json:
    """What the hub's database would keep of a server that runs."""
    url = "http://127.0.0.1:8888"
    return {"cloud": state_of(emulator, number, ref=arn, url=url, endpoint=front.url), "url": url}
