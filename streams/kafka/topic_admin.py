"""Topics on a cluster: how they are, and how they are created and brought up to date."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from streams.kafka.connection import answer, metadata
from streams.kafka.messages import TopicPartition
from streams.kafka.offsets import first_offsets, next_offsets
from streams.kafka.rights import hidden
from streams.kafka.topic_record import GALLERIES, TopicRecord, refuse_loss
from streams.kafka.topic_specs import LASTING, TopicSpec, topic_specs
from streams.kafka.topics import PartitionsDiffer, Topic, TopicsError
from streams.settings import Settings

_REQUEST_TIMEOUT_S = 15.0
_VISIBLE_TIMEOUT_S = 15.0
_NEW_S = 3.0
"""How long a topic that was created just now may be unknown to some broker."""
_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """How a topic is: 0 partitions if it does not exist; in ``differs`` the configuration that is to be and is not."""

    topic: Topic
    name: str
    partitions: int
    replicas: int = 0
    config: Mapping[str, str] = field(default_factory=dict)
    differs: Mapping[str, str] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """Whether the topic is there."""
        return self.partitions > 0


@dataclass(frozen=True, slots=True)
class TopicChange:
    """What :func:`create` did to one topic: ``created``, ``updated`` or ``unchanged``."""

    name: str
    did: str
    detail: str = ""


def create(
    admin: AdminClient, settings: Settings, *, accept_loss: bool = False, own: bool = False
) -> list[TopicChange]:
    """Create what is missing and bring the configuration of the rest up to date. Safe to repeat, also side by side.

    Args:
        accept_loss: create also what was there once and holds what cannot be made anew.
        own: the cluster is the home's own; see :class:`~streams.kafka.topic_record.TopicRecord`.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicsLost: such a topic is gone, and that is not accepted; nothing has been created.
        PartitionsDiffer: a topic exists with another number of partitions; it is left as it is.
        TopicsError: the cluster refused.
    """
    before = {state.topic: state for state in describe(admin, settings)}
    _check_partitions(before.values(), settings)
    specs = topic_specs(settings)
    cluster, record = metadata(admin, settings), TopicRecord(settings.home)
    gone = lost(admin, settings, own=own)
    if not accept_loss:
        check_lost(gone, settings)
    _create(admin, [spec for spec in specs if not before[spec.topic].exists])
    stale = {state.name: state.differs for state in before.values() if state.differs}
    alter(admin, stale)
    _await_changes(admin, settings)
    there = {spec.name for spec in specs} | {name for name in cluster.topics if is_changelog(name, settings)}
    record.note(str(cluster.cluster_id), there, gone=[name for name in gone if name not in there], own=own)
    changes = []
    for spec in specs:
        if not before[spec.topic].exists:
            anew = "; it was there before: what it held is gone" if spec.name in gone else ""
            changes.append(TopicChange(spec.name, "created", f"{spec.partitions} partitions{anew}"))
        elif spec.name in stale:
            changes.append(
                TopicChange(spec.name, "updated", ", ".join(f"{k}={v}" for k, v in stale[spec.name].items()))
            )
        else:
            changes.append(TopicChange(spec.name, "unchanged"))
    return changes


def lost(admin: AdminClient, settings: Settings, *, own: bool = False) -> Mapping[str, str]:
    """The topics that the home remembers and the cluster does not have, each with the time when it was there first.

    A topic counts as lost only if it stays away for some seconds: another process may have created and noted it since
    the brokers were asked, and not all brokers know it at once.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    ours = {topic.named(settings) for topic in Topic}
    cluster = metadata(admin, settings)
    known = TopicRecord(settings.home).known(str(cluster.cluster_id), own=own)
    mine = {name: since for name, since in known.items() if name in ours or is_changelog(name, settings)}
    deadline = time.monotonic() + _NEW_S
    while (gone := {name: since for name, since in mine.items() if name not in cluster.topics}) and (
        time.monotonic() < deadline
    ):
        time.sleep(_AGAIN_S)
        cluster = metadata(admin, settings)
    secret = hidden(settings, gone)
    return {name: since for name, since in gone.items() if name not in secret}


def check_lost(gone: Mapping[str, str], settings: Settings) -> None:
    """Refuse to go on where what cannot be made anew is among these topics (:class:`TopicsLost`)."""
    held = {topic.named(settings): LASTING.get(topic) for topic in Topic}
    refuse_loss(gone, {name: held.get(name, GALLERIES) for name in gone}, settings.kafka)


def is_changelog(name: str, settings: Settings) -> bool:
    """Whether it is a changelog of ours."""
    return name.startswith(f"{settings.topic_prefix}facestream-") and name.endswith("-changelog")


def _check_partitions(states: Iterable[TopicDescription], settings: Settings) -> None:
    for state in states:
        if state.exists and state.partitions != settings.partitions:
            raise PartitionsDiffer(
                f"topic {state.name} has {state.partitions} partitions and FACESTREAM_PARTITIONS is "
                f"{settings.partitions}. The number cannot change, or users would move away from their galleries: "
                f"set FACESTREAM_PARTITIONS={state.partitions}; or, if somebody gave it others than the rest, stop the "
                "workers and `facestream topics repair`"
            )


def describe(admin: AdminClient, settings: Settings) -> list[TopicDescription]:
    """How every topic of this version is now, in their order.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    cluster = metadata(admin, settings)
    specs = topic_specs(settings)
    there = [spec for spec in specs if spec.name in cluster.topics]
    configs = _configs(admin, [spec.name for spec in there])
    states = []
    for spec in specs:
        if spec not in there:
            states.append(TopicDescription(spec.topic, spec.name, 0))
            continue
        partitions = cluster.topics[spec.name].partitions
        config = {key: value for key, value in configs[spec.name].items() if key in spec.config}
        states.append(
            TopicDescription(
                spec.topic,
                spec.name,
                len(partitions),
                min(len(partition.replicas) for partition in partitions.values()),
                config,
                {key: value for key, value in spec.config.items() if config.get(key) != value},
            )
        )
    return states


def messages(admin: AdminClient, states: Collection[TopicDescription]) -> dict[Topic, int]:
    """How many messages each topic holds now, counted by offsets.

    Raises:
        KafkaUnavailable: a partition has no leader.
    """
    parts = {state.topic: [TopicPartition(state.name, n) for n in range(state.partitions)] for state in states}
    every = [part for ofs in parts.values() for part in ofs]
    first, last = first_offsets(admin, every), next_offsets(admin, every)
    return {topic: sum(last[part] - first[part] for part in ofs) for topic, ofs in parts.items()}


def _create(admin: AdminClient, missing: list[TopicSpec]) -> None:
    if not missing:
        return
    new = [
        NewTopic(spec.name, num_partitions=spec.partitions, replication_factor=spec.replicas, config=dict(spec.config))
        for spec in missing
    ]
    for name, future in admin.create_topics(new, operation_timeout=_REQUEST_TIMEOUT_S).items():
        try:
            answer(future, _REQUEST_TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise TopicsError(f"topic {name} cannot be created: {error.args[0].str()}") from error


def alter(admin: AdminClient, stale: Mapping[str, Mapping[str, str]]) -> None:
    """Set the configuration of topics, by name.

    Raises:
        TopicsError: the cluster refused.
    """
    resources = [
        ConfigResource(
            ResourceType.TOPIC,
            name,
            incremental_configs=[
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in values.items()
            ],
        )
        for name, values in stale.items()
    ]
    if not resources:
        return
    for resource, future in admin.incremental_alter_configs(resources, request_timeout=_REQUEST_TIMEOUT_S).items():
        try:
            answer(future, _REQUEST_TIMEOUT_S)
        except KafkaException as error:
            raise TopicsError(f"topic {resource.name} cannot be configured: {error.args[0].str()}") from error


def _configs(admin: AdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    futures = admin.describe_configs(resources, request_timeout=_REQUEST_TIMEOUT_S)
    try:
        return {
            resource.name: {key: str(entry.value) for key, entry in answer(future, _REQUEST_TIMEOUT_S).items()}
            for resource, future in futures.items()
        }
    except KafkaException as error:
        raise TopicsError(f"the topics' configuration cannot be read: {error.args[0].str()}") from error


def _await_changes(admin: AdminClient, settings: Settings) -> None:
    """Wait until every topic is seen as it was ordered: the brokers' metadata follows the order by a moment."""
    deadline = time.monotonic() + _VISIBLE_TIMEOUT_S
    while True:
        states = describe(admin, settings)
        # Somebody else may have created one meanwhile.
        _check_partitions(states, settings)
        if all(state.exists and not state.differs for state in states):
            return
        if time.monotonic() > deadline:
            raise TopicsError("the cluster does not show the topics as they were ordered: look at the broker's log")
        time.sleep(0.05)
