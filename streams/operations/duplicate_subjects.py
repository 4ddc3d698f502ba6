"""Subjects of one user who are perhaps the same person, as the templates in the gallery's changelog look alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from models.embedder.card import Card
from models.matching.decision import strict_distance
from models.matching.gallery import Embedded, Gallery
from schemas.gallery import Template
from streams.matching.frame_decisions import threshold_of
from streams.matching.stored_gallery import read_templates
from streams.model_registry.records import cards
from streams.settings import Settings

_OTHERS = 8
"""Other subjects that one template is compared with at most; who has more look-alikes is found by theirs."""


@dataclass(frozen=True, slots=True)
class DuplicateSubjects:
    """Two subjects of a user of whom one would surely be recognised on a photo of the other.

    Attributes:
        user_id: the owner of the gallery.
        subject_id: one of the subjects, the first by name.
        other_subject_id: the other.
        similarity: of their nearest templates, 1 is the same picture.
        fmr: the false-match rate of their distance.
        model_version: by which they are the nearest.
    """

    user_id: str
    subject_id: str
    other_subject_id: str
    similarity: float
    fmr: float
    model_version: str


def duplicate_subjects(settings: Settings, user_id: str | None = None) -> Iterator[DuplicateSubjects]:
    """The pairs of a user, or of all users; None: of all. Each pair once, by partition and user.

    As for the outcome of an enrolment, "surely" is a hundredth of the false-match rate at which faces match.

    Raises:
        KafkaUnavailable: no broker answers.
        UnusableModel: FACESTREAM_MODEL_DIR has no card.
    """
    known = cards(settings)
    limits = {version: strict_distance(card, threshold_of(settings, card)) for version, card in known.items()}
    for partition in read_templates(settings, user_id):
        yield from duplicates_among(partition, known, limits)


def duplicates_among(
    templates: Iterable[Template], known: Mapping[str, Card], limits: Mapping[str, float]
) -> Iterator[DuplicateSubjects]:
    """The pairs among templates of whatever users; those of a version without a card are left out.

    Args:
        templates: of one partition, or of several.
        known: the cards by version.
        limits: the distances by version below which two subjects count as alike.
    """
    of_user: dict[str, dict[str, list[Template]]] = defaultdict(lambda: defaultdict(list))
    for one in templates:
        if one.model_version in known:
            of_user[one.user_id][one.model_version].append(one)
    for user_id, versions in sorted(of_user.items()):
        nearest: dict[tuple[str, str], DuplicateSubjects] = {}
        for version, group in versions.items():
            for pair, distance in _pairs(user_id, version, group, limits[version]).items():
                card = known[version]
                found = DuplicateSubjects(user_id, *pair, card.similarity(distance), card.fmr(distance), version)
                nearest[pair] = max(found, nearest.get(pair, found), key=lambda one: one.similarity)
        yield from sorted(nearest.values(), key=lambda one: (one.subject_id, one.other_subject_id))


def _pairs(user_id: str, version: str, templates: list[Template], limit: float) -> dict[tuple[str, str], float]:
    """The pairs of subjects of a user within a distance, with the distance of their nearest templates."""
    vectors = np.stack([np.frombuffer(one.vector, "<f4") for one in templates])
    gallery = Gallery(version, vectors.shape[1])
    gallery.fill(user_id, [(one.subject_id, one.template_id) for one in templates], Embedded(version, vectors))
    pairs: dict[tuple[str, str], float] = {}
    for one, found in zip(templates, gallery.nearest(user_id, Embedded(version, vectors), 1 + _OTHERS), strict=True):
        for subject_id, distance in found:
            if subject_id != one.subject_id and distance < limit:
                first, second = sorted((one.subject_id, subject_id))
                pairs[first, second] = min(distance, pairs.get((first, second), distance))
    return pairs
