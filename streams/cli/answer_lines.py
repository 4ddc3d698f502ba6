"""Answers as lines for people, folded between faces where a terminal is narrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.markup import escape
from rich.text import Text

from streams.text import pluralize

_COLOURS = {"match": "green", "enrolled": "green", "unknown": "yellow", "no_match": "red", "refused": "red"}
_CLOCK = len("12:34:56.789 ")

Json = dict[str, Any]


def answer_lines(kind: str, event: Json, *, width: int | None, details: bool) -> list[str]:
    """An answer as lines of Rich markup.

    Args:
        kind: ``match`` or ``enrolment``.
        event: as :func:`schemas.as_json.to_json` gives it, also of an earlier release.
        width: columns of the terminal; None: everything on one line.
        details: also the event id, and the similarity and FMR of each face's nearest subject.
    """
    parts = list(_match(event, details) if kind == "match" else _enrolment(event))
    if details:
        parts.append(f"[dim]{escape(event['event_id'])}[/]")
    time = event["captured_at"] if kind == "match" else event["created_at"]
    first, *more = _fill(parts, None if width is None else width - _CLOCK)
    return [f"[dim]{_clock(time)}[/] {first}", *(" " * _CLOCK + line for line in more)]


def _match(event: Json, details: bool) -> Iterator[str]:
    yield f"{escape(event['user_id'])}/{escape(event['camera_id'])} #{event['sequence']} "
    if event["refusal"]:
        yield _refusal(event["refusal"])
    else:
        faces = [_face(face, details) for face in event["faces"]]
        yield from (f"{face}," for face in faces[:-1])
        yield from faces[-1:]
    if not event.get("replay_id"):
        latency_ms = (_time(event["matched_at"]) - _time(event["timings"]["produced_at"])).total_seconds() * 1_000
        yield f" [dim]{latency_ms:.0f} ms[/]"


def _face(face: Json, details: bool) -> str:
    decision = face["decision"]
    nearest = face["candidates"][0] if face["candidates"] else None
    text = f"[{_COLOURS[decision]}]{escape(face['subject_id'] or decision.replace('_', ' '))}[/]"
    if face["reason"]:
        text += f" ({face['reason']})"
    if nearest and details:
        text += f" [dim]similarity {nearest['similarity']:.2f}, FMR {nearest['fmr']:.1g}[/]"
    elif nearest and decision == "match":
        text += f" [dim]{nearest['similarity']:.2f}[/]"
    if part := face["quality"].get("covered_part"):
        text += f" [yellow]{part} covered[/]"
    if face.get("ambiguous"):
        others = [one["subject_id"] for one in face["candidates"][1:2]]
        text += f" [yellow]as near: {escape(', '.join(others) or 'another subject')}[/]"
    return text


def _enrolment(event: Json) -> Iterator[str]:
    yield f"{escape(event['user_id'])} "
    outcome, refusal = event["outcome"], event["refusal"]
    what = f"{escape(event['subject_id'])} [{_COLOURS[outcome]}]{outcome}[/]"
    yield f"{what}:" if refusal else f"{what}, {pluralize(event['templates'], 'template')}"
    if refusal:
        yield _refusal(refusal)
    if detail := event.get("detail"):
        yield f"[yellow]({escape(detail)})[/]"


def _refusal(refusal: Json) -> str:
    return f"[red]{refusal['reason']}[/] {escape(refusal['detail'])}"


def _fill(parts: Sequence[str], width: int | None) -> list[str]:
    """Parts side by side, on as many lines as they need; a part that is wider than a line stays whole."""
    lines: list[str] = []
    used = 0
    for part in parts:
        cells = Text.from_markup(part).cell_len
        if lines and (width is None or used + 1 + cells <= width):
            lines[-1] += f" {part}"
            used += 1 + cells
        else:
            lines.append(part.lstrip())
            used = cells
    return lines


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _clock(text: str) -> str:
    return f"{_time(text).astimezone():%H:%M:%S.%f}"[:-3]
