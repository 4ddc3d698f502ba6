"""Search over everybody: each shard answers from its templates, and the answers of all shards are merged into one.

A face matches the nearest subject if that is below the threshold, and is ambiguous if another one is too, which may be
the same person as another user's subject. The threshold bounds the false-match rate of one comparison, see
:mod:`models.matching.decision`: a search makes as many as there are templates, so most programs want the candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from models.embedder.card import Card
from models.matching.decision import Probes
from models.matching.gallery import Embedded
from models.matching.searchable import Found, SearchableTemplates
from schemas.embeddings import Face
from schemas.parts import Decision
from schemas.reasons import Reason
from schemas.results import Candidate, Match, MatchedFace, SearchCoverage


def search(
    pictures: Sequence[Probes], templates: SearchableTemplates, card: Card, *, threshold: float, candidates: int
) -> list[list[MatchedFace]]:
    """Decide about the faces of pictures, with the templates of one shard.

    Args:
        pictures: the faces of each, with their vectors by the version of the card.
        templates: of the shard.
        card: of the model version.
        threshold: two faces below this distance match.
        candidates: number of subjects to list for each face.
    """
    vectors = [vector for picture in pictures for vector in picture.vectors if vector is not None]
    probes = np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), card.output.dimensions)
    # The second one tells whether the first is ambiguous.
    found = iter(templates.nearest(Embedded(card.version, probes), max(2, candidates)) if vectors else ())
    return [
        [
            _refused(face) if vector is None else _decided(face, next(found), card, threshold, candidates)
            for face, vector in zip(picture.faces, picture.vectors, strict=True)
        ]
        for picture in pictures
    ]


def merged(parts: Iterable[Match], candidates: int) -> Match:
    """The answers of single shards to one search as one, for the shards that are among them, in whatever order.

    Of several answers of a shard the first counts.

    Args:
        parts: at least one; each with ``search``.
        candidates: number of subjects to list for each face, no more than the parts list.
    """
    of_shard: dict[int, tuple[Match, SearchCoverage]] = {}
    for part in parts:
        assert part.search is not None
        [shard] = part.search.answered
        of_shard.setdefault(shard, (part, part.search))
    shards = sorted(of_shard)
    answers = [of_shard[shard][0] for shard in shards]
    covered = [of_shard[shard][1] for shard in shards]
    return replace(
        answers[0],
        faces=[_merged(list(faces), candidates) for faces in zip(*(one.faces for one in answers), strict=True)],
        matched_at=max(one.matched_at for one in answers),
        search=SearchCoverage(
            shards=covered[0].shards,
            answered=shards,
            templates=sum(one.templates for one in covered),
            asked_at=min(one.asked_at for one in covered),
        ),
    )


def _decided(face: Face, found: Sequence[Found], card: Card, threshold: float, candidates: int) -> MatchedFace:
    near = [one for one in found if one.distance < threshold]
    return _answer(
        MatchedFace(face.box, face.landmarks, face.quality, Decision.UNKNOWN),
        [
            Candidate(one.subject_id, card.similarity(one.distance), one.distance, card.fmr(one.distance), one.user_id)
            for one in found[:candidates]
        ],
        matches=bool(near),
        ambiguous=len(near) > 1,
    )


def _merged(faces: Sequence[MatchedFace], candidates: int) -> MatchedFace:
    """One face, as the shards have answered about it."""
    nearest: dict[tuple[str | None, str], Candidate] = {}
    for one in sorted((one for face in faces for one in face.candidates), key=_place):
        nearest.setdefault((one.user_id, one.subject_id), one)
    listed = list(nearest.values())[:candidates]
    if (refused := next((face for face in faces if face.decision is Decision.REFUSED), None)) is not None:
        return replace(refused, candidates=listed)
    matching = [face for face in faces if face.decision is Decision.MATCH]
    named = {(face.user_id, face.subject_id) for face in matching}
    return _answer(
        faces[0],
        listed,
        matches=bool(matching),
        ambiguous=len(named) > 1 or any(face.ambiguous for face in matching),
    )


def _place(candidate: Candidate) -> tuple[float, str, str]:
    return candidate.distance, candidate.user_id or "", candidate.subject_id


def _answer(face: MatchedFace, listed: list[Candidate], *, matches: bool, ambiguous: bool) -> MatchedFace:
    first = listed[0] if matches else None
    return replace(
        face,
        decision=Decision.MATCH if matches else Decision.UNKNOWN,
        subject_id=None if first is None else first.subject_id,
        user_id=None if first is None else first.user_id,
        reason=None if listed else Reason.EMPTY_GALLERY,
        candidates=listed,
        ambiguous=ambiguous,
    )


def _refused(face: Face) -> MatchedFace:
    return MatchedFace(face.box, face.landmarks, face.quality, Decision.REFUSED, reason=face.refusal)
