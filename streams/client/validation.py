"""What is checked of an event before it is sent, so that its maker hears of a mistake at once."""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import sha256 as digest
from pathlib import Path

from models.pictures.formats import HEAD_BYTES, format_of, otherwise, wrapped
from schemas.ids import canonical_event_id, checked_name
from schemas.ingest import Frame, Picture, Upload
from schemas.reasons import Reason
from streams.client.errors import InvalidEvent, InvalidPicture, NotAPicture
from streams.client.settings import ClientOptions

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def checked_event(event: Upload | Frame, settings: ClientOptions) -> Upload | Frame:
    """The event with its ids in their canonical form.

    Raises:
        InvalidEvent: something is missing or out of its range; InvalidId says it of an id.
    """
    names = {"user_id": checked_name("user_id", event.user_id), "event_id": canonical_event_id(event.event_id)}
    if event.subject_id is not None:
        names["subject_id"] = checked_name("subject_id", event.subject_id)
    if isinstance(event, Frame):
        names["camera_id"] = checked_name("camera_id", event.camera_id)
    elif not isinstance(event.consent.purpose, str) or not event.consent.purpose.strip():
        raise InvalidEvent(f"purpose must be a text that is not empty, not {event.consent.purpose!r}")
    data = event.picture.data
    if not data and not event.picture.uri:
        raise InvalidPicture(Reason.EMPTY_PICTURE, "the picture has zero bytes")
    if data and len(data) > settings.max_picture_bytes:
        raise _too_large(len(data), settings)
    if data and (why := wrapped(data)):
        raise InvalidPicture(Reason.UNDECODABLE, f"no worker could read the picture: {why}")
    return replace(event, **names)  # type: ignore[arg-type]


def checked_picture(
    picture: bytes | Path | str,
    sha256: str | None,
    settings: ClientOptions,
    *,
    with_digest: bool,
    check_format: bool,
) -> Picture:
    """The picture that an event carries or names; a file is read.

    Raises:
        InvalidEvent: the digest or the address is none; InvalidPicture: the file is too large or, with
            ``check_format``, of a format that no worker reads, by its first bytes.
        NotAPicture: it is of another type.
        OSError: the file cannot be read.
    """
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise InvalidEvent(f"sha256 must be 64 hexadecimal digits, not {sha256!r}")
    known = sha256.lower() if sha256 else None
    if isinstance(picture, str):
        if why := wrapped(picture[:HEAD_BYTES].encode()):
            raise InvalidPicture(Reason.UNDECODABLE, f"the text is no address of a picture: {why}")
        if not _SCHEME.match(picture):
            raise InvalidEvent(f"{picture[:80]!r} is no address like gs://bucket/photo.jpg: give a file as a Path")
        return Picture(uri=picture, sha256=known)
    if isinstance(picture, Path):
        if (size := picture.stat().st_size) > settings.max_picture_bytes:
            raise _too_large(size, settings)
        picture = picture.read_bytes()
    if not isinstance(picture, bytes | bytearray | memoryview) or hasattr(picture, "__array_interface__"):
        raise NotAPicture(
            f"a picture is the bytes of a file, a Path or an address, not {type(picture).__name__}: encode an array "
            'first, for example with encode_array(array, order="bgr")'
        )
    data = bytes(picture)
    if check_format and data and len(data) <= settings.max_picture_bytes and format_of(data) is None:
        raise InvalidPicture(Reason.UNDECODABLE, f"no worker could read the picture: {otherwise(data)}")
    return Picture(data=data, sha256=known or (digest(data).hexdigest() if with_digest else None))


def _too_large(size: int, settings: ClientOptions) -> InvalidPicture:
    return InvalidPicture(
        Reason.PICTURE_TOO_LARGE,
        f"the picture has {size} bytes and FACESTREAM_MAX_PICTURE_BYTES allows {settings.max_picture_bytes}",
    )
