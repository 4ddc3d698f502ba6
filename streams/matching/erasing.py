"""Which templates of a shard an erasure removes, and the answer to it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from schemas.embeddings import Embedding
from schemas.erasure import Erasure
from schemas.parts import Refusal
from schemas.reasons import Reason
from streams.matching.consent_ends import TemplateKey
from streams.matching.gallery_partition import GalleryPartition
from streams.privacy.erasures import Erasures


def templates_to_erase(erasure: Erasure, at: datetime, gallery: GalleryPartition) -> list[TemplateKey]:
    """The templates of the user or subject that were enrolled up to ``at``, the broker's time of the request.

    A template that the table does not have is removed too: it is left in memory only.
    """
    user_id, photo = erasure.user_id, erasure.photo
    return [
        (user_id, template_id, version)
        for template_id, version in gallery.shard.of(user_id, erasure.subject_id)
        if (photo is None or template_id in photo.event_ids)
        and ((known := gallery.stored(user_id, template_id, version)) is None or known.enrolled_at <= at)
    ]


def with_digests(erasure: Erasure, removed: Collection[TemplateKey], gallery: GalleryPartition) -> Erasure:
    """The erasure of a photo with the SHA-256 of what is about to be removed for it; any other as it is."""
    if erasure.photo is None:
        return erasure
    stored = [gallery.stored(*key) for key in removed]
    digests = {one.picture_sha256 for one in stored if one is not None and one.picture_sha256 is not None}
    return replace(erasure, photo=replace(erasure.photo, sha256=sorted({*erasure.photo.sha256, *digests})))


def answer(erasure: Erasure, stage: str, removed: Collection[TemplateKey], gallery: GalleryPartition) -> Erasure:
    """What a stage says once the gallery is without these templates; several versions of a template count once."""
    photo = erasure.photo
    if photo is not None:
        left = gallery.shard.templates(erasure.user_id, erasure.subject_id or "")
        photo = replace(photo, templates_left=left)
    return replace(erasure, stage=stage, removed={"templates": len(template_ids(removed))}, photo=photo)


def template_ids(keys: Collection[TemplateKey]) -> set[str]:
    """The ids of templates of whatever version."""
    return {template_id for _, template_id, _ in keys}


def refusal_of_erased(embedding: Embedding, erased: Erasures) -> Refusal | None:
    """The refusal of an event about somebody, or of a photo, that was erased after it was produced.

    Such an event was on its way when the erasure was requested, or comes in a replay.
    """
    return Refusal(Reason.ERASED, Reason.ERASED.description) if erased.covers_embedding(embedding) else None
