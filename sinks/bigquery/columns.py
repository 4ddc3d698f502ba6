"""Derives the columns of a table from the fields of an event.

A table declares some of its columns, in order. Every other field of the event's Avro schema becomes a column after
these, with the name, type and description of the field. So a field that is added to an event is in the table without
further code; only a field that should not be a column, or one of another name, must be declared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any

from schemas.fields import Field, Kind
from sinks.base import Delivery, Result

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Type(StrEnum):
    """Column types, as BigQuery's SQL names them."""

    STRING = "STRING"
    BOOL = "BOOL"
    INT64 = "INT64"
    FLOAT64 = "FLOAT64"
    TIMESTAMP = "TIMESTAMP"
    STRUCT = "STRUCT"


class Mode(StrEnum):
    """How many values a column may have in a row."""

    REQUIRED = "REQUIRED"
    NULLABLE = "NULLABLE"
    REPEATED = "REPEATED"


_TYPES = {
    Kind.STRING: Type.STRING,
    Kind.ENUM: Type.STRING,
    Kind.BOOLEAN: Type.BOOL,
    Kind.INTEGER: Type.INT64,
    Kind.FLOAT: Type.FLOAT64,
    Kind.TIME: Type.TIMESTAMP,
    Kind.RECORD: Type.STRUCT,
}


@dataclass(frozen=True, slots=True)
class RowInput:
    """The input for a row: an event with its message, the time of writing, and whether it is written belatedly."""

    delivery: Delivery[Result]
    written_at: datetime
    is_backfill: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One column; a ``STRUCT`` has columns of its own.

    ``value`` extracts the column's value from a :class:`RowInput`, or within a struct from its record, in the form that
    the Storage Write API takes: times as microseconds, structs as dicts.
    """

    name: str
    type: Type
    description: str
    value: Callable[[Any], Any]
    mode: Mode = Mode.NULLABLE
    columns: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True)
class FromField:
    """A column that holds a field of the event.

    Attributes:
        name: of the column.
        description: of the column; empty: that of the field.
        field: the name of the field if it is not that of the column; dotted for a field within a record.
        required: whether the column is REQUIRED.
        columns: for a record, the columns whose order, name or description does not follow from its schema.
        left_out: for a record, the fields that are not columns, each with the reason.
    """

    name: str
    description: str = ""
    field: str = ""
    required: bool = False
    columns: Sequence[Declaration] = ()
    left_out: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Computed:
    """A column that is computed from a :class:`RowInput`, or within a record from the record.

    ``fields`` are the fields that it replaces: they do not become columns.
    """

    name: str
    type: Type
    description: str
    value: Callable[[Any], Any]
    fields: Sequence[str] = ()
    required: bool = False


@dataclass(frozen=True, slots=True)
class Flattened:
    """The fields of a record as columns of the table itself, with a prefix to their names."""

    field: str
    prefix: str = ""
    columns: Sequence[str | FromField] = ()


Declaration = str | FromField | Computed | Flattened
"""A name alone stands for :class:`FromField` of that name."""


class WrongDeclaration(ValueError):
    """A table's columns do not fit the fields of its event; the message says which, and what to do."""


def micros(time: datetime) -> int:
    """Microseconds since 1970."""
    return (time - _EPOCH) // _MICROSECOND


def columns_of(
    record: Field, declared: Sequence[Declaration], left_out: Mapping[str, str] | None = None, root: str = ""
) -> tuple[Column, ...]:
    """The columns of a record: the declared ones in order, then one for each field that is not mentioned.

    Args:
        record: an event, or a record within it.
        declared: the columns that do not follow from the schema, or whose order does not.
        left_out: the fields that should not be columns, each with the reason.
        root: path of the record in the argument of ``Column.value``; empty: the argument is the record itself.

    Raises:
        WrongDeclaration: a declared field does not exist, two columns have the same name, or a field cannot be a
            column as it is.
    """
    left_out = left_out or {}
    prefixes = {one.field: one.prefix for one in declared if isinstance(one, Flattened)}
    columns: list[Column] = []
    mentioned = set(left_out)
    for one in _expanded(declared):
        if isinstance(one, Computed):
            mode = Mode.REQUIRED if one.required else Mode.NULLABLE
            columns.append(Column(one.name, one.type, one.description, one.value, mode))
            mentioned.update(one.fields)
        else:
            columns.append(_column(record, one, root))
            mentioned.add(one.field or one.name)
    for path in mentioned:
        _walk(record, path)
    columns += [_column(record, one, root) for one in _unmentioned(record, prefixes, mentioned)]
    names = [column.name.lower() for column in columns]
    if twice := {name for name in names if names.count(name) > 1}:
        raise WrongDeclaration(
            f"{record.record}: two columns are called {', '.join(sorted(twice))}: name one otherwise"
        )
    return tuple(columns)


def _expanded(declared: Sequence[Declaration]) -> Iterator[FromField | Computed]:
    for one in declared:
        if isinstance(one, Flattened):
            for column in map(_from_field, one.columns):
                path = f"{one.field}.{column.field or column.name}"
                yield replace(column, name=one.prefix + column.name, field=path)
        elif isinstance(one, Computed):
            yield one
        else:
            yield _from_field(one)


def _from_field(declared: str | FromField) -> FromField:
    return FromField(declared) if isinstance(declared, str) else declared


def _unmentioned(record: Field, prefixes: Mapping[str, str], mentioned: set[str]) -> Iterator[FromField]:
    for field in record.fields:
        if field.name in prefixes:
            for inner in field.fields:
                if (path := f"{field.name}.{inner.name}") not in mentioned:
                    yield FromField(prefixes[field.name] + inner.name, field=path)
        elif field.name not in mentioned:
            yield FromField(field.name)


def _walk(record: Field, path: str) -> list[Field]:
    """The fields along a dotted path."""
    steps = [record]
    for name in path.split("."):
        if len(steps) > 1 and steps[-1].repeated:
            raise WrongDeclaration(f"{record.record}.{path} leads through a list: declare the columns of its items")
        try:
            steps.append(steps[-1][name])
        except KeyError as error:
            raise WrongDeclaration(f"{record.record}.{path} is declared, but {error.args[0]}") from None
    return steps[1:]


def _column(record: Field, declared: FromField, root: str) -> Column:
    path = declared.field or declared.name
    steps = _walk(record, path)
    field = steps[-1]
    type_ = _TYPES.get(field.kind)
    if type_ is None:
        raise WrongDeclaration(
            f"{record.record}.{path} is of kind {field.kind}, which makes no column by itself: declare in "
            "sinks/bigquery/tables.py what is computed from it, or leave it out with the reason"
        )
    columns = columns_of(field, declared.columns, declared.left_out) if type_ is Type.STRUCT else ()
    mode = Mode.REPEATED if field.repeated else Mode.REQUIRED if declared.required else Mode.NULLABLE
    value = _reader(steps, columns, root)
    return Column(declared.name, type_, declared.description or described(field), value, mode, columns)


def described(field: Field) -> str:
    """A field's description in terms of SQL, where null is NULL and a TIMESTAMP is always UTC."""
    return re.sub(r"\bnull\b", "NULL", field.doc).replace(" (UTC)", "")


def _reader(steps: Sequence[Field], columns: tuple[Column, ...], root: str) -> Callable[[Any], Any]:
    """A function that extracts the value of a field."""
    path = ".".join(([root] if root else []) + [step.name for step in steps])
    get: Callable[[Any], Any] = attrgetter(path)
    if any(step.nullable for step in steps[:-1]):
        get = _careful(path.split("."))
    convert = _converter(steps[-1], columns)
    if convert is None:
        return get
    if steps[-1].repeated:
        return lambda source: [convert(item) for item in get(source) or ()]
    if any(step.nullable for step in steps):
        return lambda source: None if (value := get(source)) is None else convert(value)
    return lambda source: convert(get(source))


def _careful(names: Sequence[str]) -> Callable[[Any], Any]:
    """A getter that returns None if a record on the path is None."""

    def get(source: Any) -> Any:
        for name in names:
            if source is None:
                return None
            source = getattr(source, name)
        return source

    return get


def _converter(field: Field, columns: tuple[Column, ...]) -> Callable[[Any], Any] | None:
    """A function that converts a value to the form that the Storage Write API takes; None if it has that form."""
    match field.kind:
        case Kind.RECORD:
            return _struct(columns)
        case Kind.TIME:
            return micros
        case Kind.ENUM:
            return attrgetter("value")
        case _:
            return None


def _struct(columns: tuple[Column, ...]) -> Callable[[Any], dict[str, Any]]:
    names = [column.name for column in columns]
    values = [column.value for column in columns]
    return lambda record: {name: value(record) for name, value in zip(names, values, strict=True)}
