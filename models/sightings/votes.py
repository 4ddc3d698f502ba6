"""Who the person of a track is: each face has a vote, weighted by its quality and area."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from models.sightings.observation import Observation
from schemas.parts import Box, Quality
from schemas.sightings import Vote

_WHOLE_AREA = 112.0 * 112.0
"""A face of this area in square pixels, which is that of the chips, and every larger one has the whole weight."""
_LEAST = 0.01
_ENOUGH = 1 / 3
"""The share with which a subject wins over those faces that matched nobody.

A turned or blurred face of an enrolled person often matches nobody; a stranger's face seldom matches somebody.
"""


def weight_of(quality: Quality, box: Box) -> float:
    """The weight of a face's vote, 0.01 to 1."""
    area = max(0.0, box.width) * max(0.0, box.height)
    return max(_LEAST, quality.overall * min(1.0, area / _WHOLE_AREA))


def with_vote(votes: Sequence[Vote], face: Observation) -> list[Vote]:
    """The votes with that of one more face; nothing changes if it has none."""
    if not face.votes:
        return list(votes)
    similarities = [one.similarity for one in votes if one.subject_id == face.subject_id]
    best = max((one for one in (*similarities, face.similarity) if one is not None), default=None)
    before = sum(one.weight for one in votes if one.subject_id == face.subject_id)
    now = Vote(before + face.weight, face.subject_id, best)
    if similarities:
        return [now if one.subject_id == face.subject_id else one for one in votes]
    return [*votes, now]


def leader(votes: Sequence[Vote]) -> Vote:
    """The vote that wins: that of a subject with a third of all weight, or else that for nobody.

    Its weight is its share of all, 0 to 1.
    """
    total = sum(one.weight for one in votes)
    if not total:
        return Vote(0.0)
    named = [one for one in votes if one.subject_id is not None]
    best = max(named, key=lambda one: (one.weight, str(one.subject_id)), default=None)
    if best is not None and best.weight >= _ENOUGH * total:
        return replace(best, weight=best.weight / total)
    nobody = sum(one.weight for one in votes if one.subject_id is None)
    return Vote(nobody / total)
