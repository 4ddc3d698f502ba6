"""Sends the messages of dead letters back to where they came from, each at most once.

In this order, for a few letters at a time: a resolution ``sending`` is written for each; the topic is read again to see
that no other replay was first; the messages are sent, with their keys and headers; a resolution ``sent`` is written.
Whoever is killed between the second step and the last leaves letters ``sending``, of which nobody knows whether their
messages were sent. They are shown, and left alone until a person asks for them with ``retry``.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import confluent_kafka
from confluent_kafka import KafkaError

from schemas import codec
from schemas.clock import utc_now
from schemas.dead_letters import DeadLetter, Resolution, ResolutionState
from schemas.errors import CodecError
from schemas.ids import begins, canonical
from schemas.ingest import Upload
from streams.dead_letters.errors import DeadLetterError
from streams.dead_letters.store import DeadLetterRecord, DeadLetterStatus, Resolutions, check_reasons, read_records
from streams.kafka.connection import KafkaUnavailable, make_producer, metadata
from streams.kafka.topics import Topic
from streams.privacy.erasures import Erasures, read_erasures
from streams.settings import Settings

_AT_ONCE = 50
_BYTES_AT_ONCE = 32 * 2**20
_FLUSH_S = 120.0


@dataclass(frozen=True, slots=True)
class RedriveFilter:
    """Which dead letters to send back; an empty filter lets all pass. ``retry`` includes those that are ``sending``."""

    reasons: Collection[str] = ()
    stage: str | None = None
    letter_ids: Collection[str] = ()
    retry: bool = False
    topic: str | None = None

    def has(self, one: DeadLetterRecord) -> bool:
        """Whether a letter is among them and may be sent."""
        return self.names(one) and one.standing in (
            (DeadLetterStatus.OPEN, DeadLetterStatus.SENDING) if self.retry else (DeadLetterStatus.OPEN,)
        )

    def names(self, one: DeadLetterRecord) -> bool:
        """Whether a letter is among them, however it stands."""
        return (
            (not self.reasons or one.letter.reason in self.reasons)
            and self.stage in (None, one.letter.stage)
            and self.topic in (None, one.letter.topic)
            and (not self.letter_ids or any(begins(one.letter.letter_id, word) for word in self.letter_ids))
        )


@dataclass(frozen=True, slots=True)
class RedriveSelection:
    """What a filter finds.

    Attributes:
        reasons: how many dead letters would be sent back, by reason.
        standings: how many have the filter's reason, stage and ids, by how they stand.
        missing: beginnings of ids that no dead letter has.
    """

    reasons: Counter[str]
    standings: Counter[DeadLetterStatus]
    missing: Collection[str]

    @classmethod
    def of(cls, wanted: RedriveFilter, records: Iterable[DeadLetterRecord]) -> RedriveSelection:
        """Count the records of a filter."""
        reasons: Counter[str] = Counter()
        standings: Counter[DeadLetterStatus] = Counter()
        missing = set(wanted.letter_ids)
        for one in records:
            if wanted.names(one):
                standings[one.standing] += 1
                missing -= {word for word in missing if begins(one.letter.letter_id, word)}
                if wanted.has(one):
                    reasons[one.letter.reason] += 1
        return cls(reasons, standings, missing)


def select(settings: Settings, wanted: RedriveFilter) -> RedriveSelection:
    """Count what a redrive would send back now.

    Raises:
        DeadLetterError: a reason does not exist, or no dead letter has one of the ids.
        KafkaUnavailable: no broker answers.
        TopicMissing: the topics have not been created.
    """
    check_reasons(wanted.reasons)
    selection = RedriveSelection.of(wanted, read_records(settings))
    if selection.missing:
        raise DeadLetterError(f"there is no dead letter {', '.join(sorted(selection.missing))}: nothing was sent")
    return selection


@dataclass(slots=True)
class RedriveCounts:
    """What became of letters: ``left`` ones were taken by another replay, or must not go back."""

    sent: int = 0
    left: int = 0
    failed: int = 0
    problems: list[str] = field(default_factory=list)


class Redrive:
    """One replay of dead letters."""

    def __init__(
        self,
        settings: Settings,
        replay_id: str,
        *,
        rate: float | None = None,
        report: Callable[[RedriveCounts], None] = lambda tally: None,
        sent: Callable[[DeadLetter, int, int], None] = lambda letter, partition, offset: None,
    ) -> None:
        """Prepare it.

        Args:
            settings: of the cluster.
            replay_id: its id.
            rate: letters a second; None: as fast as possible.
            report: called with the counts.
            sent: called with each letter whose message was sent, and the partition and offset at which it is now.
        """
        self.tally = RedriveCounts()
        self._settings = settings
        self._replay_id = replay_id
        self._rate = rate
        self._report = report
        self._sent = sent
        self._resolutions_topic = Topic.RESOLUTIONS.named(settings)
        self._producer = make_producer(
            settings,
            {
                "message.max.bytes": Topic.DEAD_LETTERS.max_message_bytes(settings),
                "queue.buffering.max.kbytes": 2 * _BYTES_AT_ONCE // 1024,
            },
        )

    def run(self, wanted: RedriveFilter) -> Iterator[RedriveCounts]:
        """Send letters back, a few at a time; between two of them it may be stopped.

        Raises:
            KafkaUnavailable: no broker answers; some letters may be left ``sending``.
        """
        began = time.monotonic()
        topics = metadata(self._producer, self._settings).topics
        erased = read_erasures(self._settings)
        with Resolutions(self._settings) as resolutions:
            for some in _chunks(one for one in read_records(self._settings) if wanted.has(one)):
                here = []
                for one in some:
                    problem = _why_not(one.letter, topics, erased)
                    if problem is None:
                        here.append(one)
                    else:
                        self.tally.left += 1
                        self.tally.problems.append(f"{one.letter.letter_id}: {problem}")
                self._send(here, resolutions)
                self._report(self.tally)
                yield self.tally
                if self._rate is not None:
                    time.sleep(max(0.0, began + self.tally.sent / self._rate - time.monotonic()))

    def _send(self, letters: list[DeadLetterRecord], resolutions: Resolutions) -> None:
        for one in letters:
            retries = None if one.resolution is None else one.resolution.replay_id
            self._resolve(one, ResolutionState.SENDING, retries=retries)
        self._flush()
        resolutions.refresh()
        sent: dict[str, confluent_kafka.Message] = {}
        ours = []
        for one in letters:
            now = resolutions.of(one.letter.letter_id)
            if now is None or now.replay_id != self._replay_id or now.state is not ResolutionState.SENDING:
                self.tally.left += 1
                continue
            ours.append(one)
            self._produce(one, sent)
        self._flush()
        self._note_sent(ours, sent)

    def _note_sent(self, letters: list[DeadLetterRecord], sent: dict[str, confluent_kafka.Message]) -> None:
        for one in letters:
            message = sent.get(one.letter.letter_id)
            if message is not None:
                self._resolve(one, ResolutionState.SENT, message=message)
                self.tally.sent += 1
                self._sent(one.letter, message.partition() or 0, message.offset() or 0)
        self._flush()

    def _produce(self, one: DeadLetterRecord, sent: dict[str, confluent_kafka.Message]) -> None:
        letter = one.letter

        def delivered(error: KafkaError | None, message: confluent_kafka.Message) -> None:
            if error is None:
                sent[letter.letter_id] = message
            else:
                self.tally.failed += 1
                self.tally.problems.append(f"{letter.letter_id}: {letter.topic} did not take it: {error.str()}")

        headers: list[tuple[str, str | bytes | None]] = [(header.name, header.value) for header in letter.headers]
        # By its key, as its producer would have; without one, to where it was.
        partition = -1 if letter.key else letter.partition
        self._producer.produce(
            letter.topic, letter.value, letter.key, partition, on_delivery=delivered, headers=headers
        )

    def _resolve(
        self,
        one: DeadLetterRecord,
        state: ResolutionState,
        *,
        retries: str | None = None,
        message: confluent_kafka.Message | None = None,
    ) -> None:
        letter = one.letter
        resolution = Resolution(
            resolution_id=codec.stable_id(letter.letter_id, self._replay_id, state),
            letter_id=letter.letter_id,
            replay_id=self._replay_id,
            state=state,
            topic=letter.topic,
            resolved_at=utc_now(),
            retries=retries,
            partition=None if message is None else message.partition(),
            offset=None if message is None else message.offset(),
        )

        def delivered(error: KafkaError | None, _: confluent_kafka.Message) -> None:
            if error is not None:
                self.tally.problems.append(f"{letter.letter_id}: it cannot be noted as {state}: {error.str()}")

        self._producer.produce(
            self._resolutions_topic,
            codec.encode(resolution),
            letter.letter_id.encode(),
            letter.partition,
            on_delivery=delivered,
        )

    def _flush(self) -> None:
        if self._producer.flush(_FLUSH_S):
            raise KafkaUnavailable("Kafka takes no more: see `facestream dead-letters list` for those left sending")


def _why_not(letter: DeadLetter, topics: Collection[str], erased: Erasures) -> str | None:
    """Why a message must not go back, if so: it comes as a new one, and would bring back whom it names."""
    if letter.topic not in topics:
        return f"topic {letter.topic} is not there"
    if letter.value is None:
        return "its bytes are not in the letter: have its producer send it again"
    if letter.key is None:
        return None
    user_id, at_ms = canonical(letter.key.decode(errors="replace")), round(letter.failed_at.timestamp() * 1000)
    with suppress(CodecError):
        upload = codec.decode(letter.value, Upload)
        if erased.covers_photo(at_ms, user_id, upload.subject_id, upload.event_id, upload.picture.sha256):
            return "it is of a photo that has been erased"
        return "it is of a subject who has been erased" if erased.covers(at_ms, user_id, [upload.subject_id]) else None
    return "it is of a user who has been erased, or has a subject who has" if erased.touches(at_ms, user_id) else None


def _chunks(letters: Iterable[DeadLetterRecord]) -> Iterator[list[DeadLetterRecord]]:
    chunk: list[DeadLetterRecord] = []
    size = 0
    for one in letters:
        chunk.append(one)
        size += len(one.letter.value or b"")
        if len(chunk) == _AT_ONCE or size > _BYTES_AT_ONCE:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
