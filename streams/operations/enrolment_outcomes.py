"""Waits for what match has decided about imported templates."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from schemas import codec, raw_records, template_records
from schemas.dead_letters import DeadLetter
from schemas.embeddings import TemplateBatch
from schemas.errors import CodecError
from schemas.ids import canonical, event_id_or_same
from schemas.results import Enrolment
from streams.kafka.log_reader import LogReader
from streams.kafka.messages import Message
from streams.kafka.topics import Topic
from streams.settings import Settings

_ASK_S = 0.05

EventKey = tuple[str, str]
"""User and event id."""


@dataclass(frozen=True, slots=True)
class EnrolmentOutcome:
    """What became of one: ``refusal`` is the reason if it was not enrolled or is a dead letter, else None.

    ``repeats``: the photo has a template of another upload.
    """

    refusal: str | None
    repeats: bool


def read_outcome(value: bytes, replay_id: str) -> tuple[EventKey, EnrolmentOutcome] | None:
    """Whose outcome an encoded enrolment is, and which; None: it is of another replay.

    Raises:
        CodecError: it is no enrolment.
    """
    record = raw_records.read(value, Enrolment)
    if record is None:
        event = codec.decode(value, Enrolment)
        if event.replay_id != replay_id:
            return None
        reason = None if event.refusal is None else event.refusal.reason
        return (event.user_id, event.event_id), EnrolmentOutcome(reason, event.repeats is not None)
    if record["replay_id"] != replay_id:
        return None
    refusal = record["refusal"]
    return (
        (canonical(record["user_id"]), event_id_or_same(record["event_id"])),
        EnrolmentOutcome(None if refusal is None else refusal["reason"], record["repeats"] is not None),
    )


class EnrolmentOutcomes:
    """Follows ``enrolments`` and ``dead-letters`` from now on; a context manager, for one thread."""

    def __init__(self, settings: Settings, replay_id: str) -> None:
        """Learn where the topics end; to be made before anything is sent.

        Raises:
            KafkaUnavailable: no broker answers.
            TopicMissing: the topics have not been created.
        """
        self._replay_id = replay_id
        self._logs = [LogReader(settings, topic) for topic in (Topic.ENROLMENTS, Topic.DEAD_LETTERS)]
        self._next = [{n: end for n, (_, end) in log.bounds().items()} for log in self._logs]
        self._pending: set[EventKey] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for log in self._logs:
            log.close()

    @property
    def pending(self) -> int:
        """How many have had no outcome."""
        return len(self._pending)

    def expect(self, sent: Collection[EventKey]) -> None:
        """Wait for these, too; to be called before they are sent."""
        self._pending |= set(sent)

    def come(self, patience_s: float, most: int = 0) -> Iterator[EnrolmentOutcome]:
        """The outcomes as they come; ends when ``most`` are pending, or when none has come for so long.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        last = time.monotonic()
        while len(self._pending) > most:
            for key, outcome in [*self._enrolments(), *self._letters()]:
                if key in self._pending:
                    self._pending.discard(key)
                    last = time.monotonic()
                    yield outcome
            if len(self._pending) > most:
                if time.monotonic() - last > patience_s:
                    return
                time.sleep(_ASK_S)

    def _enrolments(self) -> Iterator[tuple[EventKey, EnrolmentOutcome]]:
        for message in self._new(0):
            if message.value is None or self._replay_id.encode() not in message.value:
                continue
            with suppress(CodecError):
                found = read_outcome(message.value, self._replay_id)
                if found is not None:
                    yield found

    def _letters(self) -> Iterator[tuple[EventKey, EnrolmentOutcome]]:
        for message in self._new(1):
            with suppress(CodecError):
                letter = codec.decode(message.value, DeadLetter)
                batch = codec.decode(letter.value, TemplateBatch)
                if batch.replay_id == self._replay_id:
                    for key in {(batch.user_id, template_records.decode(one).template_id) for one in batch.templates}:
                        yield key, EnrolmentOutcome(letter.reason, repeats=False)

    def _new(self, number: int) -> Iterator[Message]:
        log = self._logs[number]
        ranges = log.since(self._next[number])
        yield from log.messages(ranges)
        self._next[number] |= {one.partition: one.end_offset for one in ranges}
