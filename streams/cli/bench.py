"""``facestream bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.console import MAINTAIN, Json, Output, grid


def register(app: typer.Typer) -> None:
    """Add the commands."""
    bench = typer.Typer(no_args_is_help=True, help="Measure; each figure beside a baseline of the same run.")
    bench.command("pipeline")(pipeline)
    app.add_typer(bench, name="bench", rich_help_panel=MAINTAIN)


def pipeline(
    frames: Annotated[int, typer.Option(min=200, help="Frames to send through Kafka.")] = 2000,
    rounds: Annotated[int, typer.Option(min=1, help="Times the bare loop is measured, before and after.")] = 2,
    as_json: Json = False,
) -> None:
    """Frames a second end to end (640×480 JPEG, one face), and of a bare loop of the same work without Kafka."""
    import tempfile

    from streams.benchmarks.pipeline import measure

    output = Output(as_json)
    with tempfile.TemporaryDirectory(prefix="facestream-bench-") as folder:
        result = measure(Path(folder), frames, rounds, output.say)
    table = grid("", "#")
    for name, value in result.items():
        table.add_row(name, str(value))
    output.table(table)
    output.finish(result)
    if result["lost"] or result["duplicates"]:
        raise typer.Exit(1)
