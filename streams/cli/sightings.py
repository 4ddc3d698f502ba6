"""``facestream sightings``."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from streams.cli.console import LOOK, Json, Output, User, asking_redis, grid, line, load_settings
from streams.text import duration

_LAST = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sightings", rich_help_panel=LOOK)(sightings)


def sightings(
    user: User = "default",
    camera: Annotated[
        str | None, typer.Option("--camera", "-c", help="Only of this camera; default: of all.", show_default=False)
    ] = None,
    last: Annotated[int, typer.Option(min=1, help="Show at most this many, the latest.")] = _LAST,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show what comes from now on, as it comes; Ctrl-C ends.")
    ] = False,
    timeout_s: Annotated[
        float | None, typer.Option("--timeout", min=0, help="With --follow: end after this number of seconds.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show who was before the cameras, from when to when.

    Somebody who is not enrolled has a temporary name. A sighting is open until the camera has not seen the person for
    FACESTREAM_SIGHTING_GAP_S, by its own time. With --follow and --json, each message is one line.
    """
    from schemas.ids import canonical
    from sinks.redis.sighting_results import SightingResults, last_messages

    output, settings = Output(as_json), load_settings()
    wanted = None if camera is None else canonical(camera)
    with closing(SightingResults.of(settings)) as results, asking_redis(settings):
        kept = results.kept(user)
        if not follow:
            _show(last_messages(one.event for one in kept if wanted in (None, one.event["camera_id"]))[-last:], output)
            return
        after = kept[-1].entry_id if kept else "0"
        if not as_json:
            output.note("listening; Ctrl-C ends")
        for entry in results.follow(user, after, timeout_s):
            if wanted not in (None, entry.event["camera_id"]):
                continue
            if as_json:
                line(entry.event)
            else:
                output.people.print(text(entry.event), soft_wrap=True)


def _show(events: list[dict[str, Any]], output: Output) -> None:
    table = grid("camera", "person", "from", "to", "#for", "#frames", "#share", "")
    for event in events:
        seen = _seconds(event)
        table.add_row(
            *(escape(event["camera_id"]), _person(event), _clock(event["first_seen_at"])),
            *(_clock(event["last_seen_at"]), duration(seen), str(event["frames"]), f"{event['share']:.0%}"),
            "" if event["state"] == "end" else "[green]there[/]",
        )
    output.table(table)
    output.finish({"sightings": events})


def text(event: dict[str, Any]) -> str:
    """A message as a line of Rich markup."""
    what = {"begin": "has come", "update": "is there", "end": "has gone"}[event["state"]]
    where = f"{escape(event['user_id'])}/{escape(event['camera_id'])}"
    lasted = "" if event["state"] == "begin" else f" [dim]after {duration(_seconds(event))}[/]"
    return f"[dim]{_clock(event['last_seen_at'])}[/] {where} {_person(event)} {what}{lasted}"


def _person(event: dict[str, Any]) -> str:
    if event["subject_id"] is not None:
        return f"[green]{escape(event['subject_id'])}[/]"
    return f"[yellow]{escape(event['stranger_id'] or 'unknown')}[/]"


def _seconds(event: dict[str, Any]) -> float:
    first, last = (datetime.fromisoformat(event[name]) for name in ("first_seen_at", "last_seen_at"))
    return (last - first).total_seconds()


def _clock(time: str) -> str:
    return f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M:%S}"
