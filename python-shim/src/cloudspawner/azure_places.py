"""Where else than in the configured workspace servers may be: by what profiles set, and by what people choose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .wire import JsonObject

_NAMES = ("subscription_id", "resource_group", "workspace")


def elsewhere(config: JsonObject, overrides: Iterable[Mapping[str, Any]], *, choose_project: bool) -> list[JsonObject]:
    """The program's `config.workspaces`; one without a workspace is each that the hub's identity can see there.

    Args:
        config: the settings that hold for everybody.
        overrides: what people's choices may set.
        choose_project: whether people choose among the workspaces, where no override says otherwise.
    """
    places: list[JsonObject] = [{}] if choose_project else []
    for override in overrides:
        place = {name: text for name in _NAMES if isinstance(text := override.get(name), str) and text}
        if place and "workspace" not in place and not override.get("choose_project", choose_project):
            place["workspace"] = config.get("workspace", "")
        if place or override.get("choose_project"):
            places.append(place)
    return [place for n, place in enumerate(places) if place not in places[:n]]
