"""Dead letters, and what became of them: the topics ``dead-letters`` and ``resolutions`` read together."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import TracebackType
from typing import Self

from schemas import codec
from schemas.dead_letters import DeadLetter, Resolution, ResolutionState
from schemas.errors import CodecError
from schemas.reasons import Reason
from streams.dead_letters.errors import DeadLetterError
from streams.kafka.log_reader import LogReader, newest_first
from streams.kafka.topics import Topic
from streams.settings import Settings

_STEP = 100
_REPEATED = timedelta(hours=1)
"""A letter that was made a second time comes within this time."""


class DeadLetterStatus(StrEnum):
    """How a dead letter stands.

    ``sending``: a replay was about to send its message, and it is not known if it did; ``dismissed``: an operator has
    said that it will never be sent.
    """

    OPEN = "open"
    SENDING = "sending"
    SENT = "sent"
    DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True)
class DeadLetterRecord:
    """A dead letter and the resolution that counts, None while it is open."""

    letter: DeadLetter
    resolution: Resolution | None

    @property
    def standing(self) -> DeadLetterStatus:
        """How it stands."""
        return _standing(self.resolution)


class Resolutions:
    """The resolution that counts of each letter, as far as the topic has been read; a context manager.

    The log decides between replays that run side by side: all resolutions of a letter lie in one partition, and the
    first ``sending`` there has the letter. A later one counts only if it takes over from just that replay.
    """

    def __init__(
        self, settings: Settings, since: datetime | None = None, partitions: Collection[int] | None = None
    ) -> None:
        """Connects when it is first asked.

        Args:
            settings: of the cluster.
            since: of resolutions that were written before, nothing is known; None: all are read.
            partitions: likewise of letters that came of other partitions; None: all are read.
        """
        self._log = LogReader(settings, Topic.RESOLUTIONS)
        self._since = since
        self._partitions = partitions
        self._next: dict[int, int] = {}
        self._of: dict[str, Resolution] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._log.close()

    def of(self, letter_id: str) -> Resolution | None:
        """The resolution that counts of a letter."""
        return self._of.get(letter_id)

    def refresh(self) -> None:
        """Read what has come since.

        Raises:
            KafkaUnavailable: no broker answers.
            TopicMissing: the topic has not been created.
        """
        if self._since is None:
            ranges = self._log.since(self._next)
        else:
            ranges, self._since = self._log.from_time(self._since), None
        ranges = [one for one in ranges if self._partitions is None or one.partition in self._partitions]
        for message in self._log.messages(ranges):
            try:
                new = codec.decode(message.value, Resolution)
            except CodecError:
                continue
            self._of[new.letter_id] = counts(self._of.get(new.letter_id), new)
        self._next |= {one.partition: one.end_offset for one in ranges}


def counts(known: Resolution | None, new: Resolution) -> Resolution:
    """Which of two resolutions of a letter counts, the second of which lies behind the first.

    What was sent was sent, even if it was dismissed at the same time; of two dismissals the first counts.
    """
    if known is None:
        return new
    if known.state is ResolutionState.SENT:
        return known
    if new.state is ResolutionState.SENT:
        return new
    if known.state is ResolutionState.DISMISSED:
        return known
    if new.state is ResolutionState.DISMISSED or new.retries == known.replay_id:
        return new
    return known


def check_reasons(words: Collection[str]) -> None:
    """Check the words by which letters are chosen.

    Raises:
        DeadLetterError: one of them is no reason.
    """
    if unknown := set(words) - set(Reason):
        raise DeadLetterError(f"there is no reason {', '.join(sorted(unknown))}: see `facestream dead-letters list`")


def read_records(settings: Settings) -> Iterator[DeadLetterRecord]:
    """Each dead letter that is there when it begins, once.

    What is no letter has one of its own, from the sink that met it.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topics have not been created.
    """
    seen = set()
    with Resolutions(settings) as resolutions, LogReader(settings, Topic.DEAD_LETTERS) as log:
        resolutions.refresh()
        for message in log.messages(log.since({})):
            try:
                letter = codec.decode(message.value, DeadLetter)
            except CodecError:
                continue
            if letter.letter_id not in seen:
                seen.add(letter.letter_id)
                yield DeadLetterRecord(letter, resolutions.of(letter.letter_id))


def find_record(settings: Settings, letter_id: str) -> DeadLetterRecord | None:
    """The dead letter of an id, looked for from the end of the topic on; None: there is none.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topics have not been created.
    """
    found: DeadLetter | None = None
    with LogReader(settings, Topic.DEAD_LETTERS) as log:
        for ranges in newest_first(log.since({}), _STEP):
            for message in log.messages(ranges):
                with suppress(CodecError):
                    letter = codec.decode(message.value, DeadLetter)
                    found = found or (letter if letter.letter_id == letter_id else None)
            if found is not None:
                break
    if found is None:
        return None
    with Resolutions(settings, partitions={found.partition}) as resolutions:
        resolutions.refresh()
        return DeadLetterRecord(found, resolutions.of(letter_id))


@dataclass(frozen=True, slots=True)
class NewestRecords:
    """The newest letters, and whether these are all; of a letter's message there is nothing here."""

    standings: Counter[DeadLetterStatus]
    all_of_them: bool


def read_newest_records(settings: Settings, count: int, limit_s: float) -> NewestRecords:
    """How the newest letters stand: so many at most, and for so long; of resolutions only those that came after them.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topics have not been created.
    """
    until, oldest_ms = time.monotonic() + limit_s, None
    newest: set[str] = set()
    with LogReader(settings, Topic.DEAD_LETTERS) as log:
        pieces = list(newest_first(log.since({}), _STEP))
        while pieces and len(newest) < count and time.monotonic() < until:
            for message in log.messages(pieces[0]):
                with suppress(CodecError):
                    newest.add(codec.decode(message.value, DeadLetter).letter_id)
                    oldest_ms = min(message.timestamp_ms, oldest_ms or message.timestamp_ms)
                if time.monotonic() > until:
                    break
            else:
                pieces.pop(0)
    whole = not pieces
    if oldest_ms is None:
        return NewestRecords(Counter(), whole)
    with Resolutions(settings, codec.from_micros(1000 * oldest_ms) - _REPEATED) as resolutions:
        resolutions.refresh()
        standings = Counter(_standing(resolutions.of(letter_id)) for letter_id in newest)
    return NewestRecords(standings, whole)


def _standing(resolution: Resolution | None) -> DeadLetterStatus:
    return DeadLetterStatus.OPEN if resolution is None else DeadLetterStatus(resolution.state.value)
