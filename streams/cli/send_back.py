"""What ``facestream replay dead-letters`` does."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from streams.cli.console import Output, grid, load_settings
from streams.text import pluralize

if TYPE_CHECKING:
    from streams.dead_letters.redrive import RedriveCounts, RedriveFilter


def send_back(wanted: RedriveFilter, rate: float, dry_run: bool, output: Output) -> None:
    """Count the letters that are wanted, send their messages back, and show what became of them."""
    from schemas.events import utc_now
    from streams.dead_letters.redrive import Redrive
    from streams.replay.store import new_replay_id

    found = _count(wanted, output)
    if dry_run or not found["letters"]:
        output.finish(found | {"dry_run": dry_run, "sent": 0})
        return
    replay_id = new_replay_id(utc_now())
    with output.progress() as bar:
        task = bar.add_task(f"replay {replay_id}", total=found["letters"], note="")
        sender = Redrive(
            load_settings(), replay_id, rate=rate, report=lambda tally: bar.update(task, completed=tally.sent)
        )
        with _between_chunks() as interrupted:
            for _ in sender.run(wanted):
                if interrupted():
                    break
    _finish(sender.tally, found | {"dry_run": False, "replay_id": replay_id}, output)
    if interrupted():
        raise KeyboardInterrupt


def _count(wanted: RedriveFilter, output: Output) -> dict[str, Any]:
    from schemas.ids import begins
    from streams.dead_letters.errors import DeadLetterError
    from streams.dead_letters.store import DeadLetterStatus, check_reasons, read_records

    check_reasons(wanted.reasons)
    reasons: Counter[str] = Counter()
    standings: Counter[DeadLetterStatus] = Counter()
    missing = set(wanted.letter_ids)
    for one in read_records(load_settings()):
        if wanted.names(one):
            standings[one.standing] += 1
            missing -= {word for word in missing if begins(one.letter.letter_id, word)}
            if wanted.has(one):
                reasons[one.letter.reason] += 1
    if missing:
        raise DeadLetterError(f"there is no dead letter {', '.join(sorted(missing))}: nothing was sent")
    table = grid("reason", "#to send back")
    for reason, count in reasons.most_common():
        table.add_row(reason, str(count))
    if reasons:
        output.table(table)
    else:
        sent = standings[DeadLetterStatus.SENT]
        output.say(
            "no such dead letter is open" + (f": {pluralize(sent, 'has', 'have')} been sent back" if sent else "")
        )
    if standings[DeadLetterStatus.SENDING] and not wanted.retry:
        left = pluralize(standings[DeadLetterStatus.SENDING], "is", "are")
        output.warn(f"{left} left `sending` by a replay that was killed: see --retry")
    return {
        "topic": "dead-letters",
        "letters": reasons.total(),
        "reasons": dict(reasons),
        "standing": {word.value: standings[word] for word in DeadLetterStatus},
    }


def _finish(tally: RedriveCounts, result: dict[str, Any], output: Output) -> None:
    for problem in tally.problems[:10]:
        output.warn(problem)
    if tally.left:
        output.warn(f"{tally.left} left alone: another replay has them, or their topic or their person is gone")
    output.say(f"{pluralize(tally.sent, 'message')} sent back")
    output.finish(result | {"sent": tally.sent, "left": tally.left, "failed": tally.failed})
    if tally.failed or tally.problems:
        raise typer.Exit(1)


@contextmanager
def _between_chunks() -> Iterator[Any]:
    """Let Ctrl-C wait until no letter is half sent; gives a function that says whether it was pressed."""
    pressed: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        pressed.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(pressed)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
