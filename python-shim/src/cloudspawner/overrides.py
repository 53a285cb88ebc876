"""What a choice sets on a spawner, and how it is taken back before the next one."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import traitlets
from jupyterhub.traitlets import Callable
from jupyterhub.utils import maybe_future, recursive_update
from traitlets import HasTraits, TraitError

from .errors import ConfigurationError
from .profiles import nearest

# They are the hub's, not a server's: with another value nothing that runs would be found again.
_THE_HUBS_OWN = frozenset(
    {"hub_id", "program", "program_env", "profile_list", "gc_interval", "gc_min_age", "check_at_start"}
)


class Overrides:
    """Sets traits and remembers what they were."""

    def __init__(self) -> None:
        self._replaced: list[tuple[HasTraits, str, object]] = []

    def undo(self) -> None:
        """Take back all that was set, the last first."""
        while self._replaced:
            owner, name, value = self._replaced.pop()
            setattr(owner, name, value)

    def set(self, owner: HasTraits, name: str, value: object) -> None:
        """Set one trait. Raises ConfigurationError where the value does not fit."""
        before = getattr(owner, name)
        try:
            setattr(owner, name, value)
        except TraitError as error:
            raise ConfigurationError(f"spawner_override: {name}: {error}") from None
        self._replaced.append((owner, name, before))

    async def apply(self, override: Mapping[str, Any], owners: Sequence[HasTraits]) -> None:
        """Set traits as kubespawner does: a function gives the value, a dict goes over the one that is there.

        Args:
            override: values, or functions (async, too) of the spawner, by trait.
            owners: whose traits may be set, the first that has one; the last is the spawner that functions get.

        Raises:
            ConfigurationError: a trait is unknown, is not a server's, or does not take the value.
        """
        for name, given in override.items():
            if why := refusal(name, owners):
                raise ConfigurationError(f"spawner_override: {why}")
            owner = next(owner for owner in owners if owner.has_trait(name))
            value = given
            if callable(value) and not _takes_functions(owner.traits()[name]):
                value = await maybe_future(value(owners[-1]))
            before = getattr(owner, name)
            if isinstance(value, dict) and isinstance(before, dict):
                merged = copy.deepcopy(before)
                recursive_update(merged, value)
                value = merged
            self.set(owner, name, value)


def refusal(name: str, owners: Sequence[HasTraits]) -> str:
    """Why no override can set a trait of this name; empty where one can."""
    if name not in _THE_HUBS_OWN and any(owner.has_trait(name) for owner in owners):
        return ""
    known = {trait for owner in owners for trait in owner.trait_names(config=True)} - _THE_HUBS_OWN
    return f"{name!r} cannot be set; {nearest(name, known)}"


def _takes_functions(trait: traitlets.TraitType[Any, Any]) -> bool:
    if isinstance(trait, traitlets.Union):
        return any(_takes_functions(kind) for kind in trait.trait_types)
    return isinstance(trait, (traitlets.Callable, Callable))
