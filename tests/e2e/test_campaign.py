"""Random kills of hub and child during starts and stops of 20 users: no orphan, no duplicate, no lost server.

`make campaign` runs 500; a run is repeated with `--seed`.
"""

import random
import time
from pathlib import Path

import pytest

from support import crowds
from support.campaign import Campaign

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("backend", ["fargate", "azure_ml"])
def test_whatever_is_killed_nothing_is_lost_left_over_or_there_twice(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    kills, seed = request.config.getoption("--kills"), request.config.getoption("--seed")
    began = time.monotonic()
    with crowds.cloud(backend) as there:
        hub = crowds.hub_before(there, tmp_path)
        campaign = Campaign(there, hub, random.Random(f"{backend} {seed}"))
        try:
            campaign.run(kills)
        finally:
            hub.stop()
            counts = ", ".join(f"{count} {what}" for what, count in sorted(campaign.counts.items()))
            print(f"{backend}, seed {seed}: {counts}; {time.monotonic() - began:.0f} s")
