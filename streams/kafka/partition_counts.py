"""How many partitions the topics have, and whether they are partitioned alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from streams.kafka.cluster_settings import ClusterSettings
from streams.kafka.connection import Client, metadata
from streams.kafka.rights import not_there
from streams.kafka.topics import PartitionsDiffer, Topic


def partition_counts(client: Client, settings: ClusterSettings) -> dict[Topic, int]:
    """The number of partitions of each topic that exists.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    there = metadata(client, settings).topics
    return {topic: len(there[name].partitions) for topic in Topic if (name := topic.named(settings)) in there}


def check_copartitioned(
    counts: Mapping[Topic, int], settings: ClusterSettings, topics: Collection[Topic] = tuple(Topic)
) -> int:
    """Check that these topics exist and are partitioned alike; give the number of partitions.

    Raises:
        TopicMissing: one does not exist.
        NotAllowed: this client may not see one.
        PartitionsDiffer: they are not alike.
    """
    if missing := [topic.named(settings) for topic in topics if not counts.get(topic)]:
        raise not_there(settings, missing)
    numbers = {counts[topic] for topic in topics}
    if len(numbers) > 1:
        listed = ", ".join(f"{topic.named(settings)}: {counts[topic]}" for topic in topics)
        raise PartitionsDiffer(
            f"the topics must have the same number of partitions, and have not ({listed}): "
            "stop the workers, then `facestream topics repair` makes them anew with all that is in them"
        )
    return numbers.pop()
