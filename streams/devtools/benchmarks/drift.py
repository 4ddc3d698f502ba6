"""Measures frames until a degraded camera raises an alarm, and false alarms of an unchanged one; without Kafka.

Each folder is a camera. People come before it at random and stay a while; half of them are enrolled. Every picture is
seen as it is and with the small differences of a good camera, and by poor cameras of several kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator

from models.analysis import chips
from models.analysis.analyzer import Analyzer
from models.drift.monitor import Monitor, MonitorPlan
from models.embedder.card import Card
from models.embedder.model import Model
from models.evaluation.evaluation import pictures_of
from models.matching.decision import Probes, decide
from models.matching.gallery import Embedded, Gallery
from models.pictures.decoder import decode
from models.pictures.geometry import Pixels
from models.training.degrade import FACE_OF_CHIP, POOR, Conditions, degrade
from schemas.embeddings import Face
from schemas.ingest import Mode
from schemas.parts import Decision, Refusal
from streams.devtools.benchmarks.rows import NOT_MEASURED, Figures, attempt, failed
from streams.settings import Settings

_SIDE = 250
"""Side to which pictures are scaled, so that lengths of blur and motion mean the same in all of them."""
_CLEAN = Conditions(
    face=(_SIDE, _SIDE),
    blur=(0, 0),
    motion=(0, 0),
    light=(1, 1),
    gain=(0, 0),
    gamma=(1, 1),
    noise=(0, 0),
    jpeg=(95, 95),
)
_GOOD = replace(_CLEAN, light=(0.9, 1), gamma=(0.9, 1.1), noise=(0, 2), jpeg=(85, 95))
KINDS: Mapping[str, Conditions] = {
    "blur": replace(_GOOD, blur=(1.5, 3)),
    "motion": replace(_GOOD, motion=(6, 14)),
    "noise": replace(_GOOD, noise=(12, 25)),
    "low_light": replace(_GOOD, light=(0.12, 0.3), gain=(0, 0.5), noise=(2, 5)),
    "jpeg": replace(_GOOD, jpeg=(5, 15)),
    "low_resolution": replace(_GOOD, face=(0.25 * _SIDE * FACE_OF_CHIP, 0.4 * _SIDE * FACE_OF_CHIP)),
    "all": replace(POOR, face=(0.3 * _SIDE * FACE_OF_CHIP, 0.5 * _SIDE * FACE_OF_CHIP)),
}
"""Kinds of degradation, and all of them together."""
_GOOD_VERSIONS = 3
_LONGEST = 2000
"""Most degraded frames until an alarm."""
_TEMPLATES = 2


@dataclass(frozen=True, slots=True)
class _Seen:
    """The faces that a camera sees: those of each picture of each person, largest first."""

    people: Mapping[str, Sequence[Sequence[Face]]]

    def frames(self, random: Generator, stay: float) -> Iterator[Sequence[Face]]:
        """An endless sequence of frames."""
        names = sorted(self.people)
        while True:
            shown = self.people[names[random.integers(len(names))]]
            for _ in range(random.geometric(1 / stay)):
                yield shown[int(random.integers(len(shown)))]


def measure(
    folders: Sequence[Path], settings: Settings, *, frames: int, stay: float, seed: int, say: Callable[[str], None]
) -> Iterator[Figures]:
    """Stream each folder's pictures through a monitor.

    Yields:
        ``normal_frames`` of each camera, ``false_alarms`` of all of them, and for each kind of degradation
        ``frames_to_alarm`` of the slowest camera, None if one raised none, with what alarmed first.

    Raises:
        UnusableEvaluation: a folder holds no pictures.
    """
    model = Model.load(settings.chosen_model_dir, threads=settings.cpu_threads)
    analyzer = Analyzer(model, threads=settings.cpu_threads)
    plan = MonitorPlan(settings.drift_reference, settings.drift_window)
    yield {"normal_frames": frames, "cameras": len(folders), "stay": stay, "seed": seed}
    alarms: list[int] = []
    degraded: dict[str, dict[str, Any]] = {}
    for folder in folders:
        random = np.random.default_rng(seed)
        cameras: list[_Camera] = []

        def normal(folder: Path = folder, random: Generator = random, cameras: list[_Camera] = cameras) -> Figures:
            camera = _Camera(analyzer, model.card, folder, plan, stay, random)
            alarms.append(camera.normal(frames))
            cameras.append(camera)
            say(f"{folder.name}: {frames} normal frames, {alarms[-1]} alarms")
            return {"false_alarms": sum(alarms)}

        seen = attempt(f"{folder.name}: normal frames", normal)
        yield seen
        if NOT_MEASURED in seen:
            yield from (failed(f"{folder.name}: {kind}", "its normal frames could not be seen") for kind in KINDS)
            continue
        for kind in KINDS:

            def poor(kind: str = kind, folder: Path = folder, camera: _Camera = cameras[0]) -> Figures:
                after, measures = camera.degraded(KINDS[kind])
                told = f"alarm after {after} frames" if after else "no alarm"
                say(f"{folder.name}: {kind}: {told} {', '.join(measures)}")
                slowest = degraded.setdefault(kind, {"frames_to_alarm": 0, "measures": []})
                if after is None or slowest["frames_to_alarm"] is None:
                    slowest["frames_to_alarm"] = None
                else:
                    slowest["frames_to_alarm"] = max(slowest["frames_to_alarm"], after)
                slowest["measures"] = sorted({*slowest["measures"], *measures})
                return {"degraded": {name: dict(found) for name, found in degraded.items()}}

            yield attempt(f"{folder.name}: {kind}", poor)
    analyzer.close()


class _Camera:
    """Measures the people of one folder with cameras of each kind."""

    def __init__(
        self, analyzer: Analyzer, card: Card, folder: Path, plan: MonitorPlan, stay: float, random: Generator
    ) -> None:
        self._analyzer = analyzer
        self._card = card
        self._plan = plan
        self._stay = stay
        self._random = random
        self._pictures = [(path.parent.name, _square(path)) for path in pictures_of(folder)]
        self._gallery = Gallery(card.version, card.output.dimensions)
        self._good = self._seen([_GOOD] * _GOOD_VERSIONS)
        self._enrol()

    def normal(self, frames: int) -> int:
        """The number of alarms of a stream that does not change."""
        monitor, raised = Monitor(self._plan, self._card.threshold()), 0
        stream = self._good.frames(self._random, self._stay)
        for _ in range(frames):
            raised += len(self._show(monitor, next(stream)))
        return raised

    def degraded(self, conditions: Conditions) -> tuple[int | None, list[str]]:
        """Frames from the change of a camera to the alarm, and the measures that raised it."""
        monitor = Monitor(self._plan, self._card.threshold())
        good = self._good.frames(self._random, self._stay)
        while not monitor.complete or monitor.frames < 2 * self._plan.reference + self._plan.window:
            self._show(monitor, next(good))
        poor = self._seen([conditions]).frames(self._random, self._stay)
        for frame in range(1, _LONGEST + 1):
            if raised := self._show(monitor, next(poor)):
                return frame, sorted(raised)
        return None, []

    def _show(self, monitor: Monitor, faces: Sequence[Face]) -> set[str]:
        """Give the monitor a frame and its decision; return the alarms that this raises."""
        before = set(monitor.alarms)
        stay = monitor.add_frame(faces)
        probes = Probes(self._card.version, faces[:1], [face.vector for face in faces[:1]])
        for answer in decide(probes, self._gallery, self._card, user_id="", mode=Mode.IDENTIFY):
            if stay is not None and answer.candidates:
                known = answer.subject_id if answer.decision is Decision.MATCH else None
                monitor.add_decision(stay, known, 1 - answer.candidates[0].distance / self._card.threshold())
        if monitor.due:
            monitor.compare()
        return set(monitor.alarms) - before

    def _seen(self, conditions: Sequence[Conditions]) -> _Seen:
        people: dict[str, list[Sequence[Face]]] = {}
        for name, picture in self._pictures:
            shown = [chips.encode(degrade(picture, one, self._random), 97) for one in conditions]
            people.setdefault(name, []).extend(found.faces for found in self._analyzer.analyze(shown))
        return _Seen(people)

    def _enrol(self) -> None:
        for name in sorted(self._good.people)[::2]:
            held = [faces[0].vector for faces in self._good.people[name] if faces and faces[0].vector]
            for number, vector in enumerate(held[::_GOOD_VERSIONS][:_TEMPLATES]):
                template = Embedded(self._card.version, np.frombuffer(vector, "<f4"))
                self._gallery.put("", name, f"{name}-{number}", template)


def _square(path: Path) -> Pixels:
    """The picture padded to a square with its edge pixels, RGB [side, side, 3]."""
    raster = decode(path.read_bytes(), max_bytes=10**8, max_pixels=10**8)
    if isinstance(raster, Refusal):
        return np.zeros((_SIDE, _SIDE, 3), np.uint8)
    height, width = raster.pixels.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    edges = (top, side - height - top, left, side - width - left)
    padded = cv2.copyMakeBorder(raster.pixels, *edges, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(padded, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)
