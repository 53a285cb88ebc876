"""Which release this is; JupyterHub's own log names `__version__` with the spawner when the hub starts."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from logging import Logger

from .wire import JsonObject

try:
    __version__ = version("cloudspawner")
except PackageNotFoundError:  # a folder of sources, which nobody installed
    __version__ = "unknown"


def compare(hello: JsonObject, log: Logger) -> None:
    """Tell the program's release. One wheel holds both, so another one comes by PATH or the trait `program`."""
    theirs = hello.get("version")
    if theirs == __version__:
        log.info("cloudspawner %s: its program runs", __version__)
    else:
        log.warning("cloudspawner %s: the program that runs is of release %s", __version__, theirs)
