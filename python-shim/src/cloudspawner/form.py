"""The form of JupyterHub's spawn page: a menu as HTML, and what comes back.

Fields have the names that kubespawner gives them. It works by keyboard and screen reader, loads nothing and needs no
script: where the browser knows `:has()`, only the chosen profile's options are shown, else all of them. Every text is
escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from .errors import ChoiceRefused
from .profiles import UNLISTED, Menu, Option, Profile, Unlisted, shown
from .wire import JsonObject

# JupyterHub's own, where a page is loaded again after a refusal.
_THE_HUBS_OWN = frozenset({"_xsrf"})
_STYLE = """<style>
.cloudspawner-profile { border: 1px solid var(--bs-border-color, #ccc); border-radius: .375rem; padding: .75rem 1rem; }
.cloudspawner-profile + .cloudspawner-profile { margin-top: .5rem; }
.cloudspawner-profile:focus-within { outline: 2px solid currentColor; }
.cloudspawner-profile label { font-weight: 600; }
.cloudspawner-options { border: 0; margin: .5rem 0 0; min-width: 0; padding: 0; }
@supports selector(:has(*)) {
  .cloudspawner-profile:has(> .form-check > input:not(:checked)) > .cloudspawner-options { display: none; }
  .cloudspawner-option:has(option[value="unlisted-choice"]:not(:checked)) > .cloudspawner-text { display: none; }
}
</style>"""


def render(menu: Menu, before: Mapping[str, Any], last_time: str = "") -> str:
    """The fields of the form.

    Args:
        menu: what this person may choose from.
        before: what was chosen the last time, which is chosen again where it is still there.
        last_time: HTML that stands above the fields.
    """
    if not menu.profiles:
        return f"{last_time}<p>No kind of server is offered to you here. Please ask the hub's administrator.</p>"
    if not menu.profiles[0].slug:
        return last_time + _STYLE + _options(menu.profiles[0], "cloudspawner", before)
    slugs = [profile.slug for profile in menu.profiles]
    wanted = next((slug for slug in (before.get("profile"), menu.default) if slug in slugs), slugs[0])
    profiles = "".join(
        _profile(profile, f"cloudspawner-{number}", profile.slug == wanted, before)
        for number, profile in enumerate(menu.profiles)
    )
    return f'{last_time}{_STYLE}<fieldset class="mb-3"><legend>Kind of server</legend>{profiles}</fieldset>'


def read(menu: Menu, form: Mapping[str, list[Any]], *, strict: bool = True) -> JsonObject:
    """What came back, as user options; not checked yet.

    Args:
        menu: what this person may choose from.
        form: lists of values by field.
        strict: whether a field that nobody knows is refused.

    Raises:
        ChoiceRefused: a field is unknown, or given more than once.
    """
    values = {name: _only(name, given) for name, given in form.items() if name not in _THE_HUBS_OWN}
    chosen = menu.profile(str(values.pop("profile", "")))
    options: JsonObject = {"profile": chosen.slug} if chosen.slug else {}
    for name, option in chosen.options.items():
        sent = field(chosen, name)
        value, text = values.pop(sent, None), values.pop(f"{sent}--{UNLISTED}", None)
        if value == UNLISTED and option.unlisted:
            options[f"{name}--{UNLISTED}"] = str(text or "").strip()
        elif value is not None:
            options[name] = value
    # The options of all other profiles come, too, and are nobody's choice.
    others = tuple(field(profile, "") for profile in menu.profiles if profile is not chosen)
    rest = {name: value for name, value in values.items() if not (others and name.startswith(others))}
    if strict and rest:
        raise ChoiceRefused(f"the form has no field {', '.join(map(shown, rest))}")
    return options | rest


def field(profile: Profile, option: str) -> str:
    """The name of an option's field."""
    return f"profile-option-{profile.slug}--{option}" if profile.slug else option


def _only(name: str, given: list[Any]) -> Any:
    if len(given) != 1:
        raise ChoiceRefused(f"{shown(name)} is given {len(given)} times")
    return given[0]


def _profile(profile: Profile, ident: str, chosen: bool, before: Mapping[str, Any]) -> str:
    about = profile.problem or profile.description
    described = f' aria-describedby="{ident}-about"' if about else ""
    checked = " checked" if chosen else ""
    return (
        f'<div class="cloudspawner-profile"><div class="form-check">'
        f'<input class="form-check-input" type="radio" name="profile" id="{ident}" value="{escape(profile.slug)}"'
        f'{described}{checked}><label class="form-check-label" for="{ident}">{escape(profile.label)}</label>'
        + (f'<div id="{ident}-about">{escape(about)}</div>' if about else "")
        + "</div>"
        + _fieldset(profile, ident, before if chosen else {})
        + "</div>"
    )


def _fieldset(profile: Profile, ident: str, before: Mapping[str, Any]) -> str:
    if not profile.options:
        return ""
    return (
        f'<fieldset class="cloudspawner-options"><legend class="visually-hidden">Options of {escape(profile.label)}'
        f"</legend>{_options(profile, ident, before)}</fieldset>"
    )


def _options(profile: Profile, ident: str, before: Mapping[str, Any]) -> str:
    return "".join(
        _option(option, field(profile, name), f"{ident}-{number}", before.get(name), before.get(f"{name}--{UNLISTED}"))
        for number, (name, option) in enumerate(profile.options.items())
    )


def _option(option: Option, name: str, ident: str, before: object, text: object) -> str:
    wanted = before if isinstance(before, str) and before in option.choices else option.default
    labels = {key: choice.label for key, choice in option.choices.items()}
    if option.unlisted:
        labels[UNLISTED] = option.unlisted.in_choices
        wanted = UNLISTED if text else wanted
    entries = "".join(
        f'<option value="{escape(key)}"{" selected" if key == wanted else ""}>{escape(label)}</option>'
        for key, label in labels.items()
    )
    return (
        f'<div class="cloudspawner-option mb-3"><label class="form-label" for="{ident}">{escape(option.label)}</label>'
        f'<select class="form-select form-control" id="{ident}" name="{escape(name)}">{entries}</select>'
        + (_text(option.unlisted, name, ident, text) if option.unlisted else "")
        + "</div>"
    )


def _text(unlisted: Unlisted, name: str, ident: str, text: object) -> str:
    # No `pattern`: a browser will not say what is wrong with a field that is not shown. The hub says it.
    hint = unlisted.hint
    described = f' aria-describedby="{ident}-hint"' if hint else ""
    value = escape(text) if isinstance(text, str) else ""
    return (
        f'<div class="cloudspawner-text mt-2"><label class="form-label" for="{ident}-text">'
        f'{escape(unlisted.label)}</label><input class="form-control" type="text" id="{ident}-text" '
        f'name="{escape(name)}--{UNLISTED}" value="{value}" maxlength="256" autocomplete="off"{described}>'
        + (f'<div class="form-text" id="{ident}-hint">{escape(hint)}</div>' if hint else "")
        + "</div>"
    )
