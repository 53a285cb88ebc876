"""Checks what the emulator says against AWS's official models.

Those of ECS and EFS are no part of this repository; that of CloudWatch Logs is botocore's own copy.
Where the folder with the models is missing, nothing is checked and `MODELS` is empty.
"""

import json
from pathlib import Path

from botocore.loaders import Loader

REPOSITORY = Path(__file__).resolve().parents[3]
FOLDER = REPOSITORY.parent / "shared/reference/aws"
FILES = {"ecs": FOLDER / "ecs-2014-11-13-service-2.json", "efs": FOLDER / "efs-2015-02-01-service-2.json"}
MODELS = {service: json.loads(file.read_text()) for service, file in FILES.items() if file.exists()}
MODELS["logs"] = Loader().load_service_model("logs", "service-2")

SCALARS = {
    "string": str,
    "integer": int,
    "long": int,
    "boolean": bool,
    "timestamp": (int, float),
    "double": (int, float),
    "float": (int, float),
}


def violations(model: dict, shape_name: str, value: object, path: str = "") -> list[str]:
    """Every member of `value` that the model does not have, and every value of a wrong type or outside its enum."""
    shape = model["shapes"][shape_name]
    kind = shape["type"]
    path = path or shape_name
    if kind == "structure":
        if not isinstance(value, dict):
            return [f"{path}: not an object"]
        members = shape.get("members", {})
        found = [f"{path}.{name}: required" for name in shape.get("required", []) if name not in value]
        for name, inner in value.items():
            if name in members:
                found += violations(model, members[name]["shape"], inner, f"{path}.{name}")
            else:
                found.append(f"{path}.{name}: unknown")
        return found
    if kind == "list":
        if not isinstance(value, list):
            return [f"{path}: not a list"]
        member = shape["member"]["shape"]
        return [v for n, item in enumerate(value) for v in violations(model, member, item, f"{path}[{n}]")]
    if kind == "map":
        member = shape["value"]["shape"]
        return [v for key, item in value.items() for v in violations(model, member, item, f"{path}.{key}")]
    if not isinstance(value, SCALARS[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return [f"{path}: {value!r} is not a {kind}"]
    if "enum" in shape and value not in shape["enum"]:
        return [f"{path}: {value!r} is not one of {shape['enum']}"]
    return []


def answer_violations(service: str, action: str, status: int, body: dict) -> list[str]:
    """The violations of one answer: an output, or an error that the action may give."""
    model = MODELS[service]
    operation = model["operations"].get(action)
    if status < 300:
        return violations(model, operation["output"]["shape"], body) if "output" in operation else []
    code = body.get("__type") or body["ErrorCode"]
    if code not in {error["shape"] for error in operation.get("errors", [])} if operation else True:
        # Common errors, such as ThrottlingException, stand in no model.
        return []
    error = model["shapes"][code].get("error", {})
    # The sentence stands in no model of CloudWatch Logs, whose errors have no members there.
    told_by_protocol = ("__type",) if model["shapes"][code].get("members") else ("__type", "message")
    found = [] if error.get("httpStatusCode", status) == status else [f"{code}: status {status}"]
    return found + violations(
        model, code, {name: value for name, value in body.items() if name not in told_by_protocol}
    )
