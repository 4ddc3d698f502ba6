"""From an embedded upload to its outcome, and to the templates that are kept of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from models.embedder.card import Card
from models.matching.decision import similar_subject
from models.matching.gallery import Embedded
from schemas.clock import utc_now
from schemas.embeddings import Embedding, Face, Reembedding, UploadOrigin
from schemas.gallery import Template
from schemas.parts import UNMEASURED, Refusal
from schemas.reasons import Reason
from schemas.results import Enrolment, Outcome
from streams.matching.frame_decisions import threshold_of
from streams.matching.gallery_partition import GalleryChange, GalleryPartition
from streams.matching.repeated_photos import Vectors, find_same_photo, merge_repeated, superfluous_copies
from streams.privacy import consent as consents
from streams.privacy.erasures import Erasures
from streams.settings import Settings

_SIMILAR = (
    "another subject of the user would surely be recognised on this photo, see similar_subject_id: if it is the same "
    "person, erase one of the two"
)


class Retirements(Protocol):
    """Tells which model versions have been retired."""

    @property
    def retired(self) -> Collection[str]:
        """The versions that are retired now."""


class EnrolmentDecisions:
    """Decides about uploads. The gallery partition is changed at once; writing the table is left to the caller."""

    def __init__(self, settings: Settings, models: Retirements, erased: Erasures) -> None:
        """``erased`` may grow while this is used."""
        self._settings = settings
        self._models = models
        self._erased = erased

    def enrol(
        self,
        embedding: Embedding,
        origin: UploadOrigin,
        gallery: GalleryPartition,
        cards: Sequence[Card],
        erased: Refusal | None,
        *,
        looks_for_similar: bool = True,
    ) -> tuple[Enrolment, GalleryChange]:
        """Decide about an upload; an upload that is kept is kept in every model version.

        Args:
            embedding: the upload as embed has made it.
            origin: of the same.
            gallery: of the user's partition.
            cards: of the embedding's version first, then of the other versions of its vectors.
            erased: the refusal if the subject has been erased since.
            looks_for_similar: whether other subjects of the user are looked for on the photo, in the whole gallery.
        """
        user_id, subject_id = embedding.user_id, origin.subject_id
        face = embedding.faces[0] if embedding.faces else None
        refusal = erased or self._refusal(embedding, origin, face)
        change, repeats, details = GalleryChange(), None, list[str]()
        similar: str | None = None
        if refusal is None and face is not None and face.vector is not None:
            vectors = self._vectors(embedding, face, face.vector, cards)
            template = _template(embedding, origin, face, face.vector)
            keeps = consents.may_keep(origin.consent, embedding.replay_id, embedding.corrects)
            if (same := find_same_photo(template, vectors, gallery, self._erased)) is not None:
                repeats = same.template_id
                change, detail = merge_repeated(template, vectors, same, gallery, keeps)
                details.append(detail)
            elif (spare := self._make_room(template, gallery)) is None:
                room = self._settings.max_templates_per_subject
                refusal = Refusal(Reason.SUBJECT_FULL, f"{subject_id!r} has {room} templates already")
            elif keeps:
                kept = _new_templates(template, vectors, gallery)
                change = gallery.remove(user_id, spare)
                change.kept = kept
                gallery.keep(kept)
            if refusal is None and looks_for_similar:
                similar = self._similar(template, gallery, cards[0])
                details += [_SIMILAR] if similar is not None else []
        if refusal is not None and refusal.reason == Reason.ERASED:
            change.chips.append(embedding.event_id)
        outcome = Enrolment(
            event_id=embedding.event_id,
            user_id=user_id,
            subject_id=subject_id,
            created_at=origin.created_at,
            outcome=Outcome.ENROLLED if refusal is None else Outcome.REFUSED,
            refusal=refusal,
            source=embedding.source,
            model_version=embedding.model_version,
            box=face.box if face is not None else None,
            quality=face.quality if face is not None and face.quality != UNMEASURED else None,
            templates=gallery.shard.templates(user_id, subject_id),
            timings=embedding.timings,
            decided_at=utc_now(),
            repeats=repeats,
            similar_subject_id=similar,
            detail="; ".join(details) or None,
            replay_id=embedding.replay_id,
            corrects=embedding.corrects,
        )
        return outcome, change

    def reembed(self, event: Reembedding, gallery: GalleryPartition) -> GalleryChange:
        """Add a template's vector by another version; nothing if the template is gone or the version is retired."""
        version = gallery.shard.version_of(event.user_id, event.template_id)
        if version is None or event.model_version in self._models.retired:
            return GalleryChange()
        known = gallery.template(event.user_id, event.template_id, version)
        if known is None:
            return GalleryChange()
        template = replace(known, model_version=event.model_version, vector=event.vector)
        gallery.keep([template])
        return GalleryChange(kept=[template])

    def _refusal(self, embedding: Embedding, origin: UploadOrigin, face: Face | None) -> Refusal | None:
        """Why an upload cannot be enrolled, whatever the gallery holds."""
        limit = self._settings.max_clock_ahead_s
        refusal = embedding.refusal or consents.refusal(origin.consent, embedding.timings.produced_at, limit)
        if refusal is not None or (face is not None and face.vector is not None):
            return refusal
        reason = Reason(face.refusal) if face is not None and face.refusal else Reason.NO_FACE
        return Refusal(reason, reason.description)

    def _vectors(self, embedding: Embedding, face: Face, vector: bytes, cards: Sequence[Card]) -> Vectors:
        """The vectors that are kept of a face, by model version."""
        others = {one.model_version: one.vector for one in face.others}
        wanted = [card.version for card in cards[1:] if card.version not in self._models.retired]
        return {embedding.model_version: vector} | {version: others[version] for version in wanted}

    def _make_room(self, template: Template, gallery: GalleryPartition) -> list[str] | None:
        """The templates to remove so that there is room for one more; None if that makes no room."""
        user_id, subject_id = template.user_id, template.subject_id
        if gallery.shard.version_of(user_id, template.template_id) is not None:
            return []
        if gallery.shard.templates(user_id, subject_id) < self._settings.max_templates_per_subject:
            return []
        return superfluous_copies(template, gallery) or None

    def _similar(self, template: Template, gallery: GalleryPartition, card: Card) -> str | None:
        """Another subject of the user who would surely be recognised on the photo."""
        vector = np.frombuffer(template.vector, "<f4")
        return similar_subject(
            gallery.shard.gallery(card.version, len(vector)),
            card,
            template.user_id,
            template.subject_id,
            Embedded(template.model_version, vector),
            threshold_of(self._settings, card),
        )


def _new_templates(template: Template, vectors: Vectors, gallery: GalleryPartition) -> list[Template]:
    """The templates of an upload, one for each version. Of two messages with the same event id the first counts.

    A message comes again when its batch failed half-way, and in a correcting replay: then it replaces what it wrote.
    """
    version = gallery.shard.version_of(template.user_id, template.template_id)
    known = version and gallery.template(template.user_id, template.template_id, version)
    if not known or known.source == template.source:
        return [replace(template, model_version=v, vector=vector) for v, vector in vectors.items()]
    if template.picture_sha256 is None or known.picture_sha256 != template.picture_sha256:
        return []
    there = gallery.shard.versions_of(template.user_id, template.template_id)
    return [replace(known, model_version=v, vector=vector) for v, vector in vectors.items() if v not in there]


def _template(embedding: Embedding, origin: UploadOrigin, face: Face, vector: bytes) -> Template:
    return Template(
        template_id=embedding.event_id,
        user_id=embedding.user_id,
        subject_id=origin.subject_id,
        model_version=embedding.model_version,
        vector=vector,
        quality=face.quality,
        consent=origin.consent,
        source=embedding.source,
        enrolled_at=embedding.timings.produced_at,
        picture_sha256=origin.picture_sha256,
    )
