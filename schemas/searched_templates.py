"""Reads many encoded templates at once: what ``searched_template`` reads of each, in a fraction of the time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import registry, searched_template, template_records
from schemas.avro_columns import MISSING, AvroColumns
from schemas.gallery import Template
from schemas.ids import canonical
from schemas.searched_template import SearchedTemplate

_TIMES = ("consent_granted_at", "consent_expires_at", "enrolled_at")
_IGNORED = ("source_topic", "quality_covered_part", "picture_sha256")
"""Texts that a search does not need. They are usually short, and of ASCII."""
_SHORT = 128
_UUID_BYTES, _DASHES = 36, [8, 13, 18, 23]
_HEX = np.isin(np.arange(256), list(b"0123456789abcdef"))


def read_all(values: Sequence[bytes]) -> list[SearchedTemplate]:
    """Read encoded templates, in their order.

    Raises:
        NotAnEvent, UnknownSchema, MalformedEvent: as :func:`schemas.codec.decode`.
    """
    columns = AvroColumns(values, registry.newest(Template).header, _fields())
    rows = np.flatnonzero(_is_usual(columns))
    try:
        usual = dict(zip(rows.tolist(), _templates(values, columns, rows), strict=True))
    except UnicodeDecodeError:  # of one of them; who reads it alone says what is wrong
        usual = {}
    return [usual.get(row) or searched_template.read(value) for row, value in enumerate(values)]


def _names(raw: Iterable[bytes]) -> list[str]:
    return [name if name.isascii() else canonical(name) for name in map(bytes.decode, raw)]


@cache
def _fields() -> list[tuple[str, Any]]:
    return list(searched_template.leaves(registry.plain(registry.newest(Template)), ""))


def _is_usual(columns: AvroColumns) -> NDArray[np.bool_]:
    """Which records [n] are of the newest schema, and have nothing to be refused or changed but names."""
    usual = columns.whole.copy()
    for name in _TIMES:
        micros, (first, last) = columns.numbers[name], template_records.TIMES
        usual &= (micros == MISSING) | ((micros >= first) & (micros <= last))
    for name in _IGNORED:
        length = columns.lengths[name]
        usual &= length <= _SHORT
        most = int(length.max(where=usual, initial=0))
        usual &= ((columns.text(name, most) < 0x80) | (np.arange(most) >= length[:, np.newaxis])).all(axis=1)
    text = columns.text("template_id", _UUID_BYTES)
    is_hex = _HEX[text]
    is_hex[:, _DASHES] = text[:, _DASHES] == ord("-")
    return np.asarray(usual & (columns.lengths["template_id"] == _UUID_BYTES) & is_hex.all(axis=1))


def _templates(values: Sequence[bytes], columns: AvroColumns, rows: NDArray[np.intp]) -> list[SearchedTemplate]:
    chosen = [values[row] for row in rows.tolist()]

    def cut(name: str) -> list[bytes]:
        starts, lengths = columns.starts[name][rows], columns.lengths[name][rows]
        places = zip(chosen, starts.tolist(), (starts + lengths).tolist(), strict=True)
        return [value[start:end] for value, start, end in places]

    def shared(name: str) -> list[str]:
        """Texts that many have, each once in memory."""
        raw = cut(name)
        distinct = list(set(raw))
        found = _names(distinct) if name == "user_id" else [one.decode() for one in distinct]
        texts = dict(zip(distinct, found, strict=True))
        return [texts[one] for one in raw]

    ends = [
        None if micros == MISSING else template_records.time_of(micros)
        for micros in columns.numbers["consent_expires_at"][rows].tolist()
    ]
    template_ids = [raw.decode() for raw in cut("template_id")]
    found = template_ids, shared("user_id"), _names(cut("subject_id")), shared("model_version")
    return list(map(SearchedTemplate, *found, cut("vector"), shared("consent_purpose"), ends))
