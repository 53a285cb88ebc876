"""Runs one command many times and tells what each run cost; a process of its own, and a small one.

`python -I -S launcher.py TIMES STDIN_FILE PROGRAM ARGUMENTS…` writes one JSON object. The kernel counts the memory of
whoever launches into the peak of what it launches, so a large launcher would hide a small program: this one imports
next to nothing. CPU is measured of runs that were begun by posix_spawn, which copies nothing of the launcher; peak
memory of runs that were begun by fork, which leaves the launcher's files and most of its memory out.
"""

from __future__ import annotations

import json
import os
import sys

PEAK_RUNS = 5


def main() -> None:
    """Run, and write {"cpu_ms": […], "peak_kib": […], "exit_codes": […]}."""
    times, stdin_file, *command = sys.argv[1:]
    files = [
        (os.POSIX_SPAWN_OPEN, 0, stdin_file, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
    ]
    peaks, runs = [], []
    for _ in range(PEAK_RUNS):
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(stdin_file, os.O_RDONLY), 0)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.execv(command[0], command)  # noqa: S606 - what the caller says
        peaks.append(os.wait4(pid, 0))
    for _ in range(int(times)):
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=files)
        runs.append(os.wait4(pid, 0))
    told = {
        "cpu_ms": [(usage.ru_utime + usage.ru_stime) * 1000 for _, _, usage in runs],
        "peak_kib": [usage.ru_maxrss for _, _, usage in peaks],
        "exit_codes": [os.waitstatus_to_exitcode(status) for _, status, _ in [*peaks, *runs]],
    }
    json.dump(told, sys.stdout)


main()
