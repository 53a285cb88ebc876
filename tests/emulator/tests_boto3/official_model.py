"""Checks what the emulator says against AWS's official ECS model, which is no part of this repository.

Where the folder with the model is missing, nothing is checked and `MODEL` is None.
"""

import json
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
FILE = REPOSITORY.parent / "shared/reference/aws/ecs-2014-11-13-service-2.json"
MODEL = json.loads(FILE.read_text()) if FILE.exists() else None

SCALARS = {
    "string": str,
    "integer": int,
    "long": int,
    "boolean": bool,
    "timestamp": (int, float),
    "double": (int, float),
    "float": (int, float),
}


def violations(shape_name: str, value: object, path: str = "") -> list[str]:
    """Every member of `value` that the model does not have, and every value of a wrong type or outside its enum."""
    shape = MODEL["shapes"][shape_name]
    kind = shape["type"]
    path = path or shape_name
    if kind == "structure":
        if not isinstance(value, dict):
            return [f"{path}: not an object"]
        members = shape.get("members", {})
        found = [f"{path}.{name}: required" for name in shape.get("required", []) if name not in value]
        for name, inner in value.items():
            if name in members:
                found += violations(members[name]["shape"], inner, f"{path}.{name}")
            else:
                found.append(f"{path}.{name}: unknown")
        return found
    if kind == "list":
        if not isinstance(value, list):
            return [f"{path}: not a list"]
        return [v for n, item in enumerate(value) for v in violations(shape["member"]["shape"], item, f"{path}[{n}]")]
    if kind == "map":
        return [v for key, item in value.items() for v in violations(shape["value"]["shape"], item, f"{path}.{key}")]
    if not isinstance(value, SCALARS[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return [f"{path}: {value!r} is not a {kind}"]
    if "enum" in shape and value not in shape["enum"]:
        return [f"{path}: {value!r} is not one of {shape['enum']}"]
    return []


def answer_violations(action: str, status: int, body: dict) -> list[str]:
    """The violations of one answer: an output, or an error that the action may give."""
    operation = MODEL["operations"].get(action)
    if status == 200:
        return violations(operation["output"]["shape"], body)
    code = body["__type"]
    if code not in {error["shape"] for error in operation.get("errors", [])} if operation else True:
        # Common errors, such as ThrottlingException, stand in no model.
        return []
    return violations(code, {name: value for name, value in body.items() if name != "__type"})
