"""Which settings a connection to Kafka needs, whoever keeps them: a worker's or a client's."""

from __future__ import annotations

from typing import Protocol


class ClusterSettings(Protocol):
    """The cluster, what is put before the names of its topics, and how large a message may be."""

    @property
    def kafka(self) -> str:
        """Bootstrap servers, comma separated."""

    @property
    def topic_prefix(self) -> str:
        """What stands before every topic name and consumer group."""

    @property
    def max_message_bytes(self) -> int:
        """The largest message of a topic with events."""
