"""``facestream enrol``."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from streams.cli.console import PRODUCE, Json, Output, User, asking_redis, grid, load_settings, not_empty
from streams.text import pluralize

if TYPE_CHECKING:
    from schemas.ingest import Consent
    from streams.operations.enrol_photos import Photo
    from streams.settings import Settings

_COUNTED = ("enrolled", "refused", "timed_out", "failed")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("enrol", rich_help_panel=PRODUCE)(enrol)


def enrol(
    photos: Annotated[list[Path] | None, typer.Argument(help="Photos of one person.", show_default=False)] = None,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Enrol DIR/<subject>/*, one folder per person.", show_default=False)
    ] = None,
    user: User = "default",
    subject: Annotated[
        str | None,
        typer.Option("--subject", "-s", callback=not_empty, help="The person on the photos; default: the user."),
    ] = None,
    purpose: Annotated[str, typer.Option(callback=not_empty, help="What the person has consented to.")] = "recognition",
    training: Annotated[
        bool, typer.Option("--training", help="The people have also agreed that models learn from their faces.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the outcomes.")] = True,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait for the outcomes.")] = 120.0,
    as_json: Json = False,
) -> None:
    """Enrol people from photos, and show the outcome of each. Fails if one was refused or could not be read."""
    from schemas.clock import utc_now
    from schemas.ingest import Consent

    output = Output(as_json)
    chosen, left_out = _chosen(photos or [], folder, user, subject, output)
    settings = load_settings()
    outcomes = _send(chosen, user, Consent(purpose, utc_now(), training=training), settings, output)
    try:
        if wait:
            outcomes = _await(outcomes, timeout_s, settings, output)
    finally:
        # What was sent is shown even if no outcome can be read.
        _show(outcomes, output)
        counts = {name: sum(one.outcome == name for one in outcomes) for name in _COUNTED}
        output.finish(counts | {"left_out": left_out, "user_id": user, "outcomes": [asdict(one) for one in outcomes]})
    if alike := sorted({(one.subject_id, one.similar_subject_id) for one in outcomes if one.similar_subject_id}):
        pairs = ", ".join(f"{subject} and {other}" for subject, other in alike)
        output.warn(
            f"perhaps the same person: {pairs}. `facestream subjects duplicates --user {shlex.quote(user)}` shows how "
            "alike they are; if it is one person, erase one of the two"
        )
    if counts["timed_out"]:
        output.warn(
            f"{pluralize(counts['timed_out'], 'photo has', 'photos have')} no outcome after {timeout_s:g} s: "
            "see whether workers run (`facestream doctor`), and `facestream dead-letters list`"
        )
    if counts["refused"]:
        output.warn(f"{counts['refused']} of {pluralize(len(outcomes), 'photo')} refused")
    if counts["failed"]:
        output.warn(f"{counts['failed']} of {pluralize(len(outcomes), 'photo')} could not be read or sent")
    if counts["refused"] or counts["timed_out"] or counts["failed"]:
        raise typer.Exit(1)


def _chosen(
    photos: list[Path], folder: Path | None, user: str, subject: str | None, output: Output
) -> tuple[list[Photo], int]:
    """The photos to send, those that cannot be read among them, and how many files and folders were left out."""
    if (folder is None) == (not photos):
        raise typer.BadParameter("give either photos or --dir")
    if folder is not None:
        if subject is not None:
            raise typer.BadParameter("with --dir the subjects are the folders' names: leave --subject out")
        return _in_folders(folder, output)
    for photo in photos:
        if photo.is_dir():
            raise typer.BadParameter(f"{str(photo)!r} is a folder: use --dir")
        if not photo.is_file():
            raise typer.BadParameter(f"there is no photo {str(photo)!r}")
    from streams.operations.enrol_photos import Photo

    return [Photo(str(photo), user if subject is None else subject) for photo in photos], 0


def _in_folders(folder: Path, output: Output) -> tuple[list[Photo], int]:
    from streams.operations.enrol_photos import PhotosOfPeople

    if not folder.is_dir():
        raise typer.BadParameter(f"there is no folder {str(folder)!r}")
    chosen = PhotosOfPeople.below(folder)
    if chosen.found.left_out:
        output.warn(chosen.found.left_out_in_words)
    if not chosen.people:
        raise typer.BadParameter(f"{str(folder)!r} has no folders: put each person's photos in {folder}/<subject>/")
    if not chosen.photos:
        raise typer.BadParameter(f"there is no picture in any folder of {str(folder)!r}")
    for person in chosen.empty:
        output.warn(f"there is no picture in {str(person)!r}")
    return chosen.photos, len(chosen.found.left_out)


def _send(photos: list[Photo], user: str, consent: Consent, settings: Settings, output: Output) -> list[Photo]:
    from streams.operations.enrol_photos import send_photos

    with output.progress() as progress:
        task = progress.add_task("sending", total=len(photos), note="")
        return send_photos(photos, user, consent, settings, lambda: progress.advance(task))


def _await(sent: list[Photo], timeout_s: float, settings: Settings, output: Output) -> list[Photo]:
    from streams.operations.enrol_photos import await_outcomes

    waiting = sum(photo.event_id is not None and photo.outcome == "sent" for photo in sent)
    with output.progress() as progress, asking_redis(settings):
        task = progress.add_task("waiting for outcomes", total=waiting, note="")
        return await_outcomes(sent, timeout_s, settings, lambda count: progress.update(task, completed=count))


def _show(outcomes: list[Photo], output: Output) -> None:
    table = grid("photo", "subject", "outcome", "reason", "~")
    for one in outcomes:
        colour = {"enrolled": "green", "sent": "cyan"}.get(one.outcome, "red")
        outcome = f"[{colour}]{one.outcome.replace('_', ' ')}[/]"
        table.add_row(escape(one.photo), escape(one.subject_id), outcome, one.reason or "", escape(one.detail or ""))
    output.table(table)
