"""Azure: what a refresh costs the quota, how late a start returns, and for how long the hub's loop is blocked."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from hub_side import Json, Side
from table import Figure

from support import binaries, program, states
from support.azure import APP, Azure
from support.ports import free_port

SERVERS, REFRESHES = 1000, 5
PAGES = (25, 100)
# "The pages of one list and two reads more": the targets of the table are exclusive.
READS_MORE = 2
STARTS, START_ROUNDS = 10, 3
LATE_MS = 2000
STALL_MS = 20
APART, APART_MS = 50, 30
STALL_ROUNDS = 3
CREATING_MS = (1500, 4500)
# Everybody at nine o'clock; a real instance takes some minutes.
STORM, STORM_CREATING_MS = 200, 30_000


@contextmanager
def sides(*arguments: str) -> Iterator[tuple[Azure, Side]]:
    """A local Azure, and a process with AMLSpawners for it."""
    quota = ("--azure-instance-limit", "2000", "--azure-family-cores", "20000")
    with Azure(*quota, *arguments, check_model=False) as azure:
        traits = {
            "hub_id": "prod",
            "subscription_id": azure.azure["subscription"],
            "resource_group": azure.azure["resource_group"],
            "workspace": azure.azure["workspace"],
            "vm_size": "STANDARD_DS11_V2",
            "credential_kind": "client_secret",
            "tenant_id": azure.azure["tenant"],
            "client_id": APP[0],
            "client_secret": APP[1],
            "management_endpoint": azure.azure["management"],
            "authority_host": azure.azure["authority"],
            "redirect_listen": f"127.0.0.1:{free_port()}",
        }
        with Side("azure", azure.env(), host=json.dumps(traits), program=program.path()) as side:
            yield azure, side


def adopt(azure: Azure, side: Side) -> None:
    """A thousand servers that run, as after a restart of the hub."""
    side.ask("adopt", states=[{"cloud": target["state"], "url": ""} for target in states.azure_running(azure, SERVERS)])


def figures() -> list[Figure]:
    """Calls, lateness, stalls."""
    found: list[Figure] = []
    for page in PAGES:
        with sides("--azure-page-size", str(page)) as (azure, side):
            adopt(azure, side)
            found += refreshes(azure, side, page)
            if page == PAGES[-1]:
                found += stalls(side)
    with sides() as (azure, side):
        found += lateness(azure, side)
    with sides("--azure-page-size", str(PAGES[0]), "--azure-quotas", "documented") as (azure, side):
        return [*found, *storm(azure, side)]


def refreshes(azure: Azure, side: Side, page: int) -> list[Figure]:
    """Looks at all servers, one after the other; none may be answered from an older one."""
    first: Json = side.ask("poll", interval=0)
    first_calls = counts(azure)
    later: Json = side.ask("poll", rounds=REFRESHES, interval=0)
    later_calls = counts(azure)
    pages, wrong = SERVERS / page, first["wrong"] + later["wrong"]
    more = f", {wrong} WRONG ANSWERS" if wrong else ""
    name = f"look at {SERVERS:,} compute instances, {page} a page"
    tokens = first_calls["token"] + later_calls["token"]
    return [
        Figure(f"Azure calls for the first {name}", first_calls["arm"], "", more=more),
        Figure(f"Azure calls for each later {name}", later_calls["arm"] / REFRESHES, "", pages + READS_MORE + 1),
        Figure(f"Azure tokens for these {1 + REFRESHES} looks, {page} a page", tokens, "", 2),
    ]


def counts(azure: Azure) -> Json:
    """Calls of Resource Manager and of Entra ID since the last time."""
    calls: Json = azure.azure_admin("calls")["counts"]
    azure.azure_admin("calls/reset", {})
    token = calls.pop("token", 0)
    return {"token": token, "arm": sum(calls.values())}


def stalls(side: Side) -> list[Figure]:
    """The longest time for which polls block the loop, less what those of a spawner that does nothing do.

    The least of some rounds: what a spawner does itself is in each of them, what the machine does besides is not.
    """
    with Side("idle", binaries.clean_environment(), host="", program="") as idle:
        idle.ask("adopt", states=[{}] * SERVERS)
        todo = {
            f"{SERVERS:,} polls at once": {"of": "poll", "interval": 0},
            f"polls {APART_MS} ms apart": {"of": "poll_apart", "count": APART, "pause_ms": APART_MS},
            f"{STARTS} starts at once": {"of": "begin"},
        }
        found = []
        for what, arguments in todo.items():
            longest: dict[Side, float] = {}
            for _ in range(STALL_ROUNDS):
                for each in (side, idle):
                    if arguments["of"] == "begin":
                        each.ask("make", count=STARTS)
                    stall = each.ask("stalls", **arguments)["longest_ms"]
                    longest[each] = min(longest.get(each, stall), stall)
            more = f" ({longest[side]:.1f}, and {longest[idle]:.1f} of a no-op)"
            beyond = max(0.0, longest[side] - longest[idle])
            name = f"longest stall of the hub's loop beyond a no-op spawner's, {what}"
            found.append(Figure(name, round(beyond, 1), "ms", STALL_MS, more=more))
        side.ask("stop")
        return found


def lateness(azure: Azure, side: Side) -> list[Figure]:
    """From Running, by the emulator's account, to the return of start()."""
    chance = random.Random(8)  # noqa: S311 - the same delays in each run
    late: list[float] = []
    for _ in range(START_ROUNDS):
        azure.azure_admin("settings", {"delays": {"creating": chance.randint(*CREATING_MS)}})
        answers: list[Json] = side.ask("start", count=STARTS)
        if errors := [answer["error"] for answer in answers if answer["error"]]:
            raise RuntimeError(errors[0])
        running_at = {
            instance["tags"]["cloudspawner-key"]: next(
                h["at_ms"] for h in instance["history"] if h["state"] == "Running"
            )
            for instance in azure.instances()
        }
        late += [answer["returned_at_ms"] - running_at[states.key(answer["user"])] for answer in answers]
        side.ask("stop")
    name = f"from a compute instance's Running to the return of start(), {STARTS} at once, worst of {len(late)}"
    return [Figure(name, round(max(late)), "ms", LATE_MS, more=f", median {median(late):,.0f}")]


def storm(azure: Azure, side: Side) -> list[Figure]:
    """Many starts at once; ours keeps to Resource Manager's documented quota of reads and writes by itself."""
    azure.azure_admin("settings", {"delays": {"creating": STORM_CREATING_MS}})
    counts(azure)
    answer: Json = side.ask("storm", count=STORM)
    calls = counts(azure)["arm"]
    name = f"{STORM} starts at once"
    created_s = STORM_CREATING_MS / 1000
    return [
        Figure(f"starts that fail, of {name}", answer["failed"], "", 1),
        Figure(f"Azure calls a start, of {name}", calls / STORM, ""),
        Figure(f"the last of {name} has its address, {created_s:g} s each", answer["last_s"], "s"),
    ]
