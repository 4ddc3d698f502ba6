"""``facestream dead-letters list|show|export|dismiss|pass``, and what ``facestream replay dead-letters`` shows."""

from __future__ import annotations

import base64
import json
import signal
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from streams.cli.console import LOOK, Format, Json, Output, TableFormat, grid, load_settings, not_empty
from streams.text import pluralize

if TYPE_CHECKING:
    from streams.dead_letters.outcomes import RedriveOutcomes
    from streams.dead_letters.redrive import RedriveCounts, RedriveFilter, RedriveSelection
    from streams.dead_letters.store import DeadLetterRecord

Why = Annotated[str | None, typer.Option("--reason", "-r", help="Only dead letters with this reason.")]
_WHOLE_ID = len(str(uuid.UUID(int=0)))
_SHOWN_BYTES = 200
_COLUMNS = (
    "reason",
    "stage",
    "topic",
    "#open",
    "#sending",
    "#sent",
    "#dismissed",
    "last",
    "id of the last",
    "~its error",
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Inspect messages that could not be processed.")
    group.command("list")(list_)
    group.command("show")(show)
    group.command("export")(export)
    group.command("dismiss")(dismiss)
    group.command("pass")(pass_)
    app.add_typer(group, name="dead-letters", rich_help_panel=LOOK)


def list_(
    reason: Why = None,
    all_: Annotated[bool, typer.Option("--all", help="Include those that were dismissed, and say why.")] = False,
    form: TableFormat = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Count dead letters by reason and stage, with the last of each, and those that were sent back."""
    from streams.dead_letters.store import DeadLetterStatus
    from streams.dead_letters.summary import summarize

    output = Output(as_json, form)
    found = summarize(_letters(reason), dismissed=all_)
    table = grid(*_COLUMNS)
    for one in found.groups:
        table.add_row(
            *(one.reason, one.stage, escape(one.topic), *(str(one.standing[word]) for word in DeadLetterStatus)),
            *(f"{one.last.failed_at.astimezone():%Y-%m-%d %H:%M:%S}", one.last.letter_id, escape(one.last.message)),
        )
    if found.groups or output.csv:
        output.table(table)
    else:
        output.say("no dead letters" + (" but those that were dismissed" if found.dismissed else ""))
    _show_dismissed(found.dismissed, all_, output)
    if sending := sum(one.standing[DeadLetterStatus.SENDING] for one in found.groups):
        output.warn(
            f"{sending} may or may not have been sent back, because a replay was interrupted: "
            "see `facestream replay dead-letters --help`"
        )
    output.finish(found.as_json(dismissals=all_))


def _show_dismissed(dismissed: Counter[tuple[str, str]], all_: bool, output: Output) -> None:
    """Show how many were dismissed and, if all are asked for, why."""
    if dismissed and not all_:
        output.say(f"{pluralize(dismissed.total(), 'dismissed one is', 'dismissed ones are')} left out: see --all")
    if dismissed and all_ and not output.csv:
        table = grid("reason", "#dismissed", "~because")
        for (why, text), count in dismissed.most_common():
            table.add_row(why, str(count), escape(text))
        output.table(table)


def dismiss(
    letters: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of dead letters, or the beginnings of them.")
    ] = None,
    because: Annotated[
        str, typer.Option("--because", callback=not_empty, help="Why; shown by `dead-letters list --all`.")
    ] = "",
    reasons: Annotated[
        list[str] | None, typer.Option("--reason", "-r", help="Only dead letters with this reason; repeatable.")
    ] = None,
    stage: Annotated[str | None, typer.Option("--stage", help="Only dead letters of this role.")] = None,
    topic: Annotated[str | None, typer.Option("--topic", help="Only messages of this topic.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    as_json: Json = False,
) -> None:
    """Close dead letters that can never succeed, with the reason: they are no longer open, and no replay sends them.

    They stay readable with `dead-letters show`. For example:
    `facestream dead-letters dismiss --reason no_key --because "a test of ours"`.
    """
    from streams.dead_letters import dismissal
    from streams.dead_letters.redrive import RedriveFilter
    from streams.kafka.topics import Topic

    if not because:
        raise typer.BadParameter("say why they are dismissed: --because TEXT")
    if not (letters or reasons or stage or topic):
        raise typer.BadParameter("say which dead letters: their ids, --reason, --stage or --topic")
    output, settings = Output(as_json), load_settings()
    name = Topic(topic).named(settings) if topic in set(Topic) else topic
    wanted = RedriveFilter(reasons or (), stage, [one.lower() for one in letters or ()], topic=name)
    done = dismissal.dismiss(settings, wanted, because, dry_run=dry_run)
    count = done.dismissed.total()
    of_reasons = f" ({', '.join(f'{n} {reason}' for reason, n in done.dismissed.most_common())})" if count else ""
    verb = "would be dismissed" if dry_run else "dismissed"
    output.say(f"{pluralize(count, 'dead letter')} {verb}{of_reasons}")
    if done.before or done.sent:
        output.say(f"left as they are: {done.before} dismissed before, {done.sent} sent back")
    output.finish(
        {
            "dismissed": count,
            "reasons": dict(done.dismissed),
            "dismissed_before": done.before,
            "sent_before": done.sent,
            "because": because,
            "dry_run": dry_run,
        }
    )


def pass_(
    topic: Annotated[str, typer.Argument(help="Full name of the topic.")],
    partition: Annotated[int, typer.Argument(min=0, help="Number of the partition.")],
    offset: Annotated[int, typer.Argument(min=0, help="Offset at which it cannot be read.")],
    as_json: Json = False,
) -> None:
    """Let all readers skip a record that cannot be read, and leave a dead letter without its value.

    `facestream doctor` and the workers' health name the record that holds up a partition. A skipped record is not
    processed: have its producer send it again, if it can.
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
    letter_id: Annotated[str, typer.Argument(help="Id of the dead letter, or the beginning of it.")],
    as_json: Json = False,
) -> None:
    """Show one dead letter: its source, its error, and the beginning of its bytes."""
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
    """Write dead letters to a file, one JSON object per line; key, value and headers are in base64."""
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


def redrive(wanted: RedriveFilter, rate: float, dry_run: bool, output: Output, wait_s: float | None) -> None:
    """Count the dead letters that a filter selects, send their messages back, and show the outcome.

    ``wait_s`` is how long to wait for the outcome; None: not at all.
    """
    from schemas.clock import utc_now
    from streams.dead_letters.outcomes import OutcomeWatch
    from streams.dead_letters.redrive import Redrive, select
    from streams.dead_letters.store import DeadLetterStatus
    from streams.replay.store import new_replay_id

    settings = load_settings()
    selection = select(settings, wanted)
    _show_selection(selection, wanted, output)
    result = {
        "topic": "dead-letters",
        "letters": selection.reasons.total(),
        "reasons": dict(selection.reasons),
        "standing": {standing.value: selection.standings[standing] for standing in DeadLetterStatus},
    }
    if dry_run or not selection.reasons:
        output.finish(result | {"dry_run": dry_run, "sent": 0})
        return
    replay_id = new_replay_id(utc_now())
    stopped = False
    with output.progress() as bar, OutcomeWatch(settings) as watch:
        task = bar.add_task(f"replay {replay_id}", total=selection.reasons.total(), note="")
        sender = Redrive(
            settings,
            replay_id,
            rate=rate,
            report=lambda tally: bar.update(task, completed=tally.sent),
            sent=watch.sent,
        )
        with _interruptible_between_chunks() as interrupted:
            for _ in sender.run(wanted):
                if interrupted():
                    break
        if wait_s is not None and not interrupted():
            try:
                watch.wait(wait_s, lambda found: bar.update(task, note=f"{found.succeeded} processed"))
            except KeyboardInterrupt:
                stopped = True
    outcomes = None if wait_s is None or interrupted() else watch.outcomes
    _show_counts(sender.tally, outcomes, result | {"dry_run": False, "replay_id": replay_id}, output)
    if interrupted() or stopped:
        raise KeyboardInterrupt


def _show_selection(selection: RedriveSelection, wanted: RedriveFilter, output: Output) -> None:
    from streams.dead_letters.store import DeadLetterStatus

    table = grid("reason", "#to send back")
    for reason, count in selection.reasons.most_common():
        table.add_row(reason, str(count))
    if selection.reasons:
        output.table(table)
    else:
        closed = {"been sent back": DeadLetterStatus.SENT, "been dismissed": DeadLetterStatus.DISMISSED}
        said = [
            f"{pluralize(n, 'has', 'have')} {what}" for what, one in closed.items() if (n := selection.standings[one])
        ]
        output.say("no such dead letter is open" + (f": {', '.join(said)}" if said else ""))
    if selection.standings[DeadLetterStatus.SENDING] and not wanted.retry:
        left = pluralize(selection.standings[DeadLetterStatus.SENDING], "is", "are")
        output.warn(f"{left} left `sending` by a replay that was killed: see --retry")


def _show_counts(
    tally: RedriveCounts, outcomes: RedriveOutcomes | None, result: dict[str, Any], output: Output
) -> None:
    for problem in tally.problems[:10]:
        output.warn(problem)
    if tally.left:
        output.warn(f"{tally.left} not sent: another replay has them, or their topic or their person is gone")
    output.say(f"{pluralize(tally.sent, 'message')} sent back{_told(outcomes)}")
    if outcomes is not None and outcomes.unknown:
        output.warn(
            f"{pluralize(outcomes.unknown, 'message')} had no outcome that could be seen: see `facestream doctor`"
        )
    if outcomes is not None and outcomes.failed:
        output.say("those are new dead letters; `facestream dead-letters dismiss` closes what can never succeed")
    counts = {"sent": tally.sent, "left": tally.left, "failed": tally.failed}
    output.finish(result | counts | _plain_outcomes(outcomes))
    if tally.failed or tally.problems or (outcomes is not None and outcomes.failed):
        raise typer.Exit(1)


def _told(outcomes: RedriveOutcomes | None) -> str:
    """How many were processed and how many failed again; nothing if nobody waited."""
    if outcomes is None:
        return ""
    parts = [f"{outcomes.succeeded} succeeded"] if outcomes.succeeded else []
    if again := outcomes.failed.total():
        parts.append(f"{again} failed again ({', '.join(outcomes.failed)})")
    return f": {', '.join(parts)}" if parts else ""


def _plain_outcomes(outcomes: RedriveOutcomes | None) -> dict[str, Any]:
    if outcomes is None:
        return {"waited": False}
    return {
        "waited": True,
        "succeeded": outcomes.succeeded,
        "failed_again": outcomes.failed.total(),
        "failed_again_reasons": dict(outcomes.failed),
        "no_outcome": outcomes.unknown,
    }


@contextmanager
def _interruptible_between_chunks() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C wait until no chunk is half sent; yields a function that says whether it was pressed."""
    pressed: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        pressed.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(pressed)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _letters(reason: str | None) -> Iterator[DeadLetterRecord]:
    """The dead letters with this reason; None: with any."""
    from streams.dead_letters.store import check_reasons, read_records

    check_reasons([] if reason is None else [reason])
    return (one for one in read_records(load_settings()) if reason in (None, one.letter.reason))


def _plain(one: DeadLetterRecord) -> dict[str, Any]:
    """A dead letter with its status and the resolution that counts, for programs."""
    from schemas.as_json import to_json

    resolution = None if one.resolution is None else to_json(one.resolution)
    return to_json(one.letter) | {"standing": one.standing.value, "resolution": resolution}


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
