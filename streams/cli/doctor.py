"""``facestream doctor``."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer
from rich.markup import escape

from streams.cli.console import LOOK, Json, Output, load_settings

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", rich_help_panel=LOOK)(doctor)


def doctor(
    load_model: Annotated[
        bool, typer.Option("--model/--no-model", help="Also load the model and embed with it, which takes seconds.")
    ] = True,
    quick: Annotated[bool, typer.Option("--quick", "-q", help="The same as --no-model.")] = False,
    as_json: Json = False,
) -> None:
    """Check services, topics, workers, tables, dead letters, models, clocks, disk and versions.

    For each problem it names a remedy.
    """
    from streams.operations.doctor.finding import Status
    from streams.operations.doctor.run import examine

    output = Output(as_json)
    settings = load_settings()
    found = []
    for finding in examine(settings, load_model=load_model and not quick):
        found.append(finding)
        colour = _COLOURS[finding.status]
        seen = f"[{colour}]{finding.status:4}[/]  {escape(finding.name)}: {escape(finding.observed)}"
        output.people.print(seen, soft_wrap=True)
        if finding.remedy:
            output.people.print(f"      → {escape(finding.remedy)}", soft_wrap=True)
    counts = Counter(finding.status for finding in found)
    numbers: dict[str, int] = {status: counts[status] for status in Status}
    output.say(", ".join(f"{count} {status}" for status, count in numbers.items()))
    output.finish(
        numbers
        | {
            "checks": [
                {"name": one.name, "status": one.status, "seen": one.observed, "mend": one.remedy} for one in found
            ]
        }
    )
    if numbers["fail"]:
        raise typer.Exit(1)
