"""The answers of two model versions to the same frame, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from schemas import codec
from schemas.clock import utc_now
from schemas.parts import Decision
from schemas.results import Match, MatchedFace
from schemas.rollout import ComparedFace, Comparison


def comparison(
    match: Match, threshold: float, beside: Sequence[MatchedFace], shadow_version: str, shadow_threshold: float
) -> Comparison:
    """Compare an answer with the one that another version would have given.

    Args:
        match: the answer.
        threshold: the distance below which it was a match.
        beside: the other version's decisions about the same faces.
        shadow_version: the other version.
        shadow_threshold: the distance below which those were matches.
    """
    faces = [
        ComparedFace(
            decision=ours.decision,
            subject_id=ours.subject_id,
            margin=_margin(ours, threshold),
            shadow_decision=theirs.decision,
            shadow_subject_id=theirs.subject_id,
            shadow_margin=_margin(theirs, shadow_threshold),
        )
        for ours, theirs in zip(match.faces, beside, strict=True)
        if ours.decision is not Decision.REFUSED
    ]
    return Comparison(
        comparison_id=codec.stable_id(match.event_id, shadow_version),
        event_id=match.event_id,
        user_id=match.user_id,
        camera_id=match.camera_id,
        captured_at=match.captured_at,
        model_version=match.model_version,
        shadow_version=shadow_version,
        faces=faces,
        agrees=all((one.decision, one.subject_id) == (one.shadow_decision, one.shadow_subject_id) for one in faces),
        compared_at=utc_now(),
    )


def _margin(face: MatchedFace, threshold: float) -> float | None:
    return 1 - face.candidates[0].distance / threshold if face.candidates else None
