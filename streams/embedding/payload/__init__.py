"""Reads the bytes of a picture: from the event, a file, an https address or an object store."""

from __future__ import annotations

from hashlib import sha256

from schemas.ingest import Picture
from schemas.parts import Refusal
from schemas.reasons import Reason
from streams.embedding.payload import files, https, objects
from streams.embedding.payload.errors import PayloadRefused, PayloadUnavailable
from streams.embedding.payload.roots import RootsError, find_root, parse_roots
from streams.settings import Settings

__all__ = ["PayloadUnavailable", "RootsError", "check_roots", "fetch"]


def fetch(picture: Picture, settings: Settings) -> bytes | Refusal:
    """The encoded picture, or why it cannot be read. Safe to call from several threads.

    Raises:
        PayloadUnavailable: its store does not answer; the caller may try again.
    """
    try:
        data = picture.data if picture.data else _read(picture.uri, settings)
        if not data:
            raise PayloadRefused(Reason.EMPTY_PICTURE, "the picture has zero bytes: send one")
        if len(data) > settings.max_picture_bytes:
            raise PayloadRefused.too_large(settings.max_picture_bytes)
        if picture.sha256 is not None and sha256(data).hexdigest() != picture.sha256.lower():
            raise PayloadRefused(
                Reason.DIGEST_MISMATCH,
                f"the {len(data)} bytes read do not have the SHA-256 that the event states: they were changed or cut",
            )
    except PayloadRefused as refused:
        return Refusal(refused.reason, str(refused))
    return data


def check_roots(settings: Settings) -> None:
    """Check at a worker's start that every entry of ``uri_roots`` can be served.

    Raises:
        RootsError: an entry is no prefix of an address, or needs an extra that is not installed.
    """
    for root in parse_roots(tuple(settings.uri_roots)):
        if root.scheme in objects.EXTRAS:
            objects.check_installed(root.scheme)


def _read(uri: str | None, settings: Settings) -> bytes:
    if not uri:
        raise PayloadRefused(Reason.EMPTY_PICTURE, "the event has neither a picture nor an address of one")
    roots = parse_roots(tuple(settings.uri_roots))
    address, root = find_root(uri, roots)
    limit = settings.max_picture_bytes
    if address.scheme == "file":
        return files.read(address.path, root.path, limit)
    if address.scheme == "https":
        return https.read(uri, roots, limit, private_networks=settings.uri_private_networks)
    return objects.read(uri, limit)
