"""Finds the vectors of frames on ``embeddings``, when their matches have come.

The embedding of a match lies in the log before it. So what is not found up to the end of the log is gone, and nothing
has to be waited for: whoever reads the same matches finds the same vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from schemas import codec
from schemas.embeddings import Embedding
from schemas.errors import CodecError
from sinks.base import SinkUnavailable
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.log_reader import LogReader, LogTruncated
from streams.kafka.messages import Message
from streams.kafka.topics import Topic, TopicMissing
from streams.settings import Settings
from streams.sightings.observations import FrameVectors, is_of_a_live_frame

_BEGINNING = datetime.fromtimestamp(0, UTC)
_CLOCKS_DIFFER = timedelta(minutes=10)
_AT_ONCE = 1_000
"""Messages of a partition that are read before the next look whether all has been found."""
_WAITING = 10_000
"""Frames of a partition whose matches have not come; beyond that the oldest are dropped."""


@dataclass(slots=True)
class _Partition:
    next_offset: int
    reached: datetime = _BEGINNING
    """When the last embedding was made that has been read."""
    waiting: dict[str, tuple[int, FrameVectors]] = field(default_factory=dict)
    """Offset and vectors, by event id, oldest first."""


class FrameVectorLog:
    """Reads the partitions of ``embeddings`` no further than is asked for; for one thread."""

    def __init__(self, settings: Settings) -> None:
        """Connects when it is asked something."""
        self._log = LogReader(settings, Topic.EMBEDDINGS)
        self._partitions: dict[int, _Partition] = {}

    def begin(self, number: int, offset: int) -> None:
        """Read a partition from here on."""
        self._partitions[number] = _Partition(offset)

    def end(self, number: int) -> None:
        """Forget a partition."""
        self._partitions.pop(number, None)

    def first_offset(self, number: int) -> int:
        """The offset of the first message that may be needed again."""
        one = self._partitions[number]
        return next((offset for offset, _ in one.waiting.values()), one.next_offset)

    def take(self, wanted: Mapping[int, Mapping[str, datetime]]) -> dict[str, FrameVectors]:
        """The vectors of frames, by event id; those of frames that are not on the topic any more are missing.

        Args:
            wanted: when each frame was answered, by the number of the partition and the event id.

        Raises:
            SinkUnavailable: Kafka does not tell; nothing is taken.
        """
        try:
            while missing := self._missing(wanted):
                if not self._read_on(missing):
                    break
        except (KafkaUnavailable, TopicMissing) as error:
            raise SinkUnavailable(str(error)) from error
        found = {}
        for number, ids in wanted.items():
            for event_id in ids:
                if (one := self._partitions[number].waiting.pop(event_id, None)) is not None:
                    found[event_id] = one[1]
        return found

    def _missing(self, wanted: Mapping[int, Mapping[str, datetime]]) -> list[int]:
        """The partitions that have to be read on: what was made well after the answer lies behind what is wanted."""
        missing = []
        for number, ids in wanted.items():
            one = self._partitions[number]
            if any(i not in one.waiting and at + _CLOCKS_DIFFER > one.reached for i, at in ids.items()):
                missing.append(number)
        return missing

    def _read_on(self, numbers: Sequence[int]) -> bool:
        """Read some more of these partitions; say whether there was anything."""
        positions = {number: self._partitions[number].next_offset for number in numbers}
        ranges = [one for one in self._log.since(positions) if one.partition in positions]
        ranges = [replace(one, end_offset=min(one.end_offset, one.first_offset + _AT_ONCE)) for one in ranges]
        if not ranges:
            return False
        try:
            for message in self._log.messages(ranges):
                self._add(message)
        except LogTruncated:
            return True  # The brokers have just removed the oldest: look again what is there.
        for one in ranges:
            self._partitions[one.partition].next_offset = one.end_offset
        return True

    def _add(self, message: Message) -> None:
        if codec.kind(message.value) is not Embedding:
            return
        try:
            embedding = codec.decode(message.value, Embedding)
        except CodecError:
            return
        partition = self._partitions[message.source.partition]
        if embedding.replay_id is None:
            partition.reached = max(partition.reached, embedding.timings.embedded_at)
        if is_of_a_live_frame(embedding):
            waiting = partition.waiting
            waiting.setdefault(embedding.event_id, (message.offset, FrameVectors.of(embedding)))
            if len(waiting) > _WAITING:
                del waiting[next(iter(waiting))]
