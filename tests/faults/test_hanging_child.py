"""A child that hangs: the hub gets an answer by its deadline all the same, and the next request gets a new child."""

import logging
import signal
from unittest.mock import patch

import pytest
from cloudspawner import program as shim
from cloudspawner.program import Program
from cloudspawner.wire import ProgramError

from faults.clouds import opened
from support import ask, program


async def test_a_child_that_is_stopped_in_its_tracks_is_ended_and_the_server_lives_on() -> None:
    with opened() as both, patch.object(shim, "GRACE_SECONDS", 0.2):
        cloud = both["fargate"]
        state = cloud.running()
        params = ask.poll(ask.target(state))["params"]
        child = Program([program.path()], cloud.env(), logging.getLogger("test"))
        try:
            first = await child.request("poll", params, timeout_ms=20_000)
            assert first["servers"][0]["phase"] == "running"
            assert child._child
            child._child._process.send_signal(signal.SIGSTOP)
            with pytest.raises(ProgramError) as caught:
                await child.request("poll", params, timeout_ms=500)
            assert caught.value.code == "unavailable"
            assert (await child.request("poll", params, timeout_ms=20_000))["servers"][0]["phase"] == "running"
            assert len(cloud.alive()) == 1
        finally:
            await child.close()
