"""The clouds that one hub may offer side by side: one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from traitlets.config import Config, Configurable
from traitlets.config.loader import LazyConfigValue

from .azure_ml import AzureMl
from .fargate import Fargate
from .spawner import CloudSpawner
from .wire import JsonObject


class OneOfSeveral(Configurable):
    """A cloud of a spawner that has several: JupyterHub's side is the spawner's.

    Its settings are those of the spawner class that has this cloud alone, `c.FargateSpawner` and so on. What stands
    there and is JupyterHub's own (`cmd`, `environment`, …) is set on the spawner when this cloud is chosen.
    """

    class_name: ClassVar[str]
    usual_start_timeout: ClassVar[int]

    def __init__(self, spawner: Any) -> None:
        self._spawner = spawner
        theirs = self.class_traits(config=True)
        config = Config(spawner.config)
        own = {
            name: value
            for section in ("CloudSpawner", self.class_name)
            for name, value in config.get(section, {}).items()
            if name in theirs
        }
        config[type(self).__name__] = Config(own)
        super().__init__(config=config)

    @classmethod
    def is_configured(cls, config: Mapping[str, Any]) -> bool:
        """Whether the admin has set anything for this cloud."""
        return bool(config.get(cls.class_name))

    def for_the_spawner(self) -> JsonObject:
        """What this cloud's section sets of JupyterHub's own traits."""
        theirs, hubs = self.trait_names(), self._spawner.traits(config=True)
        section = self.config.get(self.class_name, {})
        everywhere = {**self.config.get("Spawner", {}), **self.config.get("CloudSpawner", {})}
        usual = {} if "start_timeout" in everywhere else {"start_timeout": self.usual_start_timeout}
        given = {name: value for name, value in section.items() if name in hubs and name not in theirs}
        return usual | {
            name: value.get_value(getattr(self._spawner, name)) if isinstance(value, LazyConfigValue) else value
            for name, value in given.items()
        }

    @property
    def spawner(self) -> Any:
        """The spawner that JupyterHub knows."""
        return self._spawner


class FargateOfSeveral(OneOfSeveral, Fargate):
    """Fargate beside other clouds."""


class AzureMlOfSeveral(OneOfSeveral, AzureMl):
    """Azure Machine Learning beside other clouds."""


CloudSpawner.several = {kind.backend: kind for kind in (FargateOfSeveral, AzureMlOfSeveral)}
