"""`{username}` and `{servername}` in settings.

The escaped form keeps a-z and 0-9 and writes every other byte of the UTF-8 form as `-xx`, so that two names never
become one and no name breaks what it is put into.
"""

from __future__ import annotations

import functools
import hashlib
import string
from collections.abc import Mapping
from typing import Any

from .errors import ConfigurationError

# Long enough to stay readable, short enough for the names that a cloud allows (the shortest common limit is 128).
_MAX_LENGTH = 100
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789")


def escape(name: str) -> str:
    """Write a name with a-z, 0-9 and `-` only, at most 100 characters; equal results mean equal names."""
    escaped = "".join(chr(byte) if byte in _PLAIN else f"-{byte:02x}" for byte in name.encode("utf-8", "surrogatepass"))
    if len(escaped) <= _MAX_LENGTH:
        return escaped
    # "--" is in no escaped name, so a cut one is never mistaken for a whole one.
    digest = hashlib.sha256(escaped.encode()).hexdigest()[:32]
    return f"{escaped[: _MAX_LENGTH - 34]}--{digest}"


@functools.lru_cache(maxsize=4096)  # each poll asks for it
def namespace(username: str, servername: str) -> Mapping[str, str]:
    """The fields that a template may use."""
    return {
        "username": escape(username),
        "servername": escape(servername),
        "unescaped_username": username,
        "unescaped_servername": servername,
    }


def expand(value: Any, fields: Mapping[str, str], trait: str) -> Any:
    """Expand the templates in a string, or in all strings inside lists and dicts (not in keys).

    Args:
        value: a setting.
        fields: from `namespace`.
        trait: the setting's name, for the error.

    Raises:
        ConfigurationError: a template names another field or is malformed.
    """
    if isinstance(value, str):
        return _expand_string(value, fields, trait) if "{" in value or "}" in value else value
    if isinstance(value, Mapping):
        return {key: expand(item, fields, trait) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [expand(item, fields, trait) for item in value]
    return value


def _expand_string(text: str, fields: Mapping[str, str], trait: str) -> str:
    parts = []
    try:
        for literal, field, form, conversion in string.Formatter().parse(text):
            parts.append(literal)
            if field is not None:
                if form or conversion:
                    raise ValueError(f"{{{field}}} takes no format")
                parts.append(fields[field])
    except (KeyError, ValueError) as error:
        known = ", ".join(f"{{{field}}}" for field in fields)
        raise ConfigurationError(
            f"{trait} = {text!r} is no valid template ({error}); it may use {known}, and {{{{ for a brace"
        ) from None
    return "".join(parts)
