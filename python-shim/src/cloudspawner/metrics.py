"""What Prometheus sees of cloudspawner: in JupyterHub's own registry, so at the hub's `/hub/metrics`.

What only the program knows is asked for in the background when somebody scrapes; a scrape itself never waits and shows
the last answer. `prometheus_client` is JupyterHub's own dependency.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Info
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .release import __version__
from .wire import JsonObject, ProgramError

if TYPE_CHECKING:
    from .program import Program

# Several may scrape at once; the program is asked at most this often.
_STATS_SECONDS = 5.0
_STATS_TIMEOUT_MS = 5_000

STAGE_SECONDS = Histogram(
    "cloudspawner_start_stage_duration_seconds",
    "How long starts were in each of their stages, as the spawn page shows them",
    ["backend", "stage"],
    # A task on Fargate takes half a minute, a compute instance some minutes.
    buckets=(0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 240, 480, float("inf")),
)
CHILD_RESTARTS = Counter("cloudspawner_child_restarts", "How often the program had to be started again")
GC_LOOKS = Counter("cloudspawner_gc_looks", "Looks for stale servers that the hub made by itself", ["result"])
GC_STALE = Gauge("cloudspawner_gc_stale_servers", "Servers that the last look found and left, by backend", ["backend"])
GC_REMOVED = Counter("cloudspawner_gc_removed_servers", "Servers that gc removed by itself")
Info("cloudspawner", "The release of this package").info({"version": __version__})
for _result in ("done", "failed"):
    GC_LOOKS.labels(_result)  # there from the beginning, as JupyterHub's own are


class StageClock:
    """Times the stages of one start."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._stage = ""
        self._since = 0.0

    def enter(self, stage: str) -> None:
        """The start is in this stage now; the one before it has ended. "" is the end."""
        if stage == self._stage:
            return
        now = time.monotonic()
        if self._stage:
            STAGE_SECONDS.labels(self._backend, self._stage).observe(now - self._since)
        self._stage, self._since = stage, now


class ProgramStats:
    """The last answer of one program to `stats`."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._next = 0.0
        self._task: asyncio.Task[None] | None = None
        self.last: JsonObject = {}
        _COLLECTOR.stats.add(self)

    @property
    def unfinished_stops(self) -> int:
        """Stops that the cloud has not accepted."""
        return len(self._program.stops)

    def refresh(self) -> None:
        """Ask again in the background, if it is time and the program runs. Never raises."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._program.runs and loop.time() >= self._next and (self._task is None or self._task.done()):
            self._next = loop.time() + _STATS_SECONDS
            self._task = loop.create_task(self._ask(), name="cloudspawner stats")

    async def _ask(self) -> None:
        try:
            self.last = await self._program.request("stats", {}, timeout_ms=_STATS_TIMEOUT_MS)
        except ProgramError:
            self.last = {}  # an older program, or one that has just died


class _ProgramCollector(Collector):
    """Turns the programs' last answers into metrics."""

    def __init__(self) -> None:
        self.stats: weakref.WeakSet[ProgramStats] = weakref.WeakSet()

    def describe(self) -> list[Metric]:
        """All names, before there is a program."""
        return list(_families().values())

    def collect(self) -> Iterator[Metric]:
        """The last known figures of all programs, and a refresh for the next scrape."""
        families = _families()
        actions: dict[str, list[int]] = {}
        groups: list[JsonObject] = []
        queues: dict[str, int] = {}
        stops = 0
        for stats in list(self.stats):
            stats.refresh()
            stops += stats.unfinished_stops
            groups += stats.last.get("watch_groups", [])
            for action in stats.last.get("actions", []):
                sums = actions.setdefault(action["action"], [0, 0, 0])
                for place, name in enumerate(("calls", "throttled", "retries")):
                    sums[place] += action[name]
            for queue in stats.last.get("queues", []):
                queues[queue["quota"]] = queues.get(queue["quota"], 0) + queue["waiting"]
        for action_name, sums in sorted(actions.items()):
            for family, count in zip(("calls", "throttles", "retries"), sums, strict=True):
                families[family].add_metric([action_name], count)
        for quota, waiting in sorted(queues.items()):
            families["queue"].add_metric([quota], waiting)
        families["groups"].add_metric([], len(groups))
        families["servers"].add_metric([], sum(group["servers"] for group in groups))
        families["age"].add_metric([], max((group["age_ms"] for group in groups), default=0) / 1000)
        families["stops"].add_metric([], stops)
        yield from families.values()


def _families() -> dict[str, CounterMetricFamily | GaugeMetricFamily]:
    action = ["action"]
    return {
        "calls": CounterMetricFamily("cloudspawner_cloud_calls", "Requests sent to the cloud", labels=action),
        "throttles": CounterMetricFamily("cloudspawner_cloud_throttles", "Those that it throttled", labels=action),
        "retries": CounterMetricFamily("cloudspawner_cloud_retries", "Those made again", labels=action),
        "queue": GaugeMetricFamily("cloudspawner_queue_calls", "Calls that wait for a quota", labels=["quota"]),
        "groups": GaugeMetricFamily(
            "cloudspawner_watch_groups", "Places whose servers are looked at together", labels=[]
        ),
        "servers": GaugeMetricFamily("cloudspawner_watch_servers", "Servers in all watch groups", labels=[]),
        "age": GaugeMetricFamily(
            "cloudspawner_watch_age_seconds",
            "How long ago the cloud told of the server it told of longest ago",
            labels=[],
        ),
        "stops": GaugeMetricFamily("cloudspawner_unfinished_stops", "Stops that are tried again", labels=[]),
    }


_COLLECTOR = _ProgramCollector()
REGISTRY.register(_COLLECTOR)
