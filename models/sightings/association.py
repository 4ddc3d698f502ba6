"""Decides which face of a frame belongs to which track: by vector, box, and who was recognised.

The vector decides where there is one, somewhat less strictly where the boxes overlap. The box alone only says whose a
face without a vector is: at a cut, or when people cross, somebody else's face is where the last one was.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from models.sightings.observation import Observation, ObservedFrame, SamePerson
from models.sightings.votes import leader
from schemas.parts import Box
from schemas.sightings import Stranger, Track, View

_NEAR_S = 1.5
"""Within so many seconds a face that overlaps the last one is probably of the same person."""
_OVERLAP = 0.3
"""Least intersection over union of two boxes that overlap."""
_FOR_OVERLAP = 0.3
"""How much the cost of a pair is lower where the boxes are the same."""


def associated(tracks: Sequence[Track], frame: ObservedFrame) -> dict[int, int]:
    """The index of the track of each face that belongs to one, by the index of the face; the cheapest pairs first."""
    pairs = sorted(
        (cost, number, index)
        for number, track in enumerate(tracks)
        for index, face in enumerate(frame.faces)
        if (cost := _cost(track, face, frame)) is not None
    )
    found: dict[int, int] = {}
    for _, number, index in pairs:
        if index not in found and number not in found.values():
            found[index] = number
    return found


def known_stranger(
    strangers: Sequence[Stranger], views: Sequence[View], model_version: str, same_person: SamePerson | None
) -> Stranger | None:
    """The stranger whom these views show, or None."""
    if same_person is None:
        return None
    near = [
        (min(distance(one.views, view.vector) for view in views), one.stranger_id, one)
        for one in strangers
        if views and one.model_version == model_version
    ]
    away, _, found = min(near, default=(np.inf, "", None), key=lambda one: one[:2])
    return found if away < same_person.anywhere else None


def distance(views: Sequence[View], vector: bytes) -> float:
    """The Euclidean distance of a vector to the nearest of some views of the same model version."""
    them = np.frombuffer(b"".join(one.vector for one in views), "<f4").reshape(len(views), -1)
    return float(np.linalg.norm(them - np.frombuffer(vector, "<f4"), axis=1).min(initial=np.inf))


def overlap(one: Box, other: Box) -> float:
    """The intersection over union of two boxes, 0 to 1."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    common = max(0.0, width) * max(0.0, height)
    whole = one.width * one.height + other.width * other.height - common
    return common / whole if whole > 0 else 0.0


def _cost(track: Track, face: Observation, frame: ObservedFrame) -> float | None:
    """How little a face fits a track; None: not at all."""
    near = abs(_seconds(frame.at, track.last_seen_at)) <= _NEAR_S
    shared = overlap(face.box, track.box) if near else 0.0
    away = _away(track, face, frame)
    named = leader(track.votes).subject_id
    same = face.subject_id is not None and face.subject_id == named
    other = face.subject_id is not None and named is not None and face.subject_id != named
    if away is None:
        # Without a vector only its place, or its name, says whose it is.
        return 2.0 - shared if shared >= _OVERLAP and not other else 1.0 if same else None
    if other and (away >= 1 or shared < _OVERLAP):
        return None
    limit = 1.0 if frame.same_person is None or shared >= _OVERLAP else _far_limit(frame.same_person)
    return away - _FOR_OVERLAP * shared if away < limit or same else None


def _far_limit(same_person: SamePerson) -> float:
    return same_person.anywhere / same_person.overlapping


def _away(track: Track, face: Observation, frame: ObservedFrame) -> float | None:
    """The distance to the nearest view, by that of one person in overlapping boxes; None if they cannot be compared."""
    if face.vector is None or frame.same_person is None:
        return None
    if track.model_version != frame.model_version or not track.views:
        return None
    return distance(track.views, face.vector) / frame.same_person.overlapping


def _seconds(one: datetime, other: datetime) -> float:
    return (one - other).total_seconds()
