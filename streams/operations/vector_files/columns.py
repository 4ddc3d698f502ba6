"""The columns of a file of vectors: from templates, to templates, and what is checked of those that come in."""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.embedder.card import Card
from schemas.clock import utc_now
from schemas.errors import FacestreamError
from schemas.gallery import Template
from schemas.ids import InvalidId, canonical_event_id, checked_name
from schemas.ingest import Consent
from schemas.parts import UNMEASURED, Quality, Source
from schemas.template_records import micros_of, time_of

Columns = Mapping[str, NDArray[Any]]
"""Arrays of the same length by name; ``vector`` is [n, dimensions], all others are [n]."""

REQUIRED = ("user_id", "subject_id", "vector", "consent_purpose", "consent_granted_at")
TEXTS = ("template_id", "user_id", "subject_id", "consent_purpose", "picture_sha256", "covered_part", "source_topic")
TIMES = ("consent_granted_at", "consent_expires_at", "enrolled_at")
NUMBERS = ("source_partition", "source_offset")
MEASURES = ("score", "size", "sharpness", "brightness", "yaw", "overall", "blockiness", "covered")
"""Fields of the quality; each is a column ``quality_…`` of float32, NaN where it was not measured."""

KNOWN = frozenset({*REQUIRED, *TEXTS, *TIMES, *NUMBERS, "consent_training", *(f"quality_{name}" for name in MEASURES)})
"""All columns; others are left out."""
IMPORTED = Source("import", 0, 0)
"""The source of a template that comes from a file which names none."""
_LENGTH = 1e-3
"""Largest difference from 1 of the length of a vector that is to have the length 1."""
_AT_ONCE = 1_000


class UnusableVectors(FacestreamError, ValueError):
    """A file of vectors cannot be imported; the message says which row is wrong, and why."""


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """The rows of a file, checked, with those of a user one behind the other.

    Attributes:
        model_version: of all vectors.
        count: of different templates; rows that are the same in every column count once.
        repeated: rows that are the same as another one.
        columns: all of them, complete and in canonical form.
        order: the rows that count, by user.
    """

    model_version: str
    count: int
    repeated: int
    columns: Columns
    order: NDArray[np.intp]

    def templates(self) -> Iterator[Template]:
        """The templates, by user."""
        for start in range(0, len(self.order), _AT_ONCE):
            rows = self.order[start : start + _AT_ONCE]
            yield from _templates({name: column[rows] for name, column in self.columns.items()}, self.model_version)


def from_templates(templates: Sequence[Template]) -> dict[str, NDArray[Any]]:
    """The columns of templates of one model version."""
    columns: dict[str, NDArray[Any]] = {
        "template_id": _texts([one.template_id for one in templates]),
        "user_id": _texts([one.user_id for one in templates]),
        "subject_id": _texts([one.subject_id for one in templates]),
        "vector": np.stack([np.frombuffer(one.vector, "<f4") for one in templates]),
        "consent_purpose": _texts([one.consent.purpose for one in templates]),
        "consent_granted_at": _times([one.consent.granted_at for one in templates]),
        "consent_expires_at": _times([one.consent.expires_at for one in templates]),
        "consent_training": np.array([one.consent.training for one in templates]),
        "enrolled_at": _times([one.enrolled_at for one in templates]),
        "picture_sha256": _texts([one.picture_sha256 or "" for one in templates]),
        "covered_part": _texts([one.quality.covered_part or "" for one in templates]),
        "source_topic": _texts([one.source.topic for one in templates]),
        "source_partition": np.array([one.source.partition for one in templates], np.int64),
        "source_offset": np.array([one.source.offset for one in templates], np.int64),
    }
    for name in MEASURES:
        values = [None if one.quality == UNMEASURED else getattr(one.quality, name) for one in templates]
        columns[f"quality_{name}"] = np.array([math.nan if one is None else one for one in values], np.float32)
    return columns


def check(columns: Columns, card: Card) -> CheckedRows:
    """Check columns, and complete those that may be missing.

    The id of a template follows from its contents where the file has none, and it counts as enrolled when the consent
    was given. So a file means the same however often it is imported, and nobody who was erased comes back by it.

    Args:
        columns: of a file; ``vector`` [n, dimensions], times as microseconds.
        card: of the model version that made the vectors.

    Raises:
        UnusableVectors: something is missing or cannot be true.
    """
    if missing := [name for name in REQUIRED if name not in columns]:
        raise UnusableVectors(f"there is no column {missing[0]}: needed are {', '.join(REQUIRED)}")
    count = len(columns["user_id"])
    if wrong := [name for name, column in columns.items() if len(column) != count]:
        raise UnusableVectors(f"{wrong[0]} has {len(columns[wrong[0]])} rows, and user_id has {count}")
    if not count:
        raise UnusableVectors("there is no row in it")
    _check_vectors(columns["vector"], card)
    found = dict(columns)
    for name in ("user_id", "subject_id"):
        found[name] = _checked(columns[name], name, partial(checked_name, name))
    found["consent_purpose"] = _checked(columns["consent_purpose"], "consent_purpose", _purpose)
    _complete(found, count)
    _check_times(found)
    found["template_id"] = (
        _checked(columns["template_id"], "template_id", canonical_event_id)
        if "template_id" in columns
        else _ids(found, card.version)
    )
    order = np.argsort(found["user_id"], kind="stable")
    _, first, inverse = np.unique(found["template_id"], return_index=True, return_inverse=True)
    repeats = np.flatnonzero(first[inverse] != np.arange(count))
    for row in repeats.tolist():
        _check_repeat(found, row, int(first[inverse[row]]))
    kept = np.ones(count, bool)
    kept[repeats] = False
    return CheckedRows(card.version, count - len(repeats), len(repeats), found, order[kept[order]])


def _check_vectors(vectors: NDArray[Any], card: Card) -> None:
    dimensions = card.output.dimensions
    if vectors.ndim != 2 or vectors.shape[1] != dimensions:
        shape = " × ".join(map(str, vectors.shape))
        raise UnusableVectors(
            f"vector has the shape {shape}, and vectors of {card.version} have {dimensions} dimensions"
        )
    for start in range(0, len(vectors), _AT_ONCE):
        part = vectors[start : start + _AT_ONCE].astype(np.float64)
        lengths = np.sqrt(np.einsum("ij,ij->i", part, part))
        _refuse(~np.isfinite(lengths), start, "has a number in its vector that is none, or is infinite")
        if card.output.metric == "cosine":
            off = np.abs(lengths - 1) > _LENGTH
            _refuse(
                off,
                start,
                f"has a vector that is not of length 1, as those of {card.version} are: divide by its length",
            )
        _refuse(lengths == 0, start, "has a vector of noughts")


def _refuse(wrong: NDArray[np.bool_], start: int, why: str) -> None:
    if wrong.any():
        others = f" (as have {wrong.sum() - 1} of the rows that follow)" if wrong.sum() > 1 else ""
        raise UnusableVectors(f"row {start + int(np.argmax(wrong))} {why}{others}")


def _checked(texts: NDArray[Any], name: str, check_one: Callable[[str], str]) -> NDArray[Any]:
    """Texts in canonical form; each different one is checked once."""
    known: dict[str, str] = {}
    for row, text in enumerate(texts.tolist()):
        if text not in known:
            try:
                known[text] = check_one(text)
            except InvalidId as error:
                raise UnusableVectors(f"row {row}: {str(error).replace('event_id', name)}") from error
    return _texts([known[text] for text in texts.tolist()])


def _purpose(text: str) -> str:
    if not isinstance(text, str) or not text.strip():
        raise InvalidId("consent_purpose is empty: say what the person agreed to")
    return text


def _complete(columns: dict[str, NDArray[Any]], count: int) -> None:
    """Add the columns that may be missing."""
    columns.setdefault("consent_expires_at", np.full(count, np.datetime64("NaT", "us")))
    columns.setdefault("consent_training", np.zeros(count, bool))
    columns.setdefault("enrolled_at", columns["consent_granted_at"])
    for name, value in (("picture_sha256", ""), ("covered_part", ""), ("source_topic", IMPORTED.topic)):
        columns.setdefault(name, np.full(count, value))
    for name in NUMBERS:
        columns.setdefault(name, np.zeros(count, np.int64))
    for name in MEASURES:
        columns.setdefault(f"quality_{name}", np.full(count, math.nan, np.float32))


def _check_times(columns: Columns) -> None:
    now = np.datetime64(micros_of(utc_now()), "us")
    granted, enrolled = columns["consent_granted_at"], columns["enrolled_at"]
    _refuse(np.isnat(granted), 0, "does not say when the consent was given")
    _refuse(np.isnat(enrolled), 0, "does not say when it was enrolled, and other rows do")
    _refuse(granted > now, 0, "has a consent that begins in the future")
    _refuse(enrolled > now, 0, "was enrolled in the future")
    _refuse(columns["consent_expires_at"] <= granted, 0, "has a consent that ends before it begins")
    years = np.datetime64("0001-01-02", "us"), np.datetime64("9999-12-30", "us")
    for name in TIMES:
        _refuse((columns[name] < years[0]) | (columns[name] > years[1]), 0, f"has a {name} that no calendar has")


def _ids(columns: Columns, version: str) -> NDArray[Any]:
    """An id for each row that follows from what it is about."""
    names = [columns[name].tolist() for name in ("user_id", "subject_id", "consent_purpose", "consent_training")]
    times = [columns[name].astype(np.int64).tolist() for name in ("consent_granted_at", "consent_expires_at")]
    vectors, ids = columns["vector"], []
    for row, about in enumerate(zip(*names, *times, strict=True)):
        digest = hashlib.sha256("\x00".join(map(str, (version, *about))).encode())
        digest.update(np.ascontiguousarray(vectors[row], "<f4").tobytes())
        ids.append(str(uuid.UUID(bytes=digest.digest()[:16], version=5)))
    return _texts(ids)


def _check_repeat(columns: Columns, row: int, before: int) -> None:
    for name, column in columns.items():
        same = np.array_equal(column[row], column[before], equal_nan=column.dtype.kind in "fM")
        if not same:
            raise UnusableVectors(
                f"rows {before} and {row} have the same template_id {columns['template_id'][row]}, and differ in {name}"
            )


def _templates(columns: Columns, version: str) -> Iterator[Template]:
    texts = {name: columns[name].tolist() for name in (*TEXTS, *NUMBERS, "consent_training")}
    times = {name: _datetimes(columns[name]) for name in TIMES}
    measures = {name: columns[f"quality_{name}"].astype(np.float32).tolist() for name in MEASURES}
    vectors = np.ascontiguousarray(columns["vector"], "<f4")
    for row in range(len(vectors)):
        granted, ends, enrolled = (
            times["consent_granted_at"][row],
            times["consent_expires_at"][row],
            times["enrolled_at"][row],
        )
        assert granted is not None and enrolled is not None
        yield Template(
            template_id=texts["template_id"][row],
            user_id=texts["user_id"][row],
            subject_id=texts["subject_id"][row],
            model_version=version,
            vector=vectors[row].tobytes(),
            quality=_quality({name: values[row] for name, values in measures.items()}, texts["covered_part"][row]),
            consent=Consent(texts["consent_purpose"][row], granted, ends, bool(texts["consent_training"][row])),
            source=Source(texts["source_topic"][row], texts["source_partition"][row], texts["source_offset"][row]),
            enrolled_at=enrolled,
            picture_sha256=texts["picture_sha256"][row] or None,
        )


def _quality(measures: dict[str, float], covered_part: str) -> Quality:
    if math.isnan(measures["size"]):
        return UNMEASURED
    found: dict[str, Any] = {name: None if math.isnan(value) else value for name, value in measures.items()}
    plain = {name: found[name] or 0.0 for name in MEASURES[:6]}
    return Quality(**plain, blockiness=found["blockiness"], covered=found["covered"], covered_part=covered_part or None)


def _texts(values: Sequence[str]) -> NDArray[Any]:
    return np.array(values, np.str_)


def _times(values: Sequence[datetime | None]) -> NDArray[Any]:
    """Times as microseconds; None becomes NaT."""
    micros = [np.iinfo(np.int64).min if one is None else micros_of(one) for one in values]
    return np.array(micros, np.int64).view("datetime64[us]")


def _datetimes(column: NDArray[Any]) -> list[datetime | None]:
    absent = np.isnat(column).tolist()
    micros = column.astype("datetime64[us]").astype(np.int64).tolist()
    return [None if gone else time_of(one) for one, gone in zip(micros, absent, strict=True)]
