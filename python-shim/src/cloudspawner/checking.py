"""check: whether the settings can work, looked at when the hub starts and told in its log."""

from __future__ import annotations

from logging import Logger
from typing import TYPE_CHECKING

import jupyterhub
from traitlets import Bool

from .errors import ConfigurationError
from .parts import Part
from .wire import CheckParams, ProgramError

if TYPE_CHECKING:
    from .cloud import Cloud

# The hub does not wait for it; the program's own looks end before.
_TIMEOUT_MS = 30_000


class CheckTraits(Part):
    """The part of `CloudSpawner` that is about check."""

    check_at_start = Bool(
        True,
        help="""
        Whether the hub looks at its start whether the settings can work, as `cloudspawner check` does, and warns of
        what it finds. The hub does not wait for it.

        True by default: a few calls that change nothing.
        """,
    ).tag(config=True)

    async def check_clouds(self, log: Logger) -> None:
        """Warn of what the program finds. Never raises, but for its own cancelling."""
        for cloud in self.spawner.clouds():
            try:
                await self._look_at(cloud, log)
            except (ConfigurationError, ProgramError) as error:
                log.warning("check of %s: %s", cloud.class_name, error)
            except Exception:
                log.exception("check of %s broke off", cloud.class_name)

    async def _look_at(self, cloud: Cloud, log: Logger) -> None:
        hub = self.spawner.hub
        params: CheckParams = {
            "backend": cloud.backend,
            "config": cloud.check_config(),
            "credentials": cloud.credentials(),
            "hub_url": hub.api_url if hub else None,
            "port": cloud.server_port(),
            "hub_version": jupyterhub.__version__,
            "offline": False,
        }
        result = await self.spawner._program().request("check", params, timeout_ms=_TIMEOUT_MS)
        bad = [finding for finding in result.get("checks", []) if not finding.get("ok")]
        for finding in bad:
            name, message, hint = (finding.get(part) or "" for part in ("name", "message", "hint"))
            log.warning("check of %s: %s: %s. %s", cloud.class_name, name, message, hint)
        if not bad:
            log.info("check of %s: nothing is wrong", cloud.class_name)
