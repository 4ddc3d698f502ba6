"""Puts the reference model that FACESTREAM_MODEL names in production where nothing has been embedded yet."""

from __future__ import annotations

import logging

from confluent_kafka.admin import AdminClient

from models.embedder.card import Card
from schemas.rollout import ModelState
from streams.kafka.connection import metadata
from streams.kafka.messages import TopicPartition
from streams.kafka.offsets import appended_offsets
from streams.kafka.topic_admin import is_changelog
from streams.kafka.topics import Topic
from streams.model_registry import records, transitions
from streams.settings import Settings

log = logging.getLogger(__name__)

_RESULTS = (Topic.EMBEDDINGS, Topic.ENROLMENTS)


def choose_first_version(admin: AdminClient, settings: Settings) -> None:
    """Write the records that put FACESTREAM_MODEL in production, unless there are records or faces already.

    An installation without records stays on the base version (:func:`streams.model_registry.records.base_folder`): its
    galleries hold templates of that one. Several workers may do this at once: they write the same.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topics have not been created.
    """
    if settings.model_dir is not None:
        return
    chosen = Card.read(settings.model.folder)
    registry = records.read_registry(settings)
    if any(record.state is not ModelState.CANDIDATE for record in registry.records) or _has_faces(admin, settings):
        return
    if chosen.version == registry.base:
        return
    # A worker that is killed between the two leaves the base in production, and the next one writes both again.
    for record in transitions.first(registry, records.base_card(settings), chosen):
        records.write(settings, record)
    log.info("%s answers in this new installation (FACESTREAM_MODEL=%s)", chosen.version, settings.model)


def _has_faces(admin: AdminClient, settings: Settings) -> bool:
    """Whether a face has ever been embedded or enrolled."""
    topics = metadata(admin, settings).topics
    names = {topic.named(settings) for topic in _RESULTS} | {name for name in topics if is_changelog(name, settings)}
    parts = [TopicPartition(name, number) for name in names & topics.keys() for number in topics[name].partitions]
    return any(appended_offsets(admin, parts).values())
