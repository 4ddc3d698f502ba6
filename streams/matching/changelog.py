"""The changelog of the gallery: creates it with its configuration, and discards local copies of another one."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import tenacity
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic, TopicDescription

from streams.kafka.connection import KafkaUnavailable, answer, metadata
from streams.kafka.consumer_groups import group_id
from streams.kafka.topic_admin import check_lost, lost
from streams.kafka.topic_record import TopicRecord
from streams.kafka.topics import PartitionsDiffer
from streams.roles import Role
from streams.settings import Settings

log = logging.getLogger(__name__)

TABLE = "gallery"
TOMBSTONES_S = 24 * 3600
"""How long the changelog at least says that a template was removed. A copy that was not current within that time may
have templates that were removed since, and nothing would tell it."""
_TIMEOUT_S = 15.0
_IDENTITY = "changelog-id"


def changelog_name(settings: Settings) -> str:
    """Faust's name for the table's changelog."""
    return f"{group_id(Role.MATCH, settings)}-{TABLE}-changelog"


def changelog_config(settings: Settings) -> dict[str, str]:
    """The configuration of the changelog."""
    return {
        "cleanup.policy": "compact",
        "delete.retention.ms": str(TOMBSTONES_S * 1000),
        "max.compaction.lag.ms": str(24 * 3_600_000),
        "max.message.bytes": str(settings.max_message_bytes),
        "min.insync.replicas": str(max(1, settings.replication_factor - 1)),
    }


def ensure_changelog(admin: AdminClient, settings: Settings, partitions: int) -> str:
    """Create the changelog if there is none, compacted only (faust-streaming #597: recovery hangs on deleted segments).

    Returns:
        The topic's id, which differs even from that of a former topic with the same name.

    Raises:
        TopicsLost: it existed once and is gone, and nobody has accepted that.
        PartitionsDiffer: it has another number of partitions than the topics.
        KafkaUnavailable: no broker answers.
    """
    name = changelog_name(settings)
    cluster = metadata(admin, settings)
    check_lost({one: since for one, since in lost(admin, settings).items() if one == name}, settings)
    new = NewTopic(name, partitions, settings.replication_factor, config=changelog_config(settings))
    try:
        answer(admin.create_topics([new], operation_timeout=_TIMEOUT_S)[name], _TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise KafkaUnavailable(f"the changelog {name} cannot be created: {error.args[0].str()}") from error
    try:
        found = _describe(admin, name)
    except KafkaException as error:
        raise KafkaUnavailable(f"the changelog {name} cannot be described: {error.args[0].str()}") from error
    if len(found.partitions) != partitions:
        raise PartitionsDiffer(
            f"the changelog {name} has {len(found.partitions)} partitions and the topics have {partitions}: "
            "`facestream topics repair` creates what differs again, with everything that is in it"
        )
    TopicRecord(settings.home).note(str(cluster.cluster_id), [name])
    return str(found.topic_id)


@tenacity.retry(
    # It takes a moment until a new topic is in the metadata of every broker.
    retry=tenacity.retry_if_exception_type(KafkaException),
    wait=tenacity.wait_fixed(0.1),
    stop=tenacity.stop_after_delay(_TIMEOUT_S),
    reraise=True,
)
def _describe(admin: AdminClient, name: str) -> TopicDescription:
    futures = admin.describe_topics(TopicCollection([name]), request_timeout=_TIMEOUT_S)
    description: TopicDescription = answer(futures[name], _TIMEOUT_S)
    return description


def discard_foreign_tables(folder: Path, changelog_id: str) -> None:
    """Remove tables of another changelog from a worker's folder: their templates are not in this one."""
    identity = folder / _IDENTITY
    known = identity.read_text("utf-8") if identity.exists() else None
    if known != changelog_id:
        for old in folder.iterdir():
            if old.is_dir():
                log.warning("%s was made from another changelog: removed", old)
                shutil.rmtree(old)
        identity.write_text(changelog_id, "utf-8")
