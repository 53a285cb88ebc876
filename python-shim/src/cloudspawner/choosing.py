"""The part of `CloudSpawner` that is about choosing: a profile, its options, and so the cloud.

The same code checks the form and the REST API. What was chosen is in the server's state, and is set again before the
first poll after a restart of the hub.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets
from jupyterhub.utils import maybe_future
from traitlets import Dict, HasTraits, List, Union, default

from . import form, profile_list
from .cloud import Cloud
from .errors import ChoiceRefused, ConfigurationError, spawn_exception
from .overrides import Overrides, refusal
from .parts import Part
from .profiles import Chosen, Menu, Profile
from .record import Record
from .wire import JsonObject, ProgramError

if TYPE_CHECKING:
    from .clouds import OneOfSeveral

# Somebody who wants another cloud does not wait for one that does not answer.
_OWN_OPTIONS_SECONDS = 5.0
_CANNOT_BE_ASKED = "What there is to choose from cannot be told at the moment. Please try again in a minute."


class ChoosingTraits(Part):
    """Profiles, the form, and what a choice sets."""

    #: The clouds of a spawner that has several, by what a profile calls its `backend`.
    several: ClassVar[Mapping[str, type[OneOfSeveral]]] = {}

    profile_list = Union(
        [List(Dict()), Dict(), traitlets.Callable()],
        default_value=[],
        help="""
        The kinds of servers that people choose from, as for kubespawner: each a dict with `display_name` and, where
        wanted, `slug`, `description`, `default`, `backend` ("fargate" or "azure_ml"; needed where the spawner has
        both), `groups` (who may have it: members of any of these; all by default), `spawner_override` (traits to set,
        of the cloud or of JupyterHub; a function of the spawner gives the value, a dict goes over what is there) and
        `profile_options` (`display_name`, `choices`, `unlisted_choice`, each with its own `spawner_override`).

        Empty by default. A function, plain or async, of the spawner may give the list. All texts are shown as text, and
        `validation_regex` must match the whole text. Example:
        `[{"display_name": "Small", "backend": "fargate", "spawner_override": {"cpu": 512, "memory": 2048}}]`.
        """,
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._clouds: dict[str, Cloud] = {}
        self._cloud: Cloud | None = self if isinstance(self, Cloud) else None
        self._overrides = Overrides()
        self._chosen: Chosen | None = None
        self._once_chosen: JsonObject | None = None
        self._choosing = asyncio.Lock()

    # The clouds

    @property
    def cloud(self) -> Cloud:
        """The cloud of this server. Raises ConfigurationError where none is chosen yet."""
        if self._cloud is None:
            raise ConfigurationError("no cloud is chosen yet")
        return self._cloud

    def clouds(self) -> list[Cloud]:
        """Every cloud that the admin has set up."""
        if isinstance(self, Cloud):
            return [self]
        config = self.spawner.config
        return [self._cloud_of(name) for name, kind in self.several.items() if kind.is_configured(config)]

    def _backends(self) -> Collection[str]:
        return (self.backend,) if isinstance(self, Cloud) else self.several

    def _cloud_of(self, backend: str) -> Cloud:
        if isinstance(self, Cloud):
            return self
        if backend not in self._clouds:
            self._clouds[backend] = self.several[backend](self.spawner)  # type: ignore[assignment]  # each is a Cloud, too
        return self._clouds[backend]

    def _owners(self, cloud: Cloud) -> list[HasTraits]:
        """Whose traits an override sets."""
        return [self] if isinstance(self, Cloud) else [cloud, self]

    # The admin's list

    def wrong_profiles(self) -> list[str]:
        """Sentences about a `profile_list` that nobody could choose from; a function is asked when somebody chooses."""
        if not self.profile_list or callable(self.profile_list):
            return []
        return profile_list.problems(self.profile_list, self._backends(), self._refusal)

    def _overrides_on(self, backend: str) -> list[Mapping[str, Any]]:
        """What the choices of this cloud's profiles may set; a function's are not known before somebody chooses."""
        if not self.profile_list or callable(self.profile_list):
            return []
        menu = profile_list.read(self.profile_list, self._backends())
        profiles = [profile for profile in menu.profiles if profile.backend == backend]
        return [override for profile in profiles for override in profile.all_overrides()]

    def _refusal(self, backend: str, name: str) -> str:
        why = refusal(name, self._owners(self._cloud_of(backend)))
        others = {other: kind for other, kind in self.several.items() if other != backend}
        if why and (theirs := [other for other, kind in others.items() if name in kind.class_trait_names(config=True)]):
            return f"{name!r} is a setting of {theirs[0]}, and this profile is on {backend}"
        return why

    # The form

    @default("options_form")
    def _form_of_the_menu(self) -> Any:
        return self._form if self._offers_choices() else ""

    @default("options_from_form")
    def _options_of_the_form(self) -> Any:
        return self._from_form if self._offers_choices() else _one_value_each

    @default("apply_user_options")
    def _options_are_applied(self) -> Any:
        # JupyterHub warns of options that nobody takes.
        return self._apply if self._offers_choices() else None

    def _offers_choices(self) -> bool:
        return bool(self.profile_list) or (self._cloud is not None and self._cloud.offers_choices())

    def _has_own_form(self) -> bool:
        return bool(self.spawner.options_form == self._form)

    async def _form(self, _spawner: object) -> str:
        last = self.spawner._last_ending()
        menu = await self._menu(own=True)
        return form.render(menu, self.spawner.user_options, last.last_time() if last else "")

    async def _from_form(self, form_data: Mapping[str, list[Any]]) -> JsonObject:
        menu = await self._menu(own=True)
        options = form.read(menu, form_data, strict=self._has_own_form())
        await self._check(menu, options)
        return options

    def options_from_query(self, query_data: Mapping[str, list[str]]) -> Any:
        """The query of a link to the spawn page names options as the REST API does."""
        return _one_value_each(query_data) if self._offers_choices() else self.spawner.options_from_form(query_data)

    async def _apply(self, _spawner: object, _options: object) -> None:
        # Before the hub reads start_timeout. A refusal is for `start` to raise: here the hub would log a traceback.
        try:
            await self._choose()
        except (ChoiceRefused, ConfigurationError, ProgramError):
            self._chosen = None

    # Choosing

    async def _menu(self, *, own: bool, everybodys: bool = False) -> Menu:
        """What this person may choose from.

        Args:
            own: whether the clouds are asked for their own options.
            everybodys: whether profiles of groups that the person is not in are there, too.
        """
        backends = self._backends()
        listed: Any = self.profile_list
        if callable(listed):
            listed = await maybe_future(listed(self.spawner))
        if self.profile_list:
            menu = profile_list.read(listed, backends)
        elif len(backends) == 1:
            menu = Menu((Profile("", "", next(iter(backends))),))
        else:
            raise ConfigurationError("set CloudSpawner.profile_list, each profile with its backend")
        if not everybodys:
            menu = menu.only({group.name for group in self.spawner.user.groups})
        if own:
            menu = replace(menu, profiles=tuple([await self._with_own_options(profile) for profile in menu.profiles]))
        return menu

    async def _with_own_options(self, profile: Profile) -> Profile:
        cloud = self._cloud_of(profile.backend)
        try:
            return profile.with_options(
                await asyncio.wait_for(cloud.own_options(profile.override), _OWN_OPTIONS_SECONDS)
            )
        except (ProgramError, TimeoutError, asyncio.TimeoutError) as error:
            self.spawner.log.warning("%s cannot tell what there is to choose from: %r", profile.backend, error)
            return replace(profile, problem=_CANNOT_BE_ASKED)

    async def _check(self, menu: Menu, options: Mapping[str, Any]) -> Chosen:
        chosen = menu.check(options, strict=self._has_own_form())
        profile = chosen.profile
        cloud = self._cloud_of(profile.backend)
        if impossible := sorted(set(options) & set(cloud.own_names) - profile.fields):
            raise ChoiceRefused(f"{' and '.join(impossible)} cannot be chosen here")
        try:
            await cloud.check_own(_own_part(chosen), profile.override)
        except ProgramError as error:
            raise spawn_exception(error) from error
        return chosen

    async def _choose(self) -> Chosen:
        """Check the user's options and set what they choose.

        Raises:
            ChoiceRefused: they choose what is not offered.
            ConfigurationError: the profile is not right.
        """
        options = self.spawner.user_options
        menu = await self._menu(own=False)
        profile = await self._with_own_options(menu.profile(str(options.get("profile") or "")))
        mine = replace(menu, profiles=tuple(profile if p.slug == profile.slug else p for p in menu.profiles))
        return await self._take(await self._check(mine, options))

    async def _choose_again(self) -> None:
        """Set what was chosen for a server that is older than this hub's process. Never raises."""
        async with self._choosing:
            options, self._once_chosen = self._once_chosen, None
            if options is None:
                return
            try:
                menu = await self._menu(own=False, everybodys=True)
                await self._take(menu.check(options, strict=False))
            except Exception as error:
                # The cloud is known from the state, and the state wins over settings.
                self.spawner.log.warning(
                    "%s: the profile that it was started with cannot be set again: %s", self.spawner._log_name, error
                )

    def _take_up(self, record: Record) -> None:
        """Know the cloud of a server that is older than this object; the rest comes with `_choose_again`."""
        if record.backend in self._backends():
            self._cloud = self._cloud_of(record.backend)
            self._once_chosen = record.profile

    async def _take(self, chosen: Chosen) -> Chosen:
        self._overrides.undo()
        cloud = self._cloud = self._cloud_of(chosen.profile.backend)
        for name, value in cloud.for_the_spawner().items():
            self._overrides.set(self, name, value)
        for override in chosen.overrides:
            await self._overrides.apply(override, self._owners(cloud))
        cloud.own_choice, cloud.own_override = _own_part(chosen), chosen.profile.override
        self._chosen = chosen
        return chosen


def _own_part(chosen: Chosen) -> JsonObject:
    options = chosen.profile.options
    return {name: value for name, value in chosen.options.items() if name in options and options[name].by_cloud}


def _one_value_each(form_data: Mapping[str, list[Any]]) -> JsonObject:
    """The fields of whatever page the admin has, one value each."""
    return {name: values[0] for name, values in form_data.items() if values}
