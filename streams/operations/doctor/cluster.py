"""Checks Kafka: brokers and topics, then the workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from confluent_kafka.admin import ClusterMetadata

from streams.kafka import topic_admin
from streams.kafka.connection import KafkaRefused, KafkaUnavailable, admin_client, metadata
from streams.kafka.rights import hidden
from streams.kafka.security import Security
from streams.kafka.topic_admin import TopicDescription
from streams.kafka.topic_record import TopicsLost
from streams.kafka.topic_specs import topic_specs
from streams.kafka.topics import TopicsError
from streams.matching.changelog import changelog_config, changelog_name
from streams.operations.doctor.away import explained
from streams.operations.doctor.finding import Finding, Status, fail, ok, warn
from streams.operations.doctor.logs import check as logs
from streams.operations.doctor.produce import check as probe
from streams.operations.doctor.remedies import Advice, Remedy
from streams.operations.doctor.workers import check as workers
from streams.operations.topic_repair import interrupted, uneven
from streams.settings import Settings, origin
from streams.settings_file import SETTINGS_FILE
from streams.text import pluralize

_ANSWER_S = 3.0
_RETENTION, _HOUR_MS = "retention.ms", 3_600_000
_RETENTION_SETTINGS = ("retention_hours", "dead_letter_retention_hours")
_VITAL = {"message.timestamp.type": "the order of uploads and frames depends on it"}


def check(settings: Settings) -> Iterator[Finding]:
    """Check brokers, then topics, then consumer groups; the rest is left out if no broker answers."""
    admin = admin_client(settings)
    try:
        cluster = metadata(admin, settings, _ANSWER_S)
    except KafkaRefused as error:
        yield fail("kafka", error.what, Remedy.KAFKA_REFUSES(how=error.how))
        return
    except KafkaUnavailable as error:
        away = fail("kafka", f"{str(error).partition('): ')[0]})", Remedy.KAFKA_AWAY())
        yield explained(away, settings, "kafka", settings.kafka)
        return
    yield ok("kafka", f"{pluralize(len(cluster.brokers), 'broker answers', 'brokers answer')} at {settings.kafka}")
    try:
        states = topic_admin.describe(admin, settings)
    except (TopicsError, TimeoutError) as error:
        yield fail("topics", str(error) or "the brokers do not tell of them in time", Remedy.BROKERS_LOGS())
        yield from _leaders(cluster, settings)
        return
    gone = topic_admin.lost(admin, settings)
    try:
        topic_admin.check_lost(gone, settings)
    except TopicsLost as error:
        yield fail("lost topics", error.loss, Remedy.LOST_TOPICS(how=error.how))
        states = [state for state in states if state.name not in gone]
    yield from _topics(states, cluster, settings)
    lame = list(_leaders(cluster, settings))
    yield from lame
    if not any(one.status is Status.FAIL for one in lame):
        yield from probe(settings, states)
    changelog = cluster.topics.get(changelog_name(settings))
    if changelog is not None:
        yield _changelog(len(changelog.partitions), states, settings)
    counts = {state.topic: state.partitions for state in states if state.exists}
    alike = len({*counts.values(), *([len(changelog.partitions)] if changelog is not None else [])}) <= 1
    yield from logs(admin, settings, counts)
    yield from workers(admin, settings, counts, alike=alike)


def _topics(states: Sequence[TopicDescription], cluster: ClusterMetadata, settings: Settings) -> Iterator[Finding]:
    missing = [state.name for state in states if not state.exists]
    if secret := hidden(settings, missing):
        who = Security.of(settings).who
        yield fail("topics", f"{who} may not see {', '.join(secret)}", Remedy.SEE_TOPICS(who=who))
    if away := [name for name in missing if name not in secret]:
        yield fail("topics", f"missing: {', '.join(away)}", Remedy.CREATE_TOPICS())
    there = [state for state in states if state.exists]
    yield from _partitions(there, cluster, settings)
    brokers = len(cluster.brokers)
    for state in there:
        vital = [f"{key} is {state.config.get(key)}: {why}" for key, why in _VITAL.items() if key in state.differs]
        if vital:
            yield fail(f"topic {state.name}", "; ".join(vital), Remedy.CREATE_TOPICS())
        elif state.differs:
            listed = ", ".join(f"{key} is {state.config.get(key)}, not {value}" for key, value in state.differs.items())
            yield warn(f"topic {state.name}", listed, _how_to_agree(state, settings))
        if state.replicas < settings.replication_factor:
            few = brokers < settings.replication_factor
            yield warn(
                f"topic {state.name}",
                f"{pluralize(state.replicas, 'replica')}, not {settings.replication_factor}"
                + (f", with {pluralize(brokers, 'broker')}" if few else ""),
                Remedy.SET_REPLICAS(count=brokers) if few else Remedy.REPLICATE(count=settings.replication_factor),
            )
    if there and not missing and not any(state.differs for state in there):
        yield ok(
            "topics", f"{len(there)} topics with {pluralize(there[0].partitions, 'partition')}, configured as wanted"
        )


def _how_to_agree(state: TopicDescription, settings: Settings) -> Advice:
    """How topic and settings come to agree: somebody may have changed the retention on purpose, in another shell."""
    hours = int(state.config.get(_RETENTION, 0)) / _HOUR_MS
    for name in _RETENTION_SETTINGS:
        if hours <= 0 or origin(name) == "environment":
            continue
        kept = settings.model_copy(update={name: hours})
        wanted = next(one.config for one in topic_specs(kept) if one.topic is state.topic)
        if all(state.config.get(key) == wanted[key] for key in state.differs):
            return Remedy.KEEP_RETENTION(setting=name, hours=hours, file=settings.home.absolute() / SETTINGS_FILE)
    return Remedy.CREATE_TOPICS()


def _partitions(there: Sequence[TopicDescription], cluster: ClusterMetadata, settings: Settings) -> Iterator[Finding]:
    if not there:
        return
    changelog = cluster.topics.get(changelog_name(settings))
    right, differ = uneven(there, len(changelog.partitions) if changelog is not None else None, settings)
    if left := interrupted(cluster.topics, settings):
        yield fail("partitions", f"a repair was interrupted of {', '.join(left)}", Remedy.REPAIR_TOPICS())
    elif differ:
        listed = ", ".join(f"{state.name}: {state.partitions}" for state in there if state.name in differ)
        yield fail(
            "partitions",
            f"topics must be partitioned alike, and are not (the others: {right}; {listed})",
            Remedy.REPAIR_TOPICS(),
        )
    if right != settings.partitions:
        yield warn(
            "partitions",
            f"the topics have {right}, FACESTREAM_PARTITIONS says {settings.partitions}",
            Remedy.SET_PARTITIONS(count=right),
        )


def _leaders(cluster: ClusterMetadata, settings: Settings) -> Iterator[Finding]:
    """Find partitions that are unavailable, take no writes, or would be lost with one more broker."""
    least = {spec.name: int(spec.config["min.insync.replicas"]) for spec in topic_specs(settings)}
    least[changelog_name(settings)] = int(changelog_config(settings)["min.insync.replicas"])
    for name, needed in least.items():
        parts = cluster.topics[name].partitions.values() if name in cluster.topics else []
        unled = [part for part in parts if part.leader not in cluster.brokers]
        behind = [part for part in parts if part not in unled and len(part.isrs) < len(part.replicas)]
        refusing = [part for part in behind if len(part.isrs) < needed]
        for judge, what, some in (
            (fail, "has no leader", unled),
            (fail, "takes no writes, since too few replicas are up to date", refusing),
            (warn, "has replicas that are behind", [part for part in behind if part not in refusing]),
        ):
            if some:
                away = sorted({broker for part in some for broker in part.replicas} - set(cluster.brokers))
                brokers = f"broker {', '.join(map(str, away))}" if away else "the brokers that are behind"
                numbers = ", ".join(str(part.id) for part in some)
                yield judge(f"topic {name}", f"partition {numbers} {what}", Remedy.BROKERS_BACK(brokers=brokers))


def _changelog(partitions: int, states: Sequence[TopicDescription], settings: Settings) -> Finding:
    counts = {state.partitions for state in states if state.exists}
    name = changelog_name(settings)
    if counts - {partitions}:
        return fail(
            "changelog",
            f"{name} has {pluralize(partitions, 'partition')}, the topics have {', '.join(map(str, sorted(counts)))}",
            Remedy.REPAIR_TOPICS(),
        )
    return ok("changelog", f"{name} has {pluralize(partitions, 'partition')}")
