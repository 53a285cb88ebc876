"""What a failed start tells JupyterHub: one exception whose sentence reaches the person who waits."""

from __future__ import annotations

import html

from tornado import web

from .wire import ProgramError

try:
    from jupyterhub.spawner import SpawnException
except ImportError:  # JupyterHub before 6.0
    SpawnException = None

# Refusals by capacity or policy: JupyterHub then logs no traceback and does not count the failure against
# consecutive_failure_limit. With each the HTTP status that the hub answers.
_REFUSALS = {"capacity_unavailable": 503, "quota_exceeded": 503, "throttled": 503}


class SpawnFailed(RuntimeError):
    """A start that failed; `jupyterhub_message` is what JupyterHub shows to the user."""

    jupyterhub_message: str
    jupyterhub_html_message: str

    def __init__(self, message: str, user_message: str) -> None:
        super().__init__(message)
        self.jupyterhub_message = user_message
        self.jupyterhub_html_message = html.escape(user_message)


class ConfigurationError(SpawnFailed):
    """A setting is missing or wrong; the message names the trait, the user is sent to the admin."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "This hub's spawner is not configured correctly. Please tell its administrator.")


class ChoiceRefused(web.HTTPError):
    """What a person chose is not offered: a 400 over the REST API, a sentence above the form."""

    jupyterhub_message: str
    jupyterhub_html_message: str

    def __init__(self, message: str) -> None:
        super().__init__(400, "%s", message)
        self.jupyterhub_message = message
        self.jupyterhub_html_message = html.escape(message)

    def __str__(self) -> str:
        return self.jupyterhub_message


def spawn_exception(error: ProgramError) -> Exception:
    """The exception that `Spawner.start` raises for an error of the program."""
    if SpawnException is None or error.code not in _REFUSALS:
        return SpawnFailed(f"{error.code}: {error.message}", error.user_message)
    refusal: Exception = SpawnException(
        error.user_message,
        reason=error.code,
        log_message=error.message,
        message_html=html.escape(error.user_message),
        status_code=_REFUSALS[error.code],
    )
    # Pages that show a spawn's progress read these, not SpawnException's own fields.
    refusal.jupyterhub_message = error.user_message  # type: ignore[attr-defined]
    refusal.jupyterhub_html_message = html.escape(error.user_message)  # type: ignore[attr-defined]
    return refusal
