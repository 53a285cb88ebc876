"""What people choose from: the admin's `profile_list`, in the shape that kubespawner's users know, and what was chosen.

It knows neither JupyterHub nor a cloud: a choice is checked against the menu. How a menu is read from the list is in
`profile_list`, what an override does to a spawner in `overrides`, how a menu looks in `form`.
"""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .errors import ChoiceRefused
from .wire import JsonObject

# kubespawner's own words: the value of the select, and the end of the text field's name.
UNLISTED = "unlisted-choice"
# A free text becomes part of settings, and of the state (4 KiB in all).
_MAX_TEXT = 256


@dataclass(frozen=True)
class Choice:
    """One entry of an option; `override` is what it sets."""

    label: str
    override: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Unlisted:
    """A text of the person's own instead of an entry; `{value}` in `override` stands for it."""

    label: str
    in_choices: str
    pattern: str
    hint: str
    override: Mapping[str, Any]

    def check(self, label: str, text: str) -> Mapping[str, Any]:
        """The override for a text. Raises ChoiceRefused where the text does not fit."""
        why = self.hint or "it does not fit"
        if len(text) > _MAX_TEXT or not text.isprintable() or set(text) & set("{}"):
            raise ChoiceRefused(f"{label}: at most {_MAX_TEXT} printable characters without braces, please")
        if not text or (self.pattern and not re.fullmatch(self.pattern, text)):
            raise ChoiceRefused(f"{label}: {shown(text)} is refused: {why}")
        return {name: _filled_in(value, text) for name, value in self.override.items()}


@dataclass(frozen=True)
class Option:
    """Something to choose within a profile.

    Attributes:
        label: what it is called.
        choices: the entries; the first is the default unless `default` names another.
        default: the key of an entry.
        unlisted: a text of one's own, where that is allowed.
        by_cloud: whether the cloud checks what was chosen, since it takes more spellings than the form shows.
    """

    label: str
    choices: Mapping[str, Choice]
    default: str = ""
    unlisted: Unlisted | None = None
    by_cloud: bool = False

    def check(self, name: str, options: Mapping[str, Any]) -> tuple[JsonObject, Mapping[str, Any]]:
        """What was chosen, written out, and what it overrides. Raises ChoiceRefused."""
        key, text = text_of(options, name), text_of(options, f"{name}--{UNLISTED}")
        if text and (key or self.unlisted is None):
            raise ChoiceRefused(f"{name}--{UNLISTED} cannot be given {'with ' + name if key else 'here'}")
        if self.unlisted and (text or not (key or self.choices)):
            return {f"{name}--{UNLISTED}": text}, self.unlisted.check(self.unlisted.label, text)
        if self.by_cloud:
            return ({name: key} if key else {}), {}
        key = key or self.default or next(iter(self.choices))
        if key not in self.choices:
            raise ChoiceRefused(f"{name} {shown(key)} is not offered; choose one of {', '.join(self.choices)}")
        return {name: key}, self.choices[key].override


@dataclass(frozen=True)
class Profile:
    """One kind of server; `slug` is empty where there is nothing but options to choose.

    Attributes:
        problem: why its options cannot be shown at the moment, for the form.
    """

    slug: str
    label: str
    backend: str
    description: str = ""
    groups: frozenset[str] | None = None
    override: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Option] = field(default_factory=dict)
    problem: str = ""

    def offered_to(self, groups: Collection[str]) -> bool:
        """Whether somebody in these groups may have it."""
        return self.groups is None or bool(self.groups & set(groups))

    def with_options(self, more: Mapping[str, Option]) -> Profile:
        """The same with the cloud's own options, before which the admin's go."""
        return replace(self, options={**more, **self.options})

    def all_overrides(self) -> list[Mapping[str, Any]]:
        """What a choice of this profile may set, one option at a time; a text of one's own is not known before."""
        choices = [choice for option in self.options.values() for choice in option.choices.values()]
        return [self.override, *({**self.override, **choice.override} for choice in choices)]

    @property
    def fields(self) -> set[str]:
        """The names that a choice of this profile may hold."""
        texts = {f"{name}--{UNLISTED}" for name, option in self.options.items() if option.unlisted}
        return {"profile", *self.options, *texts}


@dataclass(frozen=True)
class Chosen:
    """A choice that is allowed: the profile, all that was chosen written out, and what to override, in order."""

    profile: Profile
    options: JsonObject
    overrides: list[Mapping[str, Any]]


@dataclass(frozen=True)
class Menu:
    """The profiles that somebody may choose from; the first is the default unless `default` names another."""

    profiles: tuple[Profile, ...]
    default: str = ""

    def only(self, groups: Collection[str]) -> Menu:
        """What somebody in these groups may have."""
        return replace(self, profiles=tuple(p for p in self.profiles if p.offered_to(groups)))

    def profile(self, slug: str) -> Profile:
        """The profile of this slug, the default where it is empty. Raises ChoiceRefused."""
        if not self.profiles:
            raise ChoiceRefused("no kind of server is offered to you on this hub; please ask its administrator")
        by_slug = {profile.slug: profile for profile in self.profiles}
        if slug and slug not in by_slug:
            raise ChoiceRefused(f"profile {shown(slug)} is not offered; choose one of {', '.join(by_slug)}")
        return by_slug.get(slug or self.default, self.profiles[0])

    def check(self, options: Mapping[str, Any], *, strict: bool = True) -> Chosen:
        """What `options` choose, as the form or the REST API gave them.

        Args:
            options: `profile`, the profile's options by name, and `NAME--unlisted-choice` for a text of one's own.
            strict: whether a name that nobody knows is refused, too.

        Raises:
            ChoiceRefused: it is not among what is offered; the message is for whoever chose.
        """
        profile = self.profile(text_of(options, "profile"))
        if strict and (unknown := sorted(set(options) - profile.fields)):
            known = ", ".join(sorted(profile.fields))
            raise ChoiceRefused(f"there is no option {', '.join(map(shown, unknown))} here; there is {known}")
        chosen: JsonObject = {"profile": profile.slug} if profile.slug else {}
        overrides = [profile.override]
        for name, option in profile.options.items():
            given, override = option.check(name, options)
            chosen |= given
            overrides.append(override)
        return Chosen(profile, chosen, overrides)


def shown(value: object) -> str:
    """A value that somebody sent, short enough for a sentence."""
    return reprlib.repr(value)


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that tells of an unknown name: what was meant, or what there is."""
    known = sorted(known)
    if close := difflib.get_close_matches(name, known, 1):
        return f"did you mean {close[0]!r}?"
    return f"known are {', '.join(known)}"


def text_of(options: Mapping[str, Any], name: str) -> str:
    """What was chosen of one option; empty where nothing was. Raises ChoiceRefused for what is no text."""
    value = options.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ChoiceRefused(f"{name} must be a string, not {type(value).__name__}")
    return value


def _filled_in(value: Any, text: str) -> Any:
    if isinstance(value, str):
        return value.replace("{value}", text)
    if isinstance(value, Mapping):
        return {_filled_in(key, text): _filled_in(item, text) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled_in(item, text) for item in value]
    return value
