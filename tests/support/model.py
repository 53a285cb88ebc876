"""AWS's official models: every request that a test makes must fit them.

Those of ECS and EFS are no part of this repository; those of CloudWatch Logs, Secrets Manager and SSM are botocore's own copies.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from support.binaries import REPOSITORY

FOLDER = REPOSITORY.parent / "shared/reference/aws"
FILE = FOLDER / "ecs-2014-11-13-service-2.json"
FILES = {"ecs": FILE, "elasticfilesystem": FOLDER / "efs-2015-02-01-service-2.json"}
"""By the name in a signature's scope."""
BUNDLED = ("logs", "secretsmanager", "ssm")
"""The same, for those that are taken from botocore."""


def is_at_hand() -> bool:
    """Whether the models are here."""
    return all(Path(file).exists() for file in FILES.values())


@lru_cache(maxsize=5)
def _service(name: str) -> Any:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    if name in BUNDLED:
        return ServiceModel(Loader().load_service_model(name, "service-2"), name)
    return ServiceModel(json.loads(FILES[name].read_text()), name)


def faults_of(action: str, body: object, service: str = "ecs") -> str:
    """What botocore's own validator says against a request; empty where it is good."""
    from botocore.validate import ParamValidator

    return str(ParamValidator().validate(body, _service(service).operation_model(action).input_shape).generate_report())


def unknown_members(action: str, body: object, service: str = "ecs") -> list[str]:
    """Members that the model does not have, at any depth; botocore refuses those on the top level alone."""
    return list(_unknown(_service(service).operation_model(action).input_shape, body, action))


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
        service, action, body = request["service"], request["action"], request["body"]
        if service not in (*FILES, *BUNDLED):
            continue
        assert not (report := faults_of(action, body, service)), f"{action}: {report}"
        assert not (names := unknown_members(action, body, service)), names
