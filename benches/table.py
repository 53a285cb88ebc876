"""The table: how figures are written, and where the README keeps them."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

README = Path(__file__).with_name("README.md")
FARGATE = ("<!-- the table: written by run.py --write -->", "<!-- end of the table -->")
AZURE = ("<!-- Azure's table: written by run.py --azure --write -->", "<!-- end of Azure's table -->")
SCALE = ("<!-- the table of thousands: written by run.py --scale --write -->", "<!-- end of the table of thousands -->")
HEAD = ("figure", "ours", "target", "peer", "peer / ours")


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        name: what was measured.
        ours: the value.
        unit: what the values are in; empty where the name says it.
        target: what ours should stay under, if anything.
        peer: the peer's value, if it has one.
        more: what stands behind our value: the worst case, what went wrong.
        peer_more: the same for the peer.
        of_both: whether the peer has such a figure at all.
    """

    name: str
    ours: float
    unit: str
    target: float | None = None
    peer: float | None = None
    more: str = ""
    peer_more: str = ""
    of_both: bool = False

    def cells(self, no_peer: str) -> tuple[str, ...]:
        """The line's cells; `no_peer` stands where the peer should have a value and has none."""
        target = "-"
        if self.target is not None:
            verdict = "met" if self.ours < self.target else "MISSED"
            target = f"< {self._value(self.target)}: {verdict}"
        peer = "-" if not self.of_both else no_peer if self.peer is None else self._value(self.peer)
        ratio = f"{_number(self.peer / self.ours)}" if self.peer is not None and self.ours else "-"
        return (self.name, self._value(self.ours) + self.more, target, peer + self.peer_more, ratio)

    def _value(self, number: float) -> str:
        return f"{_number(number)} {self.unit}".rstrip()


def _number(value: float) -> str:
    if value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def text(rows: list[tuple[str, ...]]) -> str:
    """A Markdown table that is legible as it is."""
    rows = [HEAD, *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def circumstances(command: str, program_version: str, load: float) -> str:
    """When, on what kind of machine, how busy it was before, and with which versions."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    model = next(
        (line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine()
    )
    packages = ", ".join(f"{name} {_version(name)}" for name in ("jupyterhub", "tornado", "fargatespawner"))
    return (
        f"`{command}`, {datetime.now(timezone.utc):%Y-%m-%d}: {os.cpu_count()} cores ({model}), {memory:.0f} GiB, "
        f"load {load:.1f} before, "
        f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}, Python {platform.python_version()}, "
        f"{program_version}, {packages}."
    )


def _cpuinfo() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text().splitlines() if file.exists() else []


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def write(figures: str, between: tuple[str, str]) -> None:
    """Put the figures into the README, in place of the last ones between these two lines."""
    begin, end = between
    before, _, rest = README.read_text().partition(begin)
    _, _, after = rest.partition(end)
    README.write_text(f"{before}{begin}\n{figures}\n{end}{after}")
