"""Microsoft's official examples, and a run of the program against a cloud that answers with them."""

import json
from pathlib import Path
from typing import Any

import pytest

from support import azure_contract, program
from support.azure import APP
from support.binaries import clean_environment
from support.canned import ABSENT, Canned

Json = dict[str, Any]

GUID = "00000000-0000-0000-0000-000000000000"


def examples(pattern: str) -> list[Any]:
    """Each official example that matches, by its path."""
    files = sorted(azure_contract.FOLDER.glob(pattern))
    return [pytest.param(file, id=str(file.relative_to(azure_contract.FOLDER))) for file in files]


def responses(file: Path | str) -> dict[int, Json]:
    """An example's answers by their status."""
    example: Json = json.loads((azure_contract.FOLDER / file).read_text())
    return {int(status): answer for status, answer in example["responses"].items()}


def answers(pattern: str) -> list[Any]:
    """Each answer of each example that matches."""
    return [
        pytest.param(status, answer, id=f"{example.id}-{status}")
        for example in examples(pattern)
        for status, answer in responses(example.values[0]).items()
    ]


RUNNING = "aml-2024-04-01/Compute/get/ComputeInstance.json"


def instance(**inner: object) -> Json:
    """The example of an instance, with other properties of its own where they are given."""
    answer: Json = responses(RUNNING)[200]
    answer["body"]["properties"]["properties"] |= inner
    return answer


def settings(cloud: Canned, **more: object) -> Json:
    """What leads to it."""
    return {
        "subscription_id": GUID, "resource_group": "g", "workspace": "w", "vm_size": "STANDARD_NC6",
        "management_endpoint": cloud.url, "authority_host": cloud.url, **more,
    }  # fmt: skip


def ask(cloud: Canned, verb: str, on_stop: str = "stop", **params: object) -> program.Finished:
    """One run against it."""
    credentials = {"kind": "client_secret", "tenant_id": GUID, "client_id": APP[0], "client_secret": APP[1]}
    config = settings(cloud, on_stop=on_stop)
    usual: Json = {"backend": "azure_ml", "config": config, "credentials": credentials}
    if verb in ("start", "stop"):
        usual |= {"server": {"hub": "prod", "user": "ada", "name": ""}, "state": None}
    if verb == "start":
        spec = {"command": [], "args": [], "env": {}, "port": 8888, "scheme": "http", "service_prefix": "/user/ada/"}
        usual |= {"attempt": "attempt-0001", "spec": spec}
    request: Json = {"v": 1, "verb": verb, "timeout_ms": 20_000, "params": {**usual, **params}}
    return program.run(verb, request, clean_environment())


def started(cloud: Canned) -> Json:
    """The state after a start of which every answer is an example."""
    cloud.give("get", 404, ABSENT)
    cloud.give("put", 201, responses("aml-2024-04-01/Compute/createOrUpdate/ComputeInstance.json")[201])
    cloud.give("get", 200, instance())
    state: Json = ask(cloud, "start").result["state"]
    return state
