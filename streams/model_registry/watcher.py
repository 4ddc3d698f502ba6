"""Follows the topic ``models`` for a worker."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from confluent_kafka import OFFSET_BEGINNING, KafkaError, Message

from models.embedder.card import Card, UnusableModel
from models.embedder.registry_snapshot import RegistrySnapshot
from schemas.rollout import ModelRecord
from streams.kafka.connection import KafkaUnavailable, admin_client, consumer
from streams.kafka.messages import TopicPartition, to_confluent
from streams.kafka.offsets import next_offsets
from streams.kafka.topics import Topic
from streams.kafka.unreadable import EVERY_S, ReadersUnreadable
from streams.model_registry.records import PARTITION, card_of, decode
from streams.settings import Settings

log = logging.getLogger(__name__)

_POLL_S = 0.25
_START_S = 30.0


class RegistryWatcher:
    """Reads the topic in a thread of its own; a context manager. Safe to use from any thread."""

    def __init__(self, settings: Settings, base: Card) -> None:
        self._topic = Topic.MODELS.named(settings)
        self._source = TopicPartition(self._topic, PARTITION)
        self._servers = settings.kafka
        self._settings = settings
        self._admin = admin_client(settings)
        self._base = base
        self._registry = RegistrySnapshot(base.version)
        self._cards: Mapping[str, Card] = {base.version: base}
        self._next_offset = 0
        self._moved = threading.Condition()
        self._stopped = False
        self._consumer = consumer(
            settings,
            f"facestream-models-{uuid.uuid4()}",
            {
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 1_000,
            },
        )
        self._unreadable = ReadersUnreadable(settings, self._consumer, self._topic)
        self._try_at = 0.0
        self._thread = threading.Thread(target=self._run, name="models", daemon=True)

    @property
    def registry(self) -> RegistrySnapshot:
        """The states of the versions."""
        return self._registry

    @property
    def cards(self) -> Mapping[str, Card]:
        """The cards of all versions on the topic, and of the base."""
        return self._cards

    def __enter__(self) -> Self:
        """Begin; return when everything on the topic has been read.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        self._consumer.assign([to_confluent(self._source, OFFSET_BEGINNING)])
        self._thread.start()
        try:
            self.catch_up(_START_S)
        except KafkaUnavailable:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop reading."""
        with self._moved:
            self._stopped = True
            self._moved.notify_all()
        self._thread.join()

    def catch_up(self, timeout_s: float = 5.0) -> None:
        """Return when everything that is on the topic at this moment has been read.

        Raises:
            KafkaUnavailable: that took too long.
        """
        deadline = time.monotonic() + timeout_s
        # The consumer is not asked, since it answers no other thread while it is polled.
        try:
            end = next_offsets(self._admin, [self._source])[self._source]
        except KafkaUnavailable:
            # After a broker's restart a client may ask the former leaders for minutes.
            self._admin = admin_client(self._settings)
            raise
        with self._moved:
            done = self._moved.wait_for(
                lambda: self._next_offset >= end or self._stopped, max(0.0, deadline - time.monotonic())
            )
        if not done:
            self._unreadable.tell()
            raise KafkaUnavailable(f"{self._servers} did not give all of {self._topic} within {timeout_s:g} s")

    def await_change(self, known: RegistrySnapshot, timeout_s: float) -> RegistrySnapshot:
        """The states, as soon as they differ from the known ones, the time is over, or this is closed."""
        with self._moved:
            self._moved.wait_for(lambda: self._registry is not known or self._stopped, timeout_s)
            return self._registry

    def _run(self) -> None:
        while not self._stopped:
            message = self._consumer.poll(_POLL_S)
            self._try_again()
            if message is None or self._cannot_be_read(message):
                continue
            error, offset = message.error(), message.offset() or 0
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                continue
            with self._moved:
                if error is None:
                    self._take(decode(message.value()))
                # At the end the offset is that of the next message: compaction leaves gaps behind the last one.
                self._next_offset = offset + (error is None)
                self._moved.notify_all()
        self._consumer.close()

    def _cannot_be_read(self, message: Message) -> bool:
        try:
            return self._unreadable.meets(message)
        except KafkaUnavailable as error:
            log.warning("%s", error)
            return True

    def _try_again(self) -> None:
        """Try regularly to go on where the topic could not be read: it may have been repaired, or passed over."""
        if self._unreadable.numbers and time.monotonic() > self._try_at:
            self._try_at = time.monotonic() + EVERY_S
            self._unreadable.begin({PARTITION: self._next_offset})
            self._consumer.assign([to_confluent(self._source, self._next_offset)])

    def _take(self, record: ModelRecord | None) -> None:
        if record is None:
            return
        try:
            self._cards = {**self._cards, record.version: card_of(record)}
        except UnusableModel:
            log.exception("a record on %s is passed over", self._topic)
            return
        self._registry = RegistrySnapshot.of(self._base.version, [*self._registry.records, record])
        log.info("%s is %s: %s", record.version, record.state, record.reason)
