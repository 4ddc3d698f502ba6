"""``facestream enrol``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from streams.cli.console import PRODUCE, Json, Output, User, asking_redis, grid, load_settings, not_empty
from streams.words import counted

if TYPE_CHECKING:
    from schemas.events import Consent
    from streams.settings import Settings

_ASK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo and what has come of it: ``sent``, ``enrolled``, ``refused`` or ``timed_out``."""

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
    """Enrol people from photos, and show what came of each. Fails if one was refused."""
    from schemas.events import Consent, utc_now

    output = Output(as_json)
    chosen = list(_chosen(photos or [], folder, user, subject, output))
    settings = load_settings()
    outcomes = _send(chosen, user, Consent(purpose, utc_now(), training=training), settings, output)
    if wait:
        outcomes = _await(outcomes, timeout_s, settings, output)
    _show(outcomes, output)
    counts = {name: sum(one.outcome == name for one in outcomes) for name in ("enrolled", "refused", "timed_out")}
    output.finish(counts | {"user_id": user, "outcomes": [asdict(one) for one in outcomes]})
    if counts["timed_out"]:
        output.warn(
            f"{counted(counts['timed_out'], 'photo has', 'photos have')} no outcome after {timeout_s:g} s: "
            "see whether workers run (`facestream doctor`), and `facestream dead-letters list`"
        )
    if counts["refused"]:
        output.warn(f"{counts['refused']} of {counted(len(outcomes), 'photo')} refused")
    if counts["refused"] or counts["timed_out"]:
        raise typer.Exit(1)


def _chosen(photos: list[Path], folder: Path | None, user: str, subject: str | None, output: Output) -> Iterator[Photo]:
    from streams.sources import Pictures, SourceError

    if (folder is None) == (not photos):
        raise typer.BadParameter("give either photos or --dir")
    if folder is None:
        for photo in photos:
            if photo.is_dir():
                raise typer.BadParameter(f"{str(photo)!r} is a folder: use --dir")
            if not photo.is_file():
                raise typer.BadParameter(f"there is no photo {str(photo)!r}")
            yield Photo(str(photo), user if subject is None else subject)
        return
    if subject is not None:
        raise typer.BadParameter("with --dir the subjects are the folders' names: leave --subject out")
    if not folder.is_dir():
        raise typer.BadParameter(f"there is no folder {str(folder)!r}")
    people = sorted(person for person in folder.iterdir() if person.is_dir() and not person.name.startswith("."))
    if not people:
        raise typer.BadParameter(f"{str(folder)!r} has no folders: put each person's photos in {folder}/<subject>/")
    empty = []
    for person in people:
        try:
            files = Pictures(person).files()
        except SourceError as error:
            empty.append(str(error))
            continue
        yield from (Photo(str(photo), person.name) for photo in files)
    if len(empty) == len(people):
        raise typer.BadParameter(f"there is no picture in any folder of {str(folder)!r}")
    for text in empty:
        output.warn(text)


def _send(photos: list[Photo], user: str, consent: Consent, settings: Settings, output: Output) -> list[Photo]:
    from schemas.ids import InvalidId
    from schemas.reasons import Reason
    from streams.producer import Producer
    from streams.sent import InvalidPicture

    sent = []
    with output.progress() as progress, Producer(settings) as producer:
        task = progress.add_task("sending", total=len(photos), note="")
        for photo in photos:
            try:
                upload = producer.enrol(user, Path(photo.photo), consent=consent, subject_id=photo.subject_id)
            except InvalidPicture as error:
                sent.append(replace(photo, outcome="refused", reason=error.reason.value, detail=str(error)))
            except InvalidId as error:
                sent.append(replace(photo, outcome="refused", reason=Reason.INVALID_ID.value, detail=str(error)))
            else:
                sent.append(replace(photo, event_id=upload.event_id))
            progress.advance(task)
    return sent


def _await(sent: list[Photo], timeout_s: float, settings: Settings, output: Output) -> list[Photo]:
    from sinks.redis import RedisResults

    waiting = [photo.event_id for photo in sent if photo.event_id is not None]
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
    return [photo if photo.event_id is None else _judged(photo, found.get(photo.event_id)) for photo in sent]


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
