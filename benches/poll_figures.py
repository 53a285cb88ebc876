"""What polls cost the hub's process, the program's, and the cloud's quota."""

from __future__ import annotations

import os
from pathlib import Path

from hub_side import Json, Side
from table import Figure

from support.emulator import FAST, Emulator

SERVERS, ALONE, ROUNDS = 1000, 200, 5
IN_A_ROW = ALONE * ROUNDS
# A hub with 1,000 servers polls one each 30 ms, since it polls each every 30 s.
APART, APART_MS = 200, 30
TARGET_MS = 0.3
MEGABYTE = 1e6


def calls(emulator: Emulator) -> int:
    """ECS calls since the last reset."""
    return sum(emulator.admin("calls")["counts"].values())


def cpu_ms(pid: int) -> float:
    """CPU that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def peak_megabytes(pid: int) -> float:
    """The largest memory that a process had so far."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024 / MEGABYTE


class Measured:
    """One side's polls, with the calls that they made and what went wrong."""

    def __init__(self, emulator: Emulator, side: Side | None, do: str = "poll", **arguments: object) -> None:
        self.side = side
        if side is None:
            return
        emulator.reset_calls()
        before = sum(map(cpu_ms, side.children()))
        answer: Json = side.ask(do, **arguments)
        self.program_ms = sum(map(cpu_ms, side.children())) - before
        self.calls = calls(emulator)
        self.calls_a_round = self.calls / int(str(arguments.get("rounds", 1)))
        self.cpu_ms: float = answer.get("cpu_ms", 0.0)
        self.more = f", {answer['wrong']} WRONG ANSWERS" if answer["wrong"] else ""


def both(
    name: str, ours: Measured, peer: Measured, *, what: str, unit: str = "ms", target: float | None = None
) -> Figure:
    """A figure of both sides."""
    theirs = getattr(peer, what) if peer.side else None
    return Figure(
        name, getattr(ours, what), unit, target, theirs, ours.more, peer.more if peer.side else "", of_both=True
    )


def figures(emulator: Emulator, ours: Side, peer: Side | None, *, long: bool) -> list[Figure]:
    """One server alone, a thousand at once, and with `long` a thousand over thirty seconds."""
    emulator.admin("reset", {})
    emulator.settings(delays={name: int(value) for name, value in (part.split("=") for part in FAST.split(","))})
    ours.ask("close")
    states = ours.ask("fill", count=SERVERS)
    peak_starts = max(map(peak_megabytes, ours.children()))
    ours.ask("close")
    ours.ask("adopt", states=states)
    if peer:
        cluster = emulator.ready["cluster"]
        peer.ask("adopt", states=[{"task_arn": task["arn"], "task_cluster_arn": cluster} for task in emulator.alive()])

    alone, peer_alone = (Measured(emulator, side, alone=ALONE, rounds=ROUNDS) for side in (ours, peer))
    (child,) = ours.children()
    peak_alone = peak_megabytes(child)
    once, peer_once = Measured(emulator, ours), Measured(emulator, peer)
    # An interval of 0 accepts no older observation, so that each round asks the cloud, as the peer's do.
    rounds = Measured(emulator, ours, rounds=ROUNDS, interval=0)
    apart, peer_apart = (
        Measured(emulator, side, "poll_apart", count=APART, pause_ms=APART_MS) for side in (ours, peer)
    )
    in_a_row, at_once = f"one server {IN_A_ROW:,} times in a row", f"{SERVERS:,} servers at once"
    found = [
        both(f"hub's CPU a poll, {in_a_row}", alone, peer_alone, what="cpu_ms", target=TARGET_MS),
        both(f"hub's CPU a poll, {at_once}", rounds, peer_once, what="cpu_ms", target=TARGET_MS),
        both(f"hub's CPU a poll, {APART_MS} ms apart", apart, peer_apart, what="cpu_ms", target=TARGET_MS),
        Figure(f"program's CPU a poll, {in_a_row}", alone.program_ms / IN_A_ROW, "ms"),
        Figure(f"program's CPU a poll, {at_once}", rounds.program_ms / SERVERS / ROUNDS, "ms"),
        both(f"ECS calls for polls of {in_a_row}", alone, peer_alone, what="calls", unit=""),
        both(f"ECS calls for the first poll of {at_once}", once, peer_once, what="calls", unit=""),
        both(f"ECS calls for each later poll of {at_once}", rounds, peer_once, what="calls_a_round", unit=""),
        Figure(f"peak memory of `serve`, {in_a_row}", peak_alone, "MB", 25),
        Figure(f"peak memory of `serve`, {at_once}, {ROUNDS + 1} times", peak_megabytes(child), "MB", 25),
        Figure("peak memory of `serve`, 100 starts at once", peak_starts, "MB", 25),
    ]
    if long:
        spread = [Measured(emulator, side, "poll_spread", seconds=30, rounds=2) for side in (ours, peer)]
        name = f"ECS calls, {SERVERS:,} servers polled over 30 s, twice"
        found.append(both(name, *spread, what="calls", unit=""))
    check(emulator, ours, peer)
    return found


def check(emulator: Emulator, *sides: Side | None) -> None:
    """End one server of the cloud's; polls that tell nothing would be cheap."""
    ended = emulator.alive()[:1]
    emulator.end(ended[0])
    emulator.wait_for_status("STOPPED", ended)
    for side in sides:
        if side and side.ask("poll", interval=0)["wrong"] != 1:
            raise RuntimeError("the polls did not tell which server ended")
