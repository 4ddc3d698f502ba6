"""How every Kafka client of facestream connects, and what it says when it cannot."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from streams.settings import Settings

LOG = logging.getLogger("facestream.kafka")
"""What librdkafka has to say; without a handler only its warnings are shown."""

METADATA_TIMEOUT_S = 5.0


class KafkaUnavailable(Exception):
    """No broker answers at the configured address."""


class _Client(Protocol):
    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any: ...


def client_config(settings: Settings) -> dict[str, Any]:
    """The librdkafka configuration that producers, consumers and admin clients share."""
    return {
        "bootstrap.servers": settings.kafka,
        "client.id": "facestream",
        "socket.keepalive.enable": True,
        "log.connection.close": False,
        "reconnect.backoff.max.ms": 2_000,
        "logger": LOG,
    }


def admin_client(settings: Settings) -> AdminClient:
    """A client for topics and groups; connects when it is first used."""
    return AdminClient(client_config(settings))


def metadata(client: _Client, settings: Settings, timeout_s: float = METADATA_TIMEOUT_S) -> ClusterMetadata:
    """The cluster's brokers and all its topics. Asking for all never creates one.

    Raises:
        KafkaUnavailable: no broker answers within the time.
    """
    try:
        cluster: ClusterMetadata = client.list_topics(timeout=timeout_s)
    except KafkaException as error:
        raise KafkaUnavailable(
            f"no Kafka answers at {settings.kafka} ({error.args[0].str()}): "
            "start one with `facestream up`, or set FACESTREAM_KAFKA"
        ) from error
    return cluster
