"""The status of every role's partitions as the brokers know it: the owners, and the messages that wait.

Owners and commits come from the consumer groups, and the size of a gallery shard from the metadata of its last commit.
So this works with workers on many machines, and after they have gone.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from confluent_kafka.admin import AdminClient

from streams.kafka.commit_metadata import ShardSize
from streams.kafka.connection import consumer
from streams.kafka.consumer_groups import (
    CommittedOffset,
    ConsumerGroup,
    GroupMember,
    OffsetsClient,
    describe_group,
    group_id,
)
from streams.kafka.messages import TopicPartition, as_read, to_confluent
from streams.kafka.offsets import appended_offsets, first_offsets, next_offsets
from streams.kafka.topics import Topic
from streams.roles import Role
from streams.settings import Settings
from streams.topology import subscribed

_ANSWER_S = 5.0
_FETCH_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Lag:
    """Messages that wait in one partition of one topic, and when the oldest was appended (seconds since 1970)."""

    events: int
    appended_at: float | None


@dataclass(frozen=True, slots=True)
class PartitionState:
    """One partition number of a role: all topics that the role reads, together.

    Attributes:
        partition: its number.
        owner: the worker that has all of its topics, or None.
        lag_events: messages that wait.
        lag_s: since the oldest of them was appended; 0 if none waits, None if its time could not be read.
        committed_s: since the last commit; None if there is none, or it does not say when.
        size: of the gallery shard at the last commit; None in other roles, and if the commit does not say.
        held_back: messages that wait for a producer to end its transaction, and are not counted as waiting.
    """

    partition: int
    owner: GroupMember | None
    lag_events: int
    lag_s: float | None
    committed_s: float | None
    size: ShardSize | None
    held_back: int = 0


@dataclass(frozen=True, slots=True)
class RoleState:
    """A role's consumer group and its partitions."""

    role: Role
    group: ConsumerGroup
    partitions: tuple[PartitionState, ...]


def role_states(
    admin: AdminClient, settings: Settings, counts: Mapping[Topic, int], roles: Sequence[Role]
) -> list[RoleState]:
    """How these roles stand.

    Args:
        admin: a client.
        settings: of the cluster.
        counts: the number of partitions of each topic that exists.
        roles: to look at.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    topics = {topic for role in roles for topic in subscribed(role, settings)}
    parts = [TopicPartition(topic.named(settings), n) for topic in topics for n in range(counts.get(topic, 0))]
    # Ends last, so that no group seems to be beyond the end.
    groups = {role: describe_group(admin, group_id(role, settings)) for role in roles}
    with OffsetsClient(settings) as commits:
        committed = {role: commits.of(group_id(role, settings)) for role in roles}
    firsts, ends, appended = first_offsets(admin, parts), next_offsets(admin, parts), appended_offsets(admin, parts)
    held = {one: appended[one] - end for one, end in ends.items()}
    states = []
    for role in roles:
        names = {topic.named(settings) for topic in subscribed(role, settings)}
        read = {
            one: max(firsts[one], committed[role][one].offset if one in committed[role] else 0)
            for one in ends
            if one.topic in names
        }
        waiting = {one: offset for one, offset in read.items() if offset < ends[one]}
        lags = {one: Lag(ends[one] - offset, None) for one, offset in waiting.items()}
        lags |= {one: Lag(lags[one].events, at) for one, at in appended_at(settings, waiting).items()}
        numbers = sorted({one.partition for one in read})
        partitions = [
            _state(
                number,
                role,
                groups[role],
                [one for one in read if one.partition == number],
                committed[role],
                lags,
                held,
            )
            for number in numbers
        ]
        states.append(RoleState(role, groups[role], tuple(partitions)))
    return states


def _state(
    number: int,
    role: Role,
    group: ConsumerGroup,
    sources: Sequence[TopicPartition],
    committed: Mapping[TopicPartition, CommittedOffset],
    lags: Mapping[TopicPartition, Lag],
    held: Mapping[TopicPartition, int],
) -> PartitionState:
    now = time.time()
    owners = {group.owner(source.topic, source.partition) for source in sources}
    waiting = [lags[one] for one in sources if one in lags]
    since = [lag.appended_at for lag in waiting if lag.appended_at is not None]
    notes = [committed[one].note for one in sources if one in committed]
    last = max(notes, key=lambda note: note.at or 0.0, default=None)
    size = last.size if last is not None else ShardSize(0, 0)
    return PartitionState(
        partition=number,
        owner=owners.pop() if len(owners) == 1 else None,
        lag_events=sum(lag.events for lag in waiting),
        lag_s=(max(0.0, now - min(since)) if since else None) if waiting else 0.0,
        committed_s=max(0.0, now - last.at) if last is not None and last.at is not None else None,
        size=size if role is Role.MATCH else None,
        held_back=sum(max(0, held[one]) for one in sources),
    )


def appended_at(settings: Settings, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, float]:
    """When the broker appended the first message at or after each offset, seconds since 1970.

    Messages are read outside any group and thrown away. A partition that does not answer in time is left out.
    """
    found: dict[TopicPartition, float] = {}
    if not offsets:
        return found
    config = {
        "auto.offset.reset": "earliest",
        "fetch.message.max.bytes": _FETCH_BYTES,
        "queued.max.messages.kbytes": 1024,
    }
    with closing(consumer(settings, f"facestream-reader-{uuid.uuid4()}", config)) as reader:
        reader.assign([to_confluent(source, offset) for source, offset in offsets.items()])
        deadline = time.monotonic() + _ANSWER_S
        while len(found) < len(offsets) and (left := deadline - time.monotonic()) > 0:
            message = reader.poll(left)
            if message is None or message.error() is not None:
                continue
            source = as_read(message).source
            if source not in found:
                found[source] = message.timestamp()[1] / 1000
                reader.incremental_unassign([to_confluent(source)])
    return found


def partition_json(one: PartitionState, sized: bool) -> dict[str, Any]:
    """A partition as JSON, if ``sized`` with its gallery shard."""
    plain: dict[str, Any] = {
        "partition": one.partition,
        "owner": one.owner.name if one.owner else None,
        "host": one.owner.machine if one.owner else None,
        "lag_events": one.lag_events,
        "lag_s": one.lag_s,
        "held_back_events": one.held_back,
        "committed_age_s": one.committed_s,
    }
    if sized:
        plain["users"] = one.size.users if one.size else None
        plain["templates"] = one.size.templates if one.size else None
    return plain


def role_json(state: RoleState) -> dict[str, Any]:
    """A role as JSON."""
    return {
        "group": state.group.group_id,
        "settled": state.group.settled,
        "workers": [
            {
                "name": member.name,
                "host": member.machine,
                "health_port": member.health_port,
                "partitions": [one.partition for one in state.partitions if one.owner == member],
            }
            for member in state.group.members
        ],
        "partitions": [partition_json(one, state.role is Role.MATCH) for one in state.partitions],
    }
