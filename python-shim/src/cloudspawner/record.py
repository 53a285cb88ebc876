"""What the hub's database keeps of a server: the program's opaque state, and what was chosen for it."""

from __future__ import annotations

from dataclasses import dataclass

from .wire import JsonObject


@dataclass
class Record:
    """One server's record; without `cloud` there is no server, since nothing is created without a saved state.

    Attributes:
        cloud: the program's state, opaque.
        url: the server's address, empty until it is known.
        profile: what the user chose, where there is something to choose: the profile and its options, written out.
        backend: the cloud that the server is on.
        foreign: a stored state that is not ours; kept as it is.
    """

    cloud: JsonObject | None = None
    url: str = ""
    profile: JsonObject | None = None
    backend: str = ""
    foreign: object = None

    @classmethod
    def load(cls, stored: object) -> Record:
        """Read what `dump` gave. Never raises; what `dump` cannot have given becomes `foreign`."""
        if not isinstance(stored, dict):
            return cls(foreign=stored) if stored else cls()
        cloud, url, profile = stored.get("cloud"), stored.get("url"), stored.get("profile")
        if not isinstance(cloud, dict):
            # Another spawner's state of a server that was stopped holds nothing but empty values.
            return cls(foreign=stored) if any(stored.values()) else cls()
        backend = stored.get("backend") or cloud.get("backend")
        return cls(
            cloud or None,
            url if isinstance(url, str) else "",
            profile if isinstance(profile, dict) else None,
            backend if isinstance(backend, str) else "",
        )

    def dump(self) -> JsonObject:
        """What goes into the database; empty without a server."""
        if isinstance(self.foreign, dict):
            return {**self.foreign}
        if self.cloud is None:
            return {}
        return {"cloud": self.cloud, "url": self.url, "profile": self.profile, "backend": self.backend}

    def learn(self, url: object, cloud: object) -> bool:
        """Take url and state from an answer; returns whether anything is new."""
        before = (self.url, self.cloud)
        if isinstance(cloud, dict):
            self.cloud = cloud
        if isinstance(url, str) and url:
            self.url = url
        return before != (self.url, self.cloud)
