"""What a person may choose for an Azure ML server: its project (a workspace) and its size; as options, and checked.

What there is comes from the program's verb `options`, in the hub's own name, and is kept for a while: the form never
waits for the cloud twice.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ChoiceRefused
from .profiles import Choice, Option, text_of
from .program import Program
from .wire import JsonObject

# Several pages of workspaces and one list of sizes a region; the cloud's own retries included.
_TIMEOUT_MS = 60_000


class OptionsCache:
    """The last answer for each set of settings; an old one is given at once and renewed meanwhile."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[float, JsonObject]] = {}
        self._asking: dict[str, asyncio.Task[JsonObject]] = {}

    async def get(self, key: str, program: Program, params: JsonObject, max_age: float) -> JsonObject:
        """The options for `params`, at most `max_age` seconds old unless an older answer is there.

        Raises:
            ProgramError: there is no answer yet, and none could be had.
        """
        at, answer = self._answers.get(key, (0.0, None))
        if answer is not None and asyncio.get_running_loop().time() - at < max_age:
            return answer
        if key not in self._asking:
            task = asyncio.ensure_future(self._ask(key, program, params))
            # Where nobody waits for it, its failure is the next one's to see.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._asking[key] = task
        return answer if answer is not None else await asyncio.shield(self._asking[key])

    async def _ask(self, key: str, program: Program, params: JsonObject) -> JsonObject:
        try:
            answer = await program.request("options", params, timeout_ms=_TIMEOUT_MS)
            self._answers[key] = (asyncio.get_running_loop().time(), answer)
            return answer
        finally:
            del self._asking[key]


@dataclass(frozen=True)
class Choices:
    """What this hub's admin offers, as far as the cloud has it.

    Attributes:
        projects: by what the form sends, "group/workspace"; empty where projects are not to be chosen.
        sizes: the admin's names, with Azure's; empty where sizes are not to be chosen.
        offered: by region, the details of each size by its lower-case name.
    """

    projects: Mapping[str, JsonObject]
    sizes: Mapping[str, str]
    offered: Mapping[str, Mapping[str, JsonObject]]

    @classmethod
    def of(cls, told: JsonObject, sizes: Mapping[str, str], project_filter: str | None) -> Choices:
        """The choices that `options` told.

        Args:
            told: the verb's result.
            sizes: the admin's names, with Azure's.
            project_filter: a regular expression that a workspace's whole name matches; None offers no projects.
        """
        offered = {region: {s["name"].lower(): s for s in some} for region, some in told["sizes"].items()}
        if project_filter is None:
            return cls({}, sizes, offered)
        wanted = re.compile(project_filter)
        found = [p for p in told["projects"] if wanted.fullmatch(p["workspace"])]
        return cls({f"{p['resource_group']}/{p['workspace']}": p for p in found}, sizes, offered)

    def sizes_in(self, region: str | None) -> dict[str, str]:
        """The sizes that the region offers; with None, that any region offers."""
        some = self.offered.values() if region is None else [self.offered.get(region, {})]
        return {name: size for name, size in self.sizes.items() if any(size.lower() in offer for offer in some)}

    def check(self, options: Mapping[str, Any], region: str | None) -> JsonObject:
        """What was chosen, as settings of the program.

        Args:
            options: `project` and `size`, as the form or the REST API gave them; each may be left out.
            region: where the server goes if no project is chosen; None where that is not known.

        Raises:
            ChoiceRefused: it is not among what is offered.
        """
        chosen: JsonObject = {}
        if name := text_of(options, "project"):
            matching = [p for key, p in self.projects.items() if name in (key, p["workspace"])]
            if len(matching) != 1:
                raise ChoiceRefused(f"project {name!r} is not offered; choose one of {_list(self.projects)}")
            (project,) = matching
            chosen |= {name: project[name] for name in ("resource_group", "workspace", "location")}
            region = project["location"]
        if name := text_of(options, "size"):
            sizes = self.sizes_in(region)
            size = sizes.get(name) or next((s for s in sizes.values() if s.lower() == name.lower()), None)
            if size is None:
                raise ChoiceRefused(f"size {name!r} is not offered there; choose one of {_list(sizes)}")
            chosen["vm_size"] = size
        elif self.sizes:
            sizes = self.sizes_in(region)
            if not sizes:
                raise ChoiceRefused("none of the offered sizes is available in this project's region")
            chosen["vm_size"] = next(iter(sizes.values()))
        return chosen

    def options(self) -> dict[str, Option]:
        """The same for the form."""
        options = {}
        if self.projects:
            texts = {
                key: p["workspace"]
                if p["display_name"] == p["workspace"]
                else f"{p['display_name']} ({p['workspace']})"
                for key, p in self.projects.items()
            }
            options["project"] = _option("Project", texts)
        if self.sizes:
            texts = {name: f"{name}{self._details(size)}" for name, size in self.sizes_in(None).items()}
            options["size"] = _option("Size of the machine", texts)
        return options

    def _details(self, size: str) -> str:
        for offer in self.offered.values():
            if found := offer.get(size.lower()):
                units = (("vcpus", "CPUs"), ("memory_gib", "GiB of memory"), ("gpus", "GPUs"))
                parts = [f"{found[name]:g} {unit}" for name, unit in units if found.get(name)]
                return f": {', '.join(parts)}" if parts else ""
        return ""


def _list(names: Mapping[str, Any]) -> str:
    return ", ".join(names) or "none"


def _option(label: str, texts: Mapping[str, str]) -> Option:
    return Option(label, {key: Choice(text) for key, text in texts.items()}, by_cloud=True)
