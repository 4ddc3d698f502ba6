"""The file of an exported gallery: an Avro object container with one ``Template`` for each vector.

Any Avro library reads it. The header says in ``facestream.*`` what is in it, with the SHA-256 over the header's other
entries (``name=value``, each with a line feed, in the order of their names) and over everything behind the header. So a
file that was cut off or changed is recognised before anything of it is used. Source: Avro 1.12 specification, "Object
Container Files".
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import fastavro
from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException, UnknownType

from schemas import codec, registry, template_records
from schemas.as_json import time_text
from schemas.errors import CodecError, FacestreamError
from schemas.gallery import Template

FORMAT = "1"
_SHA256 = "facestream.sha256"
_MAGIC = b"Obj\x01"
_CODEC = "deflate"
_SYNC_BYTES = 16
_AT_ONCE = 1 << 20
_BAD = (
    *(EOFError, ValueError, TypeError, IndexError, OverflowError, KeyError, AttributeError, MemoryError, zlib.error),
    *(CodecError, SchemaParseException, SchemaResolutionError, UnknownType),
)
_HEADER_BYTES = len(registry.newest(Template).header)


class UnusableGalleryFile(FacestreamError, ValueError):
    """A file is no exported gallery, or is not whole; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class GalleryFile:
    """An exported gallery, as the header of its file describes it.

    Attributes:
        path: of the file.
        created_at: when the export began.
        installation: the Kafka cluster and the prefix of topics that it comes from.
        user_id: the only user in it; None: it was made of all users.
        vectors: the number of records: a template has a vector of each of its model versions.
        sha256: the digest of the rest of the header and of all that is behind it.
    """

    path: Path
    created_at: datetime
    installation: str
    user_id: str | None
    vectors: int
    sha256: str

    def templates(self) -> Iterator[Template]:
        """See :func:`templates`."""
        return templates(self.path)


def write(
    path: Path, templates: Iterable[Template], *, created_at: datetime, installation: str, user_id: str | None
) -> GalleryFile:
    """Write a file, readable by its owner only. It gets its name when it is whole; until then an older one stays.

    The records of one template have to come together.

    Raises:
        OSError: it cannot be written there.
    """
    schema, sync = registry.plain(registry.newest(Template)), secrets.token_bytes(_SYNC_BYTES)
    count = 0

    def records() -> Iterator[Any]:
        nonlocal count
        for template in templates:
            yield _plain(template)
            count += 1

    def header(about: dict[str, str]) -> bytes:
        made = io.BytesIO()
        fastavro.writer(made, schema, [], codec=_CODEC, sync_marker=sync, metadata=about)
        return made.getvalue()

    # The digest stands in front of what it is of, so the records go to a file of their own first.
    with tempfile.TemporaryFile(dir=path.parent) as body:
        fastavro.writer(body, schema, records(), codec=_CODEC, sync_marker=sync)
        start = len(header({}))
        body.seek(start)
        about = _about(created_at, installation, user_id, count)
        digest = _digest(fastavro.reader(io.BytesIO(header(about))).metadata, body)
        body.seek(start)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as whole:
            try:
                whole.write(header({**about, _SHA256: digest}))
                shutil.copyfileobj(body, whole, _AT_ONCE)
                whole.flush()
                os.fsync(whole.fileno())
                Path(whole.name).replace(path)
            except BaseException:
                Path(whole.name).unlink(missing_ok=True)
                raise
    return GalleryFile(path, created_at, installation, user_id, count, digest)


def check(path: Path) -> GalleryFile:
    """Read a whole file, and return what is in it.

    Raises:
        UnusableGalleryFile: it is no exported gallery, or it was cut off or changed.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        metadata = _metadata(path, file)
        found = _described(path, metadata)
        if _digest(metadata, file) != found.sha256:
            raise UnusableGalleryFile(
                f"{path} is not whole: it was cut off or changed, since its SHA-256 is not the one that its header "
                "says. Nothing of it is used"
            )
    if (count := sum(1 for _ in templates(path))) != found.vectors:
        raise UnusableGalleryFile(f"{path} holds {count} templates, and its header says {found.vectors}")
    return found


def templates(path: Path) -> Iterator[Template]:
    """The records of a file in its order, whatever release wrote it.

    Raises:
        UnusableGalleryFile: a record cannot be read; call :func:`check` first.
        OSError: it cannot be read.
    """
    newest = registry.newest(Template)
    with path.open("rb") as file:
        for record in _records(path, file):
            body = io.BytesIO()
            body.write(newest.header)
            try:
                fastavro.schemaless_writer(body, newest.parsed, record)
                template = template_records.decode(body.getvalue())
            except _BAD as error:
                raise UnusableGalleryFile(f"{path} has a record that is no template: {error}") from error
            yield template


def _records(path: Path, file: IO[bytes]) -> Iterator[Any]:
    try:
        yield from fastavro.reader(file, registry.plain(registry.newest(Template)))
    except _BAD as error:
        raise UnusableGalleryFile(f"{path} cannot be read to its end: {type(error).__name__} {error}") from error


def _plain(template: Template) -> Any:
    """A template as fastavro writes it."""
    encoded = io.BytesIO(codec.encode(template))
    encoded.seek(_HEADER_BYTES)
    return fastavro.schemaless_reader(encoded, registry.newest(Template).parsed, None)


def _about(created_at: datetime, installation: str, user_id: str | None, vectors: int) -> dict[str, str]:
    about = {
        "format": FORMAT,
        "created_at": time_text(created_at),
        "installation": installation,
        "vectors": str(vectors),
    }
    if user_id is not None:
        about["user_id"] = user_id
    return {f"facestream.{name}": value for name, value in about.items()}


def _metadata(path: Path, file: IO[bytes]) -> Mapping[str, str]:
    """The header of an open file, which is then read up to the end of the header."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise UnusableGalleryFile(f"{path} is no exported gallery: it does not begin as an Avro file does")
    file.seek(0)
    try:
        metadata: Mapping[str, str] = fastavro.reader(file).metadata
    except _BAD as error:
        raise UnusableGalleryFile(
            f"{path} is no exported gallery, or was cut off: its header ends too early, or makes no sense"
        ) from error
    return metadata


def _described(path: Path, metadata: Mapping[str, str]) -> GalleryFile:
    about = {name.removeprefix("facestream."): text for name, text in metadata.items()}
    if about.get("format") != FORMAT:
        named = f"the format {about['format']!r}" if "format" in about else "no `facestream.format` in its header"
        raise UnusableGalleryFile(f"{path} has {named}: this release reads exported galleries of the format {FORMAT}")
    try:
        return GalleryFile(
            path,
            datetime.fromisoformat(about["created_at"]),
            about["installation"],
            about.get("user_id"),
            int(about["vectors"]),
            about["sha256"],
        )
    except _BAD as error:
        raise UnusableGalleryFile(f"{path} has a broken header: {type(error).__name__} {error}") from error


def _digest(metadata: Mapping[str, str], file: IO[bytes]) -> str:
    """The SHA-256 of a header without the digest, and of the rest of the file."""
    digest = hashlib.sha256()
    for name in sorted(metadata.keys() - {_SHA256}):
        digest.update(f"{name}={metadata[name]}\n".encode())
    while part := file.read(_AT_ONCE):
        digest.update(part)
    return digest.hexdigest()
