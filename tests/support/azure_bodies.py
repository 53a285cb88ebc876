"""The bodies that are sent to Resource Manager, held against Azure's official swagger, which is no part of this repository.

A member must be known and may not be read-only; types, enumerations, bounds and what is required must fit. Instances are left
to the JSON schema (`azure_contract`), which is newer; identities and role assignments have no swagger here.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from support import azure_contract

Json = dict[str, Any]

KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict, "array": list
}  # fmt: skip
CHANGES = {"put": "create", "patch": "update"}
"""What `x-ms-mutability` calls these."""


class Schema(NamedTuple):
    """A part of a document, by which its references are found."""

    node: Json
    document: Json
    file: Path


def check(requests: list[Json]) -> None:
    """Fails where a body does not fit; without the official files it checks nothing."""
    if not azure_contract.is_at_hand():
        return
    for request in requests:
        sent = request["service"] == "azure" and request["body"]
        faults = faults_of(request) if sent else []
        assert not faults, f"{request['method']} {request['path']} {request['body']}: {faults}"


def faults_of(request: Json) -> list[str]:
    """What the swagger has against a body; empty where it is good, or where no swagger is at hand."""
    method, path = request["method"].lower(), request["path"]
    if request.get("operation") == "computes.put" or not path.startswith("/subscriptions/"):
        return []
    for pattern, document, file, operations in azure_contract.templates():
        if method not in operations or not pattern.fullmatch(path):
            continue
        for parameter in operations[method].get("parameters", []):
            if parameter.get("in") == "body":
                schema = Schema(parameter["schema"], document, file)
                return list(_faults(schema, request["body"], CHANGES.get(method, ""), "body"))
    return []


def _faults(schema: Schema, value: Any, change: str, at: str) -> Iterator[str]:
    schema = _subtype(_resolved(schema), value)
    node = schema.node
    wanted = node.get("type", "object" if "properties" in node else None)
    if value is None and node.get("x-nullable"):
        return
    if wanted and (not isinstance(value, KINDS[wanted]) or (isinstance(value, bool) and wanted != "boolean")):
        yield f"{at}: {value!r} is no {wanted}"
    elif "enum" in node and value not in node["enum"]:
        yield f"{at}: {value!r} is not one of {node['enum']}"
    elif isinstance(value, str) and not re.search(node.get("pattern", ""), value):
        yield f"{at}: {value!r} does not match {node['pattern']}"
    elif wanted == "integer" and not node.get("minimum", value) <= value <= node.get("maximum", value):
        yield f"{at}: {value} is out of bounds"
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(schema._replace(node=node["items"]), item, change, f"{at}[{index}]")
    elif isinstance(value, dict):
        yield from _faults_of_members(schema, value, change, at)


def _faults_of_members(schema: Schema, value: Json, change: str, at: str) -> Iterator[str]:
    known, required = _members(schema)
    yield from (f"{at}.{name}: is required" for name in sorted(required - value.keys()) if change != "update")
    others = schema.node.get("additionalProperties")
    for name, inner in value.items():
        if name in known:
            node = known[name].node
            if node.get("readOnly") or (change and change not in node.get("x-ms-mutability", [change])):
                yield f"{at}.{name}: may not be sent"
            yield from _faults(known[name], inner, change, f"{at}.{name}")
        elif isinstance(others, dict):
            yield from _faults(schema._replace(node=others), inner, change, f"{at}.{name}")
        elif known:
            yield f"{at}.{name}: unknown"


def _resolved(schema: Schema) -> Schema:
    """What a reference means; anything goes where its file is not at hand."""
    while reference := schema.node.get("$ref"):
        where, _, name = reference.partition("#/definitions/")
        document, file = schema.document, schema.file
        if where:
            file = azure_contract.file_of(where, file)
            document = azure_contract.document_of(file) if file.exists() else {}
        own = {key: value for key, value in schema.node.items() if key != "$ref"}
        schema = Schema({**document.get("definitions", {}).get(name, {}), **own}, document, file)
    return schema


def _subtype(schema: Schema, value: Any) -> Schema:
    """The definition that a discriminator's value names."""
    discriminator = schema.node.get("discriminator")
    if not discriminator or not isinstance(value, dict):
        return schema
    for name, node in schema.document["definitions"].items():
        if value.get(discriminator) == node.get("x-ms-discriminator-value", name) and "allOf" in node:
            parents = [part.get("$ref", "").rpartition("/")[2] for part in node["allOf"]]
            if any(schema.document["definitions"].get(parent, {}).get("discriminator") == discriminator for parent in parents):
                return schema._replace(node=node)
    return schema


def _members(schema: Schema) -> tuple[dict[str, Schema], set[str]]:
    """All members with inherited ones, and those that are required."""
    known = {name: schema._replace(node=node) for name, node in schema.node.get("properties", {}).items()}
    required = set(schema.node.get("required", []))
    for part in schema.node.get("allOf", []):
        inherited, needed = _members(_resolved(schema._replace(node=part)))
        known, required = inherited | known, required | needed
    # A member's own `readOnly` stands beside its reference.
    return {name: _resolved(member) for name, member in known.items()}, required
