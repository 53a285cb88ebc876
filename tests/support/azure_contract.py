"""Azure's official swagger and JSON schema, which are no part of this repository: every request that a test makes must fit.

The swagger judges methods, paths and queries; the schema judges the bodies that create instances. The schemas allow unknown
keys, so those are looked for separately.
"""

import json
import re
import sys
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from support.binaries import REPOSITORY

FOLDER = REPOSITORY.parent / "shared/reference/azure"
VERSION = "2025-12-01"
"""The api-version that the program pins, and the schema's."""
SCHEMA = FOLDER / f"jsonschema/{VERSION}/Microsoft.MachineLearningServices.json"

Json = dict[str, Any]

NO_SWAGGER = re.compile(
    r"/subscriptions/[^/]+(/resourceGroups/[^/]+)?|.*/providers/Microsoft\.(ManagedIdentity|Authorization)/.*", re.IGNORECASE
)
"""Microsoft.Resources' own two resources, identities and role assignments, whose swagger is not at hand."""

OPERATION = re.compile(r"/locations/[^/]+/[A-Za-z]*Operation[A-Za-z]*/[^/]+$")
"""A long operation's address is what a header said; no swagger names it."""


def is_at_hand() -> bool:
    """Whether the official files are here."""
    return SCHEMA.exists()


def check(requests: list[Json]) -> None:
    """Fails where a request does not fit; without the official files it checks nothing."""
    if not is_at_hand():
        return
    for request in requests:
        if request["service"] != "azure" or not request["path"].startswith("/subscriptions/"):
            continue  # Entra ID's requests are azure_identity's own
        faults = request_faults(request)
        assert not faults, f"{request['method']} {request['path']} {request['query']}: {faults}"
        if request["operation"] == "computes.put":
            faults = creation_faults(request["path"].rpartition("/")[2], request["body"])
            assert not faults, f"{request['body']}: {faults}"


def request_faults(request: Json) -> list[str]:
    """What the swagger has against a method, path and query; empty where it is good."""
    path, method, query = request["path"], request["method"].lower(), request["query"]
    if NO_SWAGGER.fullmatch(path) or OPERATION.search(path):
        return []
    found = [
        [_parameter(document, file, parameter) for parameter in operations[method].get("parameters", [])]
        for pattern, document, file, operations in templates()
        if method in operations and pattern.fullmatch(path)
    ]
    if not found:
        return ["no official operation has this method and path"]
    return min((_query_faults(parameters, query) for parameters in found), key=len)


def _query_faults(parameters: list[Json], query: Json) -> list[str]:
    known = {p["name"]: p for p in parameters if p["in"] == "query"}
    faults = [f"{name}: the operation has no such query parameter" for name in query if name not in known]
    for name, parameter in known.items():
        if name not in query:
            faults += [f"{name}: is required"] if parameter.get("required") else []
        elif query[name] not in parameter.get("enum", [query[name]]):
            faults.append(f"{name}: {query[name]!r} is not one of {parameter['enum']}")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", query.get("api-version", "")):
        faults.append("api-version: is no stable version")
    return faults


@lru_cache(maxsize=1)
def templates() -> list[tuple[re.Pattern[str], Json, Path, Json]]:
    """Every path of Resource Manager as a pattern, with its file and its operations."""
    templates = []
    for file in sorted(FOLDER.glob("swagger/*/*.json")):
        document = document_of(file)
        for template, operations in document.get("paths", {}).items():
            pattern = re.sub(r"\\{[^/]*?\\}", "[^/]+", re.escape(template))
            # Resource Manager takes names in any case of letters.
            templates.append((re.compile(pattern, re.IGNORECASE), document, file, operations))
    return templates


def _parameter(document: Json, file: Path, parameter: Json) -> Json:
    reference = parameter.get("$ref")
    if reference is None:
        return parameter
    where, _, name = reference.partition("#/parameters/")
    found: Json = (document_of(file_of(where, file)) if where else document)["parameters"][name]
    return found


def file_of(reference: str, file: Path) -> Path:
    """The file that a reference in another names."""
    common = re.search(r"/(v\d)/types\.json$", reference)
    return _common(common[1]) if common else file.with_name(Path(reference).name)


@cache
def document_of(file: Path) -> Json:
    """A file of the swagger."""
    document: Json = json.loads(file.read_text())
    return document


def _common(version: str) -> Path:
    """The common types; of the versions that are not at hand, the next one, whose parameters are the same."""
    at_hand = sorted(FOLDER.glob("swagger/common-types-v*/types.json"))
    return next(file for file in at_hand if file.parent.name.removeprefix("common-types-") >= version)


def creation_faults(name: str, body: Json) -> list[str]:
    """What the schema has against the creation of an instance; empty where it is good."""
    resource = _schema()["resourceDefinitions"]["workspaces_computes"]["properties"]
    compute, _ = _schema()["definitions"]["Compute"]["allOf"]
    pattern = resource["name"]["oneOf"][0]["pattern"]
    inner = body["properties"]["properties"]
    return [
        *([] if re.search(pattern, name) else [f"{name} is no name of an instance"]),
        *(f"{key}: unknown" for key in body if key not in resource),
        *(f"properties.{key}: unknown" for key in body["properties"] if key not in {*compute["properties"], "properties"}),
        *(f"{'.'.join(map(str, error.path))}: {error.message}" for error in _validator().iter_errors(inner)),
        *_unknown(_schema()["definitions"]["ComputeInstanceProperties"], inner, "properties.properties"),
    ]


@lru_cache(maxsize=1)
def _schema() -> Any:
    return json.loads(SCHEMA.read_text())


@lru_cache(maxsize=1)
def _validator() -> Any:
    # What jsonschema would check addresses with, which nothing here has; it takes seconds to be imported.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    from jsonschema import Draft4Validator
    from referencing import Registry
    from referencing.jsonschema import DRAFT4

    # The schema is one of templates, where "[…]" may stand for any value; a request's body has none of those.
    nothing = DRAFT4.create_resource({"definitions": {"expression": {"not": {}}}})
    templates = "https://schema.management.azure.com/schemas/common/definitions.json"
    schema = _schema()
    registry = Registry().with_resources([(templates, nothing), (schema["id"], DRAFT4.create_resource(schema))])
    # The enclosing definitions cannot be satisfied: "oneOf" of computes that all allow unknown keys.
    return Draft4Validator({"$ref": f"{schema['id']}/definitions/ComputeInstanceProperties"}, registry=registry)


def _unknown(schema: Json, value: Any, at: str) -> Iterator[str]:
    """Keys that no alternative of the schema has, at any depth."""
    alternatives = list(_alternatives(schema))
    if isinstance(value, list):
        items = [a["items"] for a in alternatives if "items" in a]
        for index, item in enumerate(value):
            yield from _unknown({"oneOf": items}, item, f"{at}[{index}]")
    if not isinstance(value, dict) or any(a.get("additionalProperties") for a in alternatives):
        return
    for name, inner in value.items():
        having = [a["properties"][name] for a in alternatives if name in a.get("properties", {})]
        if having:
            yield from _unknown({"oneOf": having}, inner, f"{at}.{name}")
        else:
            yield f"{at}.{name}: unknown"


def _alternatives(schema: Json) -> Iterator[Json]:
    """The schema itself and what it may be instead, references followed; what other files define is left out."""
    reference = schema.get("$ref", "")
    if reference.startswith("#/definitions/"):
        yield from _alternatives(_schema()["definitions"][reference.rpartition("/")[2]])
    elif not reference:
        yield schema
        for part in [*schema.get("oneOf", []), *schema.get("anyOf", []), *schema.get("allOf", [])]:
            yield from _alternatives(part)
