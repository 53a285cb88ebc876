"""What the program alone costs: CPU, memory and size, of one-shot runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from table import Figure
from tls_front import Front

from support import ask, program
from support.emulator import Emulator

LAUNCHER = Path(__file__).with_name("launcher.py")
EMPTY = "an empty process (/bin/true), for comparison"
RUNS, TURNS = 30, 5
MEGABYTE = 1e6


@dataclass
class Run:
    """A command, and what its runs cost so far."""

    name: str
    arguments: list[str]
    env: dict[str, str]
    stdin: str = os.devnull
    command: str = ""
    target_ms: float | None = None
    cpu_ms: list[float] = field(default_factory=list)
    peak_kib: int = 0

    def measure(self) -> None:
        """Run it some times more; all must succeed."""
        command = [self.command or program.path(), *self.arguments]
        done = subprocess.run(  # noqa: S603 - this folder's launcher
            [sys.executable, "-I", "-S", str(LAUNCHER), str(RUNS), self.stdin, *command],
            env=self.env,
            stdout=subprocess.PIPE,
            check=True,
        )
        told = json.loads(done.stdout)
        if any(told["exit_codes"]):
            raise RuntimeError(f"{self.name} ended with {told['exit_codes']}")
        self.cpu_ms += told["cpu_ms"]
        self.peak_kib = max(self.peak_kib, *told["peak_kib"])

    def cpu(self) -> Figure:
        """The median."""
        name, worst = f"CPU of {self.name}", f", worst {max(self.cpu_ms):.1f}"
        return Figure(name, median(self.cpu_ms), "ms", self.target_ms, more=worst)

    def memory(self, floor_kib: int) -> Figure:
        """The largest; where an empty process seems as large, it is the launcher's and the program's is less."""
        more = " or less" if self.peak_kib < floor_kib * 1.05 else ""
        return Figure(f"peak memory of {self.name}", self.peak_kib * 1024 / MEGABYTE, "MB", 25, more=more)


def poll_request(folder: Path, name: str, env: dict[str, str]) -> str:
    """A file with a poll of one task that runs, which this starts."""
    whose = {"user": name}
    started = program.run("start", ask.start(server=ask.server(**whose)), env).result
    poll = ask.poll(ask.target(started["state"], **whose))
    (status,) = program.run("poll", poll, env).result["servers"]
    if status["phase"] != "running":
        raise RuntimeError(f"the task does not run: {status}")
    file = folder / f"poll-{name}.json"
    file.write_text(json.dumps(poll) + "\n")
    return str(file)


def figures(folder: Path, emulator: Emulator, front: Front) -> list[Figure]:
    """Version, one-shot polls, size."""
    env = emulator.env()
    secure = emulator.env(AWS_ENDPOINT_URL=front.url, **front.trust)
    poll, poll_tls = poll_request(folder, "http", env), poll_request(folder, "https", secure)
    runs = [
        Run(EMPTY, [], env, command="/bin/true"),
        Run("`cloudspawner --version`", ["--version"], env, target_ms=5),
        Run("a one-shot poll over HTTP", ["poll"], env, stdin=poll, target_ms=15),
        Run("a one-shot poll over HTTPS", ["poll"], secure, stdin=poll_tls, target_ms=15),
    ]
    for _ in range(TURNS):  # by turns: what else the machine does meets all of them
        for run in runs:
            run.measure()
    floor_kib = runs[0].peak_kib
    return [
        *(run.cpu() for run in runs),
        *(run.memory(floor_kib) for run in runs[1:]),
        Figure("size of the program", Path(program.path()).stat().st_size / MEGABYTE, "MB", 20),
    ]
