"""How long after a task runs `start()` returns.

Both spawners start in the same rounds, so the emulator gives the tasks of both the same delays. These differ from round
to round: whoever looks at intervals would otherwise always be early, or always late.
"""

from __future__ import annotations

import random
from statistics import median
from urllib.parse import urlsplit

from hub_side import Json, Side
from table import Figure

from support.emulator import Emulator

ROUNDS = {1: 8, 5: 4, 10: 4}
TARGET_MS = 300


def delays(chance: random.Random) -> Json:
    """Fargate's two slow states, made short enough for a bench and long enough to be looked at more than once."""
    return {
        "provisioning": chance.randint(600, 1600),
        "pending": chance.randint(1200, 2200),
        "activating": 0,
        "deactivating": 0,
        "stopping": 20,
        "deprovisioning": 20,
    }


def lateness(emulator: Emulator, answers: list[Json]) -> list[float]:
    """Milliseconds from RUNNING to the return, of each start; a start that failed is infinitely late."""
    running_at = {task["address"]: task["running_at_ms"] for task in emulator.tasks()}
    late = []
    for answer in answers:
        host = urlsplit(answer["url"]).hostname
        late.append(float("inf") if answer["error"] else answer["returned_at_ms"] - running_at[host])
    return late


def figures(emulator: Emulator, ours: Side, peer: Side | None) -> list[Figure]:
    """Starts one by one, five and ten at once."""
    chance = random.Random(8)  # noqa: S311 - the same delays in each run
    sides = [ours, *([peer] if peer else [])]
    found = []
    for side in sides:  # the first start brings up our child and the peer's TLS; a hub does that once
        side.ask("start", count=1)
        side.ask("stop")
    for count, rounds in ROUNDS.items():
        late: dict[Side, list[float]] = {side: [] for side in sides}
        for _ in range(rounds):
            emulator.settings(delays=delays(chance))
            for side in sides:
                side.begin("start", count=count)
            for side in sides:
                late[side] += lateness(emulator, side.end())
            for side in sides:
                side.ask("stop")
        theirs = late[peer] if peer else []
        found.append(
            Figure(
                f"from RUNNING to the return of start(), {count} at once",
                round(median(late[ours])),
                "ms",
                TARGET_MS,
                round(median(theirs)) if theirs else None,
                more=f", worst {max(late[ours]):,.0f}",
                peer_more=f", worst {max(theirs):,.0f}" if theirs else "",
                of_both=True,
            )
        )
    return found
