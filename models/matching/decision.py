"""Decides about each face of a frame, from its probes and the gallery.

The threshold bounds the false-match rate of one comparison. Identification among N subjects makes N comparisons, so
it names a stranger with a probability of up to 1 - (1 - FMR)^N: choose a stricter threshold set for large galleries.

Two faces of a frame may be nearest to the same subject. Usually one of them is somebody else, because a person is in
one place; but there are mirrors, posters and collages. So the nearest face matches the subject. Another face matches it
only if it would pass at a hundredth of the threshold's false-match rate; otherwise it is unknown. It never matches its
second candidate, since it looks more like the first.

One person may be enrolled as two subjects, and siblings look alike. So a match is ambiguous if the second candidate
passes the threshold too, and either passes at a hundredth of the threshold's false-match rate or is nearly tied with
the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.embedder.card import Card
from models.matching.gallery import Embedded, Gallery, MixedVersions
from schemas.embeddings import Embedding, Face
from schemas.ingest import Mode
from schemas.parts import Decision
from schemas.reasons import Reason
from schemas.results import Candidate, MatchedFace

_SECOND_CLAIM = 0.01
TIE = 0.05
"""Largest difference in similarity of two candidates that are nearly tied."""


@dataclass(frozen=True, slots=True)
class Probes:
    """The faces of a picture with their vectors by one model version; a refused face has none."""

    model_version: str
    faces: Sequence[Face]
    vectors: Sequence[bytes | None]

    @classmethod
    def of(cls, embedding: Embedding, model_version: str) -> Probes:
        """The faces of an embedding, with their vectors by one of its model versions."""
        return cls(
            model_version, embedding.faces, [_vector(face, embedding, model_version) for face in embedding.faces]
        )


def _vector(face: Face, embedding: Embedding, model_version: str) -> bytes | None:
    if model_version == embedding.model_version:
        return face.vector
    return next((one.vector for one in face.others if one.model_version == model_version), None)


def decide(
    probes: Probes,
    gallery: Gallery,
    card: Card,
    *,
    user_id: str,
    mode: Mode,
    subject_id: str | None = None,
    threshold: float | None = None,
    candidates: int = 5,
) -> list[MatchedFace]:
    """Decide about each face of a frame, in order.

    Args:
        probes: the faces; refused ones have no vector.
        gallery: the templates, of the same model version as the probes.
        card: the card of that version.
        user_id: whose templates are searched.
        mode: identify finds the nearest subjects, verify compares with ``subject_id`` only.
        subject_id: the claimed subject; required for verify.
        threshold: two faces below this distance match; None: the card's default threshold.
        candidates: number of subjects to list, for identify.

    Raises:
        ValueError: verify without ``subject_id``.
        MixedVersions: probes, gallery and card are not of one model version.
    """
    if card.version != gallery.model_version:
        raise MixedVersions(f"the card is of {card.version}, the gallery of {gallery.model_version}")
    threshold = card.threshold() if threshold is None else threshold
    faces = probes.faces
    asked = [index for index, vector in enumerate(probes.vectors) if vector is not None]
    vectors = np.frombuffer(b"".join(vector for vector in probes.vectors if vector), "<f4")
    embedded = Embedded(probes.model_version, vectors.reshape(-1, gallery.dimensions))
    if mode is Mode.VERIFY:
        if subject_id is None:
            raise ValueError("verify needs a subject_id")
        answered = _verified([faces[index] for index in asked], embedded, gallery, card, user_id, subject_id, threshold)
    else:
        answered = _identified(
            [faces[index] for index in asked], embedded, gallery, card, user_id, threshold, candidates
        )
    answers = dict(zip(asked, answered, strict=True))
    return [answers.get(index) or _answer(face, Decision.REFUSED, face.refusal) for index, face in enumerate(faces)]


def _verified(
    faces: Sequence[Face],
    probes: Embedded,
    gallery: Gallery,
    card: Card,
    user_id: str,
    subject_id: str,
    threshold: float,
) -> list[MatchedFace]:
    if not gallery.templates(user_id, subject_id):
        return [_answer(face, Decision.NO_MATCH, Reason.SUBJECT_NOT_ENROLLED) for face in faces]
    answers = []
    for face, distance in zip(faces, gallery.distances(user_id, subject_id, probes).tolist(), strict=True):
        listed = [_candidate(card, subject_id, distance)]
        if distance < threshold:
            answers.append(replace(_answer(face, Decision.MATCH), subject_id=subject_id, candidates=listed))
        else:
            answers.append(replace(_answer(face, Decision.NO_MATCH), candidates=listed))
    return answers


def _identified(
    faces: Sequence[Face],
    probes: Embedded,
    gallery: Gallery,
    card: Card,
    user_id: str,
    threshold: float,
    candidates: int,
) -> list[MatchedFace]:
    if not gallery.count(user_id):
        return [_answer(face, Decision.UNKNOWN, Reason.EMPTY_GALLERY) for face in faces]
    found = gallery.nearest(user_id, probes, max(2, candidates))
    nearest_face: dict[str, float] = {}
    for best, *_ in found:
        nearest_face[best[0]] = min(best[1], nearest_face.get(best[0], np.inf))
    second_claim = strict_distance(card, threshold)
    answers = []
    for face, listed in zip(faces, found, strict=True):
        subject_id, distance = listed[0]
        named = distance < threshold and (distance == nearest_face[subject_id] or distance < second_claim)
        answer = _answer(face, Decision.MATCH if named else Decision.UNKNOWN)
        answers.append(
            replace(
                answer,
                subject_id=subject_id if named else None,
                ambiguous=named and _is_ambiguous(listed, card, threshold),
                candidates=[_candidate(card, subject, away) for subject, away in listed[:candidates]],
            )
        )
    return answers


def strict_distance(card: Card, threshold: float) -> float:
    """The distance with a hundredth of the threshold's false-match rate."""
    return card.distance(card.fmr(threshold) * _SECOND_CLAIM)


def similar_subject(
    gallery: Gallery, card: Card, user_id: str, subject_id: str, template: Embedded, threshold: float
) -> str | None:
    """Another subject of the user whom a template of this subject would match with certainty; None if there is none.

    "With certainty" means within :func:`strict_distance`.

    Raises:
        MixedVersions: gallery and template are not of one model version.
    """
    nearest = gallery.nearest_other(user_id, subject_id, template)
    return nearest[0] if nearest is not None and nearest[1] < strict_distance(card, threshold) else None


def _is_ambiguous(listed: Sequence[tuple[str, float]], card: Card, threshold: float) -> bool:
    if len(listed) < 2 or listed[1][1] >= threshold:
        return False
    first, second = (distance for _, distance in listed[:2])
    return second < strict_distance(card, threshold) or card.similarity(first) - card.similarity(second) <= TIE


def _answer(face: Face, decision: Decision, reason: str | None = None) -> MatchedFace:
    return MatchedFace(face.box, face.landmarks, face.quality, decision, reason=reason)


def _candidate(card: Card, subject_id: str, distance: float) -> Candidate:
    return Candidate(subject_id, card.similarity(distance), distance, card.fmr(distance))
