"""Joins the frames of one camera to sightings.

It is a function of what is known and the next frame: the same frames in the same order give the same sightings with the
same ids, wherever they are split into batches and whoever goes on. Time is the camera's, never the machine's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from models.sightings.association import associated, known_stranger
from models.sightings.observation import Observation, ObservedFrame
from models.sightings.votes import leader, with_vote
from schemas import codec
from schemas.sightings import OpenSightings, Sighting, SightingState, Stranger, Track, View

Step = tuple[OpenSightings, list[Sighting]]
"""What is known then, and what is to be told."""

_RECENT = 64
"""Event ids that are remembered, for frames that their producer sends twice."""
_VIEWS = 4
"""Most faces of a track that others are compared with: the best ones, and the last."""
_CONFIRMED = 2
"""Frames after which somebody who is not recognised is told of: a single one may show no face at all."""
_SET_BACK = 25
"""So many frames in a row that are too old mean that the camera's clock was set back."""
_TRACKS = 500
"""Most open sightings of a camera. Where its clock stands still, none would ever end."""
_STRANGERS = 20
_STRANGER_KEPT = timedelta(hours=1)
_STRANGER_VIEWS = 2


@dataclass(frozen=True, slots=True)
class TrackerPlan:
    """When a sighting ends: after ``gap`` without the person; how often it is told of: every ``update``."""

    gap: timedelta
    update: timedelta


def nothing_known(user_id: str, camera_id: str, frame: ObservedFrame) -> OpenSightings:
    """A camera before its first frame."""
    before = frame.produced_at - timedelta(seconds=1)
    return OpenSightings(user_id, camera_id, 0, frame.at, frame.at, -1, before)


def step(known: OpenSightings, frame: ObservedFrame, plan: TrackerPlan) -> Step:
    """Take in the next frame. One that was taken in before changes nothing."""
    if is_counted(known, frame.event_id, frame.source_offset, frame.produced_at):
        return known, []
    known = replace(
        known,
        source_offset=frame.source_offset,
        produced_at=frame.produced_at,
        recent=[*known.recent, frame.event_id][-_RECENT:],
    )
    if frame.at < known.seen_at - plan.gap:
        if known.late + 1 < _SET_BACK:
            return replace(known, late=known.late + 1), []
        known, told = ended(known, frame.decided_at)
        known = replace(known, seen_at=frame.at)
    else:
        told = []
    seen_at = max(known.seen_at, frame.at)
    strangers = [one for one in known.strangers if seen_at - one.last_seen_at < _STRANGER_KEPT]
    known = replace(known, seen_at=seen_at, late=0, strangers=strangers)
    gone = {one.sighting_id for one in known.tracks if known.seen_at - one.last_seen_at > plan.gap}
    known, ends = ended(known, frame.decided_at, gone)
    known, changes = _seen(known, frame, plan)
    surplus = sorted(known.tracks, key=lambda one: one.last_seen_at)[:-_TRACKS]
    known, more_ends = ended(known, frame.decided_at, {one.sighting_id for one in surplus})
    return known, told + ends + changes + more_ends


def is_counted(known: OpenSightings, event_id: str, source_offset: int, produced_at: datetime) -> bool:
    """Whether a frame was taken in before: its answer came twice, or its producer sent it twice."""
    return event_id in known.recent or (source_offset <= known.source_offset and produced_at <= known.produced_at)


def ended(known: OpenSightings, decided_at: datetime, which: Collection[str] | None = None) -> Step:
    """End sightings, by id; None: all that are open."""
    told, left, strangers = [], [], list(known.strangers)
    for track in known.tracks:
        if which is not None and track.sighting_id not in which:
            left.append(track)
            continue
        if not track.number:
            continue
        told.append(_message(known, track, SightingState.END, decided_at))
        if leader(track.votes).subject_id is None and track.stranger_id is not None:
            views = sorted(track.views, key=lambda one: -one.weight)[:_STRANGER_VIEWS]
            strangers = [one for one in strangers if one.stranger_id != track.stranger_id]
            strangers.append(Stranger(track.stranger_id, track.last_seen_at, track.model_version, views))
    if len(left) == len(known.tracks):
        return known, []
    return replace(known, tracks=left, strangers=strangers[-_STRANGERS:]), told


def without(known: OpenSightings, subject_id: str) -> OpenSightings:
    """What is known without a subject who is erased: sightings of it are not told of any more, not even their end.

    Strangers are forgotten too, since the subject may be among them.
    """
    tracks = []
    for track in known.tracks:
        if subject_id in (track.told_subject_id, leader(track.votes).subject_id):
            continue
        tracks.append(replace(track, votes=[one for one in track.votes if one.subject_id != subject_id]))
    return replace(known, tracks=tracks, strangers=[])


def names(known: OpenSightings, subject_id: str) -> bool:
    """Whether an open sighting has to do with a subject."""
    return any(
        track.told_subject_id == subject_id or any(one.subject_id == subject_id for one in track.votes)
        for track in known.tracks
    )


def _seen(known: OpenSightings, frame: ObservedFrame, plan: TrackerPlan) -> Step:
    tracks = list(known.tracks)
    belongs = associated(tracks, frame)
    touched = set(belongs.values())
    for index, face in enumerate(frame.faces):
        if index in belongs:
            tracks[belongs[index]] = _with_face(tracks[belongs[index]], face, frame)
        elif face.vector is not None:
            touched.add(len(tracks))
            tracks.append(_begun(face, frame))
    told = []
    for number in sorted(touched):
        track = tracks[number]
        state = _due(track, known.seen_at, plan)
        if state is not None:
            others = {one.stranger_id for one in tracks if one is not track}
            tracks[number] = track = _told(track, known, frame, others)
            told.append(_message(known, track, state, frame.decided_at, ahead=False))
    return replace(known, tracks=tracks), told


def _begun(face: Observation, frame: ObservedFrame) -> Track:
    track = Track(
        sighting_id=codec.stable_id("sighting", frame.event_id, face.face),
        first_seen_at=frame.at,
        last_seen_at=frame.at,
        told_at=frame.at,
        first_produced_at=frame.produced_at,
        first_event_id=frame.event_id,
        number=0,
        frames=0,
        box=face.box,
        best_weight=0.0,
        best_event_id=frame.event_id,
        best_face=face.face,
        best_box=face.box,
        model_version=frame.model_version,
    )
    return _with_face(track, face, frame)


def _with_face(track: Track, face: Observation, frame: ObservedFrame) -> Track:
    """A track with one more face; an older one does not move it."""
    track = replace(
        track,
        first_seen_at=min(track.first_seen_at, frame.at),
        last_seen_at=max(track.last_seen_at, frame.at),
        frames=track.frames + 1,
        box=face.box if frame.at >= track.last_seen_at else track.box,
        votes=with_vote(track.votes, face),
    )
    if face.vector is None:
        return track
    views = track.views if track.model_version == frame.model_version else []
    best = sorted(views, key=lambda one: -one.weight)[: _VIEWS - 1]
    track = replace(track, model_version=frame.model_version, views=[*best, View(face.weight, face.vector)])
    if face.weight <= track.best_weight:
        return track
    return replace(track, best_weight=face.weight, best_event_id=frame.event_id, best_face=face.face, best_box=face.box)


def _due(track: Track, now: datetime, plan: TrackerPlan) -> SightingState | None:
    """What is to be told of a track now."""
    subject_id = leader(track.votes).subject_id
    if not track.number:
        return SightingState.BEGIN if track.frames >= _CONFIRMED or subject_id is not None else None
    if subject_id != track.told_subject_id or now - track.told_at >= plan.update:
        return SightingState.UPDATE
    return None


def _told(track: Track, known: OpenSightings, frame: ObservedFrame, taken: Collection[str | None]) -> Track:
    """The track as it is when this is told of; somebody unknown has a temporary name then."""
    subject_id, stranger_id = leader(track.votes).subject_id, track.stranger_id
    if subject_id is None and stranger_id is None:
        free = [one for one in known.strangers if one.stranger_id not in taken]
        same = known_stranger(free, track.views, track.model_version, frame.same_person)
        stranger_id = f"stranger-{track.sighting_id[:8]}" if same is None else same.stranger_id
    return replace(
        track,
        number=track.number + 1,
        told_at=known.seen_at,
        told_subject_id=subject_id,
        stranger_id=stranger_id,
    )


def _message(
    known: OpenSightings, track: Track, state: SightingState, decided_at: datetime, *, ahead: bool = True
) -> Sighting:
    """A message about a track; ``ahead`` of its number, which counts the messages before."""
    number = track.number if ahead else track.number - 1
    vote = leader(track.votes)
    # There is one end, whatever its number: if an erasure takes frames away, a successor may count otherwise.
    which: Sequence[object] = ("end",) if state is SightingState.END else (number,)
    return Sighting(
        change_id=codec.stable_id("change", track.sighting_id, *which),
        sighting_id=track.sighting_id,
        user_id=known.user_id,
        camera_id=known.camera_id,
        state=state,
        number=number,
        first_seen_at=track.first_seen_at,
        last_seen_at=track.last_seen_at,
        frames=track.frames,
        share=vote.weight,
        first_event_id=track.first_event_id,
        best_event_id=track.best_event_id,
        best_face=track.best_face,
        best_box=track.best_box,
        model_version=track.model_version,
        first_produced_at=track.first_produced_at,
        decided_at=decided_at,
        subject_id=vote.subject_id,
        stranger_id=None if vote.subject_id is not None else track.stranger_id,
        similarity=vote.similarity,
    )
