"""Monitors one camera and model version: the first faces are the reference, the latest are compared with it.

Only the largest face of each frame counts. The monitor uses no clock and no Kafka, and its state can be saved and
given to another one (``MonitorSample``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import numpy as np

from models.drift import stays, two_samples, vectors
from models.drift.measures import NUMBERS, Measure
from schemas.drift import DriftDecision, DriftFace
from schemas.embeddings import Face

_SILENCE = 20
"""Consecutive frames, all with or all without a face, that count as one draw."""
_STRIKES = 2
"""Number of consecutive comparisons that raise an alarm, or end it."""


@dataclass(frozen=True, slots=True)
class MonitorPlan:
    """The sizes of the samples, and how often they are compared."""

    reference: int = 300
    """Number of faces, and of decisions, in the reference."""
    window: int = 300
    """Largest number of faces, decisions or frames in the current sample. It is compared once it has half of them."""
    every: int = 50
    """Number of frames from one comparison to the next."""


@dataclass(slots=True)
class MonitorSample:
    """Faces and decisions, oldest first. ``faceless`` is the number of frames without a face after the last face."""

    faces: list[DriftFace] = field(default_factory=list)
    decisions: list[DriftDecision] = field(default_factory=list)
    faceless: int = 0


class Monitor:
    """The reference and the current sample of one camera and model version."""

    def __init__(self, plan: MonitorPlan, same_person: float | None = None) -> None:
        """``same_person`` is the distance below which two vectors mostly show one person; None: unknown, so vectors are
        not compared."""
        self._plan = plan
        self._same_person = same_person
        self.reference = MonitorSample()
        self.current = MonitorSample()
        self.frames = 0
        self.alarms: dict[str, int] = {}
        """The measures that alarm, each with the number of the frame at which its alarm was raised."""
        self._strikes: dict[str, int] = {}
        self._last: DriftFace | None = None

    @property
    def complete(self) -> bool:
        """Whether the reference is complete."""
        return len(self.reference.faces) >= self._plan.reference

    @property
    def due(self) -> bool:
        """Whether a comparison is due after the last frame."""
        return self.complete and self.frames % self._plan.every == 0

    def add_frame(self, faces: Sequence[Face]) -> int | None:
        """Add the faces of a frame, largest first, with float32 vectors.

        Returns:
            The number of the largest face's stay, to pass to ``add_decision``; None without a face.
        """
        self.frames += 1
        sample = self.current if self.complete else self.reference
        if not faces:
            sample.faceless += 1
            return None
        face = faces[0]
        before = self._last or next((one.faces[-1] for one in (self.current, self.reference) if one.faces), None)
        vector = None if face.vector is None else np.frombuffer(face.vector, "<f4").astype("<f2").tobytes()
        stay = 0 if before is None else before.stay + (not self._stays(before.vector, vector))
        self._last = DriftFace(stay, face.quality, vector, sample.faceless)
        sample.faces.append(self._last)
        sample.faceless = 0
        if sample is self.current:
            del sample.faces[: -self._plan.window]
        return stay

    def add_decision(self, stay: int, subject_id: str | None, margin: float | None) -> None:
        """Add the decision about a frame's largest face, if it was compared with a gallery.

        Args:
            stay: the number that ``add_frame`` returned.
            subject_id: the subject that was recognised, or None.
            margin: 1 - distance / threshold: 1 is the same picture, 0 is at the threshold; None if it is unknown.
        """
        whole = len(self.reference.decisions) >= self._plan.reference
        sample = self.current if whole else self.reference
        sample.decisions.append(DriftDecision(stay, subject_id, margin))
        if sample is self.current:
            del sample.decisions[: -self._plan.window]

    def compare(self) -> list[Measure]:
        """Compare the current sample with the reference, and raise or end alarms."""
        measures = [*self._of_faces(), *self._of_frames(), *self._of_decisions()]
        for measure in measures:
            self._judge(measure)
        return measures

    def _judge(self, measure: Measure) -> None:
        raised = measure.name in self.alarms
        strikes = self._strikes.get(measure.name, 0) + 1 if measure.alarming is not raised else 0
        if strikes == _STRIKES:
            strikes = 0
            if raised:
                del self.alarms[measure.name]
            else:
                self.alarms[measure.name] = self.frames
        self._strikes[measure.name] = strikes

    def _of_faces(self) -> list[Measure]:
        before, now = self.reference.faces, self.current.faces
        if not self._enough(len(now)):
            return []
        draws = _draws([face.stay for face in before], [face.stay for face in now])
        measures = []
        for name, number in NUMBERS.items():
            numbers = [number(face.quality) for face in before], [number(face.quality) for face in now]
            known = [[one for one in side if one is not None] for side in numbers]
            if [len(side) for side in known] == [len(side) for side in numbers]:
                pair = _pair(*known)
                measures.append(_measure(name, pair, two_samples.distributions(pair, draws)))
        pair = _pair([face.vector is None for face in before], [face.vector is None for face in now])
        measures.append(_measure("refused_rate", pair, two_samples.rates(pair, draws)))
        if self._same_person is not None and self._enough(sum(face.vector is not None for face in now)):
            compared = vectors.embeddings(_vectors(before), _vectors(now), self._same_person)
            if compared is not None:
                measures.append(Measure("embedding", None, None, *compared))
        return measures

    def _of_frames(self) -> list[Measure]:
        before, now = _faceless(self.reference), _faceless(self.current)[-self._plan.window :]
        if not self._enough(len(now)):
            return []
        pair = _pair(before, now)
        draws = stays.effective(_changes(before), _SILENCE), stays.effective(_changes(now), _SILENCE)
        return [_measure("faceless_rate", pair, two_samples.rates(pair, draws))]

    def _of_decisions(self) -> list[Measure]:
        before, now = self.reference.decisions, self.current.decisions
        if not self._enough(len(now)):
            return []
        pair = _pair([one.subject_id is None for one in before], [one.subject_id is None for one in now])
        measures = [_measure("unknown_rate", pair, two_samples.rates(pair, _visits(before, now)))]
        before, now = _sure(before), _sure(now)
        if self._enough(len(before)) and self._enough(len(now)):
            pair = _pair([one.margin or 0.0 for one in before], [one.margin or 0.0 for one in now])
            compared = two_samples.distributions(pair, _visits(before, now), falls=True)
            measures.append(_measure("margin", pair, compared))
        return measures

    def _enough(self, number: int) -> bool:
        return number >= self._plan.window // 2

    def _stays(self, before: bytes | None, now: bytes | None) -> bool:
        """Whether two consecutive faces belong to one stay. If vectors cannot be compared: both or neither have one."""
        if before is None or now is None or self._same_person is None:
            return (before is None) is (now is None)
        gap = np.frombuffer(before, "<f2").astype(np.float32) - np.frombuffer(now, "<f2").astype(np.float32)
        return bool(np.linalg.norm(gap) < self._same_person)


def _pair(before: Sequence[float], now: Sequence[float]) -> two_samples.Pair:
    return np.array(before, np.float64), np.array(now, np.float64)


def _measure(name: str, pair: two_samples.Pair, compared: two_samples.Compared) -> Measure:
    return Measure(name, float(pair[0].mean()), float(pair[1].mean()), *compared)


def _draws(before: Sequence[int], now: Sequence[int]) -> tuple[float, float]:
    return stays.effective(before), stays.effective(now)


def _visits(before: Sequence[DriftDecision], now: Sequence[DriftDecision]) -> tuple[float, float]:
    """As ``_draws``, but a person counts once, however long the stay is."""
    first, second = (stays.effective([one.stay for one in some], max(1, len(some))) for some in (before, now))
    return first, second


def _changes(values: Sequence[object]) -> list[int]:
    """The number of changes before each value."""
    changed = [before != now for before, now in pairwise(values)]
    return list(accumulate(changed, initial=0))[: len(values)]


def _sure(decisions: Sequence[DriftDecision]) -> list[DriftDecision]:
    """The decisions that recognised somebody with a known margin."""
    return [one for one in decisions if one.subject_id is not None and one.margin is not None]


def _faceless(sample: MonitorSample) -> list[float]:
    """For each frame, oldest first: 1 if it has no face, 0 if it has one."""
    frames: list[float] = []
    for face in sample.faces:
        frames += [1.0] * face.faceless_before + [0.0]
    return frames + [1.0] * sample.faceless


def _vectors(faces: Sequence[DriftFace]) -> vectors.Vectors:
    held = [np.frombuffer(face.vector, "<f2") for face in faces if face.vector is not None]
    return np.array(held, np.float32)
