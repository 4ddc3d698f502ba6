"""From a request to a picture and its fields, in whichever of three forms they come."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from streams.gateway.context import context
from streams.gateway.fields import M, PictureFields, checked_fields
from streams.gateway.limits import ENVELOPE_BYTES, body_of
from streams.gateway.problems import GatewayReason, Problem

F = TypeVar("F", bound=PictureFields)
_MOST_FIELDS = 20
_PICTURE = "picture"
_IN_QUERY = "wait"
"""A parameter of the query that is no field of an event."""


class Submission(Generic[F]):
    """A picture, or the address of one, and its fields."""

    def __init__(self, picture: bytes | str, fields: F) -> None:
        self.picture = picture
        self.fields = fields


async def json_fields(request: Request, model: type[M]) -> M:
    """The fields of a request whose body is a JSON object and nothing else.

    Raises:
        Problem: it is too large, too slow, of another type, or not as the model wants it.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        headers = {"Connection": "close", "Accept": "application/json"}
        detail = "the Content-Type must be application/json"
        raise Problem(415, GatewayReason.UNSUPPORTED_TYPE, detail, headers)
    async with body_of(request, context(request).bodies, ENVELOPE_BYTES) as body:
        return checked_fields(model, _object(bytes(body)))


@asynccontextmanager
async def submission(request: Request, model: type[F]) -> AsyncIterator[Submission[F]]:
    """Read what a request submits, and hold its bytes for the time of a block.

    Raises:
        Problem: it is too large, too slow, of another type, or not as the model wants it.
    """
    here = context(request)
    most = here.settings.max_picture_bytes
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    query = {name: value for name, value in request.query_params.items() if name != _IN_QUERY}
    if len(query) + (_IN_QUERY in request.query_params) != len(request.query_params.multi_items()):
        raise Problem(422, GatewayReason.INVALID_REQUEST, "a parameter of the query comes twice")
    if kind == "application/json":
        async with body_of(request, here.bodies, most * 4 // 3 + ENVELOPE_BYTES) as body:
            yield _from_json(bytes(body), query, model)
    elif kind == "multipart/form-data":
        async with body_of(request, here.bodies, most + ENVELOPE_BYTES) as body:
            yield await _from_form(request.headers, bytes(body), query, model)
    elif kind.startswith("image/") or kind == "application/octet-stream":
        async with body_of(request, here.bodies, most) as body:
            yield _submission(bytes(body), query, model)
    else:
        raise Problem(
            415,
            GatewayReason.UNSUPPORTED_TYPE,
            "the Content-Type must be image/…, application/octet-stream, multipart/form-data or application/json",
            {
                "Connection": "close",
                "Accept": "image/*, application/octet-stream, multipart/form-data, application/json",
            },
        )


def _submission(picture: bytes | None, values: dict[str, Any], model: type[F]) -> Submission[F]:
    fields = checked_fields(model, values)
    if (picture is None) == (fields.uri is None):
        raise Problem(422, GatewayReason.INVALID_REQUEST, "give either a picture or the uri of one")
    return Submission(fields.uri if picture is None else picture, fields)  # type: ignore[arg-type]


def _object(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem(422, GatewayReason.INVALID_REQUEST, f"the body is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise Problem(422, GatewayReason.INVALID_REQUEST, "the body must be a JSON object")
    return values


def _from_json(body: bytes, query: dict[str, Any], model: type[F]) -> Submission[F]:
    values = _object(body)
    text = values.pop(_PICTURE, None)
    if text is None:
        return _submission(None, _merged(query, values), model)
    try:
        picture = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise Problem(422, GatewayReason.INVALID_REQUEST, f"{_PICTURE} must be base64") from None
    return _submission(picture, _merged(query, values), model)


async def _from_form(headers: Headers, body: bytes, query: dict[str, Any], model: type[F]) -> Submission[F]:
    parser = MultiPartParser(headers, _once(body), max_files=1, max_fields=_MOST_FIELDS)
    parser.spool_max_size = len(body) + 1  # pictures of people do not go to the disk
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeError) as error:
        raise Problem(422, GatewayReason.INVALID_REQUEST, f"the form cannot be read: {error}") from None
    async with form_closed(form):
        items = form.multi_items()
        if len({name for name, _ in items}) != len(items):
            raise Problem(422, GatewayReason.INVALID_REQUEST, "a field of the form comes twice")
        files = {name: value for name, value in items if isinstance(value, UploadFile)}
        texts = {name: value for name, value in items if not isinstance(value, UploadFile)}
        if files.keys() - {_PICTURE}:
            raise Problem(422, GatewayReason.INVALID_REQUEST, f"the file must be the field {_PICTURE}")
        picture = await files[_PICTURE].read() if files else None
        return _submission(picture, _merged(query, texts), model)


@asynccontextmanager
async def form_closed(form: Any) -> AsyncIterator[None]:
    """Close the files of a form at the end of a block."""
    try:
        yield
    finally:
        await form.close()


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


def _merged(query: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    if twice := query.keys() & values.keys():
        raise Problem(422, GatewayReason.INVALID_REQUEST, f"{min(twice)} is in the query and in the body")
    return query | values
