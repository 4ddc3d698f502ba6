"""Events and templates in another partition than that of their user.

A producer that writes names in Unicode's decomposed form (as a Mac's file system does) uses that form as the key, and
releases that compared names byte by byte made a gallery for each spelling. A user's gallery belongs in the partition of
the canonical form of the name: whatever lies elsewhere is sent there as an embedding, and enrolled or matched like any
other. So is what a producer sends that has not learnt yet that the topics have more partitions now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from schemas import codec
from schemas.clock import utc_now
from schemas.embeddings import Embedding, Face, OtherVector, Reembedding, TemplateBatch, UploadOrigin
from schemas.erasure import Erasure
from schemas.gallery import Template
from schemas.parts import Box, Timings
from streams.engine.faust_producer import Outgoing
from streams.kafka.messages import Message
from streams.kafka.partitioner import partition_of_bytes
from streams.privacy.erasures import Erasures

EmbeddingEvent = Embedding | Reembedding | TemplateBatch
"""What comes on the topic ``embeddings``."""


@dataclass(frozen=True, slots=True)
class MisplacedTemplate:
    """A template whose key in the table is not that of its user."""

    key: bytes
    template: Template


def belongs_elsewhere(message: Message, event: EmbeddingEvent | Erasure, partitions: int) -> bool:
    """Whether the key of a message is another spelling of its user's name, or its partition is not the user's."""
    own = event.user_id.encode()
    return message.key != own or message.source.partition != partition_of_bytes(own, partitions)


def sent_on(event: EmbeddingEvent | Erasure, partitions: int) -> Outgoing:
    """The event as a message for the partition of its user, among so many."""
    own = event.user_id.encode()
    return own, codec.encode(event), partition_of_bytes(own, partitions)


def as_embeddings(
    strays: Collection[MisplacedTemplate], erased: Erasures, retired: Collection[str], partitions: int
) -> list[Outgoing]:
    """Templates as embeddings for the partitions of their users, without erased people and retired versions."""
    by_id: dict[tuple[str, str], list[Template]] = defaultdict(list)
    for stray in strays:
        one = stray.template
        if one.model_version not in retired and not erased.covers_template(one):
            by_id[one.user_id, one.template_id].append(one)
    now = utc_now()
    return [sent_on(as_embedding(versions, now), partitions) for versions in by_id.values()]


def as_embedding(versions: list[Template], now: datetime) -> Embedding:
    """One template, as if its upload had been embedded by all of its versions; the face's place is not known.

    The first version is the one that the outcome names.
    """
    first, *others = versions
    face = Face(Box(0.0, 0.0, 0.0, 0.0), [], first.quality, vector=first.vector)
    return Embedding(
        event_id=first.template_id,
        user_id=first.user_id,
        origin=UploadOrigin(first.subject_id, first.enrolled_at, first.consent, first.picture_sha256),
        source=first.source,
        model_version=first.model_version,
        width=0,
        height=0,
        timings=Timings(produced_at=first.enrolled_at, received_at=now, embedded_at=now),
        faces=[replace(face, others=[OtherVector(one.model_version, one.vector) for one in others])],
    )
