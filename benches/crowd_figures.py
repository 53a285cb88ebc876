"""A thousand servers and ten thousand, polled as a hub polls them: spread over its poll interval.

Beside them stands a process with as many spawners that do nothing: what it takes is the measuring itself.
"""

from __future__ import annotations

from pathlib import Path

from hub_side import Json, Side
from poll_figures import Measured, both, peak_megabytes
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


def figures(folder: Path, size: int, *, peer: bool) -> list[Figure]:
    """What polls of so many servers cost; the program has just begun, as after a restart of the hub."""
    with Emulator(check_model=False) as emulator, Front(folder, emulator.url) as front:
        overrides = {"containerOverrides": [{"name": "notebook", "environment": ENVIRONMENT}]}
        arns = emulator.run(size, overrides=overrides)
        emulator.wait_for_status("RUNNING")
        env = emulator.env(AWS_ENDPOINT_URL="", **front.trust)
        with (
            Side("ours", env, host=front.host, program=program.path()) as side,
            Side("idle", env, host="", program="") as idle,
        ):
            idle.begin("adopt", states=[{}] * size)
            side.ask("adopt", states=[state(emulator, front, number, arn) for number, arn in enumerate(arns)])
            idle.end()
            at_once = Measured(emulator, side)
            idle.begin("poll_spread", seconds=SECONDS, rounds=ROUNDS)
            ours = Measured(emulator, side, "poll_spread", seconds=SECONDS, rounds=ROUNDS)
            idle_ms: float = idle.end()["cpu_ms"]
            stalls = longest_stalls(side, idle)
            (child,) = side.children()
            peak = peak_megabytes(child)
        theirs, their_stall = Measured(emulator, None), None
        if peer and size <= PEER_AT_MOST:
            with Side("peer", env, host=front.host, program="") as side:
                cluster = emulator.ready["cluster"]
                side.ask("adopt", states=[{"task_arn": arn, "task_cluster_arn": cluster} for arn in arns])
                theirs = Measured(emulator, side, "poll_spread", seconds=SECONDS, rounds=1)
                their_stall = max(0.0, longest_stalls(side)[0] - stalls[1])
    who = f"{size:,} servers"
    every = f"{who} polled every {SECONDS} s"
    calls = f"ECS calls in {SECONDS} s, {every}"
    of_both = size <= PEER_AT_MOST
    return [
        Figure(f"ECS calls for the first poll of {who}, all at once", at_once.calls, "", more=at_once.more),
        both(calls, ours, theirs, what="calls_a_round", unit="", target=SIZES[size])
        if of_both
        else Figure(calls, ours.calls_a_round, "", SIZES[size], size, ours.more, ", not run", of_both=True),
        Figure(
            f"hub's CPU a poll, {every}",
            ours.cpu_ms,
            "ms",
            HUB_MS,
            theirs.cpu_ms if theirs.side else None,
            f" (a no-op spawner's: {idle_ms:.2f})",
            of_both=of_both,
        ),
        Figure(f"program's CPU a poll, {every}", ours.program_ms / size / ROUNDS, "ms", PROGRAM_MS),
        Figure(f"program's CPU a poll, {who}, all at once", at_once.program_ms / size, "ms", PROGRAM_MS),
        Figure(f"peak memory of `serve` after that, {who}", peak, "MB", MEGABYTES),
        Figure(
            f"longest stall of the hub's loop beyond a no-op spawner's, {every}",
            round(max(0.0, stalls[0] - stalls[1]), 1),
            "ms",
            STALL_MS,
            their_stall and round(their_stall, 1),
            f" ({stalls[0]:.1f}, and {stalls[1]:.1f} of a no-op)",
            of_both=of_both,
        ),
    ]


def longest_stalls(*sides: Side) -> list[float]:
    """For how many milliseconds the loop of each was blocked at most, in one interval of polls, all at once."""
    for side in sides:
        side.begin("stalls", of="poll_spread", seconds=SECONDS, rounds=1)
    return [side.end()["longest_ms"] for side in sides]


def state(emulator: Emulator, front: Front, number: int, arn: str) -> Json:
    """What the hub's database would keep of a server that runs."""
    url = "http://127.0.0.1:8888"
    return {"cloud": state_of(emulator, number, ref=arn, url=url, endpoint=front.url), "url": url}
