"""What Kafka's ACLs keep from a client: a topic that it may not see looks like one that does not exist."""

from __future__ import annotations

from collections.abc import Collection

from confluent_kafka import KafkaError, KafkaException, TopicCollection

from streams.kafka.cluster_settings import ClusterSettings
from streams.kafka.connection import admin_client, answer
from streams.kafka.security import Security
from streams.kafka.topics import TopicMissing, TopicsError

_TIMEOUT_S = 10.0


_CODES = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    # Of an idempotent producer that may not write to any topic.
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}


class NotAllowed(TopicsError):
    """Kafka's ACLs do not allow this client something that it needs; the message names both."""


def hidden(settings: ClusterSettings, names: Collection[str]) -> list[str]:
    """Those of these topics that this client may not even see, whether they exist or not."""
    if not names:
        return []
    client = admin_client(settings)  # kept until it has answered
    asked = client.describe_topics(TopicCollection(list(names)), request_timeout=_TIMEOUT_S)
    found = []
    for name, future in asked.items():
        try:
            answer(future, _TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                found.append(name)
    return found


def is_of_rights(error: KafkaError) -> bool:
    """Whether the brokers say that an ACL is missing."""
    return error.code() in _CODES


def why_not_written(settings: ClusterSettings, topic: str, error: KafkaError) -> str:
    """What to say of a record that a topic did not take."""
    if not is_of_rights(error):
        return error.str()
    return f"Kafka does not allow {Security.of(settings).who} to write to {topic}: grant it the ACLs of its role"


def not_readable(settings: ClusterSettings, topic: str) -> NotAllowed:
    """What to say of a topic of which the brokers give nothing because an ACL is missing."""
    return NotAllowed(
        f"Kafka at {settings.kafka} does not allow {Security.of(settings).who} to read {topic}: grant it the ACLs of "
        "its role"
    )


def not_there(settings: ClusterSettings, names: Collection[str]) -> TopicsError:
    """What to say of topics that the brokers do not list: a missing ACL, or that they do not exist."""
    if secret := hidden(settings, names):
        return NotAllowed(
            f"Kafka at {settings.kafka} does not allow {Security.of(settings).who} to see the topic "
            f"{', '.join(secret)}: grant it the ACLs of its role"
        )
    what = "it" if len(names) == 1 else "the topics"
    return TopicMissing(
        f"no topic {', '.join(names)} at {settings.kafka}: create {what} with `facestream topics create`"
    )
