"""Waits until the sinks have written everything, by their commits: asking the services themselves would cost them."""

from __future__ import annotations

import time

from streams.kafka.connection import admin_client
from streams.kafka.consumer_groups import OffsetsClient, group_id
from streams.kafka.messages import TopicPartition
from streams.kafka.offsets import appended_offsets
from streams.kafka.topics import Topic
from streams.roles import Role
from streams.settings import Settings

_SINKS = (Role.SINK_REDIS, Role.SINK_BIGQUERY)
_LOOK_S = 0.5


class Written:
    """Counts answers from when it is made."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = admin_client(settings)
        self._partitions = [
            TopicPartition(topic.named(settings), number)
            for topic in (Topic.MATCHES, Topic.ENROLMENTS)
            for number in range(settings.partitions)
        ]
        self._before = sum(self._ends().values())

    def wait(self, answers: int, timeout_s: float) -> None:
        """Wait until so many answers were made since, and both sinks have committed all of them.

        Raises:
            TimeoutError: they have not.
        """
        deadline = time.monotonic() + timeout_s
        with OffsetsClient(self._settings) as commits:
            while not self._all_written(answers, commits):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the sinks have not written {answers} answers within {timeout_s:g} s")
                time.sleep(_LOOK_S)

    def _all_written(self, answers: int, commits: OffsetsClient) -> bool:
        ends = self._ends()
        if sum(ends.values()) - self._before < answers:
            return False
        for role in _SINKS:
            committed = commits.of(group_id(role, self._settings))
            if any(end and (one not in committed or committed[one].offset < end) for one, end in ends.items()):
                return False
        return True

    def _ends(self) -> dict[TopicPartition, int]:
        return appended_offsets(self._admin, self._partitions)
