"""A scripted stand-in for `cloudspawner serve`: speaks the protocol, does what the scenario file says.

The scenario (a JSON file, read anew for each request) has: `hello` (a line instead of the usual one, or null for none),
`start` (steps), `poll` (an answer, or steps), `stop` and `gc` (a result, or steps). A step is a list: ["state", {...}],
["ack"], ["event", {...}], ["result", {...}], ["error", {...}], ["cancelled"] (waits for a cancel), ["file", path]
(waits for it), ["touch", path], ["die"], ["die_once", path], ["hang"], ["raw", text]. Every line that is read goes to
the journal.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

SCENARIO, JOURNAL = Path(os.environ["FAKE_SCENARIO"]), Path(os.environ["FAKE_JOURNAL"])
RUNNING = {"key": "k", "phase": "running", "exit_code": None, "url": None, "cleanup": "none", "state": None}


def write(frame: object) -> None:
    line = frame if isinstance(frame, str) else json.dumps(frame)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Request:
    def __init__(self, frame: dict[str, Any]) -> None:
        self.frame = frame
        self.seq = 0
        self.acked: asyncio.Queue[int] = asyncio.Queue()
        self.cancelled = asyncio.Event()

    def send(self, kind: str, **fields: object) -> None:
        write({"type": kind, "id": self.frame["id"], **fields})

    async def run(self, steps: list[list[Any]]) -> None:
        for name, *values in steps:
            await getattr(self, f"do_{name}")(*values)

    async def do_state(self, state: object) -> None:
        self.seq += 1
        self.send("state", seq=self.seq, state=state)

    async def do_ack(self) -> None:
        await self.acked.get()

    async def do_event(self, event: dict[str, object]) -> None:
        self.seq += 1
        self.send("event", seq=self.seq, **event)

    async def do_result(self, result: object) -> None:
        self.send("result", result=result)

    async def do_error(self, error: object) -> None:
        self.send("error", error=error)

    async def do_cancelled(self) -> None:
        await self.cancelled.wait()

    async def do_file(self, path: str) -> None:
        while not Path(path).exists():
            await asyncio.sleep(0.005)

    async def do_touch(self, path: str) -> None:
        Path(path).touch()

    async def do_die(self) -> None:
        os._exit(9)

    async def do_die_once(self, path: str) -> None:
        if not Path(path).exists():
            Path(path).touch()
            os._exit(9)

    async def do_hang(self) -> None:
        time.sleep(3600)

    async def do_raw(self, text: str) -> None:
        write(text)


async def answer(request: Request, scenario: dict[str, Any]) -> None:
    verb = request.frame["verb"]
    script = scenario.get(verb)
    if isinstance(script, list):
        await request.run(script)
    elif verb == "poll":
        status = {**RUNNING, **(script or {})}
        request.send("result", result={"servers": [status for _ in request.frame["params"]["targets"]]})
    elif verb == "stop":
        request.send("result", result=script or {"phase": "gone", "cleanup": "done"})
    else:
        request.send("result", result=script or {"stale": [], "removed": [], "errors": []})


async def main() -> None:
    scenario = json.loads(SCENARIO.read_text())
    usual = {"type": "hello", "v": [1], "version": version("cloudspawner"), "backends": [], "features": []}
    hello = scenario.get("hello", usual)
    if hello is not None:
        write(hello)
    sys.stderr.write("2026-01-01T00:00:00Z  WARN fake: \x1b[1mready\x1b[0m\n")
    sys.stderr.flush()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**23)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    requests: dict[str, Request] = {}
    tasks = set()
    while line := await reader.readline():
        with JOURNAL.open("ab") as journal:
            journal.write(line)
        frame = json.loads(line)
        if frame.get("type") == "ack":
            if frame["id"] in requests:
                requests[frame["id"]].acked.put_nowait(frame["seq"])
        elif frame["verb"] == "cancel":
            if target := requests.get(frame["params"]["id"]):
                target.cancelled.set()
            write({"type": "result", "id": frame["id"], "result": {"found": True}})
        else:
            request = requests[frame["id"]] = Request(frame)
            tasks.add(loop.create_task(answer(request, json.loads(SCENARIO.read_text()))))
    os._exit(0)


asyncio.run(main())
