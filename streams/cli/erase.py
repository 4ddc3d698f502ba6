"""``facestream erase``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.console import MAINTAIN, Json, Output, User, grid, load_settings

if TYPE_CHECKING:
    from rich.table import Table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("erase", rich_help_panel=MAINTAIN)(erase)


def erase(
    user: User,
    subject: Annotated[
        str | None,
        typer.Option("--subject", "-s", help="One subject of the user. Default: all subjects.", show_default=False),
    ] = None,
    photo: Annotated[
        str | None,
        typer.Option("--photo", help="One photo of the subject: the event id of its upload.", show_default=False),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask for confirmation. Without a terminal it is necessary.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be erased.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the workers.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Erase a user, one subject or one photo: templates, training faces, results and rows. Prints a receipt.

    Without a terminal nothing is erased unless you pass --yes. Answers about others stay, without the subject. Events
    in transit are erased too, and no replay restores them; a photo sent afterwards enrols the subject again. Fails if a
    worker has not done its part in time; that worker does it when it runs again.
    """
    output = Output(as_json)
    if photo is not None and subject is None:
        raise typer.BadParameter("say whose photo it is: give --subject too", param_hint="--photo")
    whose = f"{user} with all subjects" if subject is None else f"{user}/{subject}"
    whose = whose if photo is None else f"photo {photo} of {whose}"
    if dry_run:
        _preview(user, subject, photo, whose, output)
        return
    if not yes:
        _confirm(whose, output)
    from streams.operations.erase import erase as erase_

    with output.progress() as progress:
        task = progress.add_task("erasing", total=None, note="")
        receipt = erase_(
            load_settings(),
            user,
            subject,
            photo=photo,
            timeout_s=timeout,
            report=lambda role: progress.update(task, note=f"{role} has erased"),
        )
    output.table(_removals(receipt.removed, "erased by", "#removed"))
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


def _confirm(whose: str, output: Output) -> None:
    """Ask a person on a terminal; refuse to guess what a program wants."""
    if output.as_json:
        output.warn("erase --json without --yes goes ahead for the last time: the next version will demand --yes")
    elif sys.stdin.isatty():
        typer.confirm(f"Erase {whose} for good?", abort=True, err=True)
    else:
        raise typer.BadParameter(
            f"nothing was erased, since nobody can be asked without a terminal: pass --yes to erase {whose}, "
            "or --dry-run to see what would go"
        )


def _preview(user: str, subject: str | None, photo: str | None, whose: str, output: Output) -> None:
    """Count what would be erased, and say so."""
    from streams.operations.erasure_preview import preview_erasure, preview_photo_erasure

    with output.progress() as progress:
        progress.add_task("counting", total=None, note="")
        settings = load_settings()
        if photo is None or subject is None:
            preview = preview_erasure(settings, user, subject)
        else:
            preview = preview_photo_erasure(settings, user, subject, photo)
    output.table(_removals(preview.would_remove, "would be erased by", "#things"))
    if any(count for counted in preview.would_remove.values() for count in counted.values()):
        output.say(f"nothing was erased: this is what would go of {whose}, with what is still on its way")
    elif not preview.not_counted:
        output.say(f"there is nothing of {whose} to erase")
    for role, why in preview.not_counted.items():
        output.warn(f"not counted for {role}: {why}")
    output.finish(dataclasses.asdict(preview) | {"dry_run": True})
    if preview.not_counted:
        raise typer.Exit(1)


def _removals(removals: Mapping[str, Mapping[str, int]], *headings: str) -> Table:
    table = grid(headings[0], "what", headings[1])
    for role, removed in removals.items():
        for what, count in removed.items():
            table.add_row(role, what.replace("_", " "), str(count))
    return table
