"""How people's file shares are mounted on compute instances: the part of `AMLSpawner` that is about it.

What a method means is the program's business; here are its names, and where the hub keeps what `ssh` needs.
"""

from __future__ import annotations

import os

from traitlets import Enum, Unicode

from .parts import Part
from .wire import JsonObject


class AzureMountTraits(Part):
    """The traits, and what they come to in the program's `storage`."""

    mount_method = Enum(
        ("startup_script", "ssh", "data_mounts"),
        default_value="startup_script",
        help="""
        Who mounts people's file shares. "startup_script": the instance itself, at each of its starts, by a managed
        identity that opens its person's share alone. "ssh": the hub, by mount_ssh_key_file and ssh_public_key, before
        each server is ready. "data_mounts": Azure ML, by a preview of its API; an experiment.

        "startup_script" by default. The other two need the account's key (storage_connection_string), which opens
        everybody's share: they are refused unless `storage` has `"account_key_opens_every_share": True`.
        """,
    ).tag(config=True)

    mount_ssh_key_file = Unicode(
        help="""
        For mount_method "ssh": the file of the private key that belongs to ssh_public_key; only the hub's user may read
        it. No default. Example: `"/srv/jupyterhub/instances_key"`.
        """
    ).tag(config=True)

    mount_ssh_known_hosts = Unicode(
        "cloudspawner_known_hosts",
        help="""
        For mount_method "ssh": the file in which the hub remembers each instance's host key; an instance that later
        shows another one gets nothing. Its folder must be there.

        By default in the hub's working directory, where its database and cookie secret are. Keep it with them.
        """,
    ).tag(config=True)

    def _mounting(self) -> JsonObject:
        if self.mount_method == "startup_script":
            return {}
        if self.mount_method != "ssh":
            return {"method": self.mount_method}
        files = {"key_file": self.mount_ssh_key_file, "known_hosts_file": self.mount_ssh_known_hosts}
        # The program may have another working directory; a file that is not named is its to complain of.
        return {"method": "ssh", "ssh": {name: path and os.path.abspath(path) for name, path in files.items()}}
