"""A third cloud is a class of traits to the shim: docs/adding-a-backend.md."""

from __future__ import annotations

from typing import ClassVar

from traitlets import Unicode

from cloudspawner import CloudSpawner
from cloudspawner.cloud import Cloud
from cloudspawner.wire import JsonObject
from conftest import URL, Fake, MakeSpawner


class Shed(Cloud):
    """A cloud with one setting."""

    backend: ClassVar[str] = "shed"
    class_name: ClassVar[str] = "ShedSpawner"

    room = Unicode().tag(config=True)

    def cloud_config(self) -> JsonObject:
        return {"room": self.room}

    def credentials(self) -> JsonObject | None:
        return None


class ShedSpawner(Shed, CloudSpawner):
    """Each server is a machine in the shed."""


async def test_a_class_of_traits_is_all_that_the_shim_needs_of_a_third_cloud(
    make_spawner: MakeSpawner, fake: Fake
) -> None:
    state = {"v": 1, "backend": "shed", "data": {"key": "cs-prod-k"}}
    fake.plays(start=[["state", state], ["ack"], ["result", {"url": URL, "state": state}]])
    spawner = make_spawner(kind=ShedSpawner, config={"ShedSpawner": {"room": "behind the house"}})
    assert await spawner.start() == URL
    await spawner.stop()
    for verb in ("start", "stop"):
        params = fake.sent(verb)[0]["params"]
        assert (params["backend"], params["config"]) == ("shed", {"room": "behind the house"})
    assert spawner.get_state()["backend"] == "shed"
