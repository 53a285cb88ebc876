"""200 servers, a cloud that fails again and again, and people who come and go: memory and file descriptors stay flat."""

import os
import random
import statistics
import time
from pathlib import Path

import pytest

from support import crowds
from support.crowds import Cloud
from support.hub import Hub, wait_for

USERS = [f"user{number:03}" for number in range(200)]
SAMPLE_SECONDS = 5.0
FAULTS = ["throttle", "error_500", "error_503", "cut_before", "reply_lost", "slow", "truncated"]
# The thirds of a run that are compared are medians; what is left is a page or two of the allocators.
GROWTH, GROWTH_BYTES, GROWTH_FILES = 1.05, 4_000_000, 10


def sample(pid: int) -> tuple[int, int]:
    """Resident bytes and open files of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd"))


def disturb(there: Cloud, hub: Hub, dice: random.Random) -> None:
    """A fault or two, and a few people who come or go."""
    there.heal()
    for _ in range(2):
        kind = dice.choice(FAULTS)
        more = {"delay_ms": 2000} if kind == "slow" else {}
        there.fault(dice.choice(there.calls), kind, count=dice.randint(1, 5), **more)
    ready = hub.ready_users()
    for user in dice.sample(USERS, 3):
        answer = hub.unspawn(user) if user in ready else hub.spawn(user)
        assert answer.status_code in (201, 202, 204, 400), answer.text


def test_memory_and_files_of_hub_and_program_stay_flat(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    minutes = request.config.getoption("--minutes")
    dice = random.Random("soak")
    samples: dict[str, list[tuple[int, int]]] = {"hub": [], "program": []}
    with crowds.cloud(request.config.getoption("--cloud")) as there:
        hub = crowds.hub_before(there, tmp_path, "c.CloudSpawner.gc_interval = 20\nc.CloudSpawner.gc_min_age = 30\n")
        try:
            hub.start()
            hub.add_user(*USERS)
            for user in USERS:
                assert hub.spawn(user).status_code in (201, 202)
            wait_for("all are ready", lambda: len(hub.ready_users()) >= 190, 300, pause=2)
            (child,) = hub.child_pids()
            assert hub.process is not None
            until = time.monotonic() + minutes * 60
            while time.monotonic() < until:
                disturb(there, hub, dice)
                hub.api("GET", "metrics")
                time.sleep(SAMPLE_SECONDS)
                assert hub.child_pids() == [child], "the program died"
                samples["hub"].append(sample(hub.process.pid))
                samples["program"].append(sample(child))
            there.heal()
            # Nothing was lost by the faults: what the hub calls ready runs.
            wait_for("it comes to rest", lambda: len(there.alive()) == len(crowds.servers(hub)), 120, pause=2)
        finally:
            hub.stop()
    third = len(samples["hub"]) // 3
    for who, seen in samples.items():
        early, late = (
            [statistics.median(column) for column in zip(*part, strict=True)] for part in (seen[third:-third], seen[-third:])
        )
        with capsys.disabled():
            print(
                f"\n{there.name}, {who}, {minutes:g} minutes, {len(seen)} samples: {early[0] / 1e6:.1f} then {late[0] / 1e6:.1f} MB, "
                f"{early[1]:.0f} then {late[1]:.0f} open files (medians of the second and of the last third)"
            )
        assert late[0] <= early[0] * GROWTH + GROWTH_BYTES, f"{who}'s memory grows"
        assert late[1] <= early[1] + GROWTH_FILES, f"{who}'s open files grow"
