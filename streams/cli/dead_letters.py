"""``facestream dead-letters list|show|export|pass``."""

from __future__ import annotations

import base64
import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from streams.cli.console import LOOK, Json, Output, grid, load_settings
from streams.text import pluralize

if TYPE_CHECKING:
    from schemas.events import DeadLetter
    from streams.dead_letters.store import DeadLetterRecord

Why = Annotated[str | None, typer.Option("--reason", "-r", help="Only those with this reason.")]
_WHOLE_ID = len(str(uuid.UUID(int=0)))
_SHOWN_BYTES = 200
_COLUMNS = (
    "reason",
    "stage",
    "topic",
    "#open",
    "#sending",
    "#sent",
    "last",
    "id of the last",
    "~what was wrong with it",
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Look at messages that could not be processed.")
    group.command("list")(list_)
    group.command("show")(show)
    group.command("export")(export)
    group.command("pass")(pass_)
    app.add_typer(group, name="dead-letters", rich_help_panel=LOOK)


def list_(reason: Why = None, as_json: Json = False) -> None:
    """Show how many there are for each reason and stage, the last of each, and how many were sent back."""
    output = Output(as_json)
    groups: dict[tuple[str, str, str], list[DeadLetter]] = defaultdict(list)
    standings: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for one in _letters(reason):
        key = one.letter.reason, one.letter.stage, one.letter.topic
        groups[key].append(replace(one.letter, value=None))
        standings[key][one.standing.value] += 1
    table = grid(*_COLUMNS)
    listed = []
    for (why, stage, topic), letters in sorted(groups.items(), key=lambda group: -len(group[1])):
        first, last = min(one.failed_at for one in letters), max(letters, key=lambda one: one.failed_at)
        when = f"{last.failed_at.astimezone():%Y-%m-%d %H:%M:%S}"
        standing = {word: standings[why, stage, topic][word] for word in ("open", "sending", "sent")}
        table.add_row(
            *(why, stage, escape(topic), *(str(count) for count in standing.values())),
            *(when, last.letter_id, escape(last.message)),
        )
        listed.append(
            {"reason": why, "stage": stage, "topic": topic, "count": len(letters), "first_failed_at": first.isoformat()}
            | standing
            | {"last_failed_at": last.failed_at.isoformat(), "last_id": last.letter_id, "last_message": last.message}
        )
    if listed:
        output.table(table)
    else:
        output.say("no dead letters")
    totals = sum(standings.values(), Counter[str]())
    if totals["sending"]:
        output.warn(
            f"{totals['sending']} may or may not have been sent back, since a replay was interrupted: "
            "see `facestream replay dead-letters --help`"
        )
    output.finish({"total": totals.total(), "groups": listed})


def pass_(
    topic: Annotated[str, typer.Argument(help="The topic, by its whole name.")],
    partition: Annotated[int, typer.Argument(min=0, help="The partition.")],
    offset: Annotated[int, typer.Argument(min=0, help="The offset at which it cannot be read.")],
    as_json: Json = False,
) -> None:
    """Have everybody go on behind what cannot be read in a log, and leave a dead letter without a value of it.

    `facestream doctor` and the workers' health name what holds up a partition. What is passed is not processed: have
    its producer send it again, if it can.
    """
    from streams.kafka.messages import TopicPartition
    from streams.kafka.unreadable import pass_over

    output = Output(as_json)
    passed = pass_over(load_settings(), TopicPartition(topic, partition), offset)
    output.say(
        f"passed {pluralize(passed.end - passed.offset, 'offset')} of {topic} {partition} from {passed.offset} on: "
        f"{passed.problem}; dead letter {passed.letter_id}"
    )
    output.finish(
        {
            "topic": topic,
            "partition": partition,
            "offset": passed.offset,
            "end_offset": passed.end,
            "problem": passed.problem,
            "letter_id": passed.letter_id,
        }
    )


def show(
    letter_id: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")],
    as_json: Json = False,
) -> None:
    """Show one dead letter: where it comes from, what was wrong, and how its bytes begin."""
    from schemas.ids import begins, event_id_or_same
    from streams.dead_letters.store import find_record

    output = Output(as_json)
    whole_id = event_id_or_same(letter_id)
    if len(whole_id) == _WHOLE_ID:
        whole = find_record(load_settings(), whole_id)
        found = [] if whole is None else [whole]
    else:
        found = [one for one in _letters(None) if begins(one.letter.letter_id, letter_id)]
    if not found:
        raise typer.BadParameter(f"there is no dead letter {letter_id!r}")
    if len(found) > 1:
        raise typer.BadParameter(f"{len(found)} dead letters begin with {letter_id!r}: give more of the id")
    plain = _plain(found[0])
    value = found[0].letter.value or b""
    plain["value_bytes"] = len(value)
    plain["value_begins"] = value[:_SHOWN_BYTES].hex(" ")
    table = grid("", "~")
    table.show_header = False
    for name, content in plain.items():
        table.add_row(name, escape(content if isinstance(content, str) else json.dumps(content)))
    output.table(table)
    output.finish(plain)


def export(
    file: Annotated[Path, typer.Argument(help="File to write; it holds personal data, so keep it safe.")],
    reason: Why = None,
    as_json: Json = False,
) -> None:
    """Write dead letters whole, a JSON object a line; key, value and headers in base64."""
    output = Output(as_json)
    count = 0
    with file.open("w", encoding="utf-8") as lines:
        for one in _letters(reason):
            letter = one.letter
            whole = _plain(one) | {
                "key": _base64(letter.key),
                "value": _base64(letter.value),
                "headers": [[header.name, _base64(header.value)] for header in letter.headers],
            }
            lines.write(json.dumps(whole, ensure_ascii=False) + "\n")
            count += 1
    output.say(f"{pluralize(count, 'dead letter')} written to {file}")
    output.finish({"written": count, "file": str(file)})


def _letters(reason: str | None) -> Iterator[DeadLetterRecord]:
    """Each letter once, with this reason or any."""
    from streams.dead_letters.store import check_reasons, read_records

    check_reasons([] if reason is None else [reason])
    return (one for one in read_records(load_settings()) if reason in (None, one.letter.reason))


def _plain(one: DeadLetterRecord) -> dict[str, Any]:
    """The letter, how it stands, and what counts of what became of it."""
    from schemas.as_json import to_json

    resolution = None if one.resolution is None else to_json(one.resolution)
    return to_json(one.letter) | {"standing": one.standing.value, "resolution": resolution}


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
