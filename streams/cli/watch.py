"""``facestream watch``."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from streams.cli.console import LOOK, Output, asking_redis, line, load_settings
from streams.text import pluralize

if TYPE_CHECKING:
    from sinks.redis import LiveEntry, RedisResults

_COLOURS = {"match": "green", "enrolled": "green", "unknown": "yellow", "no_match": "red", "refused": "red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("watch", rich_help_panel=LOOK)(watch)


def watch(
    users: Annotated[
        list[str] | None,
        typer.Option("--user", "-u", help="Only results of this user; repeatable. Default: of all users."),
    ] = None,
    kept: Annotated[bool, typer.Option("--kept", help="With --user: begin with the results that are kept.")] = False,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="End after this number of results.")] = None,
    timeout_s: Annotated[
        float | None,
        typer.Option("--timeout", min=0, help="End after this number of seconds; with --count that is a failure."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Show results and enrolments as they come."""
    from sinks.redis import RedisResults

    if kept and not users:
        raise typer.BadParameter("--kept needs --user")
    output = Output(as_json)
    settings = load_settings()
    shown = 0
    with asking_redis(settings):
        results = RedisResults(settings.redis_url, settings.redis_prefix)
        for entry in _entries(results, users or [], kept, timeout_s):
            if as_json:
                line({"kind": entry.kind} | entry.event)
            else:
                text = _match(entry.event) if entry.kind == "match" else _enrolment(entry.event)
                output.people.print(text, soft_wrap=True)
            shown += 1
            if shown == count:
                return
    if count is not None:
        output.warn(f"{shown} of {count} results came within {timeout_s:g} s")
        raise typer.Exit(1)


def _entries(results: RedisResults, users: list[str], kept: bool, timeout_s: float | None) -> Iterator[LiveEntry]:
    """The entries of some or all users in the order in which they come, until the time is over."""
    arrived: queue.SimpleQueue[LiveEntry | Exception] = queue.SimpleQueue()

    def follow(entries: Iterator[LiveEntry]) -> None:
        try:
            for entry in entries:
                arrived.put(entry)
        except Exception as error:
            arrived.put(error)

    after = "0" if kept else None
    for entries in [results.follow(user, after) for user in users] or [results.follow_all()]:
        threading.Thread(target=follow, args=(entries,), daemon=True).start()
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        try:
            entry = arrived.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return
        if isinstance(entry, Exception):
            raise entry
        yield entry


def _match(event: dict[str, Any]) -> str:
    latency_ms = (_time(event["matched_at"]) - _time(event["timings"]["produced_at"])).total_seconds() * 1_000
    if event["refusal"]:
        shown_parts = [f"[red]{event['refusal']['reason']}[/] {escape(event['refusal']['detail'])}"]
    else:
        shown_parts = [_face(face) for face in event["faces"]]
    where = f"{escape(event['user_id'])}/{escape(event['camera_id'])} #{event['sequence']}"
    return f"[dim]{_clock(event['captured_at'])}[/] {where}  {', '.join(shown_parts)}  [dim]{latency_ms:.0f} ms[/]"


def _face(face: dict[str, Any]) -> str:
    decision = face["decision"]
    nearest = face["candidates"][0] if face["candidates"] else None
    text = f"[{_COLOURS[decision]}]{escape(face['subject_id'] or decision.replace('_', ' '))}[/]"
    if face["reason"]:
        text += f" ({face['reason']})"
    if nearest:
        text += f" [dim]similarity {nearest['similarity']:.2f}, FMR {nearest['fmr']:.1g}[/]"
    if face.get("ambiguous"):
        others = [one["subject_id"] for one in face["candidates"][1:2]]
        text += f" [yellow]as near: {escape(', '.join(others) or 'another subject')}[/]"
    return text


def _enrolment(event: dict[str, Any]) -> str:
    outcome, refusal = event["outcome"], event["refusal"]
    why = (
        f" ({refusal['reason']}: {escape(refusal['detail'])})"
        if refusal
        else f", {pluralize(event['templates'], 'template')}"
    )
    if detail := event.get("detail"):
        why += f" [yellow]({escape(detail)})[/]"
    who = f"{escape(event['user_id'])}  {escape(event['subject_id'])}"
    return f"[dim]{_clock(event['created_at'])}[/] {who} [{_COLOURS[outcome]}]{outcome}[/]{why}"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _clock(text: str) -> str:
    return f"{_time(text).astimezone():%H:%M:%S.%f}"[:-3]
