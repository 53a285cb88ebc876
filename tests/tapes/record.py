"""Records the tapes anew, against the emulator: `python tests/tapes/record.py [BACKEND …]`; README.md says when."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `support`

from support import ask, program, states, tapes
from support.azure import Azure
from support.emulator import Emulator

Json = dict[str, Any]


class Fargate:
    """ECS, and what a scene asks of it."""

    def __init__(self) -> None:
        self.cloud = Emulator("--unique-addresses")
        self.public = {self.cloud.url: "https://ecs.eu-west-1.amazonaws.com"}

    def start(self) -> Json:
        """A start whose server has a token in its environment."""
        spec = ask.spec()
        return ask.start(spec={**spec, "env": {**spec["env"], "JUPYTERHUB_API_TOKEN": tapes.API_TOKEN}})

    def poll(self, state: Json) -> Json:
        """A poll of one that runs and one that never was."""
        return ask.poll(ask.target(state), ask.target(user="grace"))

    def stop(self, state: Json) -> Json:
        """A stop."""
        return ask.stop(state)

    def fail_creation(self) -> None:
        """The next task stops when it should run."""
        self.cloud.fault("RunTask", "early_stop", stopped_reason="CannotPullContainerError: nobody has it")

    def throttle(self) -> None:
        """The next creation and the next look are refused once."""
        self.cloud.fault("RunTask", "throttle")
        self.cloud.fault("DescribeTasks", "throttle")


class AzureMl:
    """Azure, and what a scene asks of it; two instances a page, so that a tape has pages."""

    def __init__(self) -> None:
        self.cloud = Azure("--azure-page-size", "2")
        self.public = {self.cloud.url: "", self.cloud.azure["management"]: "https://management.azure.com"}

    def start(self) -> Json:
        """A start."""
        return self.cloud.ask("start", config=self.cloud.config(idle_shutdown="PT60M", tags={"team": "data"}))

    def poll(self, state: Json) -> Json:
        """A poll of one that runs, three that are in other states, and one that is not there."""
        targets = [{"server": ask.server(), "state": state}]
        for user, put in (("bob", "Stopped"), ("eve", "Creating"), ("ivy", "CreateFailed"), ("nobody", "")):
            seed = {"name": f"cs{user}", "workspace": self.cloud.azure["workspace"], "state": put}
            if put:
                self.cloud.azure_admin("instances", seed)
            data = {**state["data"], "key": states.key(user), "ref": seed["name"]}
            targets.append({"server": ask.server(user), "state": {**state, "data": data}})
        return self.cloud.ask("poll", targets=targets)

    def stop(self, state: Json) -> Json:
        """A stop that waits for the end, as the shim's does."""
        return self.cloud.ask("stop", state=state, wait=True)

    def fail_creation(self) -> None:
        """The next instance becomes CreateFailed."""
        self.cloud.azure_fault("computes.put", "create_failed", code="VmDoesNotBoot", message="The machine does not boot")

    def throttle(self) -> None:
        """The next creation and the look after it are refused once."""
        self.cloud.azure_fault("computes.put", "throttle")
        self.cloud.azure_fault("computes.get", "throttle", skip=1)


BACKENDS: dict[str, Callable[[], Fargate | AzureMl]] = {"fargate": Fargate, "azure_ml": AzureMl}


def request_of(scene: str, world: Fargate | AzureMl) -> Json:
    """Brings the cloud to where the scene begins, and gives the scene's request."""
    if scene == "failed_creation":
        world.fail_creation()
    if scene == "throttled":
        world.throttle()
    if scene not in ("poll", "stop"):
        return world.start()
    state = program.run("start", world.start(), world.cloud.env()).result["state"]
    return world.poll(state) if scene == "poll" else world.stop(state)


def record(backend: str, scene: str) -> None:
    """Plays one scene in a fresh cloud and keeps it, as if the public cloud had been asked."""
    where = tapes.folder(backend, scene)
    shutil.rmtree(where, ignore_errors=True)
    world = BACKENDS[backend]()
    cloud: AbstractContextManager[Emulator] = world.cloud
    with cloud:
        request = request_of(scene, world)
        arguments = ["--record", str(where / "exchanges")]
        recorded = program.run(request["verb"], request, world.cloud.env(), arguments=arguments)
        public = world.public

    def rewritten(text: str) -> str:
        for local, name in public.items():
            text = text.replace(local, name)
        return text

    for name in ("management_endpoint", "authority_host"):
        request["params"]["config"].pop(name, None)
    request["params"]["credentials"] = None
    # Environment values are on no tape, so a replay fits whatever they are.
    (where / "request.json").write_text(written(request).replace(tapes.API_TOKEN, "REDACTED"))
    for file in [where / "request.json", *(where / "exchanges").iterdir()]:
        file.write_text(rewritten(file.read_text()).rstrip() + "\n")
    frames = tapes.replay(backend, scene)
    lived = tapes.told(json.loads(rewritten(json.dumps(recorded.frames))))
    if compared(frames) != compared(lived).replace("123456789012", "000000000000"):
        raise RuntimeError(f"{backend} {scene}: it told {lived}, and from the tape {frames}")
    (where / "frames.json").write_text(written(frames))


def compared(frames: list[Json]) -> str:
    """Frames as a text, but for the ways into the public cloud's console, which a local cloud has not."""
    return json.dumps([{**frame, "link": None} for frame in frames], sort_keys=True)


def written(value: object) -> str:
    """JSON that is legible and always the same."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for backend in sys.argv[1:] or BACKENDS:
        for scene in tapes.SCENES:
            record(backend, scene)
            sys.stdout.write(f"{tapes.folder(backend, scene)}\n")
