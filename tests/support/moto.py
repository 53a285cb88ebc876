"""moto's ECS in a process of its own, with the world that tools/moto_world.py makes; patching it is global there."""

import json
import subprocess
import sys
from types import TracebackType
from typing import Any

from support.binaries import REPOSITORY, clean_environment

TOOL = REPOSITORY.parent / "shared/tools/moto_world.py"


class Moto:
    """A moto server until the end of the `with` block; `patched` adds the real states of a task, client tokens and limits."""

    def __init__(self, *, patched: bool):
        """Starts it and makes its world."""
        command = [sys.executable, str(TOOL), *(["--patch"] if patched else [])]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment()
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "moto did not start"
        self.world: dict[str, Any] = json.loads(line)

    def __enter__(self) -> "Moto":
        """The server itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends it."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()

    def env(self) -> dict[str, str]:
        """The environment in which an AWS client uses it."""
        return clean_environment(**self.world["env"])

    def run_task(self) -> dict[str, Any]:
        """RunTask's arguments that fit its world."""
        arguments: dict[str, Any] = dict(self.world["run_task_args"])
        arguments.pop("startedBy")
        arguments.pop("count")
        return arguments
