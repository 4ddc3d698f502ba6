"""Writes batches: every result goes to the sink, is held until an erasure is done, or becomes a dead letter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, Protocol

from schemas.dead_letters import DeadLetter
from schemas.erasure import Erasure
from sinks.base import BatchProcessor, Delivery, RejectedRow, SinkUnavailable
from streams.dead_letters.records import dead_letter
from streams.engine.held_results import HeldResults
from streams.engine.sink_batch import SinkBatch
from streams.engine.sink_retry import SinkRetry
from streams.kafka.messages import Message, TopicPartition
from streams.observability import metrics
from streams.privacy.erasures import E, Erasures
from streams.roles import Role

_MOST_HELD = 5_000
"""More results than that are not held: nothing more is read then."""


class SendsDeadLetters(Protocol):
    """Where dead letters go."""

    def letters(self, letters: Sequence[DeadLetter]) -> None:
        """Deliver them.

        Raises:
            SinkUnavailable: not all of them were taken; all are to be sent again.
        """


class Erases(Protocol):
    """What erases beside the writing, as :class:`streams.engine.sink_erasure.SinkEraser` does."""

    def add(self, message: Message, erasure: Erasure) -> None:
        """Have it erased."""

    def waits(self) -> set[str]:
        """Users of whom something is still to be erased."""


class ResultWriter(Generic[E]):
    """Writes for one worker; for one thread.

    Every call may wait as long as the sink or Kafka is away, and raises what :class:`SinkRetry` raises.
    """

    def __init__(
        self,
        role: Role,
        processor: BatchProcessor[E],
        dead_letters: SendsDeadLetters,
        eraser: Erases,
        erased: Erasures,
        held: HeldResults[E],
        retry: SinkRetry,
    ) -> None:
        """``erased`` and ``held`` are shared with the worker, which fills the one and clears the other."""
        self._role = role
        self._processor = processor
        self._dead_letters = dead_letters
        self._eraser = eraser
        self._erased = erased
        self._held = held
        self._retry = retry

    def write(self, batch: SinkBatch[E]) -> None:
        """Begin the batch's erasures and write its results, but for those that wait for an erasure."""
        # Erasures first, or one would take what came after it.
        for message, erasure in batch.erasures:
            self._erased.add(erasure, message.timestamp_ms)
            self._eraser.add(message, erasure)
        deliveries = self._erased.left(batch.deliveries, batch.messages)
        deliveries = self._held.take_in(deliveries, batch.messages, self._eraser.waits())
        self._write(deliveries, batch.messages, batch.dead_letters)

    def write_released(self) -> bool:
        """Write what waited for an erasure that is done; say whether there was anything."""
        deliveries, messages = self._held.released(self._eraser.waits()) if len(self._held) else ([], {})
        if not messages:
            return False
        # Another erasure may have been asked for since.
        self._write(self._erased.left(deliveries, messages), messages, [])
        self._held.forget(messages.keys())
        return True

    def await_room(self) -> None:
        """Where too much is held, wait until some of it may be written."""

        def released() -> None:
            if not self._held.released(self._eraser.waits())[0]:
                raise SinkUnavailable(f"{len(self._held)} results wait for an erasure")

        if len(self._held) > _MOST_HELD:
            self._retry.until_available(released, "reading on")

    def _write(
        self,
        deliveries: list[Delivery[E]],
        messages: Mapping[tuple[TopicPartition, int], Message],
        dead_letters: list[DeadLetter],
    ) -> None:
        """Write deliveries until each is in the sink or a dead letter, and send the dead letters."""

        def write() -> None:
            with metrics.timed(self._role, "deliver"):
                self._processor.write(deliveries)

        while deliveries:
            try:
                self._retry.until_available(write, f"writing {len(deliveries)} events")
                break
            except RejectedRow as error:
                for rejection in error.rejections:
                    one = rejection.delivery
                    message = messages[one.partition, one.offset]
                    dead_letters.append(dead_letter(message, self._role, RejectedRow([rejection])))
                rejected = {(one.partition, one.offset) for one in error.deliveries}
                deliveries = [one for one in deliveries if (one.partition, one.offset) not in rejected]
        if dead_letters:
            self._retry.until_available(lambda: self._dead_letters.letters(dead_letters), "sending dead letters")
