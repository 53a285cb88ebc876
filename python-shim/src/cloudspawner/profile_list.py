"""The admin's `profile_list`, read into a menu; all that is wrong with it is told at once, by its place.

It knows neither JupyterHub nor a cloud: what may be set on a spawner it asks `Refusal`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from .errors import ConfigurationError
from .profiles import UNLISTED, Choice, Menu, Option, Profile, Unlisted, nearest

#: Why a backend's server cannot have this trait set; empty where it can.
Refusal = Callable[[str, str], str]

_PROFILE = (
    "display_name",
    "slug",
    "description",
    "default",
    "backend",
    "groups",
    "spawner_override",
    "profile_options",
)
_OPTION = ("display_name", "choices", "unlisted_choice")
_CHOICE = ("display_name", "default", "spawner_override")
_UNLISTED = (
    "enabled",
    "display_name",
    "display_name_in_choices",
    "validation_regex",
    "validation_message",
    "spawner_override",
)


def read(listed: object, backends: Collection[str]) -> Menu:
    """Read a `profile_list`.

    Args:
        listed: a list of dicts, or a dict of dicts by slug.
        backends: the clouds that this spawner has; with one, a profile need not name it.

    Raises:
        ConfigurationError: something in it is unknown, missing or of a wrong type.
    """
    reader = _Reader(backends, lambda _backend, _name: "")
    menu = reader.menu(listed)
    if reader.problems:
        raise ConfigurationError("; ".join(reader.problems))
    return menu


def problems(listed: object, backends: Collection[str], refusal: Refusal) -> list[str]:
    """A sentence for each thing that keeps a `profile_list` from being read, or its overrides from being set."""
    reader = _Reader(backends, refusal)
    reader.menu(listed)
    return reader.problems


class _Reader:
    """Reads on past a mistake, with something in its place that leads to no other."""

    def __init__(self, backends: Collection[str], refusal: Refusal) -> None:
        self.problems: list[str] = []
        self._backends = backends
        self._refusal = refusal

    def menu(self, listed: object) -> Menu:
        if isinstance(listed, Mapping):
            # As kubespawner does: what comes out of YAML has no order of its own.
            entries = {slug: self._mapping(value, str(slug)) for slug, value in sorted(listed.items())}
            listed = [{"slug": slug, **entry} for slug, entry in entries.items()]
        if not isinstance(listed, (list, tuple)):
            self._tell(f"profile_list must give a list, not {type(listed).__name__}")
            return Menu(())
        entries = {f"profile_list[{n}]": entry for n, entry in enumerate(listed)}
        mappings = {where: self._mapping(entry, where, _PROFILE) for where, entry in entries.items()}
        profiles = [self._profile(entry, where) for where, entry in mappings.items()]
        slugs = [profile.slug for profile in profiles if profile.slug]
        if twice := sorted({slug for slug in slugs if slugs.count(slug) > 1}):
            self._tell(f"profile_list: the slug {', '.join(twice)} is there more than once")
        marked = zip(profiles, mappings.items(), strict=True)
        defaults = [profile.slug for profile, (where, entry) in marked if self._is_default(entry, where)]
        return Menu(tuple(profiles), next(iter(defaults), ""))

    def _tell(self, problem: str) -> None:
        self.problems.append(problem)

    def _mapping(self, value: object, where: str, known: Collection[str] = ()) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            self._tell(f"{where} must be a dict, not {type(value).__name__}")
            return {}
        for name in value:
            if known and name not in known:
                self._tell(f"{where}: unknown field {name!r}; {nearest(str(name), known)}")
        return value

    def _string(self, entry: Mapping[str, Any], name: str, where: str, otherwise: str = "") -> str:
        value = entry.get(name, otherwise)
        if not isinstance(value, str):
            self._tell(f"{where}: {name} must be a string, not {type(value).__name__}")
        return str(value)

    def _is_default(self, entry: Mapping[str, Any], where: str) -> bool:
        value = entry.get("default", False)
        if not isinstance(value, bool):
            self._tell(f"{where}: default must be True or False, not {value!r}")
        return bool(value)

    def _profile(self, entry: Mapping[str, Any], where: str) -> Profile:
        label = self._string(entry, "display_name", where)
        slug = self._string(entry, "slug", where) or re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
        if entry and not (label and slug):
            self._tell(f"{where}: needs a display_name, and a slug where that has no letters or digits")
        only = next(iter(self._backends)) if len(self._backends) == 1 else ""
        backend = self._string(entry, "backend", where, only)
        if entry and backend not in self._backends:
            self._tell(f"{where}: unknown backend {backend!r}; {nearest(backend, self._backends)}")
        groups = entry.get("groups")
        if groups is not None and not _is_names(groups):
            self._tell(f"{where}: groups must be a list of names")
            groups = None
        options = self._mapping(entry.get("profile_options") or {}, f"{where}: profile_options")
        return Profile(
            slug,
            label,
            backend,
            self._string(entry, "description", where),
            None if groups is None else frozenset(groups),
            self._override(entry, where, backend),
            {name: self._option(option, f"{where}: {name}", backend) for name, option in options.items()},
        )

    def _override(self, entry: Mapping[str, Any], where: str, backend: str) -> Mapping[str, Any]:
        override = self._mapping(entry.get("spawner_override") or {}, f"{where}: spawner_override")
        for name in override if backend in self._backends else ():
            if why := self._refusal(backend, str(name)):
                self._tell(f"{where}: spawner_override: {why}")
        return override

    def _option(self, entry: object, where: str, backend: str) -> Option:
        given = self._mapping(entry, where)
        choices: dict[str, Choice] = {}
        default = ""
        for key, value in self._mapping(given.get("choices") or {}, f"{where}: choices").items():
            place = f"{where}: {key}"
            choice = self._mapping(value, place, _CHOICE)
            override = self._override(choice, place, backend)
            choices[str(key)] = Choice(self._string(choice, "display_name", place, str(key)), override)
            if self._is_default(choice, place) and not default:
                default = str(key)
        self._mapping({name: value for name, value in given.items() if name != "default"}, where, _OPTION)
        if "default" in given:
            self._tell(f"{where}: {_misplaced(given['default'], choices)}")
        unlisted = self._unlisted(given.get("unlisted_choice") or {}, f"{where}: unlisted_choice", backend)
        if UNLISTED in choices or (isinstance(entry, Mapping) and not (choices or unlisted)):
            self._tell(f"{where}: needs choices (none of them called {UNLISTED}) or an unlisted_choice")
        label = self._string(given, "display_name", where) or where.rsplit(" ", 1)[-1]
        return Option(label, choices, default, unlisted)

    def _unlisted(self, entry: object, where: str, backend: str) -> Unlisted | None:
        given = self._mapping(entry, where, _UNLISTED)
        if not given.get("enabled"):
            return None
        pattern = self._string(given, "validation_regex", where)
        try:
            re.compile(pattern)
        except re.error as error:
            self._tell(f"{where}: validation_regex: {error}")
        return Unlisted(
            self._string(given, "display_name", where, "Other"),
            self._string(given, "display_name_in_choices", where, "Other…"),
            pattern,
            self._string(given, "validation_message", where),
            self._override(given, where, backend),
        )


def _is_names(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str) and all(isinstance(name, str) for name in value)


def _misplaced(default: object, choices: Collection[str]) -> str:
    """The sentence about a default that stands beside the choices."""
    if str(default) in choices:
        return f'the default is marked at the choice itself: {default!r}: {{"default": True, …}}'
    return f"the default {default!r} is not among its choices; {nearest(str(default), choices)}"
