"""What commands share: options, and output for people and programs."""

from __future__ import annotations

import csv
import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.segment import Segment, Segments
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from streams.settings import Settings

RUN, PRODUCE, LOOK, MAINTAIN = "Run", "Produce", "Look", "Maintain"
"""Panels of ``facestream --help``."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]


class Format(StrEnum):
    """How a command shows its table."""

    TABLE = "table"
    CSV = "csv"


TableFormat = Annotated[
    Format, typer.Option("--format", help="A table for people, or csv with a header for spreadsheets and scripts.")
]


def not_empty(value: str | None) -> str | None:
    """Refuse an empty value of an option."""
    if value is not None and not value.strip():
        raise typer.BadParameter("it must not be empty")
    return value


User = Annotated[str, typer.Option("--user", "-u", callback=not_empty, help="Owner of the gallery and the data.")]

OneUser = Annotated[
    str | None,
    typer.Option("--user", "-u", callback=not_empty, help="Only the gallery of this user.", show_default=False),
]

_GAP = 2
_PROSE = 24
"""Least width to which a column of prose is folded, however narrow the terminal."""


class Output:
    """Writes the result to stdout, for a person or as JSON or CSV for a program, and everything else to stderr."""

    def __init__(self, as_json: bool, form: Format = Format.TABLE) -> None:
        self.as_json = as_json
        self.csv = form is Format.CSV
        if self.as_json and self.csv:
            raise typer.BadParameter("give either --json or --format csv")
        self.people = Console(stderr=as_json or self.csv, highlight=False, emoji=False)
        self.errors = Console(stderr=True, highlight=False, emoji=False)

    def table(self, table: Table) -> None:
        """Show a table: on a terminal prose is folded to fit, in a file or a pipe each row is one line; or as CSV."""
        if self.csv:
            columns = [[_text(cell).plain for cell in (column.header, *column.cells)] for column in table.columns]
            head, *rows = zip(*columns, strict=True)
            self.rows(head, rows)
            return
        width = _width(table, folded=False)
        if self.people.is_terminal:
            width = min(width, max(self.people.width, _width(table, folded=True)))
        lines = self.people.render_lines(table, self.people.options.update_width(width), pad=False)
        stripped = [segment for cells in lines for segment in (*_stripped(cells), Segment.line())]
        self.people.print(Segments(stripped), soft_wrap=True, end="")

    def rows(self, names: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
        """Write rows as CSV, with their names as the first line."""
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(name or "note" for name in names)
        writer.writerows([_csv_value(value) for value in row] for row in rows)
        sys.stdout.flush()

    def fits(self, table: Table) -> bool:
        """Whether a table fits the terminal without folded lines."""
        return not self.people.is_terminal or _width(table, folded=False) <= self.people.width

    def say(self, text: str) -> None:
        """Write a message for people."""
        self.people.print(text, markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Tell people what goes on; not part of the result."""
        self.errors.print(text, style="dim", markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Write a message for people that is not part of the result."""
        self.errors.print(text, style="yellow", markup=False, soft_wrap=True)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Print the result for programs, if ``--json`` was given."""
        if self.as_json:
            line(result)

    def progress(self) -> Progress:
        """A progress bar that leaves nothing behind; without a terminal on stderr, a line every few seconds."""
        if not self.errors.is_terminal:
            return ProgressLines(self.errors)
        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self.errors,
            transient=True,
        )


class ProgressLines(Progress):
    """Says in a file or a pipe how far a command is, in one line every few seconds; a short command says nothing."""

    def __init__(self, console: Console, every_s: float = 10.0) -> None:
        super().__init__(console=console, disable=True)
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def stop(self) -> None:
        """Tell no more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _tell(self) -> None:
        """Tell again and again what is under way, also while nothing moves: a long silence looks like a hang."""
        began = time.monotonic()
        with suppress(OSError, ValueError):  # nobody reads it any more
            while not self._ended.wait(self._every_s):
                if running := [task for task in self.tasks if not task.finished] or self.tasks:
                    self.console.print(_line_of(running[-1], time.monotonic() - began), markup=False, soft_wrap=True)


def _line_of(task: Task, seconds: float) -> str:
    """How far a task is, in words."""
    of = "" if task.total is None else f" of {task.total:g}"
    done = f": {task.completed:g}{of}" if task.completed or task.total else ""
    note = str(task.fields.get("note") or "").strip()
    return f"{task.description}{done}{f', {note}' if note else ''} ({seconds:.0f} s)"


class RedisAway(Exception):
    """No Redis-protocol server answers at the configured address, or none that lets this user in."""


@contextmanager
def asking_redis(settings: Settings) -> Iterator[None]:
    """Say what to do if Redis does not answer, or lets nobody in.

    Raises:
        RedisAway: Redis cannot be used.
    """
    from sinks.redis.address import RedisAddress
    from sinks.redis.errors import Refusal, ResultsUnavailable

    try:
        yield
    except ResultsUnavailable as error:
        where, cause = RedisAddress.of(settings).where, error.__cause__ or error
        why = str(cause).rstrip(".")
        if (refusal := Refusal.of(cause)) is not None:
            raise RedisAway(f"Redis at {where} {refusal.what} ({why}): {refusal.remedy}") from error
        raise RedisAway(
            f"no Redis answers at {where} ({why}): start one with `facestream up`, or set FACESTREAM_REDIS_URL"
        ) from error


def load_settings() -> Settings:
    """The settings of this process; imported late, so that ``--help`` is quick."""
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
    """An empty table; ``#`` before a column's name marks numbers, ``~`` prose, which may be folded."""
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
    """The width of a table, with its prose folded or not."""
    widths = [
        min(_column_width(one), _PROSE) if folded and not one.no_wrap else _column_width(one) for one in table.columns
    ]
    return max(1, sum(widths) + _GAP * (len(widths) - 1))


def _column_width(column: Column) -> int:
    texts = map(_text, (column.header, *column.cells))
    return max(cell_len(line) for text in texts for line in text.plain.split("\n"))


def _text(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text.from_markup(str(cell))


def _csv_value(value: object) -> object:
    """A value of a cell: times as ISO 8601, truth as ``true`` and ``false``, records and lists as JSON."""
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return value
    return value.isoformat() if isinstance(value, date) else json_text(value)


def _stripped(cells: list[Segment]) -> list[Segment]:
    """A line without trailing blanks."""
    cells = list(cells)
    while cells and not cells[-1].text.rstrip():
        cells.pop()
    if cells:
        cells[-1] = Segment(cells[-1].text.rstrip(), cells[-1].style)
    return cells
