"""The figures of README.md in one command: `make bench`, or `benches/run.py [--long|--azure|--scale] [--write]`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # for `support`

import azure_figures
import crowd_figures
import poll_figures
import program_figures
import restart_figures
import start_figures
import storm_figures
import table
from hub_side import PACKAGES, Side
from tls_front import Front

from support import program
from support.emulator import Emulator

PEER = PACKAGES["peer"]


def say(words: str) -> None:
    """Tell what is going on."""
    sys.stderr.write(words + "\n")


def measure(folder: Path, *, long: bool) -> list[table.Figure]:
    """All figures."""
    with ExitStack() as stack:
        emulator = stack.enter_context(Emulator("--unique-addresses", check_model=False))
        front = stack.enter_context(Front(folder, emulator.url))
        say("the program alone …")
        figures = program_figures.figures(folder, emulator, front)
        env = emulator.env(AWS_ENDPOINT_URL="", **front.trust)

        def side(which: str) -> Side:
            return stack.enter_context(Side(which, env, host=front.host, program=program.path()))

        ours = side("ours")
        peer = side("peer") if find_spec(PEER) else None
        say("starts …")
        figures += start_figures.figures(emulator, ours, peer)
        say("polls …")
        return figures + poll_figures.figures(emulator, ours, peer, long=long)


def scale(folder: Path) -> list[table.Figure]:
    """Crowds, storms and a restart; one after the other, since each has the machine to itself."""
    peer = find_spec(PEER) is not None
    parts = {
        "1,000 servers are polled, three minutes": partial(crowd_figures.figures, folder, 1_000),
        "10,000 servers are polled, four minutes": partial(crowd_figures.figures, folder, 10_000),
        "100 starts at once, two minutes": partial(storm_figures.figures, folder, 100),
        "1,000 starts at once, two minutes": partial(storm_figures.figures, folder, 1_000),
        "a hub starts over 1,000 servers, four minutes": partial(restart_figures.figures, folder),
    }
    figures = []
    for words, part in parts.items():
        say(f"{words} …")
        figures += part(peer=peer)
    return figures


def main() -> None:
    """Measure, print, and with --write keep the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="polls spread over time, too: two minutes more")
    parser.add_argument("--azure", action="store_true", help="Azure's figures, and no others: two minutes")
    parser.add_argument("--scale", action="store_true", help="thousands of servers, and no others: fifteen minutes")
    parser.add_argument("--write", action="store_true", help="keep the table in README.md")
    options = parser.parse_args()

    installed = Path(sys.executable).with_name("cloudspawner")  # what the wheel put there is a release build
    if installed.exists():
        os.environ.setdefault("CLOUDSPAWNER_PROGRAM", str(installed))
    began, load = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="benches-") as folder:
        if options.azure:
            figures, place = azure_figures.figures(), table.AZURE
        elif options.scale:
            figures, place = scale(Path(folder)), table.SCALE
        else:
            figures, place = measure(Path(folder), long=options.long), table.FARGATE

    no_peer = f"{PEER} is not installed"
    told = subprocess.run([program.path(), "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    built = told.stdout.strip() + (" (A DEBUG BUILD)" if "debug" in Path(program.path()).parts else "")
    command = " ".join(["benches/run.py", *sys.argv[1:]])
    missed = [figure.name for figure in figures if figure.target is not None and figure.ours >= figure.target]
    verdict = f"Targets missed: {'; '.join(missed)}." if missed else "All targets are met."
    result = "\n\n".join(
        [
            table.circumstances(command, built, load),
            table.text([figure.cells(no_peer) for figure in figures]),
            verdict,
        ]
    )
    sys.stdout.write(result + "\n")
    say(f"measured in {time.monotonic() - began:.0f} s")
    if options.write:
        table.write(result, place)


main()
