"""What became of the messages that a redrive has sent: whether each was processed, or is a dead letter again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from schemas import codec
from schemas.dead_letters import DeadLetter
from schemas.embeddings import Embedding
from schemas.errors import CodecError
from schemas.ingest import Frame, Upload
from streams.kafka.consumer_groups import OffsetsClient, group_id
from streams.kafka.log_reader import LogReader
from streams.kafka.messages import Message, TopicPartition
from streams.kafka.topics import Topic
from streams.roles import Role
from streams.settings import Settings
from streams.topology import READS

_ASK_S = 0.2
_ANSWERED = (Upload, Frame, Embedding)
_ANSWERING = (Role.EMBED, Role.MATCH)
"""Stages whose messages lead to an answer, which stages behind them may still prevent."""

Place = tuple[TopicPartition, int]


@dataclass(slots=True)
class RedriveOutcomes:
    """The number of messages that were processed, and of those that failed again, by reason.

    ``unknown`` ones had no outcome in time, or no role of this release takes them.
    """

    succeeded: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message that was sent back.

    Attributes:
        place: of the message.
        event_id: of the event whose answer shows that it was processed; None: no answer is expected.
        role: the stage whose commit shows it otherwise; None: no role takes it.
    """

    place: Place
    event_id: str | None
    role: Role | None


class OutcomeWatch:
    """Follows answers, dead letters and commits from now on; a context manager, for one thread."""

    def __init__(self, settings: Settings) -> None:
        """Learn where the topics end now; to be made before anything is sent.

        Raises:
            KafkaUnavailable: no broker answers.
            TopicMissing: the topics have not been created.
        """
        self._settings = settings
        self._names = {topic.named(settings): topic for topic in Topic}
        self._logs = [LogReader(settings, topic) for topic in (Topic.MATCHES, Topic.ENROLMENTS, Topic.DEAD_LETTERS)]
        self._next = [{n: end for n, (_, end) in log.bounds().items()} for log in self._logs]
        self._commits = OffsetsClient(settings)
        self._pending: dict[Place, _Sent] = {}
        self._places: dict[str, set[Place]] = {}
        self.outcomes = RedriveOutcomes()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for log in self._logs:
            log.close()
        self._commits.close()

    def sent(self, letter: DeadLetter, partition: int, offset: int) -> None:
        """Note that the message of a letter is on its topic again."""
        topic = self._names.get(letter.topic)
        role = Role(letter.stage) if letter.stage in set(Role) else None
        if topic is None or role is None or topic not in READS[role]:
            self.outcomes.unknown += 1
            return
        answered = role in _ANSWERING and codec.kind(letter.value) in _ANSWERED
        event_id = codec.event_id(letter.value) if answered else None
        one = _Sent((TopicPartition(letter.topic, partition), offset), event_id, role)
        self._pending[one.place] = one
        if event_id is not None:
            self._places.setdefault(event_id, set()).add(one.place)

    def wait(self, timeout_s: float, report: Callable[[RedriveOutcomes], None] = lambda outcomes: None) -> None:
        """Wait until the outcome of each is known, or the time is over; then those left are ``unknown``.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        deadline = time.monotonic() + timeout_s
        try:
            while self._pending:
                self._look()
                report(self.outcomes)
                if not self._pending or time.monotonic() > deadline:
                    break
                time.sleep(_ASK_S)
        finally:
            self.outcomes.unknown += len(self._pending)
            self._pending.clear()

    def _look(self) -> None:
        """Take in what has come; dead letters last, since a stage delivers them before it answers or commits."""
        done = self._committed()
        *answers, letters = range(len(self._logs))
        for number in answers:
            for message in self._new(number):
                done |= self._places.get(codec.event_id(message.value) or "", set())
        for message in self._new(letters):
            with suppress(CodecError):
                self._take_letter(codec.decode(message.value, DeadLetter))
        for place in done:
            if self._forget(place):
                self.outcomes.succeeded += 1

    def _committed(self) -> set[Place]:
        """The messages without an answer that their stage has committed."""
        waiting = [one for one in self._pending.values() if one.event_id is None and one.role is not None]
        done = set()
        for role in {one.role for one in waiting}:
            if role is None:
                continue
            offsets = self._commits.of(group_id(role, self._settings))
            for one in waiting:
                committed = offsets.get(one.place[0])
                if one.role is role and committed is not None and committed.offset > one.place[1]:
                    done.add(one.place)
        return done

    def _take_letter(self, letter: DeadLetter) -> None:
        places = {(TopicPartition(letter.topic, letter.partition), letter.offset)}
        places |= self._places.get(codec.event_id(letter.value) or "", set())
        for place in places:
            if self._forget(place):
                self.outcomes.failed[letter.reason] += 1

    def _forget(self, place: Place) -> bool:
        """Wait no longer for one; whether it was waited for."""
        one = self._pending.pop(place, None)
        if one is not None and one.event_id is not None:
            self._places[one.event_id].discard(place)
        return one is not None

    def _new(self, number: int) -> Iterator[Message]:
        log = self._logs[number]
        ranges = log.since(self._next[number])
        yield from log.messages(ranges)
        self._next[number] |= {one.partition: one.end_offset for one in ranges}
