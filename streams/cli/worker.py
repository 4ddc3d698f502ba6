"""``facestream worker``."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from streams.cli.console import RUN, load_settings
from streams.roles import Embedder, Role


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("worker", rich_help_panel=RUN)(worker)


def worker(
    role: Annotated[Role, typer.Argument(help="What the worker does.")],
    embedder: Annotated[
        Embedder,
        typer.Option(
            help="With `digest`, for all roles, vectors come from the pictures' SHA-256: for load and fault tests."
        ),
    ] = Embedder.MODEL,
) -> None:
    """Run one worker until SIGTERM or Ctrl-C; start more of a role to share its partitions."""
    from streams.engine.shutdown import end_on_signal

    end_on_signal()
    from streams import traces
    from streams.observability import logs
    from streams.worker import run_worker

    settings = load_settings()
    logs.configure(role, settings)
    if settings.traces:
        traces.start(role)
    # Faust logs pages about every rebalance.
    for chatty in ("faust", "mode", "aiokafka"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    run_worker(role, settings, embedder=embedder)
