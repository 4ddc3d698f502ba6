"""How the figures of ``facestream bench`` are printed: each as it comes, and all of them at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import typer

from streams.cli.console import Output, grid

Figures = Mapping[str, Any]


def report(
    figures: Iterator[Figures],
    output: Output,
    *,
    show: Callable[[Figures, Output], None] | None = None,
    wrong: Sequence[str] = (),
) -> Figures:
    """Print figures as they come and all of them at the end, even if Ctrl-C or a failure ends it early.

    Args:
        figures: of a bench.
        output: where they go.
        show: shows all of them to people; None: names and values.
        wrong: figures that fail the command unless they are 0.

    Raises:
        typer.Exit: with 1: a row could not be measured, or something is wrong.
    """
    from streams.devtools.benchmarks.rows import NOT_MEASURED, merge

    result: dict[str, Any] = {}
    try:
        with closing(figures):  # type: ignore[type-var]
            for found in figures:
                for name, value in found.items():
                    if name != NOT_MEASURED and result.get(name) != value:
                        output.say(f"{name.replace('_', ' ')}: {_last(value)}")
                for row, why in found.get(NOT_MEASURED, {}).items():
                    output.say(f"{row}: could not be measured: {why}")
                merge(result, found)
    finally:
        if result:
            (show or _show)(result, output)
            output.finish(result)
    if result.get(NOT_MEASURED) or any(result.get(name) for name in wrong):
        raise typer.Exit(1)
    return result


def rows_so_far(rows: Iterator[Figures], name: str, all_of_them: str) -> Iterator[Figures]:
    """Rows as one figure that grows; a row that failed has only its name and the reason."""
    from streams.devtools.benchmarks.rows import NOT_MEASURED

    seen: list[Figures] = []
    for row in rows:
        missing = row.get(NOT_MEASURED, {})
        seen += [{name: one, NOT_MEASURED: why} for one, why in missing.items()] or [row]
        yield {all_of_them: list(seen)} | ({NOT_MEASURED: missing} if missing else {})


def beside(first: Figures, rest: Iterator[Figures]) -> Iterator[Figures]:
    """Figures that begin with some that are known."""
    yield first
    yield from rest


def _last(value: object) -> object:
    """The new part of a figure that grows."""
    return value[-1] if isinstance(value, list) and value and isinstance(value[-1], dict) else value


def _show(result: Figures, output: Output) -> None:
    """Show names and values."""
    table = grid("", "#")
    for name, value in result.items():
        table.add_row(name, str(value))
    output.table(table)
