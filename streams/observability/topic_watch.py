"""Notices that a worker has not the work that it should have: its topics went, or its group has forgotten some.

A client that has lost a topic does not always find it again: Faust's assignor passes over one that was missing once,
and what it remembers by offset is of the topic before. So a worker whose topic was created again begins anew.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from streams.kafka.consumer_groups import ConsumerGroup, describe_group, group_id
from streams.kafka.topic_identity import TopicIdentity, topic_identities
from streams.kafka.topics import Topic
from streams.observability.heartbeat import ConsumerStatus
from streams.roles import Role
from streams.settings import Settings
from streams.topology import subscribed

_FOLLOWS = {Role.EMBED: (Topic.MODELS,), Role.MATCH: (Topic.MODELS,)}
"""What roles read outside their groups from start to end."""


@dataclass(frozen=True, slots=True)
class LostWork:
    """What keeps a worker from its work.

    Attributes:
        text: what is wrong and what to do.
        since: seen first, in monotonic seconds.
        ready: whether the worker has the work that it had.
        begins_anew: whether a new process would do better, if this lasts for the watchdog's time.
        at_once: or is sure to.
    """

    text: str
    since: float
    ready: bool = False
    begins_anew: bool = False
    at_once: bool = False


class TopicWatch:
    """Looks now and then; for one thread, but ``trouble`` and ``spare``."""

    def __init__(self, role: Role, settings: Settings, client_id: str) -> None:
        """``client_id`` is by which the group knows this worker."""
        self._group = group_id(role, settings)
        self._client_id = client_id
        self._read = {topic.named(settings) for topic in subscribed(role, settings)}
        self._names = self._read | {topic.named(settings) for topic in _FOLLOWS.get(role, ())}
        self._first: dict[str, TopicIdentity] = {}
        self.trouble: LostWork | None = None
        self.partitions: Mapping[str, int] = {}
        """How many each topic has that the role reads."""
        self.spare = False
        """Whether there is nothing for this worker to do, since others have all partitions."""

    def look(self, admin: AdminClient, facts: ConsumerStatus) -> set[str]:
        """See how it stands.

        Returns:
            The topics that are there.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        found = topic_identities(admin, self._names)
        self._first = found | self._first
        self.partitions = {name: one.partitions for name, one in found.items() if name in self._read}
        trouble = self._of_topics(found)
        if trouble is None and facts.ready:
            trouble = self._of_group(describe_group(admin, self._group), facts, found)
        before = self.trouble
        same = trouble is not None and before is not None and trouble.text == before.text
        self.trouble = before if same else trouble
        return set(found)

    def _of_topics(self, found: Mapping[str, TopicIdentity]) -> LostWork | None:
        now = time.monotonic()
        if missing := sorted(self._names - found.keys()):
            return LostWork(f"there is no topic {', '.join(missing)}: run `facestream topics create`", now)
        counts = {found[name].partitions for name in self._read}
        listed = ", ".join(f"{name}: {found[name].partitions}" for name in sorted(self._read))
        if again := sorted(name for name, one in self._first.items() if found[name].topic_id != one.topic_id):
            names = ", ".join(again)
            if len(counts) == 1:
                return LostWork(f"{names} was deleted and created again", now, begins_anew=True, at_once=True)
            return LostWork(f"{names} was created again with another number of partitions ({listed})", now)
        if grown := sorted(name for name, one in self._first.items() if found[name].partitions != one.partitions):
            names = ", ".join(grown)
            text = f"{names} got more partitions, which not every role reads ({listed}): see `facestream doctor`"
            return LostWork(text, now, ready=True)
        return None

    def _of_group(
        self, group: ConsumerGroup, facts: ConsumerStatus, found: Mapping[str, TopicIdentity]
    ) -> LostWork | None:
        self.spare = False
        if not group.settled:
            return None
        if all(member.client_id != self._client_id for member in group.members):
            return LostWork(f"it is no member of its group {group.group_id}", time.monotonic(), begins_anew=True)
        unowned = [
            f"{name}/{number}"
            for name in sorted(self._read)
            for number in sorted(set(range(found[name].partitions)) - group.owned(name))
        ]
        if unowned:
            text = f"no worker of its group has {', '.join(unowned[:3])}{' …' if unowned[3:] else ''}"
            return LostWork(text, time.monotonic(), begins_anew=True)
        self.spare = not facts.assigned
        return None
