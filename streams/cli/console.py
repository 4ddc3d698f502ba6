"""What commands share: options, and where they write."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.segment import Segment, Segments
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from streams.settings import Settings

RUN, PRODUCE, LOOK, MAINTAIN = "Run", "Produce", "Look", "Maintain"
"""Panels of ``facestream --help``."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]


def not_empty(value: str | None) -> str | None:
    """Refuse the value of an option that says nothing."""
    if value is not None and not value.strip():
        raise typer.BadParameter("it must not be empty")
    return value


User = Annotated[str, typer.Option("--user", "-u", callback=not_empty, help="Owner of the gallery and the data.")]

_GAP = 2
_PROSE = 24
"""A column of prose is folded to this width at least, however narrow the terminal."""


class Output:
    """The result on stdout, for a person or as one JSON object for a program; all else on stderr."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.people = Console(stderr=as_json, highlight=False, emoji=False)
        self.errors = Console(stderr=True, highlight=False, emoji=False)

    def table(self, table: Table) -> None:
        """Show a table to people: on a terminal prose is folded to fit; in a file or a pipe a row is one line."""
        width = _width(table, folded=False)
        if self.people.is_terminal:
            width = min(width, max(self.people.width, _width(table, folded=True)))
        lines = self.people.render_lines(table, self.people.options.update_width(width), pad=False)
        stripped = [segment for cells in lines for segment in (*_stripped(cells), Segment.line())]
        self.people.print(Segments(stripped), soft_wrap=True, end="")

    def fits(self, table: Table) -> bool:
        """Whether a table stands where people see it without a folded line."""
        return not self.people.is_terminal or _width(table, folded=False) <= self.people.width

    def say(self, text: str) -> None:
        """Tell people something."""
        self.people.print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Tell people something that is not the result."""
        self.errors.print(text, style="yellow", markup=False, soft_wrap=True)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Print the result for programs, if that was asked for."""
        if self.as_json:
            line(result)

    def progress(self) -> Progress:
        """A progress bar that leaves nothing behind; none where stderr is no terminal."""
        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self.errors,
            transient=True,
            disable=not self.errors.is_terminal,
        )


class RedisAway(Exception):
    """No Redis-protocol server answers at the configured address."""


@contextmanager
def asking_redis(settings: Settings) -> Iterator[None]:
    """Say what to do where Redis does not answer.

    Raises:
        RedisAway: it does not.
    """
    from sinks.base import SinkUnavailable

    try:
        yield
    except SinkUnavailable as error:
        parts = urlsplit(settings.redis_url)
        why = str(error.__cause__ or error)
        raise RedisAway(
            f"no Redis answers at {parts.hostname}:{parts.port or 6379} ({why.rstrip('.')}): start one with "
            "`facestream up`, or set FACESTREAM_REDIS_URL"
        ) from error


def load_settings() -> Settings:
    """The process's settings; imported late, so that ``--help`` is quick."""
    from streams.settings import settings

    return settings()


def line(result: Mapping[str, Any]) -> None:
    """Print one JSON object on a line of its own, now."""
    sys.stdout.write(json_text(result) + "\n")
    sys.stdout.flush()


def json_text(value: object) -> str:
    """A value as JSON on one line."""
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def grid(*columns: str, title: str | None = None) -> Table:
    """An empty table; ``#`` before a column's name: it holds numbers, ``~``: prose, which may be folded."""
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(
            name[1:] if name.startswith(("#", "~")) else name,
            justify="right" if name.startswith("#") else "left",
            no_wrap=not name.startswith("~"),
            overflow="fold",
        )
    return table


def _width(table: Table, *, folded: bool) -> int:
    """How wide a table is, with its prose folded or not."""
    widths = [
        min(_column_width(one), _PROSE) if folded and not one.no_wrap else _column_width(one) for one in table.columns
    ]
    return max(1, sum(widths) + _GAP * (len(widths) - 1))


def _column_width(column: Column) -> int:
    texts = (one if isinstance(one, Text) else Text.from_markup(str(one)) for one in (column.header, *column.cells))
    return max(cell_len(line) for text in texts for line in text.plain.split("\n"))


def _stripped(cells: list[Segment]) -> list[Segment]:
    """A line without the blanks at its end."""
    cells = list(cells)
    while cells and not cells[-1].text.rstrip():
        cells.pop()
    if cells:
        cells[-1] = Segment(cells[-1].text.rstrip(), cells[-1].style)
    return cells
