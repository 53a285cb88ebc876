"""Ports for what is started later, and is told its port before."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
from collections.abc import Iterator

FIRST, WORKERS, EACH = 12_000, 16, 1_000
"""Below 32768, from where Linux gives ports to whoever asks for any: a port that was just free is not taken by them."""


def _ports() -> Iterator[int]:
    """A thousand for each of the test workers, again and again."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    own = range(FIRST + worker % WORKERS * EACH, FIRST + (worker % WORKERS + 1) * EACH)
    # Another run on this machine begins elsewhere.
    start = random.randrange(len(own))
    return itertools.cycle([*own[start:], *own[:start]])


_PORTS = _ports()


def free_port() -> int:
    """A port that nobody listens on, and that is given to nobody else before it is used."""
    while True:
        port = next(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
