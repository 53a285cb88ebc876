"""The hub's start: what means nothing or cannot go together keeps it from starting; the cloud is looked at meanwhile.

JupyterHub gives a spawner class no hook at its start, and imports every installed spawner before its application is
there to be observed. So one method of the application is wrapped: `init_handlers` comes when config, database and
authenticator are there, and before anything runs.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from types import SimpleNamespace
from typing import Any

from .errors import ConfigurationError
from .misspelt import misspelt
from .spawner import CERTIFICATES_STAY, CloudSpawner

# An event loop holds its tasks by weak references alone.
_running: set[asyncio.Task[None]] = set()


def listen() -> None:
    """Have `_at_start` called by every hub of this process; once.

    Who is no hub, and only wants `get_secret`, does not wait for seconds until JupyterHub's application is imported.
    """
    if not (application := sys.modules.get("jupyterhub.app")):
        return
    wrapped = application.JupyterHub.init_handlers

    @functools.wraps(wrapped)
    def init_handlers(app: Any) -> None:
        wrapped(app)
        _at_start(app)

    application.JupyterHub.init_handlers = init_handlers


def _at_start(app: Any) -> None:
    kind = app.spawner_class
    if not issubclass(kind, CloudSpawner):
        return
    spawner = stand_in(kind, app)
    if problems := [*misspelt(kind, app.config), *impossible(spawner, app.authenticator)]:
        app.exit("The hub is not started:\n" + "\n".join(f"  {problem}" for problem in problems))
    if spawner.check_at_start:
        task = asyncio.ensure_future(spawner.check_clouds(app.log))
        _running.add(task)
        task.add_done_callback(_running.discard)


def stand_in(kind: type[CloudSpawner], app: Any) -> CloudSpawner:
    """A spawner of nobody: it tells what the settings come to, and never starts anything."""
    nobody = SimpleNamespace(name="nobody", admin=False, groups=[], settings=app.tornado_settings)
    return kind(user=nobody, hub=app.hub, config=app.config, authenticator=app.authenticator)


def impossible(spawner: CloudSpawner, authenticator: Any) -> list[str]:
    """Sentences about settings that no start can work with, whatever a profile says."""
    try:
        clouds = spawner.clouds()
        problems = [problem for cloud in clouds for problem in cloud.impossible(authenticator)]
    except ConfigurationError as error:
        return [str(error)]
    if not clouds:
        sections = " or ".join(f"c.{kind.class_name}" for kind in spawner.several.values())
        problems.append(f"no cloud is set up: say where servers run with {sections}")
    elif len(spawner._backends()) > 1 and not spawner.profile_list:
        problems.append("set CloudSpawner.profile_list, each profile with its backend")
    problems += spawner.wrong_profiles()
    if spawner.user.settings.get("internal_ssl") and type(spawner).move_certs is CloudSpawner.move_certs:
        problems.append(CERTIFICATES_STAY)
    return problems
