"""The live page: a few files from the package, for browsers. They hold no data; what they show comes from the API."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response

from streams.gateway.advice import told
from streams.gateway.problems import GatewayReason, Problem

router = APIRouter(include_in_schema=False)

_FOLDER = Path(__file__).parents[1] / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing from elsewhere, no code within the page, and no text that becomes markup: a name that somebody made up
cannot run in the page that holds the key."""
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",  # kept, and asked for again: a new release shows at once
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    etag: str


@router.get("/")
async def index(request: Request) -> Response:
    """The page."""
    return _answer(request, "index.html")


@router.get("/page/{name}")
async def file(request: Request, name: str) -> Response:
    """One of its files."""
    return _answer(request, name)


def _answer(request: Request, name: str) -> Response:
    found = _files().get(name)
    if found is None:
        raise Problem(404, GatewayReason.NOT_FOUND, "there is no such address")
    headers = _HEADERS | {"ETag": found.etag}
    if found.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(found.content, headers=headers | {"Content-Type": found.media_type})


@cache
def _files() -> dict[str, _File]:
    """All files by name, read once: no name of a request is ever looked for on the disk."""
    found = {path.name: _file(path.read_bytes(), _TYPES[path.suffix]) for path in _FOLDER.iterdir() if path.is_file()}
    reasons = json.dumps(told(), ensure_ascii=False).encode()
    return found | {"reasons.json": _file(reasons, "application/json")}


def _file(content: bytes, media_type: str) -> _File:
    return _File(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
