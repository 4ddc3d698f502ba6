"""Merges the answers of shards to a search over everybody; needs nothing but the events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from schemas.parts import Decision
from schemas.reasons import Reason
from schemas.results import Candidate, Match, MatchedFace, SearchCoverage


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
    return with_candidates(
        faces[0],
        listed,
        matches=bool(matching),
        ambiguous=len(named) > 1 or any(face.ambiguous for face in matching),
    )


def _place(candidate: Candidate) -> tuple[float, str, str]:
    return candidate.distance, candidate.user_id or "", candidate.subject_id


def with_candidates(face: MatchedFace, listed: list[Candidate], *, matches: bool, ambiguous: bool) -> MatchedFace:
    """A face as it is answered: it matches the first of the candidates, or nobody."""
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
