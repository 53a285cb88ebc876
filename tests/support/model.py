"""AWS's official ECS model, which is no part of this repository: every request that a test makes must fit it."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from support.binaries import REPOSITORY

FOLDER = REPOSITORY.parent / "shared/reference/aws"
FILE = FOLDER / "ecs-2014-11-13-service-2.json"


def is_at_hand() -> bool:
    """Whether the model is here."""
    return Path(FILE).exists()


@lru_cache(maxsize=1)
def _service() -> Any:
    from botocore.model import ServiceModel

    return ServiceModel(json.loads(FILE.read_text()), "ecs")


def faults_of(action: str, body: object) -> str:
    """What botocore's own validator says against a request; empty where it is good."""
    from botocore.validate import ParamValidator

    return str(ParamValidator().validate(body, _service().operation_model(action).input_shape).generate_report())


def unknown_members(action: str, body: object) -> list[str]:
    """Members that the model does not have, at any depth; botocore refuses those on the top level alone."""
    return list(_unknown(_service().operation_model(action).input_shape, body, action))


def _unknown(shape: Any, value: Any, at: str) -> Any:
    if shape.type_name == "structure" and isinstance(value, dict):
        for name, inner in value.items():
            if name in shape.members:
                yield from _unknown(shape.members[name], inner, f"{at}.{name}")
            else:
                yield f"{at}.{name}"
    elif shape.type_name == "list" and isinstance(value, list):
        for item in value:
            yield from _unknown(shape.member, item, f"{at}[]")


def check(requests: list[dict[str, Any]]) -> None:
    """Fails where a request does not fit the model; without the model it checks nothing."""
    if not is_at_hand():
        return
    for request in requests:
        if request["service"] != "ecs":
            continue
        action, body = request["action"], request["body"]
        assert not (report := faults_of(action, body)), f"{action}: {report}"
        assert not (names := unknown_members(action, body)), names
