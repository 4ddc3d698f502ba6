"""Reads the saved queries of ``views/*.sql`` and ``analyst_views/*.sql``: what each is for, and what its columns mean.

A file begins with a comment: the description, and after an empty comment line ``name: meaning`` of columns. A column
that is not mentioned has the meaning of the column of that name in the tables and views that the query reads. A file
with ``@name TYPE: meaning`` is a table function with that parameter.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from sinks.bigquery.columns import Column
from sinks.bigquery.tables import TABLES

_NUMBER_OR_SUFFIX = re.compile(r"^\d+_|\.sql$")
_COLUMN = re.compile(r"(?P<at>@?)(?P<name>\w+)(?: (?P<type>[A-Z]\w+))?: (?P<meaning>.+)")
_READ = re.compile(r"\$dataset\.(\w+)")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a table function."""

    name: str
    type: str
    description: str


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """A view, or with parameters a table function; its SQL names tables and views as ``$dataset.table``."""

    name: str
    description: str
    sql: str
    columns: Mapping[str, str] = field(default_factory=dict)
    """The meaning of the columns that the query itself makes."""
    parameters: tuple[Parameter, ...] = ()

    @property
    def reads(self) -> list[str]:
        """The tables and views that the query names, in order."""
        return list(dict.fromkeys(_READ.findall(self.sql)))


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a column means, and where it is a record, its fields."""

    description: str
    fields: Sequence[Column] = ()


@cache
def saved_queries() -> tuple[SavedQuery, ...]:
    """Every file of ``views``, where later ones may use earlier ones."""
    return _read_folder("views")


@cache
def analyst_views() -> tuple[SavedQuery, ...]:
    """Every file of ``analyst_views``: the views without names (see ``pseudonyms``), which read those of ``views``."""
    return _read_folder("analyst_views")


def _read_folder(name: str) -> tuple[SavedQuery, ...]:
    files = sorted((resources.files(__package__) / name).iterdir(), key=lambda file: file.name)
    return tuple(_read(file.name, file.read_text("utf-8")) for file in files if file.name.endswith(".sql"))


def views() -> list[SavedQuery]:
    """The views, where later ones may use earlier ones."""
    return [one for one in saved_queries() if not one.parameters]


def functions() -> list[SavedQuery]:
    """The table functions; they may use every view."""
    return [one for one in saved_queries() if one.parameters]


def meaning(query: SavedQuery, column: str) -> Meaning | None:
    """What a column of a view or table function means; None if nobody has said it."""
    own = query.columns.get(column)
    inherited = next((found for name in query.reads if (found := _meaning_in(name, column))), None)
    if own is None:
        return inherited
    return Meaning(own, inherited.fields if inherited else ())


def _meaning_in(name: str, column: str) -> Meaning | None:
    for query in saved_queries():
        if query.name == name:
            return meaning(query, column)
    return next(
        (
            Meaning(one.description, one.columns)
            for table in TABLES
            if table.name == name
            for one in _breadth_first(table.columns)
            if one.name == column
        ),
        None,
    )


def _breadth_first(columns: Sequence[Column]) -> Iterator[Column]:
    """The columns of a table, then those within its records: a view may have them as columns."""
    waiting = deque(columns)
    while waiting:
        column = waiting.popleft()
        yield column
        waiting.extend(column.columns)


def _read(file: str, text: str) -> SavedQuery:
    comment = re.match(r"(?:--.*\n)+", text)
    lines = [line.removeprefix("--").strip() for line in comment[0].splitlines()] if comment else []
    description, _, about = "\n".join(lines).partition("\n\n")
    columns, parameters = {}, []
    for line in filter(None, about.splitlines()):
        found = _COLUMN.fullmatch(line)
        if found is None:
            raise ValueError(f"{file}: {line!r} is not like `name: meaning`")
        if found["at"]:
            parameters.append(Parameter(found["name"], found["type"], found["meaning"]))
        else:
            columns[found["name"]] = found["meaning"]
    sql = text[comment.end() if comment else 0 :].strip()
    name = _NUMBER_OR_SUFFIX.sub("", file)
    return SavedQuery(name, description.replace("\n", " "), sql, columns, tuple(parameters))
