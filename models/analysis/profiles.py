"""Finds faces seen from the side, in which the face mesh sees no face.

YuNet sees them, but it also takes a dog's head for a face. So a profile has to look like one twice, at two scales:
YuNet is sure, and the eyes lie so close together that the mesh cannot be expected to see a face. In a face that is not
turned so far, the mesh has the last word. docs/models.md has the figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.analysis.detector import Detection
from models.analysis.landmarks import Landmarks
from models.analysis.views import Picture, whole
from models.analysis.yunet import STEP, YuNet
from models.pictures.geometry import EYES_AND_MOUTH, MEAN_FACE, Points, Transform, apply, cut, scale_of, similarity

_MIN_SCORE = 0.7
"""A fist in a film got 0.72 at times, a dog's profile 0.82, none of them twice with eyes close together."""
_EYES_CLOSE = 0.45
"""Most distance of the eyes in a profile, by that of eyes and mouth; about 64 degrees of yaw."""
_EYES_FRONTAL = 1.02
"""The same of a frontal face: the median of 196 photographs."""
_SHOWN = 128
"""Pixels of a place that is looked at."""
_LONGEST = 320
"""Pixels of the longer side of a whole picture."""
_AROUND = 2.5
"""Side of the square that is looked at around a detection, as a multiple of its size."""
_AROUND_AGAIN = 1.6
"""The same around a profile, whose box is taller."""
_NEAR = 0.7
"""Largest distance of a profile from where it is looked for, as a multiple of the size there."""
_MOST = 4
"""Most places of a picture that are looked at."""
_TURNED_ASIDE = 20
"""Degrees of yaw from which on ArcFace's points are YuNet's: with the mesh's, the model recognises far fewer people."""
_SAME_PLACE = 0.2
"""Most distance between the middles of their points then, as a share of the face's size."""
_MIDDLES = np.array([EYES_AND_MOUTH[:2].mean(0), EYES_AND_MOUTH[2]])


@dataclass(frozen=True, slots=True)
class SideView:
    """What YuNet sees of a face, in pixels of the picture.

    Attributes:
        score: 0 to 1.
        center: [2], x and y.
        size: [2], width and height; taller than a :class:`Detection` of the same face.
        points: [5, 2], right eye, left eye, tip of the nose, right and left corner of the mouth.
    """

    score: float
    center: Points
    size: Points
    points: Points

    @property
    def eyes_apart(self) -> float:
        """The distance of the eyes across the face, by that of eyes and mouth; negative: the right eye is behind."""
        down, across = self._axes
        return float((self.points[1] - self.points[0]) @ across / max(math.hypot(*down), 1e-6))

    @property
    def is_profile(self) -> bool:
        """Whether it is surely a face, and turned so far that the mesh may see none."""
        return self.score >= _MIN_SCORE and abs(self.eyes_apart) < _EYES_CLOSE

    @property
    def yaw(self) -> float:
        """In degrees, as :attr:`Landmarks.yaw`; a right angle at most."""
        _, across = self._axes
        left = (self.points[2] - self.points[:2].mean(0)) @ across
        return math.copysign(math.degrees(math.acos(min(1.0, max(0.0, self.eyes_apart / _EYES_FRONTAL)))), left)

    @property
    def detection(self) -> Detection:
        """The same as BlazeFace would give it: its boxes are square, and it looks for the ears, too."""
        eyes, nose, mouth = self.points[:2], self.points[2], self.points[3:].mean(0)
        side = float(self.size[0])
        x, y = self.center.tolist()
        return Detection(self.score, (x, y), (side, side), np.array([*eyes, nose, mouth, *eyes]))

    @property
    def landmarks(self) -> Landmarks:
        """Approximate ones: those of the mean face, laid on the middle of the eyes and that of the mouth."""
        middles = np.array([self.points[:2].mean(0), self.points[3:].mean(0)])
        return Landmarks(apply(similarity(_MIDDLES, middles), MEAN_FACE), self.points, presence=0.0, yaw=self.yaw)

    @property
    def _axes(self) -> tuple[Points, Points]:
        """From the eyes to the mouth, and the direction from the person's right to the left, of length 1."""
        down = self.points[3:].mean(0) - self.points[:2].mean(0)
        return down, np.array([down[1], -down[0]]) / max(math.hypot(*down), 1e-6)


class ProfileFinder:
    """Finds profiles; safe to call from several threads."""

    def __init__(self, network: YuNet) -> None:
        self._network = network

    def at(self, picture: Picture, detections: Sequence[Detection]) -> list[SideView]:
        """The profiles at the places of detections, of which the first few are looked at."""
        seen = (self.look(picture, one) for one in detections[:_MOST])
        return self._surely(picture, [one for one in seen if one is not None and one.is_profile])

    def anywhere(self, picture: Picture) -> list[SideView]:
        """The profiles in a picture, but for small ones."""
        view = whole(picture.width, picture.height, picture.longer / _LONGEST, STEP)
        to_picture = np.array([[view.scale, 0, view.x], [0, view.scale, view.y]])
        seen = self._seen(picture.show(view), to_picture)
        return self._surely(picture, _distinct([one for one in seen if one.is_profile])[:_MOST])

    def aside(self, picture: Picture, landmarks: Landmarks, center: Points, size: float) -> Landmarks:
        """Landmarks of a face; those of one that is turned aside get YuNet's points for ArcFace.

        Args:
            picture: that shows it.
            landmarks: as the mesh sees them.
            center: [2], of the face as BlazeFace sees it.
            size: of the face as BlazeFace sees it, in pixels.
        """
        if abs(landmarks.yaw) < _TURNED_ASIDE:
            return landmarks
        seen = self._nearest(picture, center, _AROUND * size, landmarks.roll)
        if seen is None or math.dist(seen.points.mean(0), landmarks.arcface.mean(0)) > _SAME_PLACE * size:
            return landmarks
        return replace(landmarks, arcface=seen.points)

    def look(self, picture: Picture, detection: Detection) -> SideView | None:
        """What YuNet sees at the place of a detection."""
        return self._nearest(picture, np.array(detection.center), _AROUND * max(detection.size))

    def _surely(self, picture: Picture, profiles: Sequence[SideView]) -> list[SideView]:
        """Those that are profiles at another scale, too, as they are seen there."""
        again = (self._nearest(picture, one.center, _AROUND_AGAIN * float(one.size.max())) for one in profiles)
        return _distinct([one for one in again if one is not None and one.is_profile])

    def _nearest(self, picture: Picture, center: Points, side: float, roll: float = 0.0) -> SideView | None:
        """The best face that is about in the middle of a square, which is turned by a roll in degrees."""
        place = _square(center, side, roll)
        shown = np.multiply(cut(picture.pixels, place, _SHOWN), np.float32(2 / 255)) - np.float32(1)
        reach = _NEAR * side / _AROUND
        return next((one for one in self._seen(shown, place) if math.dist(one.center, center) < reach), None)

    def _seen(self, shown: NDArray[np.float32], to_picture: Transform) -> list[SideView]:
        """Every face in what is shown, best first; one face is there several times."""
        found = self._network(shown, _MIN_SCORE)
        found = found[np.argsort(-found[:, 0], kind="stable")]
        places = apply(to_picture, found[:, 1:].reshape(-1, 2)).reshape(-1, 7, 2)
        sizes = found[:, 3:5] * scale_of(to_picture)
        return [
            SideView(float(score), row[0], size, row[2:])
            for score, row, size in zip(found[:, 0], places, sizes, strict=True)
        ]


def _square(center: Points, side: float, roll: float) -> Transform:
    """The transform from what is shown to the picture, clockwise by a roll in degrees."""
    angle, scale, middle = math.radians(roll), side / _SHOWN, (_SHOWN - 1) / 2
    rotation = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.column_stack([rotation, center - rotation @ (middle, middle)])


def _distinct(seen: Sequence[SideView]) -> list[SideView]:
    """Each face once: those whose centre lies in no better one's middle."""
    kept: list[SideView] = []
    for one in sorted(seen, key=lambda one: -one.score):
        if all(math.dist(one.center, other.center) > other.size.max() / 2 for other in kept):
            kept.append(one)
    return kept
