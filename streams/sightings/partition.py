"""The cameras of one partition, and what is to be told of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from models.sightings import tracker
from models.sightings.observation import ObservedFrame
from models.sightings.tracker import TrackerPlan
from schemas.sightings import OpenSightings, Sighting
from streams.sightings.open_log import CameraKey
from streams.sightings.saved_to import SavedTo

QUIET = timedelta(minutes=5)
"""If a camera sends nothing for so long by the time of the others, its sightings end.

Some cameras send only while something moves.
"""
_FORGOTTEN = timedelta(days=1)
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class CameraPartition:
    """What is known of each camera; ``clock`` is the partition's time, that of the latest frame."""

    saved: SavedTo
    cameras: dict[CameraKey, OpenSightings] = field(default_factory=dict)
    changed: set[CameraKey] = field(default_factory=set)
    told: list[Sighting] = field(default_factory=list)
    """Messages that are not delivered yet."""
    next_offset: int = 0
    clock: datetime = field(init=False)
    _quiet_at: datetime = field(default=_NEVER, init=False)

    def __post_init__(self) -> None:
        """Go on where the cameras are written."""
        self.clock = self.saved.clock
        self.next_offset = self.saved.next_offset
        self._quiet_at = self._next_quiet()

    def read(self, offset: int) -> None:
        """Note that a message has been read, whatever it is."""
        self.next_offset = max(self.next_offset, offset + 1)

    def see(self, key: CameraKey, frame: ObservedFrame, offset: int, plan: TrackerPlan) -> bool:
        """Take in a frame of a camera, and end the sightings of cameras from which nothing comes any more.

        Returns:
            Whether it came too late to count.
        """
        self.clock = max(self.clock, frame.at)
        if self.clock >= self._quiet_at:
            self._end_quiet(frame.decided_at)
        known = self.cameras.get(key) or tracker.nothing_known(key.user_id, key.camera_id, frame)
        if offset < known.next_offset:
            return False
        now, told = tracker.step(known, frame, plan)
        self._keep(replace(now, next_offset=offset + 1, clock_at=self.clock))
        self.told += told
        return now.late > known.late

    def records(self) -> list[tuple[CameraKey, OpenSightings | None]]:
        """What is to be written of the cameras that have changed; None removes one that is long gone."""
        gone = [key for key, one in self.cameras.items() if not one.tracks and self.clock - one.clock_at > _FORGOTTEN]
        for key in gone:
            del self.cameras[key]
        self.changed.update(gone)
        return [(key, self.cameras.get(key)) for key in self.changed]

    def read_anew(self) -> None:
        """The topic was created again: none of its messages is counted in what is known."""
        for one in list(self.cameras.values()):
            self._keep(replace(one, next_offset=0))

    def erase_user(self, user_id: str) -> int:
        """Forget the cameras of a user; return how many there were."""
        gone = [key for key in self.cameras if key.user_id == user_id]
        for key in gone:
            del self.cameras[key]
        self.changed.update(gone)
        self.told = [one for one in self.told if one.user_id != user_id]
        return len(gone)

    def erase(self, user_id: str, subject_id: str) -> int:
        """Forget a subject of a user; return in how many cameras there was something about it."""
        cameras = [one for key, one in self.cameras.items() if key.user_id == user_id]
        for one in cameras:
            self._keep(tracker.without(one, subject_id))
        self.told = [one for one in self.told if one.user_id != user_id or one.subject_id != subject_id]
        return sum(tracker.names(one, subject_id) for one in cameras)

    def _keep(self, known: OpenSightings) -> None:
        key = CameraKey.of(known)
        self.cameras[key] = known
        self.changed.add(key)
        if known.tracks:
            self._quiet_at = min(self._quiet_at, known.clock_at + QUIET)

    def _end_quiet(self, decided_at: datetime) -> None:
        for one in list(self.cameras.values()):
            if one.tracks and self.clock >= one.clock_at + QUIET:
                known, told = tracker.ended(one, decided_at)
                self._keep(known)
                self.told += told
        self._quiet_at = self._next_quiet()

    def _next_quiet(self) -> datetime:
        return min((one.clock_at + QUIET for one in self.cameras.values() if one.tracks), default=_NEVER)
