"""Copies a topic to a temporary one, creates it again, and copies everything back.

The records keep their keys, headers, times and order: first those that every reader has read, then those that wait, and
each group's commit between the two. What is interrupted is continued by the next call; a record may then be there
twice, which has one effect like every redelivery.

The topic takes no records while it is copied (``max.message.bytes``): producers learn that their events were not
delivered, and send them again. With ``min.insync.replicas`` they would wait, but Kafka 4 caps it at the number of
replicas. The new topic takes none in its first second either. An idempotent producer of librdkafka has several batches
under way; if the broker refuses the first because the topic is not there yet, and takes the next one because it is
there now, librdkafka reports both as delivered.
"""

from __future__ import annotations

import heapq
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka.admin import AdminClient, NewTopic

from streams.kafka.commit_metadata import CommitMetadata
from streams.kafka.connection import KafkaUnavailable, admin_client, answer, consumer, make_producer, metadata
from streams.kafka.consumer_groups import CommittedOffset, commits, group_id
from streams.kafka.messages import TopicPartition, to_confluent
from streams.kafka.offsets import appended_offsets, first_offsets, next_offsets
from streams.kafka.topic_admin import alter
from streams.kafka.topic_identity import topic_identities
from streams.kafka.topics import Topic, TopicsError
from streams.operations.topic_placement import Placement
from streams.roles import Role
from streams.settings import Settings
from streams.sightings.saved_to import SavedTo

SIDE = ".repair"
"""The end of a temporary topic's name."""
_FENCE = {"max.message.bytes": "1"}
_TIMEOUT_S = 30.0
_SILENCE_S = 30.0
_REST_S = 1.0
"""Seconds within which a broker applies a change of a topic's configuration."""
_MARGIN_BYTES = 2**20
"""How much larger a record's batch may be here than it was in its producer."""


def _offset(text: str, otherwise: int) -> int:
    return int(text) if text.isdecimal() else otherwise


def _offset_of_sightings(text: str, otherwise: int) -> int:
    saved = SavedTo.read(text)
    return otherwise if saved is None else saved.next_offset


_NOTED: Mapping[Role, Callable[[str, int], int]] = {
    Role.SEARCH: _offset,
    Role.DRIFT: _offset,
    Role.SIGHTINGS: _offset_of_sightings,
}
"""Roles that read again what they had not written down, and how the offset is read from their notes."""


class RepairError(Exception):
    """The topics cannot be repaired now; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Repair:
    """One topic to recreate (None: the changelog); ``records`` is counted from its offsets."""

    name: str
    partitions: int
    count: int
    replicas: int
    records: int
    config: Mapping[str, str]
    topic: Topic | None
    readers: tuple[Role, ...]


class TopicCopy:
    """Copies one topic to a temporary topic and back."""

    def __init__(self, settings: Settings, repair: Repair) -> None:
        self._settings = settings
        self._repair = repair
        self._admin = admin_client(settings)
        self._side = repair.name + SIDE
        limit = int(repair.config["max.message.bytes"]) + _MARGIN_BYTES
        self._loose = {"message.timestamp.type": "CreateTime", "max.message.bytes": str(limit)}
        self._producer = make_producer(
            settings,
            {
                "message.max.bytes": limit + _MARGIN_BYTES,
                "message.timeout.ms": 120_000,
                "queue.buffering.max.kbytes": 2 * max(32 * 2**20, limit) // 1024,
            },
        )

    def run(self) -> None:
        """Copy there and back, or do what an interrupted repair has left."""
        repair = self._repair
        there = metadata(self._admin, self._settings).topics
        found = there.get(repair.name)
        replicas = min((len(part.replicas) for part in found.partitions.values()), default=0) if found else 0
        if found and (len(found.partitions) != repair.count or replicas < repair.replicas):
            if self._side in there:
                self._delete(self._side)
            alter(self._admin, {repair.name: _FENCE})
            ends = self._await_rest(len(found.partitions))
            self._check_transactions(ends)
            self._create(self._side, {"retention.ms": "-1", "cleanup.policy": "delete"} | self._loose)
            self._copy(repair.name, self._side, len(found.partitions))
            if log_bounds(self._admin, repair.name, len(found.partitions)) != ends:
                raise RepairError(f"{repair.name} still takes records: stop the producers, then repair again")
            self._delete(repair.name)
        if repair.name not in metadata(self._admin, self._settings).topics:
            self._create(repair.name, dict(repair.config) | _FENCE)
            time.sleep(_REST_S)
        alter(self._admin, {repair.name: self._loose})
        time.sleep(_REST_S)
        self._copy(self._side, repair.name, repair.count)
        final = {key: repair.config.get(key, "CreateTime") for key in self._loose} | dict(repair.config)
        alter(self._admin, {repair.name: final})
        self._delete(self._side)

    def _await_rest(self, partitions: int) -> dict[int, tuple[int, int]]:
        """Wait until nothing is written to the topic any more; return the bounds of its partitions."""
        deadline, ends = time.monotonic() + _TIMEOUT_S, None
        while True:
            before, ends = ends, log_bounds(self._admin, self._repair.name, partitions)
            if ends == before or time.monotonic() > deadline:
                return ends
            time.sleep(_REST_S)

    def _check_transactions(self, ends: Mapping[int, tuple[int, int]]) -> None:
        """Refuse while a producer has a transaction open, since records in it and behind it cannot be copied.

        Raises:
            RepairError: there is an open transaction.
        """
        appended = appended_offsets(self._admin, [TopicPartition(self._repair.name, number) for number in ends])
        if held := [
            number for number, (_, end) in ends.items() if appended[TopicPartition(self._repair.name, number)] > end
        ]:
            raise RepairError(
                f"a producer has a transaction open on {self._repair.name}, partition {', '.join(map(str, held))}: "
                "stop that producer and wait until the brokers have ended it (its transaction.timeout.ms), then repair "
                "again"
            )

    def _copy(self, source: str, target: str, partitions: int) -> None:
        """Copy all records, those that all groups have read first, and commit each group's position."""
        ends = log_bounds(self._admin, source, partitions)
        committed = {
            group_id(role, self._settings): _commits(self._settings, role, self._repair.name)
            for role in self._repair.readers
        }
        begins = {
            number: min((_begin(committed[group], source, number, first) for group in committed), default=first)
            for number, (first, _) in ends.items()
        }
        waits: dict[str, dict[int, int]] = {group: {} for group in committed}
        after: dict[int, int] = {}
        failed: list[str] = []
        placement = Placement(self._repair.topic, self._repair.count)
        for done in (True, False):
            if not done:
                placement.begin_waiting()
            ranges = {
                number: (first, min(max(first, begins[number]), end)) if done else (max(first, begins[number]), end)
                for number, (first, end) in ends.items()
            }
            for message in _merged(self._settings, source, ranges):
                number, offset = message.partition() or 0, message.offset() or 0
                behind = [group for group, known in committed.items() if offset >= _begin(known, source, number, 0)]

                def delivered(error: KafkaError | None, sent: Message, behind: list[str] = behind) -> None:
                    if error is not None:
                        failed.append(error.str())
                        return
                    to, at = sent.partition() or 0, sent.offset() or 0
                    after[to] = max(after.get(to, 0), at + 1)
                    for group in behind:
                        waits[group][to] = min(waits[group].get(to, at), at)

                for to in placement.of(message.key(), message.value(), number):
                    self._send(target, message, to, delivered)
            if self._producer.flush(120) or failed:
                raise RepairError(f"{target} did not take a record: {(failed or ['no answer'])[0]}; repair again")
        for group, known in committed.items():
            self._commit(group, target, after | waits[group], known, source)

    def _send(self, target: str, message: Message, partition: int, delivered: Callable[..., None]) -> None:
        headers: Any = list(message.headers() or [])
        while True:
            try:
                self._producer.produce(
                    target,
                    message.value(),
                    message.key(),
                    partition,
                    on_delivery=delivered,
                    timestamp=message.timestamp()[1],
                    headers=headers,
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def _commit(
        self,
        group: str,
        target: str,
        offsets: Mapping[int, int],
        known: Mapping[TopicPartition, CommittedOffset],
        source: str,
    ) -> None:
        """Commit in a group without members, with the metadata that its sink has left."""
        if not any(one.topic == source for one in known):
            return  # the group has never read the topic
        parts = []
        for number, at in offsets.items():
            there = known.get(TopicPartition(source, number))
            note = there.note if there is not None else CommitMetadata()
            if target == self._repair.name:
                note = replace(note, topic_id=topic_identities(self._admin, [target])[target].topic_id, copied=True)
            parts.append(to_confluent(TopicPartition(target, number), at, note.now()))
        with closing(consumer(self._settings, group, {})) as committer:
            if parts:
                committer.commit(offsets=parts, asynchronous=False)

    def _create(self, name: str, config: Mapping[str, str]) -> None:
        new = NewTopic(name, self._repair.count, self._repair.replicas, config=dict(config))
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            try:
                answer(self._admin.create_topics([new], operation_timeout=_TIMEOUT_S)[name], _TIMEOUT_S)
            except KafkaException as error:
                # A topic that is being deleted exists for another moment.
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                break
        self._await(name, there=True)

    def _delete(self, name: str) -> None:
        answer(self._admin.delete_topics([name], operation_timeout=_TIMEOUT_S)[name], _TIMEOUT_S)
        self._await(name, there=False)

    def _await(self, name: str, *, there: bool) -> None:
        """Wait until the brokers' metadata shows it."""
        deadline = time.monotonic() + _TIMEOUT_S
        while (name in metadata(self._admin, self._settings).topics) is not there:
            if time.monotonic() > deadline:
                raise TopicsError(f"the cluster does not show {name} as it was ordered: look at the broker's log")
            time.sleep(0.1)


def _commits(settings: Settings, role: Role, topic: str) -> Mapping[TopicPartition, CommittedOffset]:
    """What a role has committed of a topic; of some, it reads again from an earlier offset, which is in their notes."""
    found = commits(settings, group_id(role, settings))
    if role not in _NOTED:
        return found
    return {
        at: replace(one, offset=min(one.offset, _NOTED[role](one.note.text, one.offset)))
        if at.topic == topic and not one.note.copied
        else one
        for at, one in found.items()
    }


def _begin(known: Mapping[TopicPartition, CommittedOffset], topic: str, number: int, first: int) -> int:
    commit = known.get(TopicPartition(topic, number))
    return first if commit is None else commit.offset


def log_bounds(admin: AdminClient, name: str, partitions: int) -> dict[int, tuple[int, int]]:
    """The first offset and the next one of each partition."""
    parts = [TopicPartition(name, number) for number in range(partitions)]
    first, after = first_offsets(admin, parts), next_offsets(admin, parts)
    return {part.partition: (first[part], after[part]) for part in parts}


def _merged(settings: Settings, name: str, ranges: Mapping[int, tuple[int, int]]) -> Iterator[Message]:
    """The records of these offsets merged by their times; each partition keeps its order."""
    logs = [_records(settings, name, number, *between) for number, between in ranges.items() if between[0] < between[1]]
    return heapq.merge(*logs, key=lambda message: message.timestamp()[1])


def _records(settings: Settings, name: str, number: int, start: int, end: int) -> Iterator[Message]:
    options = {
        "enable.partition.eof": True,
        "fetch.message.max.bytes": settings.max_message_bytes,
        "queued.max.messages.kbytes": 8 * 1024,
    }
    with closing(consumer(settings, f"facestream-repair-{uuid.uuid4()}", options)) as reader:
        reader.assign([to_confluent(TopicPartition(name, number), start)])
        heard = time.monotonic()
        while True:
            message = reader.poll(1.0)
            error = None if message is None else message.error()
            if message is not None and error is None:
                heard = time.monotonic()
                if (message.offset() or 0) < end:
                    yield message
                if (message.offset() or 0) + 1 >= end:
                    return
            elif error is not None and error.code() == KafkaError._PARTITION_EOF:
                return
            elif time.monotonic() - heard > _SILENCE_S:
                raise KafkaUnavailable(f"{settings.kafka} has stopped answering while {name} was read")
