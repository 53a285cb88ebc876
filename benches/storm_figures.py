"""Everybody at nine o'clock: many starts at once, under the quotas that AWS documents for an account."""

from __future__ import annotations

from pathlib import Path

from hub_side import Json, Side
from table import Figure
from tls_front import Front

from support import program
from support.emulator import Emulator

# Fargate's RunTask, and what it launches: 100 at once, then 20 a second ("AWS Fargate throttling quotas").
BURST, A_SECOND = 100, 20
# About what a task takes on Fargate, to its address and to RUNNING.
PROVISIONING_MS, PENDING_MS = 10_000, 25_000
LATENCY_MS = 20
BEYOND_THE_BOUND = 1.15
# Its thousand fail as its hundred do.
PEER_AT_MOST = 100


def figures(folder: Path, count: int, *, peer: bool) -> list[Figure]:
    """So many starts at once."""
    ours = storm(folder, "ours", count)
    theirs = storm(folder, "peer", count) if peer and count <= PEER_AT_MOST else {}
    bound_s = max(0, count - BURST) / A_SECOND + (PROVISIONING_MS + PENDING_MS) / 1000
    of_both = count <= PEER_AT_MOST
    last = f"the last of {count:,} starts at once has its address (bound: {bound_s:g} s)"
    return [
        Figure(f"starts that fail, of {count:,} at once", ours["failed"], "", 1, theirs.get("failed"), of_both=of_both),
        Figure(
            f"tasks that no server belongs to, after {count:,} starts at once",
            ours["left_over"],
            "",
            1,
            theirs.get("left_over"),
            of_both=of_both,
        ),
        Figure(
            last,
            ours["last_s"],
            "s",
            bound_s * BEYOND_THE_BOUND,
            theirs.get("last_s"),
            peer_more=f", of {count - theirs['failed']} that succeeded" if theirs else "",
            of_both=of_both,
        ),
    ]


def storm(folder: Path, which: str, count: int) -> Json:
    """One crowd, on an account of its own."""
    delays = f"provisioning={PROVISIONING_MS},pending={PENDING_MS},activating=0,deactivating=0"
    arguments = ("--quotas", "documented", "--latency-ms", str(LATENCY_MS))
    with Emulator(*arguments, delays=delays, check_model=False) as emulator, Front(folder, emulator.url) as front:
        env = emulator.env(AWS_ENDPOINT_URL="", **front.trust)
        with Side(which, env, host=front.host, program=program.path()) as side:
            answer: Json = side.ask("storm", count=count)
            return {**answer, "left_over": len(emulator.alive()) - (count - answer["failed"])}
