"""What a sink's worker has read at once, sorted by what is to be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic

from schemas.dead_letters import DeadLetter
from schemas.erasure import Erasure
from sinks.base import Delivery
from streams.dead_letters.records import dead_letter
from streams.kafka import decoding
from streams.kafka.decoding import decode
from streams.kafka.messages import Message, TopicPartition
from streams.privacy.erasures import E
from streams.roles import Role


@dataclass(frozen=True, slots=True)
class SinkBatch(Generic[E]):
    """Deliveries, what is to be erased, and what to commit once that is done."""

    deliveries: list[Delivery[E]] = field(default_factory=list)
    erasures: list[tuple[Message, Erasure]] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    messages: dict[tuple[TopicPartition, int], Message] = field(default_factory=dict)
    next_offsets: dict[TopicPartition, int] = field(default_factory=dict)

    def add(self, message: Message, topics: Mapping[str, type[E]], role: Role, *, makes_dead_letters: bool) -> None:
        """Sort a message in: a result of one of these topics, or else an erasure.

        Erased is when match has: nothing from before is written any more, all that comes after is. Messages that cannot
        be read become dead letters of the role, or are left out where it makes none.
        """
        partition = message.source
        self.next_offsets[partition] = message.offset + 1
        self.messages[partition, message.offset] = message
        if partition.topic not in topics:
            self._add_erasure(message)
            return
        try:
            event = decode(message, topics[partition.topic])
        except decoding.InvalidMessage as error:
            if makes_dead_letters:
                self.dead_letters.append(dead_letter(message, role, error))
        else:
            self.deliveries.append(Delivery(partition, message.offset, event))

    def _add_erasure(self, message: Message) -> None:
        try:
            erasure = decoding.read(message, Erasure)
        except decoding.InvalidMessage:
            return  # match makes a dead letter of it
        if erasure.stage == Role.MATCH:
            self.erasures.append((message, erasure))
