"""``facestream erase``."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated

import typer

from streams.cli.console import MAINTAIN, Json, Output, User, grid, load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("erase", rich_help_panel=MAINTAIN)(erase)


def erase(
    user: User,
    subject: Annotated[
        str | None,
        typer.Option("--subject", "-s", help="One subject of the user. Default: all subjects.", show_default=False),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask for confirmation; programs are never asked.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the workers.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Erase a user or one subject: templates, training faces, results and rows. Prints a receipt.

    Answers about others stay, without the subject. Events in transit are erased too, and no replay restores them; a
    photo sent afterwards enrols the subject again. Fails if a worker has not done its part in time; that worker does
    it when it runs again.
    """
    from streams.operations.erase import erase as erase_

    output = Output(as_json)
    whose = f"{user} with all subjects" if subject is None else f"{user}/{subject}"
    if not (yes or as_json) and sys.stdin.isatty():
        typer.confirm(f"Erase {whose} for good?", abort=True, err=True)
    with output.progress() as progress:
        task = progress.add_task("erasing", total=None, note="")
        receipt = erase_(
            load_settings(),
            user,
            subject,
            timeout_s=timeout,
            report=lambda role: progress.update(task, note=f"{role} has erased"),
        )
    table = grid("erased by", "what", "#removed")
    for role, removed in receipt.removed.items():
        for what, count in removed.items():
            table.add_row(role, what.replace("_", " "), str(count))
    output.table(table)
    state = "has been erased" if receipt.completed_at else "is being erased"
    if receipt.completed_at and not any(count for removed in receipt.removed.values() for count in removed.values()):
        state = "was not there"
    output.say(f"{whose} {state}; erasure {receipt.erasure_id}")
    last = max(receipt.logs_until.values())
    output.say(f"Kafka's own files may hold old messages until {last:%Y-%m-%d %H:%M} UTC; no replay brings them back")
    if receipt.may_have_learned:
        output.warn(f"model versions that may have learned: {', '.join(receipt.may_have_learned)}")
    if receipt.waiting_for:
        output.warn(f"not done yet: {', '.join(receipt.waiting_for)}. It is done when the worker runs again")
    output.finish(dataclasses.asdict(receipt))
    if receipt.waiting_for:
        raise typer.Exit(1)
