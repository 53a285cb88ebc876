"""Long work of the hub's event loop in slices, so that people's requests pass in between."""

from __future__ import annotations

import asyncio

# Far below what a person notices (about 100 ms), and far above what a turn of the loop itself takes.
_SECONDS = 0.005


class Slice:
    """What one turn of the running loop gives to a piece of work; it begins when it is made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + _SECONDS

    def is_over(self) -> bool:
        """Whether it is time to let others pass."""
        return self._loop.time() >= self._until

    async def next(self) -> Slice:
        """Let everybody else have a turn; gives the next slice."""
        await asyncio.sleep(0)
        return Slice()
