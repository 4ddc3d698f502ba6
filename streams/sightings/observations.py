"""What the tracker sees of a match and its embedding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from models.embedder.card import Card
from models.sightings.observation import Observation, ObservedFrame, SamePerson
from models.sightings.votes import weight_of
from schemas.embeddings import Embedding, FrameOrigin
from schemas.ingest import Mode
from schemas.parts import Decision
from schemas.results import Match, MatchedFace

_FMR_ANYWHERE = 1e-4
_FMR_OVERLAPPING = 1e-3
Vectors = Sequence[bytes | None]
"""The vector of each face of a frame, little-endian float32; None: of a refused face."""


@dataclass(frozen=True, slots=True)
class FrameVectors:
    """The vectors of a frame's faces, by model version."""

    by_version: dict[str, Vectors]

    @classmethod
    def of(cls, embedding: Embedding) -> FrameVectors:
        """Those of an embedding."""
        vectors: dict[str, list[bytes | None]] = {embedding.model_version: [face.vector for face in embedding.faces]}
        for version in {other.model_version for face in embedding.faces for other in face.others}:
            vectors[version] = [
                next((other.vector for other in face.others if other.model_version == version), None)
                for face in embedding.faces
            ]
        return cls(dict(vectors))


def is_of_a_live_frame(event: Match | Embedding) -> bool:
    """Whether an event is of a camera's frame that is live: not of a replay, a correction, a search or an upload."""
    maker = event if isinstance(event, Match) else event.origin
    if event.replay_id is not None or event.corrects or not isinstance(maker, Match | FrameOrigin):
        return False
    return bool(maker.camera_id) and maker.mode is not Mode.SEARCH


def taken_at(match: Match) -> datetime:
    """When the frame was taken: by the camera's clock, but not after it arrived."""
    return min(match.captured_at, match.timings.received_at)


def observed(match: Match, vectors: FrameVectors | None, same_person: SamePerson | None) -> ObservedFrame:
    """The frame as the tracker sees it.

    Args:
        match: the answer.
        vectors: of the same frame; None: they are gone.
        same_person: Euclidean distances below which two vectors of the version show one person; None: not known.
    """
    mine: Vectors = () if vectors is None else vectors.by_version.get(match.model_version, ())
    fit = len(mine) == len(match.faces)
    return ObservedFrame(
        event_id=match.event_id,
        at=taken_at(match),
        source_offset=match.source.offset,
        produced_at=match.timings.produced_at,
        decided_at=match.matched_at,
        model_version=match.model_version,
        faces=[_face(number, face, mine[number] if fit else None) for number, face in enumerate(match.faces)],
        same_person=same_person,
    )


def same_person(card: Card) -> SamePerson:
    """The distances below which two faces before one camera, within a short time, show one person."""
    return SamePerson(card.distance(_FMR_ANYWHERE), card.distance(_FMR_OVERLAPPING))


def _face(number: int, face: MatchedFace, vector: bytes | None) -> Observation:
    votes = face.decision is not Decision.REFUSED
    subject_id = face.subject_id if face.decision is Decision.MATCH else None
    similarities = [one.similarity for one in face.candidates if one.subject_id == subject_id]
    return Observation(
        face=number,
        box=face.box,
        weight=weight_of(face.quality, face.box),
        vector=vector if votes else None,
        votes=votes,
        subject_id=subject_id,
        similarity=similarities[0] if similarities else None,
    )
