"""Metrics: in JupyterHub's own registry, from the program's own counts, and a scrape that never waits."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cloudspawner.metrics import StageClock
from cloudspawner.program import Program
from conftest import STATE, STATE_WITH_REF, URL, Fake, MakeSpawner, until
from test_golden import assert_same_shape, golden

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"cloudspawner_\w+")


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def known_names() -> set[str]:
    """Every name that a query may use: samples, and a histogram's parts."""
    StageClock("fargate").enter("")
    names = set()
    for family in text_string_to_metric_families(generate_latest(REGISTRY).decode()):
        if family.name.startswith("cloudspawner_"):
            ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count", ""]}.get(family.type, [""])
            names |= {family.name.removesuffix("_total") + end for end in ends}
    return names


def test_every_metric_of_the_dashboard_is_in_the_registry() -> None:
    dashboard = json.loads((ROOT / "deployments" / "grafana" / "cloudspawner.json").read_text())
    asked = {
        name for panel in dashboard["panels"] for target in panel["targets"] for name in NAME.findall(target["expr"])
    }
    assert len(asked) >= 12
    assert asked <= known_names()


def test_the_table_in_the_docs_has_every_metric_and_no_other() -> None:
    section = (ROOT / "docs" / "operating.md").read_text().split("## Metrics")[1].split("\n## ")[0]
    told = set(NAME.findall(section))
    assert told == {name for name in known_names() if not name.endswith(("_bucket", "_sum", "_count", "_created"))}


async def test_a_scrape_shows_the_programs_last_word_and_waits_for_nothing(
    fake: Fake, program: Callable[[], Program]
) -> None:
    fake.plays(stats=golden("result_stats")["result"])
    one = program()
    assert value("cloudspawner_cloud_calls_total", action="ecs:RunTask") == 0
    await one.request("gc", {}, timeout_ms=5000)  # the first use starts the process; a scrape does not
    began = time.monotonic()
    generate_latest(REGISTRY)
    assert time.monotonic() - began < 1
    await until(lambda: one.stats.last)
    assert value("cloudspawner_cloud_calls_total", action="ecs:RunTask") == 40
    assert value("cloudspawner_cloud_throttles_total", action="ecs:DescribeTasks") == 3
    assert value("cloudspawner_cloud_retries_total", action="ecs:RunTask") == 1
    assert (value("cloudspawner_watch_groups"), value("cloudspawner_watch_servers")) == (1, 37)
    assert value("cloudspawner_watch_age_seconds") == 21
    assert value("cloudspawner_queue_calls", quota="RunTask") == 2
    assert len(fake.sent("stats")) == 1, "several scrapes within seconds are one question"
    assert_same_shape(fake.sent("stats")[0], "request_stats")


async def test_a_program_that_does_not_know_the_verb_breaks_no_scrape(
    fake: Fake, program: Callable[[], Program]
) -> None:
    fake.plays(stats=[["error", {"code": "unknown_verb", "message": "stats"}]])
    one = program()
    await one.request("gc", {}, timeout_ms=5000)
    generate_latest(REGISTRY)
    await until(lambda: one.stats._task is not None and one.stats._task.done())
    assert b"cloudspawner_watch_groups" in generate_latest(REGISTRY)


async def test_a_start_times_each_of_its_stages(fake: Fake, make_spawner: MakeSpawner) -> None:
    def event(stage: str) -> list[Any]:
        return ["event", {"stage": stage, "percent": 1, "message": stage, "link": None}]

    labels = {"backend": "fargate", "stage": "provisioning"}
    before = value("cloudspawner_start_stage_duration_seconds_count", **labels)
    result = {"url": URL, "state": STATE_WITH_REF}
    steps = [["state", STATE], ["ack"], event("provisioning"), event("provisioning"), event("pending")]
    fake.plays(start=[*steps, ["result", result]])
    await make_spawner().start()
    assert value("cloudspawner_start_stage_duration_seconds_count", **labels) == before + 1
    assert value("cloudspawner_start_stage_duration_seconds_count", backend="fargate", stage="pending") >= 1


async def test_a_program_that_is_started_again_is_counted(fake: Fake, program: Callable[[], Program]) -> None:
    before = value("cloudspawner_child_restarts_total")
    fake.plays(gc=[["die_once", fake.path("died")], ["result", {}]])
    await program().request("gc", {}, timeout_ms=10_000)
    assert value("cloudspawner_child_restarts_total") == before + 1
