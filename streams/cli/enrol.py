"""``facestream enrol``."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from streams.cli.console import PRODUCE, Json, Output, User, asking_redis, grid, load_settings, not_empty
from streams.text import pluralize

if TYPE_CHECKING:
    from schemas.events import Consent
    from streams.client.producer import Producer
    from streams.settings import Settings

_ASK_EVERY_S = 0.5
_COUNTED = ("enrolled", "refused", "timed_out", "failed")


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo and what has come of it: ``sent``, ``enrolled``, ``refused``, ``timed_out`` or ``failed``.

    A photo that failed could not be read or not be sent.
    """

    photo: str
    subject_id: str
    event_id: str | None = None
    outcome: str = "sent"
    reason: str | None = None
    detail: str | None = None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("enrol", rich_help_panel=PRODUCE)(enrol)


def enrol(
    photos: Annotated[list[Path] | None, typer.Argument(help="Photos of one person.", show_default=False)] = None,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Enrol DIR/<subject>/*, a folder a person.", show_default=False)
    ] = None,
    user: User = "default",
    subject: Annotated[
        str | None,
        typer.Option("--subject", "-s", callback=not_empty, help="The person on the photos; default: the user."),
    ] = None,
    purpose: Annotated[str, typer.Option(callback=not_empty, help="What the person has consented to.")] = "recognition",
    training: Annotated[
        bool, typer.Option("--training", help="They have also agreed that models learn from their faces.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the outcomes.")] = True,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait for the outcomes.")] = 120.0,
    as_json: Json = False,
) -> None:
    """Enrol people from photos, and show what came of each. Fails if one was refused or could not be read."""
    from schemas.events import Consent, utc_now

    output = Output(as_json)
    chosen, left_out = _chosen(photos or [], folder, user, subject, output)
    settings = load_settings()
    outcomes = _send(chosen, user, Consent(purpose, utc_now(), training=training), settings, output)
    try:
        if wait:
            outcomes = _await(outcomes, timeout_s, settings, output)
    finally:
        # Even where nobody can be asked what came of it: this was sent.
        _show(outcomes, output)
        counts = {name: sum(one.outcome == name for one in outcomes) for name in _COUNTED}
        output.finish(counts | {"left_out": left_out, "user_id": user, "outcomes": [asdict(one) for one in outcomes]})
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
    return [Photo(str(photo), user if subject is None else subject) for photo in photos], 0


def _in_folders(folder: Path, output: Output) -> tuple[list[Photo], int]:
    from models.pictures.folders import FoundPictures, folders_of, pictures_below

    if not folder.is_dir():
        raise typer.BadParameter(f"there is no folder {str(folder)!r}")
    people, left_out = folders_of(folder)
    found = FoundPictures(left_out=left_out)
    chosen, empty = [], []
    for person in people:
        of_person = pictures_below(person)
        found.add(of_person)
        chosen += [Photo(str(photo), person.name) for photo in of_person.pictures]
        chosen += [
            Photo(str(path), person.name, None, "failed", None, why) for path, why in of_person.unreadable.items()
        ]
        if not of_person.pictures and not of_person.unreadable:
            empty.append(person)
    if found.left_out:
        output.warn(found.left_out_in_words)
    if not people:
        raise typer.BadParameter(f"{str(folder)!r} has no folders: put each person's photos in {folder}/<subject>/")
    if not chosen:
        raise typer.BadParameter(f"there is no picture in any folder of {str(folder)!r}")
    for person in empty:
        output.warn(f"there is no picture in {str(person)!r}")
    return chosen, len(found.left_out)


def _send(photos: list[Photo], user: str, consent: Consent, settings: Settings, output: Output) -> list[Photo]:
    from streams.client.delivery_report import BackPressure, DeliveryFailed
    from streams.client.producer import Producer

    sent: list[Photo] = []
    lost: dict[str | None, str] = {}
    why = ""
    try:
        with output.progress() as progress, Producer(settings) as producer:
            task = progress.add_task("sending", total=len(photos), note="")
            for photo in photos:
                sent.append(_sent(producer, photo, user, consent) if photo.outcome == "sent" else photo)
                progress.advance(task)
    except (BackPressure, DeliveryFailed) as error:
        why = str(error)
        lost = dict.fromkeys(error.event_ids if isinstance(error, DeliveryFailed) else (), why)
    kept = [replace(one, outcome="failed", detail=lost[one.event_id]) if one.event_id in lost else one for one in sent]
    return kept + [replace(one, outcome="failed", detail=why) for one in photos[len(sent) :]]


def _sent(producer: Producer, photo: Photo, user: str, consent: Consent) -> Photo:
    """Send one photo; what is wrong with it is its outcome, and keeps none of the others back."""
    from schemas.ids import InvalidId
    from schemas.reasons import Reason
    from streams.client.delivery_report import InvalidPicture

    try:
        upload = producer.enrol(user, Path(photo.photo), consent=consent, subject_id=photo.subject_id)
    except InvalidPicture as error:
        return replace(photo, outcome="refused", reason=error.reason.value, detail=str(error))
    except InvalidId as error:
        return replace(photo, outcome="refused", reason=Reason.INVALID_ID.value, detail=str(error))
    except ValueError as error:
        return replace(photo, outcome="refused", detail=str(error))
    except OSError as error:
        return replace(photo, outcome="failed", detail=f"it cannot be read: {error.strerror}")
    return replace(photo, event_id=upload.event_id)


def _await(sent: list[Photo], timeout_s: float, settings: Settings, output: Output) -> list[Photo]:
    from sinks.redis import RedisResults

    waiting = [photo.event_id for photo in sent if photo.event_id is not None and photo.outcome == "sent"]
    results = RedisResults(settings.redis_url, settings.redis_prefix)
    found: dict[str, dict[str, Any]] = {}
    deadline = time.monotonic() + timeout_s
    with output.progress() as progress:
        task = progress.add_task("waiting for outcomes", total=len(waiting), note="")
        while (missing := [one for one in waiting if one not in found]) and time.monotonic() < deadline:
            with asking_redis(settings):
                found |= results.wait_for(missing, min(_ASK_EVERY_S, max(0.0, deadline - time.monotonic())))
            progress.update(task, completed=len(found))
    results.close()
    return [_judged(one, found.get(one.event_id or "")) if one.outcome == "sent" else one for one in sent]


def _judged(photo: Photo, enrolment: dict[str, Any] | None) -> Photo:
    if enrolment is None:
        return replace(photo, outcome="timed_out")
    refusal = enrolment["refusal"] or {}
    detail = refusal.get("detail") or enrolment.get("detail")
    return replace(photo, outcome=enrolment["outcome"], reason=refusal.get("reason"), detail=detail)


def _show(outcomes: list[Photo], output: Output) -> None:
    table = grid("photo", "subject", "outcome", "reason", "~")
    for one in outcomes:
        colour = {"enrolled": "green", "sent": "cyan"}.get(one.outcome, "red")
        outcome = f"[{colour}]{one.outcome.replace('_', ' ')}[/]"
        table.add_row(escape(one.photo), escape(one.subject_id), outcome, one.reason or "", escape(one.detail or ""))
    output.table(table)
