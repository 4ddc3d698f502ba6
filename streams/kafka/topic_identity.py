"""Which topic it is: one that was deleted and created again has its name, and nothing else of it.

Committed offsets, and whatever else is remembered by offset, are of one topic; those of an earlier one would pass over
the messages of the present one. Kafka drops a deleted topic's offsets, but a worker that has not noticed yet may commit
them again. So each commit notes the id of its topic (see ``streams.kafka.commit_metadata``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from streams.kafka.commit_metadata import CommitMetadata
from streams.kafka.connection import KafkaUnavailable, answer

_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class TopicIdentity:
    """A topic that exists.

    Attributes:
        topic_id: given at its creation; no other topic ever has it.
        partitions: how many it has.
    """

    topic_id: str
    partitions: int


def topic_identities(admin: AdminClient, names: Collection[str]) -> dict[str, TopicIdentity]:
    """Those of the topics that exist.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    found = {}
    try:
        futures = admin.describe_topics(TopicCollection(list(names)), request_timeout=_TIMEOUT_S)
    except KafkaException as error:
        raise KafkaUnavailable(f"the topics cannot be described: {error.args[0].str()}") from error
    for name, future in futures.items():
        try:
            described = answer(future, _TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise KafkaUnavailable(f"{name} cannot be described: {error.args[0].str()}") from error
        else:
            found[name] = TopicIdentity(str(described.topic_id), len(described.partitions))
    return found


def is_void(offset: int, note: CommitMetadata, topic_id: str | None, end: int) -> bool:
    """Whether a committed offset is of an earlier topic.

    Args:
        offset: that is committed.
        note: committed with it; releases before this one noted no id.
        topic_id: of the topic that there is now, None if it is not known.
        end: of the partition's log now.
    """
    if note.topic_id is None or topic_id is None:
        return offset > end
    return note.topic_id != topic_id
