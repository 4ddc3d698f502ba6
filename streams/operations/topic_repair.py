"""Recreates topics with another number of partitions or too few replicas, with everything that is in them.

Kafka can add partitions to a topic but not remove them, and other partitions would separate users from their galleries.
So each topic is created again and its records are placed anew, see ``topic_copy``. No worker may run meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from streams.kafka.connection import KafkaUnavailable, admin_client, metadata
from streams.kafka.consumer_groups import commits, describe_group, group_id
from streams.kafka.topic_admin import TopicDescription
from streams.kafka.topic_specs import topic_specs
from streams.kafka.topics import Topic
from streams.matching.changelog import changelog_config, changelog_name
from streams.operations.topic_copy import SIDE, Repair, RepairError, TopicCopy, log_bounds
from streams.replay.store import is_under_way, replays
from streams.roles import Role
from streams.settings import Settings
from streams.topology import READS

_AT_ONCE = 8
"""Topics that are copied at the same time."""
_OF_ALL_PARTITIONS = {Topic.PROBES, Topic.SEARCH_PARTS, Topic.ERASURES}
"""Topics of which an answer has to come from each partition."""


def right_count(counts: Sequence[int], changelog: int | None, wanted: int) -> int:
    """The right number of partitions if topics differ: that of the galleries, or else that of the settings."""
    if changelog is not None and changelog in counts:
        return changelog
    return wanted if wanted in counts else Counter(counts).most_common(1)[0][0]


def uneven(there: Sequence[TopicDescription], changelog: int | None, settings: Settings) -> tuple[int, list[str]]:
    """The right number of partitions, and the topics with another number."""
    right = right_count([state.partitions for state in there], changelog, settings.partitions)
    return right, [state.name for state in there if state.partitions != right]


def interrupted(names: Iterable[str], settings: Settings) -> list[str]:
    """Our topics whose repair was interrupted, given the names of all topics of a cluster."""
    there = set(names)
    ours = [topic.named(settings) for topic in Topic] + [changelog_name(settings)]
    return [name for name in ours if name + SIDE in there]


def plan(admin: AdminClient, settings: Settings) -> list[Repair]:
    """The repairs that are needed.

    Raises:
        RepairError: the settings want another number of partitions than the galleries have.
        KafkaUnavailable: no broker answers.
    """
    cluster = metadata(admin, settings)
    changelog = changelog_name(settings)
    counts = _counts(cluster, settings)
    if not counts:
        return []
    logs = cluster.topics.get(changelog)
    right = right_count(counts, None if logs is None else len(logs.partitions), settings.partitions)
    repairs = _repairs(admin, cluster, settings, right)
    if repairs and right != settings.partitions:
        raise RepairError(
            f"the galleries have {right} partitions and FACESTREAM_PARTITIONS is {settings.partitions}: "
            f"set FACESTREAM_PARTITIONS={right}, then repair"
        )
    for one in repairs:
        if one.name == changelog and any(
            end for n, (_, end) in log_bounds(admin, changelog, one.partitions).items() if n >= right
        ):
            raise RepairError(
                f"galleries lie in {one.partitions} partitions of {changelog} and the topics have {right}: "
                f"set FACESTREAM_PARTITIONS={one.partitions}, remove the topics with {right} partitions when nothing "
                "waits in them (`facestream shards`), and `facestream topics create`"
            )
    return repairs


def plan_repartition(admin: AdminClient, settings: Settings) -> list[Repair]:
    """What gives every topic as many partitions as the settings say.

    Raises:
        RepairError: they have more, or something is under way that would not survive it.
        KafkaUnavailable: no broker answers.
    """
    cluster = metadata(admin, settings)
    most = max(_counts(cluster, settings), default=0)
    if most > settings.partitions:
        raise RepairError(
            f"the topics have {most} partitions, and their number can only grow: dead letters and other records name "
            "partitions that would be gone"
        )
    _check_done(admin, cluster, settings)
    return _repairs(admin, cluster, settings, settings.partitions)


def _check_done(admin: AdminClient, cluster: ClusterMetadata, settings: Settings) -> None:
    """Refuse while something waits that is meant for each of the present partitions, or that goes by their offsets.

    Raises:
        RepairError: it waits, with what to do.
    """
    if under_way := [one.replay_id for one in replays(settings) if is_under_way(one)]:
        raise RepairError(f"the replay {', '.join(under_way)} is under way: stop it with Ctrl-C, or let it end")
    for role, topics in READS.items():
        committed = commits(settings, group_id(role, settings))
        for topic in _OF_ALL_PARTITIONS & set(topics):
            name = topic.named(settings)
            known = {at.partition: one.offset for at, one in committed.items() if at.topic == name}
            if not known or name not in cluster.topics:
                continue
            bounds = log_bounds(admin, name, len(cluster.topics[name].partitions))
            waits = sum(max(0, end - known.get(number, first)) for number, (first, end) in bounds.items())
            if waits:
                raise RepairError(
                    f"{waits} of {name} wait for {role}: start the workers again, wait until `facestream status` "
                    "shows nothing of it, stop them, and repeat this"
                )


def _counts(cluster: ClusterMetadata, settings: Settings) -> list[int]:
    """The numbers of partitions of the topics that are there."""
    names = [topic.named(settings) for topic in Topic]
    return [len(cluster.topics[name].partitions) for name in names if name in cluster.topics]


def _repairs(admin: AdminClient, cluster: ClusterMetadata, settings: Settings, right: int) -> list[Repair]:
    """The topics that have not so many partitions, or too few replicas; the changelog first.

    What interrupts them then leaves the galleries with the new number, which decides about the rest.
    """
    changelog, left = changelog_name(settings), interrupted(cluster.topics, settings)
    every: list[tuple[str, Mapping[str, str], Topic | None]] = [
        (changelog, changelog_config(settings), None),
        *((spec.name, spec.config, spec.topic) for spec in topic_specs(settings)),
    ]
    repairs = []
    for name, config, topic in every:
        if name not in cluster.topics and name not in left:
            continue
        parts = cluster.topics[name].partitions.values() if name in cluster.topics else []
        few = min((len(part.replicas) for part in parts), default=settings.replication_factor)
        enough = few >= settings.replication_factor or len(cluster.brokers) < settings.replication_factor
        if len(parts) == right and enough and name not in left:
            continue
        readers = tuple(role for role, topics in READS.items() if topic in topics)
        records = sum(end - first for first, end in log_bounds(admin, name, len(parts)).values())
        factor = min(settings.replication_factor, len(cluster.brokers))
        repairs.append(Repair(name, len(parts), right, factor, records, config, topic, readers))
    return repairs


def repair(settings: Settings, repairs: Sequence[Repair], report: Callable[[str], None]) -> None:
    """Recreate these topics; safe to repeat.

    Raises:
        RepairError: workers run, or something was not copied; the next call continues the repair.
        KafkaUnavailable: no broker answers; the next call continues the repair.
    """
    admin = admin_client(settings)
    running = [member.name for role in Role for member in describe_group(admin, group_id(role, settings)).members]
    if running:
        raise RepairError(f"workers run ({', '.join(sorted(running))}): stop them all, then repair, then start them")
    first = [one for one in repairs if one.topic is None]
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # most of the time brokers are waited for
        for some in (first, [one for one in repairs if one.topic is not None]):
            for one in some:
                report(f"{one.name}: {one.records} records")
            for done in [pool.submit(_recreate, settings, one) for one in some]:
                done.result()


def _recreate(settings: Settings, one: Repair) -> None:
    try:
        TopicCopy(settings, one).run()
    except KafkaException as error:
        raise KafkaUnavailable(f"{one.name} was not repaired: {error.args[0].str()}; repair again") from error
