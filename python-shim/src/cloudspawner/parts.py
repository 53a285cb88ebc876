"""What a part of `CloudSpawner` may ask of the whole: one class a concern, each with its own traits."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from traitlets import HasTraits

from .wire import JsonObject

if TYPE_CHECKING:
    from .spawner import CloudSpawner


class Part(HasTraits):
    """Base of the parts; the clouds give what is only named here."""

    backend: ClassVar[str] = ""
    #: The class in whose section of the configuration its traits stand, for messages.
    class_name: ClassVar[str] = "CloudSpawner"

    @property
    def spawner(self) -> CloudSpawner:
        """The spawner that JupyterHub knows; a part of it is it."""
        return cast("CloudSpawner", self)

    def cloud_config(self) -> JsonObject:
        """The backend's settings for every verb but start; cheap, since each poll asks for it."""
        raise NotImplementedError

    def credentials(self) -> JsonObject | None:
        """The admin's explicit credentials, or None for the cloud's own chain."""
        return None
