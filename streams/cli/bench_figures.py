"""How the figures of ``facestream bench`` are printed and kept: each as it comes, and all of them at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.cli.console import Output, grid

Figures = Mapping[str, Any]
Runs = Annotated[
    int, typer.Option("--runs", min=1, help="How often all of it is measured: medians and spread are shown.")
]
Save = Annotated[bool, typer.Option("--save", help="Keep the figures in this clone, for `facestream bench report`.")]


def report(
    name: str,
    measure: Callable[[], Iterator[Figures]],
    output: Output,
    *,
    runs: int = 1,
    save: bool = False,
    show: Callable[[Figures, Output], None] | None = None,
    wrong: Sequence[str] = (),
) -> Figures:
    """Print figures as they come and all of them at the end, even if Ctrl-C or a failure ends it early.

    Args:
        name: of the bench.
        measure: begins a run.
        output: where the figures go.
        runs: how often it is measured; the medians count.
        save: keep the figures, if it comes to its end.
        show: shows all of them to people; None: names and values.
        wrong: figures, also those of rows, that fail the command unless they are 0 in every run.

    Raises:
        ResultsAway: they are to be kept, but this is no clone.
        typer.Exit: with 1: a row could not be measured, or something is wrong.
    """
    from streams.devtools.benchmarks import results
    from streams.devtools.benchmarks.repeated import MACHINE, RUNS, machine, numbers, summary
    from streams.devtools.benchmarks.rows import NOT_MEASURED

    if save:
        results.check()
    about, seen, result = machine(), list[dict[str, Any]](), dict[str, Any]()
    output.say(", ".join(f"{key.replace('_', ' ')} {value}" for key, value in about.items()))
    try:
        for number in range(runs):
            if runs > 1:
                output.say(f"run {number + 1} of {runs}")
            seen.append({})
            _gather(measure(), seen[-1], output)
    finally:
        if complete := [one for one in seen if one]:
            result = summary(complete)
            (show or _show)(result, output)
            _show_spread(result, len(complete), output)
            result |= {RUNS: len(complete), MACHINE: about}
            output.finish(result)
    if save:
        output.say(f"kept as {results.keep(name, result)}")
    bad = [path for one in seen for path, value in numbers(one) if value and path.rpartition(".")[2] in wrong]
    if result.get(NOT_MEASURED) or bad:
        raise typer.Exit(1)
    return result


def in_folder(measure: Callable[[Path], Iterator[Figures]]) -> Callable[[], Iterator[Figures]]:
    """Have each run measured in a fresh folder, which is removed."""

    def run() -> Iterator[Figures]:
        with tempfile.TemporaryDirectory(prefix="facestream-bench-") as folder:
            yield from measure(Path(folder))

    return run


def _gather(figures: Iterator[Figures], result: dict[str, Any], output: Output) -> None:
    from streams.devtools.benchmarks.rows import NOT_MEASURED, merge

    with closing(figures):  # type: ignore[type-var]
        for found in figures:
            for name, value in found.items():
                if name != NOT_MEASURED and result.get(name) != value:
                    output.say(f"{name.replace('_', ' ')}: {_last(value)}")
            for row, why in found.get(NOT_MEASURED, {}).items():
                output.say(f"{row}: could not be measured: {why}")
            merge(result, found)


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
    from streams.devtools.benchmarks.rows import SPREAD

    table = grid("", "#")
    for name, value in result.items():
        if name != SPREAD:
            table.add_row(name, str(value))
    output.table(table)


def _show_spread(result: Figures, runs: int, output: Output) -> None:
    from streams.devtools.benchmarks.rows import SPREAD

    if SPREAD not in result:
        output.say("1 run; with --runs 3 the figures are medians, and their spread is shown")
        return
    table = grid(f"median of {runs} runs" if runs > 1 else "median of rounds", "#least", "#greatest")
    for name, (least, greatest) in result[SPREAD].items():
        if least != greatest:
            table.add_row(name.replace("_", " "), f"{least:g}", f"{greatest:g}")
    output.table(table)
