"""``facestream down``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.console import RUN, Json, Output

Home = Annotated[
    Path | None,
    typer.Option("--home", "--dir", help="Folder of the stack; default: FACESTREAM_HOME.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("down", rich_help_panel=RUN)(down)


def down(home: Home = None, as_json: Json = False) -> None:
    """Stop what `facestream up` runs in a folder: each worker finishes its batch, and nothing is lost.

    If nothing runs there, it says so and ends with 0. What a run that was killed has left, it ends and removes.
    """
    from streams.devtools.background import stop
    from streams.settings import OwnSettings
    from streams.text import duration, pluralize

    output = Output(as_json)
    folder = (home or OwnSettings().home).absolute()
    stopped = stop(folder, output.note)
    left = f"ended {pluralize(len(stopped.ended), 'process', 'processes')} that an earlier run had left"
    if stopped.run is not None:
        output.say(f"The stack in {folder} has stopped; it ran for {duration(stopped.run.age_s)}. Its data stay.")
    elif stopped.ended:
        output.say(f"No stack runs in {folder}; {left}.")
    else:
        output.say(f"No stack runs in {folder}.")
    output.finish(
        {
            "home": str(folder),
            "stopped": stopped.run is not None,
            "pid": stopped.run.pid if stopped.run else None,
            "left_behind": list(stopped.ended),
        }
    )
