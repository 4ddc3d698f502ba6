"""Finds faces in any rotation: detects them, rotates them upright, and confirms them by their landmarks.

The detector finds faces that are turned by up to 60 degrees. Beyond that it misses many, and takes some for upright
faces with eyes where their mouths are: their landmarks look right, but their vectors are meaningless. Such a detection
has a low score, or landmarks that are not where the detector saw the same points. It is examined in the other three
rotations, and the rotation with the best score is used; docs/models.md says how often that is right.

Where the landmarks say that there is no face, there may be one that is seen from the side: see ``profiles.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.analysis.detector import MIN_SCORE, Detection, Detector
from models.analysis.landmarks import FaceMesh, Landmarks
from models.analysis.profiles import ProfileFinder
from models.analysis.views import Picture
from models.analysis.yunet import YuNet
from models.pictures.geometry import Pixels, Points

_MIN_PRESENCE = 0.5
_SURE = 0.75
_DOUBTFUL = 0.55
"""A detection is doubtful if its score is below the second, or below the first and its landmarks contradict it."""
_MAX_ROLL = 40
_EYES_OFF = 0.1
_NOSE_OFF = 0.4
_UNSURE = 0.7
_MIN_RELIABLE_PRESENCE = 0.8
_EYES_WRONG = 0.4
_NOSE_WRONG = 0.7
"""Landmarks are unreliable if detector and mesh differ by more than this, as a share of the eye distance."""
_MOST_HINTS = 3
_HINT_BESIDE_FACES = 0.3
_SAME_FACE = 0.75
"""Faces whose landmarks differ by less than this share of the eye distance are the same face."""


@dataclass(frozen=True, slots=True)
class FoundFace:
    """A face, in pixels of the original picture.

    Attributes:
        detection: where it is.
        landmarks: where its eyes, nose and mouth are.
        is_profile: whether it is seen from the side, so that its landmarks are approximate.
    """

    detection: Detection
    landmarks: Landmarks
    is_profile: bool = False

    @property
    def roll(self) -> float:
        """The roll of the face in the view that the detector saw, in degrees from -180 to 180."""
        return (self.landmarks.roll - 90 * self.detection.quarters + 180) % 360 - 180

    @property
    def eyes_off(self) -> float:
        """How far detector and mesh differ in the midpoint of the eyes, as a share of the eye distance."""
        return self._off(self.detection.points[:2].mean(0), self.landmarks.points[:4].mean(0))

    @property
    def nose_off(self) -> float:
        """How far detector and mesh differ in the tip of the nose, as a share of the eye distance."""
        return self._off(self.detection.points[2], self.landmarks.points[4])

    @property
    def is_reliable(self) -> bool:
        """Whether the landmarks are plausible; they are not if the face is still rotated."""
        contradicted = self.eyes_off > _EYES_WRONG or self.nose_off > _NOSE_WRONG
        return self.landmarks.presence >= _MIN_RELIABLE_PRESENCE and not (
            contradicted and self.detection.score < _UNSURE
        )

    def _off(self, of_detector: Points, of_mesh: Points) -> float:
        return math.dist(of_detector, of_mesh) / max(self.landmarks.eyes_apart, 1e-6)


class FaceFinder:
    """Finds faces and their landmarks; safe to call from several threads."""

    def __init__(self) -> None:
        yunet = YuNet.load()
        self._detector = Detector(yunet)
        self._mesh = FaceMesh()
        self._profiles = ProfileFinder(yunet) if yunet else None

    def warm_up(self) -> None:
        """Create the interpreters of the calling thread."""
        picture = Picture(np.zeros((480, 640, 3), np.uint8))
        points = np.array([[280, 200], [360, 200], [320, 240], [320, 280], [240, 210], [400, 210]], np.float64)
        face = Detection(1.0, (320, 240), (200, 200), points)
        self._detector.detect(picture)
        self._mesh.find(picture.pixels, face.eyes_and_mouth)
        if self._profiles:
            self._profiles.look(picture, face)
            self._profiles.anywhere(picture)

    def find(self, pixels: Pixels) -> list[FoundFace]:
        """Find the faces of a picture, largest first.

        Upright faces need one look at the picture; each doubtful face is examined in the other three rotations. The
        whole picture is examined in them only if no face has been found. Then it is searched for profiles, too; beside
        faces, these are looked for only where the detector saw a face and the mesh none.
        """
        picture = Picture(pixels)
        seen = self._detector.detect(picture)
        faces, others = self._confirmed(picture, seen)
        least = _HINT_BESIDE_FACES if faces else 0.0
        hints = [one for one in sorted(others, key=lambda one: -one.score) if one.score >= least]
        faces += self._confirmed(picture, self._detector.followed(picture, hints[:_MOST_HINTS]))[0]
        if not faces:
            faces += self._confirmed(picture, self._detector.detect_turned(picture))[0]
        faces = _distinct(faces)
        if self._profiles:
            rejected = [one for one in hints if one.score >= MIN_SCORE and _is_elsewhere(one, faces)]
            faces = self._with_profiles(self._profiles, picture, faces, rejected)
        return sorted(faces, key=lambda face: -math.prod(face.detection.size))

    def _with_profiles(
        self, finder: ProfileFinder, picture: Picture, faces: Sequence[FoundFace], rejected: Sequence[Detection]
    ) -> list[FoundFace]:
        """The faces, with YuNet's points if they are turned aside, and the profiles that are none of them."""
        profiles = finder.at(picture, rejected) if faces else finder.anywhere(picture)
        found = [FoundFace(one.detection, one.landmarks, is_profile=True) for one in profiles]
        elsewhere = [face for face in found if _is_elsewhere(face.detection, faces)]
        return [_seen_aside(finder, picture, face) for face in faces] + elsewhere

    def _confirmed(self, picture: Picture, detections: Sequence[Detection]) -> tuple[list[FoundFace], list[Detection]]:
        """The detections that the mesh confirms, in their best rotation; and those that it does not."""
        faces, others = [], []
        for seen in detections:
            face = self._face(picture, seen)
            if face is None:
                others.append(seen)
            elif _is_doubtful(face):
                best = self._detector.turned(picture, seen)
                faces.append(face if best is seen else self._face(picture, best) or face)
            else:
                faces.append(face)
        return faces, others

    def _face(self, picture: Picture, seen: Detection) -> FoundFace | None:
        if seen.score < MIN_SCORE:
            return None
        landmarks = self._mesh.find(picture.pixels, seen.eyes_and_mouth)
        return FoundFace(seen, landmarks) if landmarks.presence >= _MIN_PRESENCE else None


def _seen_aside(finder: ProfileFinder, picture: Picture, face: FoundFace) -> FoundFace:
    """A face, with the points by which it is recognised if it is turned aside."""
    detection = face.detection
    return replace(face, landmarks=finder.aside(picture, face.landmarks, np.array(detection.center), detection.size[0]))


def _is_elsewhere(seen: Detection, faces: Iterable[FoundFace]) -> bool:
    """Whether something that was seen is none of these faces."""
    return all(
        math.dist(seen.center, face.detection.center) > max(*seen.size, *face.detection.size) / 2 for face in faces
    )


def _is_doubtful(face: FoundFace) -> bool:
    """Whether a face may be rotated further than the networks can handle."""
    score = face.detection.score
    if not _DOUBTFUL <= score < _SURE:
        return score < _DOUBTFUL
    return abs(face.roll) > _MAX_ROLL or face.eyes_off > _EYES_OFF or face.nose_off > _NOSE_OFF


def _distinct(faces: Iterable[FoundFace]) -> list[FoundFace]:
    """Each face once, from its detection with the best score."""
    kept: list[FoundFace] = []
    for face in sorted(faces, key=lambda face: -face.detection.score):
        middle = face.landmarks.points.mean(0)
        if all(
            np.linalg.norm(middle - other.landmarks.points.mean(0))
            >= _SAME_FACE * max(face.landmarks.eyes_apart, other.landmarks.eyes_apart)
            for other in kept
        ):
            kept.append(face)
    return kept
