"""What a cloud gives to the spawner: its settings as the program's words.

A spawner of one cloud is its own `Cloud`; a spawner of several has an object of each (`clouds`). A cloud asks
`self.spawner` for what is JupyterHub's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from .profiles import Option
from .storage import StorageTraits
from .wire import JsonObject


class Cloud(StorageTraits):
    """Base of the clouds: traits in, the program's config out."""

    #: Whether a stop answers only when the server has ended, as where it can be started again at once.
    stop_waits: ClassVar[bool] = False
    #: JupyterHub's `start_timeout`, in seconds, where the admin sets none.
    usual_start_timeout: ClassVar[int] = 300
    #: The options that `own_options` may give.
    own_names: ClassVar[Collection[str]] = ()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        #: What was chosen of `own_options`, and what the profile set.
        self.own_choice: JsonObject = {}
        self.own_override: Mapping[str, Any] = {}

    def for_the_spawner(self) -> JsonObject:
        """What this cloud's settings set on the spawner, where the two are not one."""
        return {}

    async def start_config(self) -> JsonObject:
        """The backend's settings for a start; asked for once a start."""
        return self.cloud_config()

    async def start_credentials(self) -> JsonObject | None:
        """The credentials of a start, where they differ from those of every other verb."""
        return self.credentials()

    def gc_config(self, overrides: Sequence[Mapping[str, Any]] = ()) -> JsonObject:
        """The settings that tell where gc looks; the same for all servers of one place.

        Args:
            overrides: what people's choices may set, and so where else servers may be.
        """
        return self.cloud_config()

    def check_config(self) -> JsonObject:
        """The settings that the hub looks at when it starts: a start's, as far as they are the same for everybody.

        Raises:
            ConfigurationError: something that a start needs is missing.
        """
        return self.with_storage(self.cloud_config())

    def impossible(self, authenticator: Any) -> list[str]:
        """Sentences about settings that no start can work with.

        Args:
            authenticator: the hub's.
        """
        if self.mount_userspace and not self.storage:
            return [f"{self.class_name}.mount_userspace needs {self.class_name}.storage"]
        return []

    def server_port(self) -> int:
        """The port that the single-user server listens on."""
        return int(self.spawner.port)

    def server_scheme(self) -> str:
        """The scheme that the single-user server speaks."""
        return "https" if self.spawner.internal_ssl else "http"

    def offers_choices(self) -> bool:
        """Whether `own_options` gives any."""
        return False

    async def own_options(self, override: Mapping[str, Any]) -> dict[str, Option]:
        """What people may choose of this cloud's own, beside the admin's profiles.

        Args:
            override: what the profile sets, and so takes out of people's hands.

        Raises:
            ProgramError: the cloud could not be asked.
        """
        return {}

    async def check_own(self, choice: JsonObject, override: Mapping[str, Any]) -> None:
        """Check what was chosen of `own_options`. Raises ChoiceRefused; ProgramError as `own_options` does."""
