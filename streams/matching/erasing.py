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
    user_id = erasure.user_id
    return [
        (user_id, template_id, version)
        for template_id, version in gallery.shard.of(user_id, erasure.subject_id)
        if (known := gallery.stored(user_id, template_id, version)) is None or known.enrolled_at <= at
    ]


def answer(erasure: Erasure, stage: str, removed: Collection[TemplateKey]) -> Erasure:
    """What a stage says once it has removed these templates; several versions of a template count once."""
    return replace(erasure, stage=stage, removed={"templates": len(template_ids(removed))})


def template_ids(keys: Collection[TemplateKey]) -> set[str]:
    """The ids of templates of whatever version."""
    return {template_id for _, template_id, _ in keys}


def refusal_of_erased(embedding: Embedding, erased: Erasures) -> Refusal | None:
    """The refusal of an event that is about somebody who was erased after it was produced.

    Such an event was on its way when the erasure was requested, or comes in a replay.
    """
    at_ms = round(embedding.timings.produced_at.timestamp() * 1000)
    subject_id = embedding.origin.subject_id
    subjects = () if subject_id is None else (subject_id,)
    covered = erased.covers(at_ms, embedding.user_id, subjects)
    return Refusal(Reason.ERASED, Reason.ERASED.description) if covered else None
