"""Takes partitions over for a sink: where its predecessor stopped, and with the predecessor shut out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from confluent_kafka import KafkaException

from sinks.base import BatchProcessor, Position, RewindRequest, SinkUnavailable
from streams.engine.sink_commits import SinkCommits
from streams.engine.sink_progress import SinkProgress
from streams.kafka.messages import TopicPartition
from streams.privacy.erasures import Erasures


class KnowsOffsets(Protocol):
    """What Kafka knows of partitions, as :class:`streams.engine.start_offsets.StartOffsets` asks it."""

    def topic_ids(self, partitions: Sequence[TopicPartition]) -> dict[str, str]:
        """The ids of the partitions' topics."""

    def positions(self, partitions: Sequence[TopicPartition], topic_ids: dict[str, str]) -> list[Position]:
        """Where reading goes on."""

    def rewind(self, position: Position, request: RewindRequest) -> Position:
        """The position from which to read again what the service has lost."""


class CatchesUp(Protocol):
    """What erases, as :class:`streams.engine.sink_erasure.SinkEraser` does."""

    def catch_up(self, positions: list[Position], erased: Erasures) -> None:
        """Have erased what nobody has erased meanwhile, and move the positions of ``erasures`` behind that."""


class SinkClaim:
    """Takes over for one worker; for one thread."""

    def __init__(
        self,
        processor: BatchProcessor[Any],
        topics: frozenset[str],
        offsets: KnowsOffsets,
        eraser: CatchesUp,
        erased: Erasures,
        progress: SinkProgress,
        commits: SinkCommits,
    ) -> None:
        """``topics`` are those that the sink knows; of ``erasures`` it knows nothing."""
        self._processor = processor
        self._topics = topics
        self._offsets = offsets
        self._eraser = eraser
        self._erased = erased
        self._progress = progress
        self._commits = commits

    def take_over(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Let the sink find out what was written and shut predecessors out.

        Returns:
            Where to begin to read each partition.

        Raises:
            SinkUnavailable: not now; the call is repeated.
        """
        ids = self._commits.topic_ids = self._offsets.topic_ids(partitions)
        positions = self._offsets.positions(partitions, ids)
        requests = self._processor.assign([one for one in positions if one.partition.topic in self._topics])
        self._eraser.catch_up(positions, self._erased)
        positions = [
            self._offsets.rewind(one, requests[one.partition]) if one.partition in requests else one
            for one in positions
        ]
        done = {one.partition: self._progress.done_to(one.partition, one.offset) for one in positions}
        try:
            # A successor learns from the notes what to shut out, so they must be with Kafka before the first write.
            self._commits.commit(done)
        except KafkaException as error:
            raise SinkUnavailable(f"Kafka does not take the commit: {error}") from error
        return {one.partition: one.offset for one in positions}
