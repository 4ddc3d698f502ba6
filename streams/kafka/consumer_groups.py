"""Who owns which partition: the consumer groups of the roles, as the brokers know them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiokafka
import tenacity
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    NotCoordinatorError,
)
from aiokafka.structs import OffsetAndMetadata
from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka import KafkaError as BrokerError
from confluent_kafka.admin import AdminClient

from streams.kafka.async_connection import async_admin
from streams.kafka.commit_metadata import CommitMetadata
from streams.kafka.connection import KafkaUnavailable, answer
from streams.kafka.messages import TopicPartition, from_client
from streams.roles import Role
from streams.settings import Settings

_TIMEOUT_S = 10.0
_AGAIN_S = 0.2


def group_id(role: Role, settings: Settings) -> str:
    """The consumer group of a role."""
    return f"{settings.topic_prefix}facestream-{role}"


def client_id(name: str, host: str, health_port: int) -> str:
    """The client id by which a worker tells its group its name, its machine, and where its health is served."""
    return f"{name}@{host}:{health_port}"


@dataclass(frozen=True, slots=True)
class GroupMember:
    """One worker of a group and the partitions it has.

    Attributes:
        member_id: given by the broker.
        client_id: given by the worker.
        host: its address as the broker sees it.
        partitions: that it has.
    """

    member_id: str
    client_id: str
    host: str
    partitions: frozenset[TopicPartition]

    @property
    def name(self) -> str:
        """The worker's name, such as ``match-0``."""
        return self.client_id.partition("@")[0]

    @property
    def machine(self) -> str:
        """The machine's own name for itself, or else its address."""
        return self.client_id.partition("@")[2].rpartition(":")[0] or self.host.lstrip("/")

    @property
    def health_port(self) -> int | None:
        """Where its health is served, if it says so."""
        port = self.client_id.partition("@")[2].rpartition(":")[2]
        return int(port) if port.isdecimal() else None


@dataclass(frozen=True, slots=True)
class ConsumerGroup:
    """A consumer group; ``settled`` when no rebalance is under way."""

    group_id: str
    settled: bool
    members: tuple[GroupMember, ...]

    def owner(self, topic: str, partition: int) -> GroupMember | None:
        """The worker that has a partition, or None."""
        return next((member for member in self.members if TopicPartition(topic, partition) in member.partitions), None)

    def owned(self, topic: str) -> set[int]:
        """The numbers of the partitions of a topic that some worker has."""
        return {one.partition for member in self.members for one in member.partitions if one.topic == topic}


def describe_group(admin: AdminClient, group_id: str) -> ConsumerGroup:
    """The group as it is now; one that never was has no members.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    ask = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_no_coordinator_yet),
        stop=tenacity.stop_after_delay(_TIMEOUT_S),
        wait=tenacity.wait_fixed(_AGAIN_S),
        reraise=True,
    )
    try:
        found = ask(
            lambda: answer(admin.describe_consumer_groups([group_id], request_timeout=_TIMEOUT_S)[group_id], _TIMEOUT_S)
        )
    except KafkaException as error:
        if error.args[0].code() == BrokerError.GROUP_ID_NOT_FOUND:
            return ConsumerGroup(group_id, False, ())
        raise KafkaUnavailable(f"the consumer group {group_id} cannot be read: {error.args[0].str()}") from error
    members = tuple(
        GroupMember(
            one.member_id,
            one.client_id,
            one.host,
            frozenset(map(from_client, one.assignment.topic_partitions if one.assignment else ())),
        )
        for one in found.members
    )
    return ConsumerGroup(group_id, found.state == ConsumerGroupState.STABLE, members)


def _no_coordinator_yet(error: BaseException) -> bool:
    """Whether the broker, or the group, is so new that nobody coordinates it for a moment."""
    return isinstance(error, KafkaException) and error.args[0].code() in {
        BrokerError.NOT_COORDINATOR,
        BrokerError.COORDINATOR_NOT_AVAILABLE,
        BrokerError.COORDINATOR_LOAD_IN_PROGRESS,
    }


@dataclass(frozen=True, slots=True)
class CommittedOffset:
    """What a group has committed of a partition."""

    offset: int
    note: CommitMetadata


def committed_offsets(settings: Settings, group_id: str) -> dict[TopicPartition, int]:
    """The committed offset of each partition that the group has ever committed; see :class:`OffsetsClient`.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    return {key: commit.offset for key, commit in commits(settings, group_id).items()}


def commits(settings: Settings, group_id: str) -> dict[TopicPartition, CommittedOffset]:
    """The last commit of each partition that the group has ever committed.

    Who asks again and again keeps an :class:`OffsetsClient`.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    with OffsetsClient(settings) as asked:
        return asked.of(group_id)


class OffsetsClient:
    """Asks for the commits of groups, with one client; a context manager, for one thread that runs no event loop.

    Through aiokafka: the Python client of librdkafka takes metadata for a C string, and finds rubbish behind one that
    another client has written.
    """

    def __init__(self, settings: Settings) -> None:
        """Connects when it is first asked."""
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: AIOKafkaAdminClient | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def of(self, group_id: str) -> dict[TopicPartition, CommittedOffset]:
        """The last commit of each partition that a group has ever committed.

        Raises:
            KafkaUnavailable: no broker answers; the next time is with a new client.
        """
        known = self._client is not None
        try:
            found = self._wait_for(group_id)
        except (KafkaError, OSError, TimeoutError, AttributeError) as error:
            # AttributeError: aiokafka 0.14 stumbles over an error in the answer.
            self.close()
            if known and not isinstance(error, TimeoutError):
                return self.of(group_id)  # the broker has been started again since, or closed an idle connection
            raise KafkaUnavailable(f"the offsets of {group_id} cannot be read: {error!r}") from error
        return {
            from_client(tp): CommittedOffset(one.offset, CommitMetadata.parse(one.metadata))
            for tp, one in found.items()
            if one.offset >= 0
        }

    def close(self) -> None:
        """Disconnect."""
        loop, self._loop = self._loop, None
        client, self._client = self._client, None
        if loop is None:
            return
        try:
            if client is not None:
                with suppress(KafkaError, OSError, TimeoutError):
                    loop.run_until_complete(asyncio.wait_for(client.close(), _TIMEOUT_S))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    def _wait_for(self, group_id: str) -> dict[aiokafka.TopicPartition, OffsetAndMetadata]:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(asyncio.wait_for(self._ask(group_id), _TIMEOUT_S))

    async def _ask(self, group_id: str) -> dict[aiokafka.TopicPartition, OffsetAndMetadata]:
        if self._client is None:
            # Kept before it has started: what fails half-way is closed as well.
            self._client = async_admin(self._settings, _TIMEOUT_S)
            await self._client.start()
        while True:
            try:
                found: dict[
                    aiokafka.TopicPartition, OffsetAndMetadata
                ] = await self._client.list_consumer_group_offsets(group_id)
            except (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError):
                # A new broker, and a new group, have no coordinator for a moment.
                await asyncio.sleep(_AGAIN_S)
            else:
                return found
