"""What a part of `CloudSpawner` may ask of the whole: one class a concern, each with its own traits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from traitlets import HasTraits

from .wire import JsonObject

if TYPE_CHECKING:
    from .program import Program


class Part(HasTraits):
    """Base of the parts; `CloudSpawner` and the clouds' classes give what is only named here."""

    backend: ClassVar[str] = ""
    # The hub gives these to the spawner, and its admin the last.
    user: Any
    name: Any
    log: Any
    _log_name: Any
    hub_id: Any

    def cloud_config(self) -> JsonObject:
        """The backend's settings for every verb but start; cheap, since each poll asks for it."""
        raise NotImplementedError

    def credentials(self) -> JsonObject | None:
        """The admin's explicit credentials, or None for the cloud's own chain."""
        return None

    def _program(self) -> Program:
        raise NotImplementedError

    def _hub_name(self) -> str:
        raise NotImplementedError

    def _session(self) -> Any:
        raise NotImplementedError
