"""`GET /openapi.json`: the description of the control API, made from the endpoint table."""

import re
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from runtime.control.endpoint import Endpoint

PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong and what to do, in a sentence."},
    },
}


def document(endpoints: Sequence[Endpoint], open_paths: Collection[str], version: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document."""
    structs = [kind for endpoint in endpoints for kind in (endpoint.body, endpoint.answer) if kind is not None]
    schemas, components = msgspec.json.schema_components(structs, ref_template="#/components/schemas/{name}")
    by_struct = dict(zip(structs, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, by_struct, endpoint.path in open_paths)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "brrrd control API", "version": version},
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": PROBLEM},
            "securitySchemes": {"operator": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"operator": []}],
    }


def _operation(endpoint: Endpoint, schemas: dict[Any, dict[str, Any]], is_open: bool) -> dict[str, Any]:
    content = {endpoint.media_type: {"schema": schemas[endpoint.answer]} if endpoint.answer is not None else {}}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": endpoint.handler.__module__.rpartition(".")[2] + "." + endpoint.handler.__name__,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{(\w+)}", endpoint.path)
        ]
        + [
            {"name": name, "in": "query", "description": description, "schema": {"type": "string"}}
            for name, description in endpoint.query
        ],
        "responses": {
            str(endpoint.status): {"description": "Done", "content": content},
            "default": {"description": "Refused", "content": problem},
        },
    }
    if endpoint.upload:
        package = {"application/zstd": {"schema": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {"description": "A .tar.zst package", "required": True, "content": package}
    elif endpoint.body is not None and endpoint.body.__struct_fields__:
        operation["requestBody"] = {"content": {"application/json": {"schema": schemas[endpoint.body]}}}
    if is_open:
        operation["security"] = []
    return operation
