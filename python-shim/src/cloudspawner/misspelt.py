"""Names in the configuration that mean nothing to cloudspawner.

traitlets only warns of them, and starts the hub with the setting left out: a server in the wrong subnet, or without its
storage.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from traitlets.config import Configurable

from .azure_ml import AMLSpawner
from .fargate import FargateSpawner, FargateSpawnerAuthentication
from .profiles import nearest
from .spawner import CloudSpawner

# A section is somebody else's unless it is ours but for a letter or two.
_NEARLY_OURS = 0.85


def misspelt(kind: type[CloudSpawner], config: Mapping[str, Any]) -> list[str]:
    """A sentence for each name that means nothing.

    Args:
        kind: the hub's spawner class.
        config: the hub's whole configuration.
    """
    sections = _sections(kind)
    problems = [
        f"c.{section}.{name} is no setting; {nearest(name, known)}"
        for section, known in sections.items()
        # What begins with a capital is a section in a section.
        for name in config.get(section, {})
        if name not in known and not name[:1].isupper()
    ]
    classes = {known.__name__ for known in _with_subclasses(Configurable)}
    for name in sorted(set(config) - set(sections) - classes):
        if close := difflib.get_close_matches(name, sections, 1, _NEARLY_OURS):
            problems.append(f"c.{name} is no class; did you mean c.{close[0]}?")
    return problems


def _sections(kind: type[CloudSpawner]) -> dict[str, set[str]]:
    """The sections that are ours, or the admin's own class's, each with what it may hold."""
    has_one = issubclass(kind, (FargateSpawner, AMLSpawner))
    clouds: tuple[type[CloudSpawner], ...] = () if has_one else (FargateSpawner, AMLSpawner)
    everywhere = _names(kind).union(*(_names(cloud) for cloud in clouds))
    own = {parent.__name__: everywhere for parent in kind.mro() if issubclass(parent, CloudSpawner)}
    beside = {cloud.__name__: _names(kind) | _names(cloud) for cloud in clouds}
    credentials = {part.__name__: _names(part) for part in _with_subclasses(FargateSpawnerAuthentication)}
    return own | beside | credentials


def _names(kind: type[Configurable]) -> set[str]:
    return set(kind.class_trait_names(config=True))


def _with_subclasses(kind: type[Configurable]) -> Iterator[type[Configurable]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _with_subclasses(below)
