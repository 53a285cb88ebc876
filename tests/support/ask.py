"""Requests as the shim sends them, with what a test wants changed."""

import itertools
import time
from typing import Any

Request = dict[str, Any]

_attempts = itertools.count(1)

NETWORK = {
    "awsvpcConfiguration": {"subnets": ["subnet-0123abcd"], "securityGroups": ["sg-0123abcd"], "assignPublicIp": "DISABLED"}
}


def attempt() -> str:
    """A fresh attempt."""
    return f"attempt-{time.time_ns():x}-{next(_attempts)}"


def server(user: str = "ada", name: str = "", hub: str = "prod") -> Request:
    """Whose server it is."""
    return {"hub": hub, "user": user, "name": name}


def run_task(**changes: object) -> Request:
    """RunTask's arguments as an admin gives them; a change to None takes one out."""
    arguments = {
        "cluster": "notebooks",
        "taskDefinition": "notebook",
        "launchType": "FARGATE",
        "networkConfiguration": NETWORK,
        **changes,
    }
    return {name: value for name, value in arguments.items() if value is not None}


def config(**changes: object) -> Request:
    """Fargate's settings; a change to None takes one out."""
    settings = {"region": "eu-west-1", "run_task": run_task(), "clusters": ["notebooks"], "container_name": "notebook", **changes}
    return {name: value for name, value in settings.items() if value is not None}


def spec(**changes: object) -> Request:
    """What to run."""
    return {
        "command": ["jupyterhub-singleuser"],
        "args": [],
        "env": {"JUPYTERHUB_USER": "ada", "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/user/ada/"},
        "port": 8888,
        "scheme": "http",
        "service_prefix": "/user/ada/",
        **changes,
    }


def start(timeout_ms: int = 60_000, ack: bool = False, **params: object) -> Request:
    """A start; params replace the usual ones."""
    usual: Request = {
        "backend": "fargate",
        "server": server(),
        "attempt": attempt(),
        "config": config(),
        "credentials": None,
        "spec": spec(),
        "state": None,
    }
    return {"v": 1, "verb": "start", "timeout_ms": timeout_ms, "ack": ack, "params": {**usual, **params}}


def target(state: object = None, **whose: str) -> Request:
    """One server to poll."""
    return {"server": server(**whose), "state": state}


def poll(*targets: Request, timeout_ms: int = 20_000, **params: object) -> Request:
    """A poll of these targets."""
    usual: Request = {"backend": "fargate", "config": config(), "targets": list(targets)}
    return {"v": 1, "verb": "poll", "timeout_ms": timeout_ms, "params": {**usual, **params}}


def stop(state: object = None, timeout_ms: int = 30_000, **params: object) -> Request:
    """A stop by state, or by key where there is none."""
    usual: Request = {"backend": "fargate", "config": config(), "server": server(), "state": state, "reason": "stopped by ada"}
    return {"v": 1, "verb": "stop", "timeout_ms": timeout_ms, "params": {**usual, **params}}


def logs(state: object = None, timeout_ms: int = 20_000, **params: object) -> Request:
    """The log of a server by state, or by key where there is none."""
    usual: Request = {"backend": "fargate", "config": config(), "server": server(), "state": state}
    return {"v": 1, "verb": "logs", "timeout_ms": timeout_ms, "params": {**usual, **params}}


def gc(*keep: Request, timeout_ms: int = 60_000, **params: object) -> Request:
    """A sweep that keeps these, whatever its servers' age."""
    usual: Request = {"backend": "fargate", "config": config(), "hub": "prod", "keep": list(keep), "min_age_ms": 0}
    return {"v": 1, "verb": "gc", "timeout_ms": timeout_ms, "params": {**usual, **params}}


def cancel(number: str) -> Request:
    """A cancel of the request with this id."""
    return {"v": 1, "verb": "cancel", "params": {"id": number}}


def check(**params: object) -> Request:
    """A check of the settings."""
    return {"v": 1, "verb": "check", "params": {"backend": "fargate", "config": config(), **params}}


FILE_SYSTEM = "fs-0a1b2c3d4e5f60718"
"""The emulator's own."""
ROLE = "arn:aws:iam::123456789012:role/notebook"
"""A task role; on the emulator it may do everything unless a policy of that name says otherwise."""


def storage(**changes: object) -> Request:
    """Where people's files are; a change to None takes one out."""
    settings = {"file_system_id": FILE_SYSTEM, **changes}
    return {name: value for name, value in settings.items() if value is not None}


def home(path: str = "/home/jovyan", **changes: object) -> Request:
    """A mount of the person's own storage."""
    return {"kind": "efs", "path": path, "per_user": True, **changes}


def start_with(*mounts: Request, role: str | None = ROLE, timeout_ms: int = 60_000, **params: Any) -> Request:
    """A start with storage, under a task role."""
    overrides = {"taskRoleArn": role} if role else None
    settings = config(run_task=run_task(overrides=overrides), storage=storage())
    return start(timeout_ms, **{"config": settings, "spec": spec(mounts=list(mounts or [home()])), **params})


def share(action: str, user: str = "ada", timeout_ms: int = 20_000, **params: object) -> Request:
    """Something that is to be done with a person's storage."""
    usual: Request = {"backend": "fargate", "config": config(storage=storage()), "hub": "prod", "user": user, "action": action}
    return {"v": 1, "verb": "share", "timeout_ms": timeout_ms, "params": {**usual, **params}}
