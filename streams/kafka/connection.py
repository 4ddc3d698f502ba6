"""Makes every client of librdkafka; :mod:`streams.kafka.async_connection` makes those of aiokafka."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from streams.kafka.cluster_settings import ClusterSettings, ConnectionSettings
from streams.kafka.refusals import KafkaRefused as KafkaRefused
from streams.kafka.refusals import KafkaUnavailable as KafkaUnavailable
from streams.kafka.refusals import explained
from streams.kafka.security import Security

T = TypeVar("T")
METADATA_TIMEOUT_S = 5.0
ISOLATION = "read_committed"
"""What every reader reads, with either client library: messages of aborted transactions do not exist, and what lies
behind a transaction that is still open has not come yet."""
CODECS = ("gzip", "snappy", "lz4", "zstd")
"""How producers and topics may compress; every reader must read all of them."""
_REPEAT_LOG_S = 60.0
_LOGS_REMEMBERED = 100


class _Seldom(logging.Filter):
    """Lets the same message pass once a minute: librdkafka logs every attempt to reach a broker that is away."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it."""
        text, now = record.getMessage().partition("(after")[0], time.monotonic()
        if now - self._seen.get(text, -_REPEAT_LOG_S) < _REPEAT_LOG_S:
            return False
        if len(self._seen) > _LOGS_REMEMBERED:
            self._seen.clear()
        self._seen[text] = now
        return True


LOG = logging.getLogger("facestream.kafka")
"""What librdkafka has to say."""
LOG.addFilter(_Seldom())


class Client(Protocol):
    """A producer, a consumer or an admin client."""

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        """Ask the cluster for its metadata."""


def client_config(settings: ConnectionSettings) -> dict[str, Any]:
    """The librdkafka configuration that producers, consumers and admin clients share.

    Raises:
        InvalidKafkaSecurity, InvalidSettingsFile: see :meth:`streams.kafka.security.Security.of`.
    """
    return Security.of(settings).confluent_options() | {
        "bootstrap.servers": settings.kafka,
        "client.id": "facestream",
        "socket.keepalive.enable": True,
        "log.connection.close": False,
        "reconnect.backoff.max.ms": 2_000,
        "builtin.features": ",".join(CODECS),  # the client refuses to be made where the library lacks one
        "logger": LOG,
    }


def consumer(settings: ClusterSettings, group: str, options: Mapping[str, Any]) -> confluent_kafka.Consumer:
    """A consumer that reads what is committed, checks that it came unharmed, and commits only what it is told to.

    The one place that makes them: a consumer of another make would read what others do not.

    Args:
        settings: of the cluster.
        group: the consumer group; one that is not subscribed to anything needs a name of its own too.
        options: of librdkafka, besides.
    """
    return confluent_kafka.Consumer(
        client_config(settings)
        | dict(options)
        | {"group.id": group, "isolation.level": ISOLATION, "check.crcs": True, "enable.auto.commit": False}
    )


def make_producer(settings: ClusterSettings, options: Mapping[str, Any]) -> confluent_kafka.Producer:
    """A producer that loses nothing, doubles nothing, and partitions by murmur2 of the key.

    Args:
        settings: of the cluster.
        options: of librdkafka, besides; they may say otherwise.
    """
    safe = {"partitioner": "murmur2_random", "enable.idempotence": True, "acks": "all"}
    return confluent_kafka.Producer(client_config(settings) | safe | dict(options))


def admin_client(settings: ClusterSettings) -> AdminClient:
    """A client for topics and groups; connects when it is first used."""
    return AdminClient(client_config(settings))


def metadata(client: Client, settings: ClusterSettings, timeout_s: float = METADATA_TIMEOUT_S) -> ClusterMetadata:
    """The cluster's brokers and all its topics. Asking for all never creates one.

    Raises:
        KafkaRefused: a broker answers, but refuses this client, or is not trusted by it.
        KafkaUnavailable: no broker answers within the time.
    """
    try:
        cluster: ClusterMetadata = client.list_topics(timeout=timeout_s)
    except KafkaException as error:
        raise explained(settings, error, client_config(settings)) from error
    return cluster


def answer(future: Future[T], timeout_s: float) -> T:
    """The answer to a call of an admin client.

    Raises:
        KafkaException: the brokers refused, or nothing came in time.
    """
    try:
        return future.result(timeout_s)
    except TimeoutError as error:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no answer in time")) from error


def not_yet(error: BaseException) -> bool:
    """Whether a topic is so new that its partitions have no leader, or that the brokers do not agree yet on who it is:
    one of them does not know the topic, or names another epoch of the leader (KIP-320)."""
    return isinstance(error, KafkaException) and error.args[0].code() in {
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
