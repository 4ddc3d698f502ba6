"""Dismisses dead letters that can never succeed: they stay readable, and are open no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from schemas import codec
from schemas.clock import utc_now
from schemas.dead_letters import Resolution, ResolutionState
from streams.dead_letters.errors import DeadLetterError
from streams.dead_letters.redrive import RedriveFilter, RedriveSelection
from streams.dead_letters.store import DeadLetterRecord, DeadLetterStatus, check_reasons, read_records
from streams.kafka.topics import Topic
from streams.kafka.writer import RecordWriter
from streams.settings import Settings

BY_HAND = "dismissed"
"""What stands for a replay in the resolution of a letter that no replay sends."""


@dataclass(frozen=True, slots=True)
class Dismissal:
    """What was dismissed.

    Attributes:
        dismissed: how many dead letters, by reason; with ``dry_run``, how many would be.
        before: how many were dismissed already, and keep what was said then.
        sent: how many have been sent back, and are left as they are.
    """

    dismissed: Counter[str]
    before: int
    sent: int


def dismiss(settings: Settings, wanted: RedriveFilter, because: str, *, dry_run: bool = False) -> Dismissal:
    """Dismiss the dead letters that a filter names; one that has been sent back stays as it is. Safe to repeat.

    Args:
        settings: of the cluster.
        wanted: which; those that were left ``sending`` are among them whether or not it says ``retry``.
        because: why, for whoever looks at them later.
        dry_run: only count.

    Raises:
        DeadLetterError: a reason does not exist, or no dead letter has one of the ids; nothing was dismissed.
        KafkaUnavailable: no broker answers, or not all was dismissed.
        TopicMissing: the topics have not been created.
    """
    check_reasons(wanted.reasons)
    selection = RedriveSelection.of(wanted, read_records(settings))
    if selection.missing:
        raise DeadLetterError(f"there is no dead letter {', '.join(sorted(selection.missing))}: nothing was dismissed")
    dismissed: Counter[str] = Counter()

    def resolutions() -> Iterator[tuple[str, bytes, int]]:
        for one in read_records(settings):
            if wanted.names(one) and one.standing in (DeadLetterStatus.OPEN, DeadLetterStatus.SENDING):
                dismissed[one.letter.reason] += 1
                if not dry_run:
                    yield one.letter.letter_id, codec.encode(_resolution(one, because)), one.letter.partition

    RecordWriter(settings, Topic.RESOLUTIONS).write_all(resolutions())
    standings = selection.standings
    return Dismissal(dismissed, standings[DeadLetterStatus.DISMISSED], standings[DeadLetterStatus.SENT])


def _resolution(one: DeadLetterRecord, because: str) -> Resolution:
    return Resolution(
        resolution_id=codec.stable_id(one.letter.letter_id, BY_HAND, ResolutionState.DISMISSED),
        letter_id=one.letter.letter_id,
        replay_id=BY_HAND,
        state=ResolutionState.DISMISSED,
        topic=one.letter.topic,
        resolved_at=utc_now(),
        because=because,
    )
