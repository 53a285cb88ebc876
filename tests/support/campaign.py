"""Random SIGKILLs of the hub and its child while people start and stop servers; seeded, so that a run can be repeated."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field

from support.crowds import Cloud, servers
from support.emulator import wait_until
from support.hub import Hub, wait_for

USERS = [f"user{number:02}" for number in range(20)]
# A hub takes seconds to start again, so most kills are the child's.
KINDS = ["child"] * 8 + ["hub"] * 1 + ["both"] * 1
AT_ONCE = 5
"""How many people click between two kills."""
LONGEST_PAUSE = 1.2
"""Seconds from their clicks to the kill; about what a start takes in the simulated clouds."""
LOG_OF_ONE_CLICK = 20_000
"""Characters at the end of the hub's log that are about the last request."""
LONGEST_STOP = 360
"""Seconds: what was announced and never seen may still appear for five minutes (protocol, poll), and its stop looks for it so long."""
LAST_SWEEP = """
c.CloudSpawner.gc_interval = 1
c.CloudSpawner.gc_min_age = 0
"""


@dataclass
class Campaign:
    """One run: its hub, its dice and what happened."""

    there: Cloud
    hub: Hub
    dice: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    wanted: dict[str, bool] = field(default_factory=dict)

    def run(self, kills: int) -> None:
        """Start, kill so many times, come to rest, sweep once, and look at what is left."""
        self.hub.start()
        self.hub.add_user(*USERS)
        self.wanted = dict.fromkeys(USERS, False)
        for _ in range(kills):
            self.click()
            # Whoever was up before the clicks and did not click must be up afterwards, as the same server.
            safe = self.settled()
            time.sleep(self.dice.uniform(0, LONGEST_PAUSE))
            self.kill(self.dice.choice(KINDS))
            self.expect(safe)
        self.come_to_rest()
        self.sweep()

    def click(self) -> None:
        """A few people start their server, or stop it."""
        for user in self.dice.sample(USERS, AT_ONCE):
            self.wanted[user] = not self.wanted[user]
            answer = self.hub.spawn(user) if self.wanted[user] else self.hub.unspawn(user)
            what = "starts" if self.wanted[user] else "stops"
            # 400: it is still starting or stopping, or is there (or gone) already.
            as_it_should = answer.status_code in (201, 202, 204, 400) or self.still_looks_at(user, answer.status_code)
            assert as_it_should, f"{what} {user}: {answer.status_code} {answer.text}"
            self.counts[what if answer.ok else "clicks in vain"] += 1

    def still_looks_at(self, user: str, status: int) -> bool:
        """Whether the hub just refused to stop a server because it only now looks whether that ran on without it.

        JupyterHub 6.1 then answers 500 (`stop_single_user` raises RuntimeError "user pending check"), and changes nothing.
        """
        return status == 500 and f"RuntimeError: {user} pending check" in self.hub.log()[-LOG_OF_ONE_CLICK:]

    def settled(self) -> dict[str, str]:
        """The servers that are up and that nobody asked to stop: user and the cloud's name."""
        return {
            user: seen.ref
            for user, seen in servers(self.hub).items()
            if seen.ready and not seen.pending and self.wanted[user] and seen.ref
        }

    def kill(self, kind: str) -> None:
        """SIGKILL; then the hub is started again where it was killed."""
        self.counts[f"kills of {kind}"] += 1
        children = self.hub.child_pids()
        if kind in ("child", "both"):
            for child in children:
                os.kill(child, signal.SIGKILL)
        if kind in ("hub", "both"):
            self.hub.kill()
            self.hub.start()

    def expect(self, safe: dict[str, str]) -> None:
        """None of these servers was lost: the cloud still runs it, and the hub still knows it."""
        alive = {ref for _, ref in self.there.alive()}
        known = servers(self.hub)
        for user, ref in safe.items():
            assert ref in alive, f"{user}'s server {ref} was stopped, though nobody asked for that"
            assert user in known, f"{user}'s server {ref} runs, and the hub has forgotten it"
            assert known[user].ref == ref, f"{user}'s server {ref} was replaced by {known[user].ref}"

    def come_to_rest(self) -> None:
        """Wait until nothing starts or stops any more."""
        wait_for("nothing is pending", self.is_at_rest, LONGEST_STOP)

    def is_at_rest(self) -> bool:
        """Whether nothing starts or stops."""
        return not any(seen.pending or not seen.ready for seen in servers(self.hub).values())

    def sweep(self) -> None:
        """One gc (two looks) by a hub that starts afresh; then each server of the hub runs once, and nothing else does."""
        config = self.hub.folder / "config.py"
        config.write_text(config.read_text() + LAST_SWEEP)
        safe = self.settled()
        self.counts["left for gc"] = len(self.strays())
        self.hub.kill()
        self.hub.start()
        self.come_to_rest()
        wait_until(lambda: not self.strays(), 60)
        self.expect(safe)
        known = servers(self.hub)
        keys = Counter(key for key, _ in self.there.alive())
        assert not {key: count for key, count in keys.items() if count > 1}, "two servers for one"
        assert {seen.key for seen in known.values()} == set(keys)
        self.counts["servers at the end"] = len(known)

    def strays(self) -> set[str]:
        """What runs and is no server of the hub."""
        return {ref for _, ref in self.there.alive()} - {seen.ref for seen in servers(self.hub).values()}
