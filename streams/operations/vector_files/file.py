"""Reads and writes files of vectors. The name says which kind: ``.npz`` is NumPy's, ``.parquet`` Apache Parquet's.

Beside the columns a file says which model made the vectors (``model_version``) and, if ``facestream export`` has
written it, when and where (``created_at``, ``installation``, ``user_id``): as arrays of one text in the one kind of
file, as metadata with the prefix ``facestream.`` in the other.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.embedder.card import Card
from schemas.as_json import time_text
from schemas.gallery import Template
from streams.operations.vector_files import columns as vector_columns
from streams.operations.vector_files.columns import TEXTS, TIMES, CheckedRows, Columns, UnusableVectors

SUFFIXES = (".npz", ".parquet")
ABOUT = ("model_version", "created_at", "installation", "user_id")
_PREFIX = "about_"
"""Before the names of the arrays of one text in an ``.npz`` file, but ``model_version``: user_id is a column too."""


@dataclass(frozen=True, slots=True)
class VectorFile:
    """A file of vectors.

    Attributes:
        path: of the file.
        created_at: when it was exported; None: it comes from elsewhere.
        installation: where it was exported; None: it comes from elsewhere.
        user_id: the only user in it; None: it was made of all users.
        sha256: of the file.
        rows: what is in it.
    """

    path: Path
    created_at: datetime | None
    installation: str | None
    user_id: str | None
    sha256: str
    rows: CheckedRows

    def templates(self) -> Iterator[Template]:
        """The templates, by user."""
        return self.rows.templates()


def version_of(path: Path) -> str | None:
    """The model version that a file names.

    Raises:
        UnusableVectors: it is no such file, or names several.
        OSError: it cannot be read.
    """
    return _about(path, *_read(path, ["model_version"])).get("model_version")


def read(path: Path, card: Card) -> VectorFile:
    """Read a file and check every row.

    Args:
        path: of the file.
        card: of the model version that made the vectors.

    Raises:
        UnusableVectors: it is no such file, or something in it cannot be true.
        OSError: it cannot be read.
    """
    found, texts = _read(path)
    about = _about(path, found, texts)
    try:
        columns = {name: _normal(name, column) for name, column in found.items() if name in vector_columns.KNOWN}
        rows = vector_columns.check(columns, card)
        created_at = about.get("created_at")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return VectorFile(
            path,
            None if created_at is None else datetime.fromisoformat(created_at),
            about.get("installation"),
            about.get("user_id"),
            digest,
            rows,
        )
    except UnusableVectors as error:
        raise UnusableVectors(f"{path}: {error}") from error
    except ValueError as error:
        raise UnusableVectors(f"{path} cannot be understood: {error}") from error


def write(
    path: Path,
    templates: Sequence[Template],
    *,
    created_at: datetime,
    installation: str,
    user_id: str | None,
) -> str:
    """Write templates of one model version, readable by the file's owner only; return the file's SHA-256.

    The file gets its name when it is whole; until then an older one stays.

    Raises:
        OSError: it cannot be written there.
    """
    about = {
        "model_version": templates[0].model_version,
        "created_at": time_text(created_at),
        "installation": installation,
    }
    if user_id is not None:
        about["user_id"] = user_id
    columns = vector_columns.from_templates(templates)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as whole:
        try:
            if path.suffix == ".npz":
                texts = {
                    (name if name == "model_version" else _PREFIX + name): np.array(text)
                    for name, text in about.items()
                }
                np.savez(whole, **columns, **texts)  # type: ignore[arg-type]
            else:
                from streams.operations.vector_files import parquet

                parquet.write(whole, columns, about)
            whole.flush()
            os.fsync(whole.fileno())
            whole.seek(0)
            digest = hashlib.file_digest(whole, "sha256").hexdigest()
            Path(whole.name).replace(path)
        except BaseException:
            Path(whole.name).unlink(missing_ok=True)
            raise
    return digest


def _read(path: Path, names: Sequence[str] | None = None) -> tuple[dict[str, NDArray[Any]], Mapping[str, str]]:
    """The columns, all or those of these names, and the texts about them."""
    if path.suffix == ".parquet":
        from streams.operations.vector_files import parquet

        return parquet.read(path, names)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {
                name: arrays[name] for name in arrays if names is None or name in names or name.startswith(_PREFIX)
            }
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UnusableVectors(
            f"{path} is no .npz file with arrays of texts and numbers, or not whole: {error}"
        ) from error
    texts = {
        name.removeprefix(_PREFIX): str(found.pop(name)) for name in [name for name in found if found[name].ndim == 0]
    }
    return found, texts


def _about(path: Path, columns: Columns, texts: Mapping[str, str]) -> Mapping[str, str]:
    """What a file says about its rows; the model version may be a column too."""
    if "model_version" not in columns:
        return texts
    versions = np.unique(columns["model_version"]).tolist()
    if len(versions) != 1:
        named = ", ".join(map(str, versions)) or "(none)"
        raise UnusableVectors(f"{path} has vectors of the model versions {named}: write a file for each")
    return {**texts, "model_version": str(versions[0])}


def _normal(name: str, column: NDArray[Any]) -> NDArray[Any]:
    """A column in the one form in which columns are checked.

    Raises:
        UnusableVectors: it is of another kind.
    """
    kind = column.dtype.kind
    if name == "vector" and kind == "f":
        return column.astype(np.float32, copy=False)
    if name in TEXTS and kind in "UO":
        return np.array(["" if one is None else one for one in column.tolist()]) if kind == "O" else column
    if name in TIMES and kind in "MUO":
        with suppress(ValueError, OverflowError):
            return column.astype("datetime64[us]") if kind == "M" else _parsed(column)
    if name in vector_columns.NUMBERS and kind in "iu":
        return column.astype(np.int64)
    if name == "consent_training" and kind == "b":
        return column
    if name.startswith("quality_") and kind == "f":
        return column.astype(np.float32)
    wanted = "numbers of floating point" if name == "vector" or name.startswith("quality_") else "what it should"
    wanted = {**dict.fromkeys(TEXTS, "texts"), **dict.fromkeys(TIMES, "times (UTC)")}.get(name, wanted)
    raise UnusableVectors(f"{name} does not hold {wanted}, but {column.dtype}")


def _parsed(column: NDArray[Any]) -> NDArray[Any]:
    """ISO 8601 texts as times; those without a time zone are UTC, an empty one is none."""
    micros = np.empty(len(column), "datetime64[us]")
    for row, text in enumerate(column.tolist()):
        time = datetime.fromisoformat(text) if text else None
        micros[row] = np.datetime64("NaT") if time is None else np.datetime64(_naive(time), "us")
    return micros


def _naive(time: datetime) -> datetime:
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)
