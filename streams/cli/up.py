"""``facestream up``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.console import RUN, Json, Output, grid, line
from streams.roles import Embedder, Role


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("up", rich_help_panel=RUN)(up)


def up(
    folder: Annotated[
        Path | None,
        typer.Option("--dir", help="Folder for data and logs; default: FACESTREAM_HOME.", show_default=False),
    ] = None,
    workers: Annotated[
        bool, typer.Option("--workers/--no-workers", help="Run the workers too, not only the services.")
    ] = True,
    embedder: Annotated[Embedder, typer.Option(help="See `facestream worker --help`.")] = Embedder.MODEL,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Start even if records or topics have been lost.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run Kafka, Redis, BigQuery and all workers on this machine until Ctrl-C; the folder keeps the data."""
    from streams.devtools.local_stack import Stack
    from streams.settings import OwnSettings

    output = Output(as_json)
    home, default = folder or OwnSettings().home, folder is None
    with Stack(_free(home) if default else home, output.warn, accept_loss=accept_loss) as stack:
        if workers:
            stack.add_workers(embedder, tuple(Role))
        stack.announce()
        now = stack.settings
        table = grid("", "")
        for name in ("kafka", "redis_url", "bigquery_rest", "bigquery_grpc"):
            table.add_row(name, str(getattr(now, name)))
        table.add_row("data and logs", str(stack.folder))
        output.table(table)
        if stack.folder != home:
            output.say(
                f"Another `facestream up` runs in {home}. To reach this one: export FACESTREAM_HOME={stack.folder}"
            )
        output.say("Ready. Commands in this folder find it by themselves; Ctrl-C stops everything and loses nothing.")
        if as_json:
            line({"ready": True, "roles": list(Role) if workers else [], "environment": stack.environment()})
        try:
            while (death := stack.services.supervisor.wait(1.0)) is None or death.restart_in_s is not None:
                pass
        finally:
            output.say("Stopping: every worker finishes its batch.")
        raise typer.Exit(1)


def _free(home: Path) -> Path:
    """The folder, or the next free one if another process runs services in it."""
    from filelock import FileLock, Timeout

    for number in range(1, 100):
        candidate = home if number == 1 else home.with_name(f"{home.name}-{number}")
        candidate.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(candidate / "lock", blocking=False):
                return candidate
        except Timeout:
            continue
    return home
