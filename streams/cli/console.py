"""What commands share: options, and where they write."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from streams.settings import Settings

RUN, PRODUCE, LOOK, MAINTAIN = "Run", "Produce", "Look", "Maintain"
"""Panels of ``facestream --help``."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
User = Annotated[str, typer.Option("--user", "-u", help="Owner of the gallery and the data.")]


class Output:
    """The result on stdout, for a person or as one JSON object for a program; all else on stderr."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.people = Console(stderr=as_json, highlight=False)
        self.errors = Console(stderr=True, highlight=False)

    def table(self, table: Table) -> None:
        """Show a table to people."""
        self.people.print(table)

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


def load_settings() -> Settings:
    """The process's settings; imported late, so that ``--help`` is quick."""
    from streams.settings import settings

    return settings()


def line(result: Mapping[str, Any]) -> None:
    """Print one JSON object on a line of its own, now."""
    sys.stdout.write(json.dumps(result, ensure_ascii=False, default=_plain) + "\n")
    sys.stdout.flush()


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def grid(*columns: str, title: str | None = None) -> Table:
    """An empty table; a column whose name begins with ``#`` holds numbers."""
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name.lstrip("#"), justify="right" if name.startswith("#") else "left", overflow="fold")
    return table
