"""OpenAPI 3.1, made from the structs that validate requests and build answers."""

from collections.abc import Iterable
from importlib.metadata import version
from inspect import cleandoc
from typing import Any

import msgspec

from api.operation import Operation
from api.problems import CONTENT_TYPE, ProblemBody
from personalization.plan import MAX_ID_BYTES

_REFERENCE = "#/components/schemas/{name}"
_WHEN = {
    400: "The body is not JSON",
    401: "An API key is needed",
    404: "There is no such thing",
    413: "The body is too large",
    422: "A field is wrong: errors say which, and why",
    500: "A failure of the server: error_id names it in its log",
    503: "Not now: the server is starting, or the log does not take events",
}
_ID = {"type": "string", "minLength": 1, "maxLength": MAX_ID_BYTES, "pattern": "^[!-~]+$"}


def describe(operations: Iterable[Operation], *, keys: bool) -> bytes:
    """The description of ``operations`` in JSON; ``keys``: API keys are needed."""
    operations = list(operations)
    types = [t for o in operations for t in (o.body, o.answer) if t is not None]
    schemas, components = msgspec.json.schema_components(
        [*types, ProblemBody], ref_template=_REFERENCE
    )
    schema_of = dict(zip(map(repr, types), schemas, strict=False))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        described = _operation(operation, schema_of, keys)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Freshet",
            "version": version("freshet"),
            "description": "A realtime personalization backend: every event changes the next"
            " ranking. Errors are RFC 9457 problem details.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": {name: _plain(schema) for name, schema in components.items()}},
    }
    if keys:
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
    return msgspec.json.encode(document)


def _operation(operation: Operation, schema_of: dict[str, Any], keys: bool) -> dict[str, Any]:
    guarded = operation.path.startswith("/v1/") or operation.path == "/metrics"
    statuses = [*operation.problems, 500, *([503] if operation.path.startswith("/v1/") else [])]
    if keys and guarded:
        statuses.append(401)
    responses: dict[str, Any] = {
        "200": {
            "description": "Done",
            "content": {
                operation.answer_type: _media(schema_of, operation.answer, operation.answer_example)
            },
        }
    }
    if operation.path == "/readyz":
        responses["503"] = {**responses["200"], "description": "Not yet"}
    for status in sorted(statuses):
        responses[str(status)] = {
            "description": _WHEN[status],
            "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}},
        }
    described: dict[str, Any] = {
        "operationId": operation.method.lower() + operation.path.title().translate(_NAME),
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": responses,
    }
    if "{id}" in operation.path:
        described["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": _ID}]
    if operation.body is not None:
        content = {"application/json": _media(schema_of, operation.body, operation.body_example)}
        if operation.ndjson:
            content["application/x-ndjson"] = {"schema": {"type": "string"}}
        described["requestBody"] = {"required": True, "content": content}
    if keys and guarded:
        described["security"] = [{"bearer": []}, {"key": []}]
    return described


_NAME = str.maketrans("", "", "/{}._")


def _media(schema_of: dict[str, Any], type_: Any, example: Any) -> dict[str, Any]:
    media = {"schema": schema_of[repr(type_)]}
    return media if example is None else {**media, "example": example}


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Descriptions as text for people: without the marks and the indent of docstrings."""
    if "description" in schema:
        schema["description"] = cleandoc(schema["description"]).replace("``", "`")
    return schema
