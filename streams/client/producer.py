"""The client with which applications and cameras put uploads and frames on Kafka."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, Message

from schemas.codec import encode
from schemas.events import Consent, Frame, Mode, Upload, new_event_id, utc_now
from schemas.ids import checked_name
from streams.client.delivery_report import BackPressure, Delivered, DeliveryFailed, Sent
from streams.client.validation import checked_event, checked_picture
from streams.kafka.connection import client_config
from streams.kafka.partition_counts import check_copartitioned, partition_counts
from streams.kafka.topics import Topic
from streams.settings import Settings
from streams.settings import settings as process_settings
from streams.text import pluralize

LOG = logging.getLogger(__name__)

_POLL_S = 0.1
_WAIT_S = 0.005
_FLUSH_AT_EXIT_S = 5.0
_ENVELOPE_BYTES = 512
"""What Kafka's batch and record headers may add to key and value."""
_FAILED_KEPT = 10_000


class Producer:
    """Sends uploads and frames; thread-safe; one a process is enough.

    Ids are sent in their canonical form (:mod:`schemas.ids`): an application may spell them as it likes, and finds the
    event id of the answer in ``Sent.event_id``.

    Each event goes to the partition of its ``user_id``, is written once however often the network makes the client
    repeat it, and keeps its place behind the events that the same thread sent before for the same user, across both
    topics: a frame is not handed over before the uploads of its user have been delivered, nor an upload before frames.

    Example:
        >>> from pathlib import Path
        >>> from streams.client.producer import Producer
        >>> with Producer() as producer:                                                # doctest: +SKIP
        ...     producer.enrol("anna", Path("anna.jpg"), consent="door opening")
        ...     sent = producer.frame("anna", jpeg_bytes, camera_id="front-door")
        ...     print(sent.event_id, sent.result(timeout_s=10))
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        on_delivery: Callable[[Sent], None] | None = None,
        block_s: float = 30.0,
        delivery_timeout_s: float = 120.0,
        linger_ms: float = 5.0,
        queue_messages: int = 10_000,
        queue_bytes: int = 256 * 2**20,
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
        """
        self.settings = settings or process_settings()
        self._on_delivery = on_delivery
        self._block_s = block_s
        self._lock = threading.Lock()
        self._sequences: Counter[tuple[str, str]] = Counter()
        self._under_way: defaultdict[tuple[str, str], set[Sent]] = defaultdict(set)
        self._failed: deque[Sent] = deque(maxlen=_FAILED_KEPT)
        self._topics_checked = False
        max_bytes = self.settings.max_message_bytes
        self._kafka = confluent_kafka.Producer(
            client_config(self.settings)
            | {
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "acks": "all",
                # 640×480 JPEGs, measured: lz4 saves no byte and costs up to a third of the rate.
                "compression.type": Topic.FRAMES.compression,
                "linger.ms": linger_ms,
                "message.max.bytes": max_bytes,
                "delivery.timeout.ms": int(delivery_timeout_s * 1_000),
                "queue.buffering.max.messages": queue_messages,
                "queue.buffering.max.kbytes": max(queue_bytes, 2 * max_bytes) // 1024,
            }
        )
        self._stop = threading.Event()
        poller = threading.Thread(target=_poll, args=(self._kafka, self._stop), name="facestream-producer", daemon=True)
        poller.start()
        # For an application that ends, or drops the client, without close().
        self._finalizer = weakref.finalize(self, _finish, self._kafka, self._stop)

    def enrol(
        self,
        user_id: str,
        photo: bytes | Path | str,
        *,
        consent: Consent | str,
        subject_id: str | None = None,
        sha256: str | None = None,
        event_id: str | None = None,
        timeout_s: float | None = None,
    ) -> Sent:
        """Send an enrolment photo: one person, to be remembered.

        Args:
            user_id: owner of the gallery.
            photo: the encoded picture, a file to read it from here, or an address that the workers read it from
                (``https://``, ``gs://``, ``s3://`` or ``file://``, as far as their settings allow).
            consent: what the person agreed to; a text is the purpose of a consent given now.
            subject_id: the person; default: the user himself.
            sha256: hexadecimal digest for the workers to check; computed if the picture is at hand.
            event_id: a UUID of your own, in any form; the same id twice has one effect.
            timeout_s: wait this long for room in the queue, 0: not at all; default: the client's ``block_s``.

        Raises:
            ValueError: an argument is empty or out of its range; InvalidPicture says it of the picture, InvalidId of an
                id, as one with a character that nobody sees.
            OSError: the file cannot be read.
            BackPressure, TopicMissing, PartitionsDiffer, KafkaUnavailable: nothing was sent.
        """
        now = utc_now()
        upload = Upload(
            event_id=event_id or new_event_id(),
            user_id=user_id,
            subject_id=user_id if subject_id is None else subject_id,
            created_at=now,
            picture=checked_picture(photo, sha256, self.settings, with_digest=True),
            consent=Consent(consent, now) if isinstance(consent, str) else consent,
        )
        return self.send(upload, timeout_s=timeout_s)

    def frame(
        self,
        user_id: str,
        picture: bytes | Path | str,
        *,
        camera_id: str,
        sequence: int | None = None,
        captured_at: datetime | None = None,
        mode: Mode = Mode.IDENTIFY,
        subject_id: str | None = None,
        sha256: str | None = None,
        event_id: str | None = None,
        timeout_s: float | None = None,
    ) -> Sent:
        """Send a camera picture and ask who is in it.

        Args:
            user_id: owner of the camera and of the gallery that is asked.
            picture: as ``photo`` of :meth:`enrol`.
            camera_id: the camera, unique within the user.
            sequence: the frame's number; default: counts from 0 for each camera of this client.
            captured_at: when it was taken, with a timezone; default: now.
            mode: ``identify`` (who is it?) or ``verify`` (is it ``subject_id``?).
            subject_id: with ``verify``: the person claimed; default: the user himself.
            sha256: hexadecimal digest for the workers to check; not computed for frames.
            event_id: a UUID of your own, in any form; the same id twice has one effect.
            timeout_s: wait this long for room in the queue, 0: not at all; default: the client's ``block_s``.

        Raises:
            ValueError, OSError, BackPressure, TopicMissing, PartitionsDiffer, KafkaUnavailable: as :meth:`enrol`.
        """
        if subject_id is not None and mode is not Mode.VERIFY:
            raise ValueError("subject_id is the person claimed: it goes with mode=Mode.VERIFY")
        checked = checked_picture(picture, sha256, self.settings, with_digest=False)
        frame = Frame(
            event_id=event_id or new_event_id(),
            user_id=user_id,
            camera_id=camera_id,
            sequence=self._next_sequence(user_id, camera_id) if sequence is None else sequence,
            captured_at=captured_at or utc_now(),
            picture=checked,
            mode=mode,
            subject_id=subject_id,
        )
        return self.send(frame, timeout_s=timeout_s)

    def send(self, event: Upload | Frame, *, timeout_s: float | None = None) -> Sent:
        """Send an event that the caller has made.

        Raises:
            ValueError, BackPressure, TopicMissing, PartitionsDiffer, KafkaUnavailable: as :meth:`enrol`.
            DeliveryFailed: the client cannot go on after an earlier failure; make a new one.
        """
        deadline = time.monotonic() + (self._block_s if timeout_s is None else timeout_s)
        event = checked_event(event, self.settings)
        value, key = encode(event), event.user_id.encode()
        if len(value) + len(key) + _ENVELOPE_BYTES > self.settings.max_message_bytes:
            raise ValueError(f"the event has {len(value)} bytes, more than FACESTREAM_MAX_MESSAGE_BYTES allows")
        topic = Topic.UPLOADS if isinstance(event, Upload) else Topic.FRAMES
        sent = Sent(event.event_id, event.user_id, self._name(topic))
        self._await(event.user_id, Topic.FRAMES if topic is Topic.UPLOADS else Topic.UPLOADS, deadline)
        if self._on_delivery is not None:
            sent.add_done_callback(self._on_delivery)
        with self._lock:
            self._under_way[sent.user_id, sent.topic].add(sent)
        try:
            self._hand_over(sent, key, value, deadline)
        except BaseException:
            self._settle(sent)
            raise
        return sent

    @property
    def under_way(self) -> int:
        """How many events have no delivery report yet."""
        with self._lock:
            return sum(map(len, self._under_way.values()))

    def flush(self, timeout_s: float | None = None) -> None:
        """Wait until every event so far has its delivery report; default: for as long as that takes.

        Raises:
            DeliveryFailed: an event since the last flush was not delivered, and nobody has asked its ``Sent.result``;
                or some are still under way when the time is over.
        """
        deadline = time.monotonic() + (timeout_s if timeout_s is not None else threading.TIMEOUT_MAX)
        while self._kafka.flush(max(0.0, min(_POLL_S, deadline - time.monotonic()))) and time.monotonic() < deadline:
            pass
        with self._lock:
            late = [sent for events in self._under_way.values() for sent in events]
            failed = [sent for sent in self._failed if not sent.asked]
            self._failed.clear()
        if failed:
            raise DeliveryFailed(
                f"{pluralize(len(failed), 'event was', 'events were')} not delivered: {failed[0].future.exception()}",
                [sent.event_id for sent in failed],
            )
        if late:
            raise DeliveryFailed(
                f"{pluralize(len(late), 'event has', 'events have')} not been delivered after {timeout_s} s",
                [sent.event_id for sent in late],
            )

    def close(self, timeout_s: float = 30.0) -> None:
        """Flush and disconnect; what is not delivered by then is given up, and its ``Sent`` says so.

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

    def __enter__(self) -> Self:
        """Use it in a ``with`` statement."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; an error of the body stays the error, with a note of what was not delivered."""
        try:
            self.close()
        except DeliveryFailed as failure:
            if error is None:
                raise
            error.add_note(str(failure))

    def _next_sequence(self, user_id: str, camera_id: str) -> int:
        place = checked_name("user_id", user_id), checked_name("camera_id", camera_id)
        with self._lock:
            number = self._sequences[place]
            self._sequences[place] = number + 1
        return number

    def _name(self, topic: Topic) -> str:
        """The topic's name on the cluster, once it is certain that the topics are as they must be."""
        if not self._finalizer.alive:
            raise RuntimeError("this producer is closed: make a new one")
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
            self._kafka.poll(_WAIT_S)
            with self._lock:
                before &= self._under_way.get(place, set())

    def _hand_over(self, sent: Sent, key: bytes, value: bytes, deadline: float) -> None:
        while True:
            try:
                self._kafka.produce(sent.topic, value, key, on_delivery=partial(self._report, sent))
                return
            except BufferError:
                if time.monotonic() >= deadline:
                    raise BackPressure(
                        f"{self.under_way - 1} events are under way and there is no room for more: send more slowly, "
                        "or see whether Kafka is well"
                    ) from None
                self._kafka.poll(_WAIT_S)
            except KafkaException as error:
                raise DeliveryFailed(f"Kafka's client cannot go on: {error.args[0].str()}", [sent.event_id]) from error

    def _settle(self, sent: Sent) -> None:
        place = sent.user_id, sent.topic
        with self._lock:
            self._under_way[place].discard(sent)
            if not self._under_way[place]:
                del self._under_way[place]

    def _report(self, sent: Sent, error: KafkaError | None, message: Message) -> None:
        self._settle(sent)
        if error is None:
            partition, offset = message.partition(), message.offset()
            sent.future.set_result(Delivered(sent.topic, int(partition or 0), int(offset or 0)))
            return
        with self._lock:
            self._failed.append(sent)
        sent.future.set_exception(
            DeliveryFailed(f"{sent.topic} did not take event {sent.event_id}: {error.str()}", [sent.event_id])
        )


def _poll(kafka: confluent_kafka.Producer, stop: threading.Event) -> None:
    """Serve delivery reports; knows the client only, so that a dropped Producer can be collected."""
    while not stop.is_set():
        kafka.poll(_POLL_S)


def _finish(kafka: confluent_kafka.Producer, stop: threading.Event) -> None:
    if rest := kafka.flush(_FLUSH_AT_EXIT_S):
        LOG.error("%d events were not delivered: close the producer, or use it in a with statement", rest)
    stop.set()
