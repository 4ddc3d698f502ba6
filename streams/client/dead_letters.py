"""Which events could not be processed: the end of the topic ``dead-letters``, read while somebody waits in vain."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import OrderedDict
from contextlib import suppress

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from schemas import codec
from schemas.dead_letters import DeadLetter
from schemas.errors import CodecError
from streams.client.settings import ClientOptions
from streams.kafka.connection import KafkaUnavailable, consumer, metadata
from streams.kafka.topics import Topic
from streams.roles import Role

LOG = logging.getLogger(__name__)

_STAGES = {Role.EMBED.value, Role.MATCH.value, Role.SINK_REDIS.value}
"""The stages on the way to an answer."""
_POLL_S = 0.2
_AT_ONCE = 100
_KEPT = 10_000
_ASK_S = 5.0
_AGAIN_S = 5.0


class DeadLetterWatch:
    """Reads ``dead-letters`` in a thread of its own, from when it is started on.

    A client that may not read the topic, or cannot, learns of no dead letter; its questions then end by their time.
    """

    def __init__(self, settings: ClientOptions) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._found: OrderedDict[str, DeadLetter] = OrderedDict()
        self._thread: threading.Thread | None = None

    def start(self, since: float) -> None:
        """Read what was written after this time (seconds since 1970) and what comes; once."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, args=(since,), name="facestream-dead-letters", daemon=True
            )
            self._thread.start()

    def find(self, event_id: str) -> DeadLetter | None:
        """The newest dead letter of an event, as far as the topic has been read."""
        with self._lock:
            return self._found.get(event_id)

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2 * _ASK_S)

    def _run(self, since: float) -> None:
        reader = consumer(self._settings, f"facestream-client-{uuid.uuid4()}", {})
        told = False
        try:
            while not self._stop.is_set():
                try:
                    self._assign(reader, since)
                    self._read(reader)
                except (KafkaException, KafkaUnavailable) as error:
                    if not told:
                        LOG.warning("dead letters cannot be read, so a question about one ends by its time: %s", error)
                    told = True
                    since = min(since, time.time())
                    self._stop.wait(_AGAIN_S)
        finally:
            reader.close()

    def _assign(self, reader: Consumer, since: float) -> None:
        name = Topic.DEAD_LETTERS.named(self._settings)
        there = metadata(reader, self._settings).topics.get(name)
        wanted = [TopicPartition(name, number, int(1000 * since)) for number in (there.partitions if there else ())]
        if not wanted:
            raise KafkaUnavailable(f"there is no topic {name}")
        at = reader.offsets_for_times(wanted, timeout=_ASK_S)
        for partition in at:
            if partition.error is not None:
                raise KafkaException(partition.error)
            if partition.offset < 0:
                partition.offset = OFFSET_END
        reader.assign(at)

    def _read(self, reader: Consumer) -> None:
        while not self._stop.is_set():
            for message in reader.consume(_AT_ONCE, _POLL_S):
                if (error := message.error()) is not None:
                    raise KafkaException(error)
                with suppress(CodecError):
                    self._keep(codec.decode(message.value(), DeadLetter))

    def _keep(self, letter: DeadLetter) -> None:
        event_id = codec.event_id(letter.value)
        if event_id is None or letter.stage not in _STAGES or _of_a_replay(letter.value):
            return
        with self._lock:
            self._found[event_id] = letter
            if len(self._found) > _KEPT:
                self._found.popitem(last=False)


def _of_a_replay(value: bytes | None) -> bool:
    """Whether the message was a replay's, which says nothing of the answer to the live event."""
    kind = codec.kind(value)
    if kind is None:
        return False
    try:
        return getattr(codec.decode(value, kind), "replay_id", None) is not None
    except CodecError:
        return False
