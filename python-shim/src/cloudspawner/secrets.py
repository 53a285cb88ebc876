"""Secrets for `jupyterhub_config.py`, read from a vault by the program; they stand in no file and in no log."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from .program import find_program

# The program itself gives up after 20 s.
_TIMEOUT_SECONDS = 30.0
_known: dict[tuple[object, ...], str] = {}


class SecretError(RuntimeError):
    """A secret could not be read; the message says why and never holds its value."""


def get_secret(
    name: str,
    key: str | None = None,
    *,
    store: str | None = None,
    region: str | None = None,
    credentials: Mapping[str, Any] | None = None,
    program: Sequence[str] = (),
) -> str:
    """Read a secret, once for each run of the hub.

    Args:
        name: its name or ARN; in Azure Key Vault its URL, as "https://lab.vault.azure.net/secrets/db-password".
        key: where the secret is a JSON object, which of its values is wanted.
        store: "secrets-manager" (AWS, the default), "parameter-store" (AWS SSM) or "key-vault" (the default for a URL).
        region: AWS's region; by default the environment's or the profile's.
        credentials: explicit ones, in the protocol's words; by default the cloud's own chain.
        program: the command that runs the program; by default the installed one.

    Raises:
        SecretError: it is not there, may not be read, has no such key or is binary.
        ProgramError: the program is not installed.
    """
    asked = (name, key, store, region, json.dumps(credentials, sort_keys=True), *program)
    if asked not in _known:
        options = {"--key": key, "--store": store, "--region": region}
        flags = [f"{flag}={value}" for flag, value in options.items() if value is not None]
        if credentials is not None:
            # A secret has no place in argv.
            flags.append("--credentials=/dev/stdin")
        _known[asked] = _run([*(program or find_program()), "secret", "get", *flags, "--", name], credentials)
    return _known[asked]


def _run(command: list[str], credentials: Mapping[str, Any] | None) -> str:
    given = None if credentials is None else json.dumps(credentials)
    try:
        done = subprocess.run(  # noqa: S603 - the command is the admin's
            command, input=given or "", capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        # Its text would hold what was read so far.
        raise SecretError("the vault did not answer in time") from None
    except OSError as error:
        raise SecretError(f"{command[0]} cannot be run: {error.strerror}") from None
    if done.returncode:
        raise SecretError(done.stderr.strip() or "the program gave no reason")
    return done.stdout
