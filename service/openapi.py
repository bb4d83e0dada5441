"""`/openapi.json`: the routes table and the params structs, as OpenAPI 3.1."""

import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import msgspec

from workers.messages import TaskSpec

if TYPE_CHECKING:
    from service.routes import Route

WEBSOCKET = "websocket"
TASK_PATH = "/tasks/{name}"
PLACE = re.compile(r"\{(\w+)(?::[^}]*)?\}")
# What every stream's request may carry beside its own params.
STREAM_HEADERS: dict[str, dict[str, Any]] = {
    "X-Stream-Resumable": {"type": "string", "enum": ["1"]},
    "X-Request-Timeout": {"type": "number", "exclusiveMinimum": 0, "description": "seconds"},
}
# An EventSource cannot send headers of its own choice.
STREAM_QUERY: dict[str, dict[str, Any]] = {"resumable": {"type": "string", "enum": ["1"]}}
FOLLOW_PATH = "/streams/{stream_id}"
LAST_EVENT = {"type": "integer", "minimum": 0}
ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


def describe(routes: Sequence["Route"], tasks: Sequence[TaskSpec] = ()) -> dict[str, Any]:
    """The OpenAPI document of all HTTP routes, and of each task under its own path."""
    kinds = [route.params for route in routes if route.params]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = _operation(route, schema_of, components)
        paths.setdefault(PLACE.sub(r"{\1}", route.path), {})[route.method.lower()] = operation
    for task in tasks:
        paths[TASK_PATH.format(name=task.name)] = {"post": _task(task, paths[TASK_PATH]["post"], components)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Sluice", "version": package_version()},
        "paths": paths,
        "components": {"schemas": {**components, "Error": ERROR_SCHEMA}},
    }


def package_version() -> str:
    """The installed version; a tree that is run without being installed has none."""
    try:
        return version("sluice")
    except PackageNotFoundError:
        return "0+local"


def _operation(route: "Route", schema_of: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    summary = (route.handler.__doc__ or "").split("\n")[0]
    error = {
        "description": "An error",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    operation: dict[str, Any] = {
        "summary": summary,
        "operationId": f"{route.method.lower()}{re.sub(r'[^a-zA-Z0-9-]+', '_', route.path)}",
        "parameters": [
            _parameter(name, "path", {"type": "string"}, True) for name in PLACE.findall(route.path)
        ],
        "responses": {**_answers(route, summary), "default": error},
    }
    if route.params and route.method == "GET":
        schema = components[route.params.__name__]
        operation["parameters"] += [
            _parameter(name, "query", field, name in schema.get("required", []))
            for name, field in schema["properties"].items()
        ]
    elif route.params:
        body = {"application/json": {"schema": schema_of[route.params]}}
        operation["requestBody"] = {"required": True, "content": body}
    operation["parameters"] += _of_streams(route)
    return operation


def _answers(route: "Route", summary: str) -> dict[str, Any]:
    """By status what comes when all is well: a body, messages, or either."""
    kinds = [kind for kind in route.media if kind != WEBSOCKET]
    answers: dict[str, Any] = {}
    if kinds:
        answers["200"] = {"description": summary, "content": {kind: {} for kind in kinds}}
    if WEBSOCKET in route.media:
        answers["101"] = {"description": f"A websocket, for `Upgrade: {WEBSOCKET}`: {summary}"}
    return answers


def _of_streams(route: "Route") -> list[dict[str, Any]]:
    """The parameters that streams have in common."""
    if route.path == FOLLOW_PATH and route.method == "GET":
        places = (("Last-Event-ID", "header"), ("last_event_id", "query"))
        return [_parameter(name, place, LAST_EVENT, False) for name, place in places]
    if "text/event-stream" not in route.media:
        return []
    parameters = [_parameter(name, "header", schema, False) for name, schema in STREAM_HEADERS.items()]
    if route.method == "GET":
        parameters += [_parameter(name, "query", schema, False) for name, schema in STREAM_QUERY.items()]
    return parameters


def _task(task: TaskSpec, route: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """The route's operation, for one task; what its schema defines goes to the components."""
    prefix = f"task.{task.name}."
    schema = msgspec.json.decode(
        task.schema.replace(b'"#/$defs/', f'"#/components/schemas/{prefix}'.encode()), type=dict[str, Any]
    )
    components |= {prefix + name: inner for name, inner in schema.pop("$defs", {}).items()}
    return route | {
        "summary": task.description,
        "operationId": f"post_tasks_{task.name}",
        "parameters": [each for each in route["parameters"] if each["in"] != "path"],
        "requestBody": {"required": False, "content": {"application/json": {"schema": schema}}},
    }


def _parameter(name: str, place: str, schema: dict[str, Any], is_required: bool) -> dict[str, Any]:
    return {"name": name, "in": place, "required": is_required, "schema": schema}
