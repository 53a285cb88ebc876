"""People's files: what a server mounts, and what becomes of it when a person is renamed or deleted.

It holds no cloud knowledge: which kind of storage a cloud mounts is the class's own word, and where it is goes through
as it is.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

from traitlets import Bool, Dict, List, Unicode

from .parts import Part
from .templates import expand, namespace
from .wire import JsonObject, ProgramError, ShareParams

# It makes a few calls; the program's own default.
_TIMEOUT_MS = 30_000


class StorageTraits(Part):
    """The part of `CloudSpawner` that is about storage."""

    #: What `mounts` are where they do not say: the program's word for the storage of this cloud.
    mount_kind: ClassVar[str] = ""

    mount_userspace = Bool(
        False,
        help="""
        Whether each person's own storage is mounted in their servers; it outlives them. Needs `storage`.

        False by default: files are lost with the server.
        """,
    ).tag(config=True)

    mount_userspace_location = Unicode(
        "~/userfiles",
        help="""
        Where the person's own storage is mounted.

        By default `~/userfiles`, on Fargate the home of the Jupyter images, `/home/jovyan`. Example: `"/home/ubuntu"`.
        """,
    ).tag(config=True)

    mount_optional = Bool(
        False,
        help="""
        Whether a server starts without storage that cannot be mounted, with a word to the person who waits.

        False by default: the start fails and says why, so that nobody works where nothing is kept.
        """,
    ).tag(config=True)

    mounts = List(
        Dict(),
        help="""
        More storage to mount, each a dict with `path` and, where wanted, `read_only`, `per_user` (True: the person's
        own; False: one that all share, named by the cloud's own fields), `storage_id`, `mount_optional`, `kind`.

        Empty by default; `{username}` and `{servername}` stand for the escaped names. Example:
        `[{"path": "/data", "per_user": False, "read_only": True, "access_point_id": "fsap-0123456789abcdef0"}]`.
        """,
    ).tag(config=True)

    storage = Dict(
        help="""
        Where people's storage is and how it is made, in the program's own words.

        Empty by default. Example, on Fargate: `{"file_system_id": "fs-0123456789abcdef0"}`.
        """,
    ).tag(config=True)

    storage_id = Unicode(
        "jupyterhub",
        help="""
        The set of homes: storage is found by this and the person's name, whatever the hub is called.

        "jupyterhub" by default. Hubs whose people are not the same people need names of their own.
        Example: `"teaching"`.
        """,
    ).tag(config=True)

    delete_storage = Bool(
        False,
        help="""
        Whether a person's own storage is removed when the hub's admin deletes the person.

        False by default: storage outlives everything, and is removed by hand. The end of a server, named or not, never
        removes it.
        """,
    ).tag(config=True)

    # What the hub and its admin ask for

    async def delete_forever(self) -> None:
        """Remove the person's storage where the admin asked for it; the hub calls this for each deleted server.

        JupyterHub deletes the default server with its user alone (`DELETE /users/:name`), a named one also by itself:
        so the default one's call is the one that means the person.
        """
        spawner = self.spawner
        if self.delete_storage and self.storage and not spawner.name:
            await self._share("delete", spawner.user.name)

    async def rename_storage(self, old: str, new: str) -> JsonObject | None:
        """Tell the storage of a person who was renamed; without it the new name begins with nothing. May be repeated.

        Args:
            old: the name before.
            new: the name now.

        Returns:
            What was renamed; None where the old name has no storage.

        Raises:
            ProgramError: both names have storage, or the cloud refused.
        """
        return await self._share("rename", old, to=new)

    def mounts_of_a_start(self) -> list[JsonObject]:
        """What a new server mounts."""
        usual: JsonObject = {
            "kind": self.mount_kind,
            "read_only": False,
            "per_user": True,
            "storage_id": self.storage_id,
            "mount_optional": self.mount_optional,
        }
        own = [{"path": self.mount_userspace_location}] if self.mount_userspace else []
        return [{**usual, **self._filled_in("mounts", mount)} for mount in [*own, *self.mounts]]

    def with_storage(self, config: JsonObject) -> JsonObject:
        """A config with where storage is."""
        return {**config, "storage": self._filled_in("storage", self.storage)} if self.storage else config

    def _filled_in(self, trait: str, value: Any) -> Any:
        return expand(value, namespace(self.spawner.user.name, self.spawner.name), f"{self.class_name}.{trait}")

    async def _share(self, action: str, user: str, to: str | None = None) -> JsonObject | None:
        params: ShareParams = {
            "backend": self.backend,
            "config": self.with_storage(self.cloud_config()),
            "credentials": self.credentials(),
            "hub": self.spawner._hub_name(),
            "storage_id": self.storage_id,
            "user": user,
            "action": action,
            "to": to,
        }
        try:
            result = await self.spawner._program().request("share", params, timeout_ms=_TIMEOUT_MS)
        except ProgramError as error:
            if error.code != "not_found":
                raise
            return None
        self.spawner.log.info("%s: storage of %s: %s", self.spawner._log_name, user, action)
        return cast("JsonObject", result["share"])
