"""Kafka: brokers, topics and, with them, the workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streams import topics
from streams.changelog import changelog_name
from streams.checks.finding import Finding, fail, ok, warn
from streams.checks.workers import check as workers
from streams.kafka import KafkaUnavailable, admin_client, metadata
from streams.settings import Settings
from streams.topics import Found
from streams.words import counted

_ANSWER_S = 3.0
_CREATE = "facestream topics create"
_VITAL = {"message.timestamp.type": "the order of uploads and frames depends on it"}


def check(settings: Settings) -> Iterator[Finding]:
    """Brokers, then topics, then consumer groups; the rest is left out if no broker answers."""
    admin = admin_client(settings)
    try:
        cluster = metadata(admin, settings, _ANSWER_S)
    except KafkaUnavailable as error:
        seen, _, mend = str(error).partition("): ")
        yield fail("kafka", f"{seen})", mend)
        return
    yield ok("kafka", f"{counted(len(cluster.brokers), 'broker answers', 'brokers answer')} at {settings.kafka}")
    states = topics.describe(admin, settings)
    yield from _topics(states, settings)
    changelog = cluster.topics.get(changelog_name(settings))
    if changelog is not None:
        yield _changelog(len(changelog.partitions), states, settings)
    yield from workers(admin, settings, {state.topic: state.partitions for state in states if state.exists})


def _topics(states: Sequence[Found], settings: Settings) -> Iterator[Finding]:
    missing = [state.name for state in states if not state.exists]
    if missing:
        yield fail("topics", f"missing: {', '.join(missing)}", _CREATE)
    there = [state for state in states if state.exists]
    yield from _partitions(there, settings)
    for state in there:
        vital = [f"{key} is {state.config.get(key)}: {why}" for key, why in _VITAL.items() if key in state.differs]
        if vital:
            yield fail(f"topic {state.name}", "; ".join(vital), _CREATE)
        elif state.differs:
            listed = ", ".join(f"{key} is {state.config.get(key)}, not {value}" for key, value in state.differs.items())
            yield warn(f"topic {state.name}", listed, _CREATE)
        if state.replicas < settings.replication_factor:
            yield warn(
                f"topic {state.name}",
                f"{counted(state.replicas, 'replica')}, not {settings.replication_factor}",
                "reassign its partitions with Kafka's own tools (kafka-reassign-partitions)",
            )
    if there and not missing and not any(state.differs for state in there):
        yield ok(
            "topics", f"{len(there)} topics with {counted(there[0].partitions, 'partition')}, configured as wanted"
        )


def _partitions(there: Sequence[Found], settings: Settings) -> Iterator[Finding]:
    counts = {state.name: state.partitions for state in there}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name}: {count}" for name, count in counts.items())
        yield fail(
            "partitions",
            f"topics must be partitioned alike, and are not ({listed})",
            "begin anew with another FACESTREAM_TOPIC_PREFIX and `facestream topics create`",
        )
    elif counts and set(counts.values()) != {settings.partitions}:
        [count] = set(counts.values())
        yield warn(
            "partitions",
            f"the topics have {count}, FACESTREAM_PARTITIONS says {settings.partitions}",
            f"set FACESTREAM_PARTITIONS={count}",
        )


def _changelog(partitions: int, states: Sequence[Found], settings: Settings) -> Finding:
    wanted = {state.partitions for state in states if state.exists}
    name = changelog_name(settings)
    if wanted - {partitions}:
        return fail(
            "changelog",
            f"{name} has {counted(partitions, 'partition')}, the topics have {', '.join(map(str, sorted(wanted)))}",
            "begin anew with another FACESTREAM_TOPIC_PREFIX",
        )
    return ok("changelog", f"{name} has {counted(partitions, 'partition')}")
