"""Any event, for property tests."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache

from hypothesis import strategies as st

from schemas.ids import NAMES, canonical

_LONG = {"sequence", "offset", "templates_left"}
_UUID = {
    "event_id",
    "letter_id",
    "template_id",
    "resolution_id",
    "comparison_id",
    "report_id",
    "change_id",
    "sighting_id",
    "first_event_id",
    "best_event_id",
    "feedback_id",
    "erasure_id",
    "event_ids",
}
_TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))


@cache
def events(event_type: type) -> st.SearchStrategy[typing.Any]:
    """Events of a kind with every value that their schema allows."""
    hints = typing.get_type_hints(event_type)
    fields = {field.name: _values(hints[field.name], field.name) for field in dataclasses.fields(event_type)}
    return st.builds(event_type, **fields)


@cache
def _values(hint: typing.Any, name: str) -> st.SearchStrategy[typing.Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return st.one_of(*(st.none() if one is type(None) else _values(one, name) for one in arguments))
    if origin is list:
        return st.lists(_values(arguments[0], name), max_size=3)
    if origin is Mapping:
        return st.dictionaries(*(_values(one, name) for one in arguments), max_size=3)
    if dataclasses.is_dataclass(hint):
        return events(typing.cast(type, hint))
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    bits = 63 if name in _LONG else 31
    plain: dict[type, st.SearchStrategy[typing.Any]] = {
        str: st.uuids().map(str) if name in _UUID else _texts(name),
        bytes: st.binary(max_size=50),
        int: st.integers(-(2**bits), 2**bits - 1),
        float: st.floats(width=32, allow_nan=False),
        bool: st.booleans(),
        datetime: _TIMES,
    }
    return plain[hint]


def _texts(name: str) -> st.SearchStrategy[str]:
    return st.text(max_size=20).map(canonical) if name in NAMES else st.text(max_size=20)
