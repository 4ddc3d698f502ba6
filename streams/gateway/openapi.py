"""What the description of the API (OpenAPI 3.1) says of routes that read their bodies themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

_PROBLEM: Mapping[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "reason", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "reason": {"type": "string"},
        "detail": {"type": "string"},
    },
}
_MEANINGS = {
    202: "The receipt so far: `waiting_for` names the roles that have not erased it yet, and will.",
    400: "The connection ended in the middle of the body.",
    401: "There is no valid key.",
    403: "The key does not allow this, or not for this user.",
    404: "There is no such event, subject, version or hook, or not for this key.",
    408: "The body came too slowly.",
    409: "Another user has sent an event with this `event_id`; or the step cannot be taken as things are.",
    413: "The picture is too large.",
    415: "The content type cannot be read.",
    422: "A parameter, the picture or the event cannot be used; `reason` says why.",
    429: "Too many requests; `Retry-After` says when.",
    503: "Kafka, Redis or BigQuery does not answer, or there is no room; `Retry-After` says when.",
}
_ALWAYS = (401, 403, 422, 429, 503)
_WAIT = {
    "name": "wait",
    "in": "query",
    "required": False,
    "description": "How long to wait for the answer, at most 30 s; `Prefer: wait=2` says the same.",
    "schema": {"type": "string", "pattern": r"^[0-9]{1,6}(\.[0-9]{1,3})?(ms|s)?$"},
    "example": "2s",
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def problems(status: int, meaning: str, *others: int, wait: bool = False) -> dict[str, Any]:
    """Arguments of a route: its answer, and the problems that it may meet."""
    json_object = {"application/json": {"schema": {"type": "object"}}}
    described: dict[int | str, Any] = {code: _problem(code) for code in (*_ALWAYS, *others)}
    if 202 in described:
        described[202]["content"] = json_object
    return {
        "responses": {status: {"description": meaning, "content": json_object}} | described,
        "openapi_extra": {"parameters": [_WAIT]} if wait else {},
        "response_model": None,
    }


def takes(model: type[BaseModel], status: int, meaning: str, *others: int, idempotency: str = "") -> dict[str, Any]:
    """Arguments of a route that takes a JSON object with these fields.

    ``idempotency`` says what the header ``Idempotency-Key`` is for, where the route has it.
    """
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    fields = {name: _inlined(one, definitions) for name, one in schema["properties"].items()}
    content = {"schema": {"type": "object", "properties": fields, "required": schema.get("required", [])}}
    described = problems(status, meaning, 400, 408, 413, 415, *others)
    described["openapi_extra"] = {"requestBody": {"required": True, "content": {"application/json": content}}}
    if idempotency:
        described["openapi_extra"]["parameters"] = [_IDEMPOTENCY_KEY | {"description": idempotency}]
    return described


def accepts(model: type[BaseModel], answer: str) -> dict[str, Any]:
    """Arguments of a route that takes a picture with these fields, and answers with an event of this name."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    fields: dict[str, Any] = {name: _inlined(one, definitions) for name, one in schema["properties"].items()}
    required = schema.get("required", [])
    picture = {"type": "string", "format": "binary"}
    encoded = {"type": "string", "contentEncoding": "base64", "description": "The picture in base64."}
    parameters = [
        {"name": name, "in": "query", "required": False, "schema": one, "description": one.pop("description", "")}
        for name, one in ((name, dict(one)) for name, one in fields.items())
    ]
    key = _IDEMPOTENCY_KEY | {"description": "The same key of the same user has one effect."}

    def object_of(picture_schema: dict[str, Any]) -> dict[str, Any]:
        return {"type": "object", "properties": {"picture": picture_schema, **fields}, "required": required}

    described = problems(200, f"The {answer}, if it came within the wait.", 400, 408, 409, 413, 415)
    described["responses"][202] = {
        "description": "Kafka has the event; `Location` is where its answer will be.",
        "content": {"application/json": {"schema": {"type": "object"}}},
        "headers": {"Location": {"schema": {"type": "string"}}},
    }
    described["openapi_extra"] = {
        "parameters": [*parameters, key, _WAIT],
        "requestBody": {
            "required": True,
            "content": {
                "image/jpeg": {"schema": picture},
                "multipart/form-data": {"schema": object_of(picture)},
                "application/json": {"schema": object_of(encoded)},
            },
        },
    }
    return described


def _problem(code: int) -> dict[str, Any]:
    return {"description": _MEANINGS[code], "content": {"application/problem+json": {"schema": dict(_PROBLEM)}}}


def _inlined(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """A schema without references to definitions of its own."""
    found = dict(schema)
    if "$ref" in found:
        found = {**definitions[found.pop("$ref").rpartition("/")[2]], **found}
    return found
