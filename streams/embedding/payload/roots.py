"""Decides whether an address may be read: it must lie below one of the allowed roots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import unquote, urlsplit

from schemas.reasons import Reason
from streams.embedding.payload.errors import PayloadRefused

SCHEMES = ("file", "https", "gs", "s3")


class RootsError(ValueError):
    """An entry of ``uri_roots`` cannot be used."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address in parts that can be compared; a root's path ends with a slash."""

    scheme: str
    host: str
    port: int | None
    path: str

    def holds(self, other: Address) -> bool:
        """Whether the other address is below this root."""
        same = (self.scheme, self.host, self.port) == (other.scheme, other.host, other.port)
        return same and other.path.startswith(self.path) and other.path != self.path


def parse(uri: str) -> Address:
    """Parse an address.

    Raises:
        ValueError: it is none, or is written in a way that could be read in two ways.
    """
    if any(ord(c) < 0x20 or c == "\\" or ord(c) == 0x7F for c in uri):
        raise ValueError("it holds a backslash or a control character")
    parts = urlsplit(uri)
    if " " in uri and parts.scheme in {"file", "https"}:
        raise ValueError("it holds a space: write %20")
    if parts.scheme == "data":
        raise ValueError("a data: address holds the picture itself: decode it, and send its bytes in the event")
    path = unquote(parts.path) if parts.scheme in {"file", "https"} else parts.path
    if parts.scheme not in SCHEMES:
        raise ValueError(f"its scheme is none of {', '.join(SCHEMES)}")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("it holds a user, a password or a fragment")
    if {".", ".."} & set(path.split("/")) or "\x00" in path:
        raise ValueError("its path holds '.', '..' or a zero byte")
    host = (parts.hostname or "").lower().rstrip(".")
    if parts.scheme == "file":
        if host not in {"", "localhost"} or parts.query:
            raise ValueError("a file is named like file:///folder/photo.jpg")
        host = ""
    elif not host:
        raise ValueError("it names no host or bucket")
    return Address(parts.scheme, host, parts.port or (443 if parts.scheme == "https" else None), path or "/")


@cache
def parse_roots(roots: tuple[str, ...]) -> tuple[Address, ...]:
    """The allowed roots; each counts as a folder, so `gs://photos` does not allow `gs://photos-of-others/`.

    Raises:
        RootsError: an entry is no address.
    """
    parsed = []
    for root in roots:
        try:
            address = parse(root)
        except ValueError as error:
            raise RootsError(f"FACESTREAM_URI_ROOTS: {root!r} cannot be used: {error}") from error
        path = address.path if address.path.endswith("/") else address.path + "/"
        parsed.append(Address(address.scheme, address.host, address.port, path))
    return tuple(parsed)


def find_root(uri: str, roots: Sequence[Address]) -> tuple[Address, Address]:
    """The address and the root that allows it.

    Raises:
        PayloadRefused: none does.
    """
    try:
        address = parse(uri)
    except ValueError as error:
        raise PayloadRefused(Reason.URI_NOT_ALLOWED, f"{uri[:200]!r} is not read: {error}") from error
    for root in roots:
        if root.holds(address):
            return address, root
    raise PayloadRefused(
        Reason.URI_NOT_ALLOWED,
        f"{uri[:200]!r} is below none of the addresses that FACESTREAM_URI_ROOTS of the workers allows",
    )
