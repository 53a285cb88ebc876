"""Checks what the emulator says against Microsoft's official swagger, which is no part of this repository.

Where the folder with the swagger is missing, nothing is checked and `DOCUMENTS` is empty. A member is in order if the stable
version or its preview has it. What another file than these defines (managed identities) is not checked.
"""

import json
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
FOLDER = REPOSITORY.parent / "shared/reference/azure/swagger"
FILES = [
    FOLDER / f"machinelearningservices-{version}/machineLearningServices.json" for version in ("2024-04-01", "2024-04-01-preview")
]
STORAGE_FILES = [FOLDER / f"storage-arm-2023-05-01/{name}.json" for name in ("storage", "file")]
DOCUMENTS = [json.loads(file.read_text()) for file in FILES if file.exists()]
STORAGE = [json.loads(file.read_text()) for file in STORAGE_FILES if file.exists()]
COMMON = FOLDER / "common-types-v3/types.json"
COMMON_TYPES = json.loads(COMMON.read_text()) if COMMON.exists() else None

SCALARS = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict, "array": list}


def violations(method: str, path: str, status: int, text: str) -> list[str]:
    """Every member that no version of the swagger has, and every value outside an enum that all have."""
    for document in STORAGE:
        schema = answer_schema(document, method, path, status)
        if schema is not None and text:
            return check(document, schema, json.loads(text), "answer") if status < 400 else []
    found = None
    for document in DOCUMENTS:
        schema = answer_schema(document, method, path, status)
        if schema is None or not text:
            return []
        try:
            value = json.loads(text)
        except ValueError:
            return []  # a fault sent no JSON
        here = set(check(document, schema, value, "answer"))
        found = here if found is None else found & here
    return sorted(found or [])


def answer_schema(document: dict, method: str, path: str, status: int):
    for template, operations in document["paths"].items():
        pattern = re.sub(r"\\{[^/]*?\\}", "[^/]+", re.escape(template))
        operation = operations.get(method.lower())
        if operation and re.fullmatch(pattern, path, re.IGNORECASE):
            responses = operation["responses"]
            assert status >= 400 or str(status) in responses, f"{method} {path} never answers {status}"
            return responses.get(str(status), responses.get("default", {}) if status >= 400 else {}).get("schema")
    return None


def resolve(document: dict, schema: dict):
    """The schema, and the document in which its own references stand; None where no file is at hand."""
    while "$ref" in schema:
        file, _, name = schema["$ref"].partition("#/definitions/")
        if file:
            if not file.endswith("v3/types.json") or COMMON_TYPES is None:
                return None, document
            document = COMMON_TYPES
        schema = document["definitions"][name]
    return schema, document


def members(document: dict, schema: dict, value: dict) -> dict | None:
    """Name to (document, schema), with inherited ones and those of the subtype; None if anything goes."""
    schema, document = resolve(document, schema)
    if schema is None or schema.get("additionalProperties"):
        return None
    own = {name: (document, inner) for name, inner in schema.get("properties", {}).items()}
    if schema.get("discriminator") in value:
        subtype = document["definitions"].get(value[schema["discriminator"]])
        if subtype:
            for part in subtype.get("allOf", []):
                name = part["$ref"].rpartition("/")[2]
                if document["definitions"].get(name) is not schema:
                    own |= members(document, part, value) or {}
            own |= {name: (document, inner) for name, inner in subtype.get("properties", {}).items()}
    for part in schema.get("allOf", []):
        inherited = members(document, part, value)
        if inherited is None:
            return None
        own |= inherited
    return own


def check(document: dict, schema: dict, value, path: str) -> list[str]:
    schema, document = resolve(document, schema)
    if schema is None or value is None:
        return []
    if "enum" in schema and value not in schema["enum"]:
        return [f"{path}: {value!r} is not one of {schema['enum']}"]
    if schema.get("type") == "array" and isinstance(value, list):
        return [v for n, item in enumerate(value) for v in check(document, schema["items"], item, f"{path}[{n}]")]
    if not isinstance(value, dict):
        wanted = SCALARS.get(schema.get("type"), object)
        return [] if isinstance(value, wanted) else [f"{path}: {value!r} is no {schema['type']}"]
    known = members(document, schema, value) or {}
    found = [f"{path}.{name}: unknown" for name in value if known and name not in known]
    for name in value.keys() & known.keys():
        found += check(*known[name], value[name], f"{path}.{name}")
    return found
