"""A gallery partition with its table, uploads for it, and model cards."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, cast

import numpy as np

from models.embedder.card import Card, ChipGeometry, Output
from schemas.embeddings import Embedding, Face, Reembedding, UploadOrigin
from schemas.gallery import Template
from schemas.ids import new_event_id
from schemas.ingest import Consent
from schemas.parts import Source, Timings
from schemas.results import Enrolment
from streams.matching.consent_ends import TemplateKey
from streams.matching.enrolment import EnrolmentDecisions
from streams.matching.erasing import refusal_of_erased
from streams.matching.gallery_partition import GalleryChange, GalleryPartition
from streams.matching.gallery_shard import GalleryShard
from streams.privacy.erasures import Erasures
from streams.settings import Settings
from tests.sinks.examples import BOX, QUALITY

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROOM = 3


def card(version: str) -> Card:
    return Card(
        version=version,
        chip=ChipGeometry(size=150, padding=0.25),
        output=Output(dimensions=2, metric="euclidean"),
        fmr_curve=((0.1, 1e-7), (0.5, 1e-3), (1.0, 0.5), (2.0, 1.0)),
        thresholds={"usual": 0.5},
        default_threshold="usual",
    )


CARDS = [card("one"), card("two")]


class Gallery:
    """A gallery partition and its table, as match keeps them."""

    def __init__(self, room: int = ROOM) -> None:
        self.table: dict[tuple[str, str, str], Template] = {}
        self.shard = GalleryShard()
        self.partition = GalleryPartition(0, self.shard, self)
        self.erased = Erasures()
        self.retired: set[str] = set()
        self.chips_gone: list[str] = []
        self.decisions = EnrolmentDecisions(Settings(max_templates_per_subject=room), self, self.erased)
        self.offset = 0

    def template(self, partition: int, user_id: str, template_id: str, model_version: str) -> Template | None:
        return self.table.get((user_id, template_id, model_version))

    def upload(self, photo: str, x: float, subject_id: str = "anna", **changes: Any) -> Embedding:
        """An embedded upload; the photo stands for its bytes, ``x`` for its face."""
        self.offset += 1
        at = changes.pop("at", NOW + timedelta(seconds=self.offset))
        consent = changes.pop("consent", Consent("tests", NOW))
        digest = changes.pop("digest", sha256(photo.encode()).hexdigest())
        face = Face(BOX, [0.0] * 10, QUALITY, vector=np.array([x, 1], "<f4").tobytes())
        return Embedding(
            event_id=changes.pop("event_id", None) or new_event_id(),
            user_id="ursula",
            origin=UploadOrigin(subject_id, at, consent, digest),
            source=Source("uploads", 0, self.offset),
            model_version="one",
            width=1,
            height=1,
            timings=Timings(at, at, at),
            faces=[dataclasses.replace(face, others=changes.pop("others", []))],
            **changes,
        )

    def without_faces(self) -> Embedding:
        """An upload on which no face was found."""
        return dataclasses.replace(self.upload("landscape", 0), faces=[])

    def decide(self, embedding: Embedding) -> tuple[Enrolment, GalleryChange]:
        cards = CARDS[: 1 + len(embedding.faces[0].others)] if embedding.faces else CARDS[:1]
        erased = refusal_of_erased(embedding, self.erased)
        return self.decisions.enrol(embedding, cast(UploadOrigin, embedding.origin), self.partition, cards, erased)

    def send(self, *batch: Embedding, fails_first: bool = False) -> list[Enrolment]:
        """Have uploads decided and the changes written; or first decided in vain."""
        for attempt in range(2 if fails_first else 1):
            written = self.partition.undelivered()
            chips = [key[1] for key, template in written if template is None]
            outcomes = []
            for one in batch:
                outcome, change = self.decide(one)
                outcomes.append(outcome)
                chips += change.chips
                written += changes_of(change)
            if attempt or not fails_first:
                self.chips_gone += chips
                self.write(written)
        return outcomes

    def reembed(self, event: Reembedding) -> GalleryChange:
        """Have a template's vector by another version decided and written."""
        change = self.decisions.reembed(event, self.partition)
        self.write(changes_of(change))
        return change

    def write(self, changes: Iterable[tuple[TemplateKey, Template | None]]) -> None:
        """Write changes to the table, as the agent does."""
        for key, template in changes:
            if template is None:
                self.table.pop(key, None)
            else:
                self.table[key] = template
        self.partition.delivered()

    def of(self, subject_id: str = "anna", version: str = "one") -> list[Template]:
        kept = [one for one in self.table.values() if (one.subject_id, one.model_version) == (subject_id, version)]
        in_shard = {name for name, v in self.shard.of("ursula", subject_id) if v == version}
        assert {one.template_id for one in kept} == in_shard
        return kept

    def fill_by_an_earlier_release(self, photo: str, x: float, copies: int) -> list[str]:
        """Templates without digests, made of one photo again and again."""
        for _ in range(copies):
            one = self.upload(photo, x)
            origin = cast(UploadOrigin, one.origin)
            vector = np.array([x + 1e-6 * len(self.table), 1], "<f4").tobytes()
            at = one.timings.produced_at
            old = Template(one.event_id, "ursula", "anna", "one", vector, QUALITY, origin.consent, one.source, at, None)
            self.table["ursula", one.event_id, "one"] = old
            self.shard.add(old)
        return [one.template_id for one in self.of()]


def changes_of(change: GalleryChange) -> list[tuple[TemplateKey, Template | None]]:
    """A change as keys and templates, in the order in which they are written; None: the template is removed."""
    kept = [((one.user_id, one.template_id, one.model_version), one) for one in change.kept]
    return [*((key, None) for key in change.removed), *kept]
