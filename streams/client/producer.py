"""The client with which applications and cameras put uploads and frames on Kafka."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import defaultdict, deque
from collections.abc import Callable
from functools import partial

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, Message

from schemas.codec import encode
from schemas.ingest import Frame, Upload
from streams import traces
from streams.client.delivery_report import Delivered, DeliveryHandle
from streams.client.errors import BackPressure, ClientClosed, DeliveryFailed, InvalidEvent
from streams.client.sender import EventSender
from streams.client.settings import ClientOptions, ClientSettings
from streams.client.validation import checked_event
from streams.kafka.connection import make_producer
from streams.kafka.partition_counts import check_copartitioned, partition_counts
from streams.kafka.rights import why_not_written
from streams.kafka.topics import Topic
from streams.text import pluralize

LOG = logging.getLogger(__name__)

_POLL_S = 0.1
_WAIT_S = 0.005
_FLUSH_AT_EXIT_S = 5.0
_ENVELOPE_BYTES = 512
"""What Kafka's batch and record headers may add to key and value."""
_FAILED_KEPT = 10_000


class Producer(EventSender):
    """Sends uploads and frames; thread-safe; one a process is enough.

    Ids are sent in their canonical form (:mod:`schemas.ids`): an application may spell them as it likes, and finds the
    event id of the answer in ``DeliveryHandle.event_id``.

    Each event goes to the partition of its ``user_id``, is written once however often the network makes the client
    repeat it, and keeps its place behind the events that the same thread sent before for the same user, across both
    topics: a frame is not handed over before the uploads of its user have been delivered, nor an upload before frames.

    Example:
        >>> from pathlib import Path
        >>> from streams.client.producer import Producer
        >>> with Producer() as producer:                                                # doctest: +SKIP
        ...     producer.enrol("anna", Path("anna.jpg"), consent="door opening")
        ...     sent = producer.frame("anna", jpeg_bytes, camera_id="front-door")
        ...     print(handle.event_id, handle.result(timeout_s=10))
    """

    def __init__(
        self,
        settings: ClientOptions | None = None,
        *,
        on_delivery: Callable[[DeliveryHandle], None] | None = None,
        block_s: float = 30.0,
        delivery_timeout_s: float = 120.0,
        linger_ms: float = 5.0,
        queue_messages: int = 10_000,
        queue_bytes: int = 256 * 2**20,
        check_format: bool = True,
    ) -> None:
        """Prepare a client; it connects with the first event.

        Args:
            settings: where Kafka is and what is allowed; default: the process's environment.
            on_delivery: called with every event once its delivery report is there; must not block.
            block_s: how long a call may wait for room in the queue before it raises `BackPressure`.
            delivery_timeout_s: when the client gives up repeating and reports a failure.
            linger_ms: how long an event waits for company; a batch is cheaper than its events.
            queue_messages: events under way at most.
            queue_bytes: their bytes at most; raised to two of the largest messages if it is less.
            check_format: refuse bytes that do not begin like a picture that workers can read; without it the workers
                refuse them, and the refusal is on record.
        """
        super().__init__(settings or ClientSettings.from_environment(), check_format=check_format)
        if self.settings.traces:
            traces.start("producer")
        self._on_delivery = on_delivery
        self._block_s = block_s
        self._lock = threading.Lock()
        self._under_way: defaultdict[tuple[str, str], set[DeliveryHandle]] = defaultdict(set)
        self._failed: deque[DeliveryHandle] = deque(maxlen=_FAILED_KEPT)
        self._topics_checked = False
        max_bytes = self.settings.max_message_bytes
        self._fatal: list[KafkaError] = []
        self._kafka = make_producer(
            self.settings,
            {
                # 640×480 JPEGs, measured: lz4 saves no byte and costs up to a third of the rate.
                "compression.type": Topic.FRAMES.compression,
                "linger.ms": linger_ms,
                "message.max.bytes": max_bytes,
                "delivery.timeout.ms": int(delivery_timeout_s * 1_000),
                "queue.buffering.max.messages": queue_messages,
                "queue.buffering.max.kbytes": max(queue_bytes, 2 * max_bytes) // 1024,
            },
        )
        self._stop = threading.Event()
        poller = threading.Thread(
            target=_poll, args=(self._kafka, self._stop, self._fatal), name="facestream-producer", daemon=True
        )
        poller.start()
        # For an application that ends, or drops the client, without close().
        self._finalizer = weakref.finalize(self, _finish, self._kafka, self._stop, self._fatal)

    def send(self, event: Upload | Frame, *, timeout_s: float | None = None) -> DeliveryHandle:
        """Send an event that the caller has made.

        Other than by :meth:`enrol` and :meth:`frame`, the format of its picture is not checked; if workers cannot read
        it, they refuse it.

        Raises:
            InvalidEvent, BackPressure, TopicMissing, PartitionsDiffer, KafkaUnavailable: as :meth:`enrol`.
            DeliveryFailed: the client cannot go on after an earlier failure; make a new one.
        """
        deadline = time.monotonic() + (self._block_s if timeout_s is None else timeout_s)
        event = checked_event(event, self.settings)
        value, key = encode(event), event.user_id.encode()
        if len(value) + len(key) + _ENVELOPE_BYTES > self.settings.max_message_bytes:
            raise InvalidEvent(f"the event has {len(value)} bytes, more than FACESTREAM_MAX_MESSAGE_BYTES allows")
        topic = Topic.UPLOADS if isinstance(event, Upload) else Topic.FRAMES
        handle = DeliveryHandle(event.event_id, event.user_id, self._name(topic))
        self._await(event.user_id, Topic.FRAMES if topic is Topic.UPLOADS else Topic.UPLOADS, deadline)
        if self._on_delivery is not None:
            handle.add_done_callback(self._on_delivery)
        with self._lock:
            self._under_way[handle.user_id, handle.topic].add(handle)
        try:
            self._hand_over(handle, key, value, deadline)
        except BaseException:
            self._settle(handle)
            raise
        return handle

    def connect(self) -> None:
        """Check now, not with the first event, that Kafka answers and has the topics.

        Raises:
            TopicMissing, PartitionsDiffer, KafkaUnavailable: as :meth:`enrol`.
        """
        self._name(Topic.FRAMES)

    @property
    def under_way(self) -> int:
        """How many events have no delivery report yet."""
        with self._lock:
            return sum(map(len, self._under_way.values()))

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until every event so far has its delivery report; default: for as long as that takes.

        Raises:
            DeliveryFailed: an event since the last flush was not delivered, and nobody has asked
                its ``DeliveryHandle.result``; or some are still under way when the time is over.
        """
        deadline = time.monotonic() + (timeout_s if timeout_s is not None else threading.TIMEOUT_MAX)
        while _serve(self._kafka.flush, max(0.0, min(_POLL_S, deadline - time.monotonic())), self._fatal):
            if time.monotonic() >= deadline:
                break
        with self._lock:
            late = [handle for events in self._under_way.values() for handle in events]
            failed = [handle for handle in self._failed if not handle.asked]
            self._failed.clear()
        if failed:
            raise DeliveryFailed(
                f"{pluralize(len(failed), 'event was', 'events were')} not delivered: {failed[0].future.exception()}",
                [handle.event_id for handle in failed],
            )
        if late:
            raise DeliveryFailed(
                f"{pluralize(len(late), 'event has', 'events have')} not been delivered after {timeout_s} s",
                [handle.event_id for handle in late],
            )

    def close(self, timeout_s: float = 30.0) -> None:
        """Flush and disconnect; what is not delivered by then is given up, and its handle says so.

        Raises:
            DeliveryFailed: as :meth:`flush`.
        """
        if not self._finalizer.alive:
            return
        try:
            self.flush(timeout_s)
        finally:
            self._kafka.purge()
            self._finalizer()
            traces.flush()

    def _name(self, topic: Topic) -> str:
        """The topic's name on the cluster, once it is certain that the topics are as they must be."""
        if not self._finalizer.alive:
            raise ClientClosed("this producer is closed: make a new one")
        if not self._topics_checked:
            pair = (Topic.UPLOADS, Topic.FRAMES)
            check_copartitioned(partition_counts(self._kafka, self.settings), self.settings, pair)
            self._topics_checked = True
        return topic.named(self.settings)

    def _await(self, user_id: str, topic: Topic, deadline: float) -> None:
        """Wait for the events of a user on a topic that are under way now; not for those that others send meanwhile."""
        place = user_id, topic.named(self.settings)
        with self._lock:
            before = set(self._under_way.get(place, ()))
        while before:
            if time.monotonic() >= deadline:
                raise BackPressure(f"{topic} of {user_id!r} are still under way, and must not be overtaken")
            _serve(self._kafka.poll, _WAIT_S, self._fatal)
            with self._lock:
                before &= self._under_way.get(place, set())

    def _hand_over(self, handle: DeliveryHandle, key: bytes, value: bytes, deadline: float) -> None:
        while True:
            try:
                with traces.sent(handle.topic, handle.event_id) as headers:
                    self._kafka.produce(
                        handle.topic, value, key, on_delivery=partial(self._report, handle), headers=headers
                    )
                return
            except BufferError:
                if time.monotonic() >= deadline:
                    raise BackPressure(
                        f"{self.under_way - 1} events are under way and there is no room for more: send more slowly, "
                        "or see whether Kafka is well"
                    ) from None
                _serve(self._kafka.poll, _WAIT_S, self._fatal)
            except KafkaException as error:
                if error.args[0].code() == KafkaError._FATAL and not self._fatal:
                    _serve(self._kafka.poll, _WAIT_S, self._fatal)  # which says what was fatal
                why = self._why(handle, error.args[0])
                raise DeliveryFailed(f"Kafka's client cannot go on: {why}", [handle.event_id]) from error

    def _settle(self, handle: DeliveryHandle) -> None:
        place = handle.user_id, handle.topic
        with self._lock:
            self._under_way[place].discard(handle)
            if not self._under_way[place]:
                del self._under_way[place]

    def _report(self, handle: DeliveryHandle, error: KafkaError | None, message: Message) -> None:
        self._settle(handle)
        if error is None:
            partition, offset = message.partition(), message.offset()
            handle.future.set_result(Delivered(handle.topic, int(partition or 0), int(offset or 0)))
            return
        with self._lock:
            self._failed.append(handle)
        handle.future.set_exception(
            DeliveryFailed(
                f"{handle.topic} did not take event {handle.event_id}: {self._why(handle, error)}",
                [handle.event_id],
            )
        )

    def _why(self, handle: DeliveryHandle, error: KafkaError) -> str:
        """What to say of an event that was not delivered; a first error may be the cause that all later ones are."""
        return why_not_written(self.settings, handle.topic, next(iter(self._fatal), error))


def _poll(kafka: confluent_kafka.Producer, stop: threading.Event, fatal: list[KafkaError]) -> None:
    """Serve delivery reports; knows the client only, so that a dropped Producer can be collected."""
    while not stop.is_set():
        _serve(kafka.poll, _POLL_S, fatal)


def _serve(call: Callable[[float], int], timeout_s: float, fatal: list[KafkaError]) -> int:
    """Poll or flush; an error after which the client cannot go on is noted, and whoever asks next is told of it."""
    try:
        return call(timeout_s)
    except KafkaException as error:
        fatal.append(error.args[0])
        return 1


def _finish(kafka: confluent_kafka.Producer, stop: threading.Event, fatal: list[KafkaError]) -> None:
    if rest := _serve(kafka.flush, _FLUSH_AT_EXIT_S, fatal):
        LOG.error("%d events were not delivered: close the producer, or use it in a with statement", rest)
    stop.set()
