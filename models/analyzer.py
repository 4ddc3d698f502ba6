"""Pictures to faces with vectors: decode, detect, align and judge in threads, then embed all faces at once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from models import quality, runtime
from models.aligner import Aligner
from models.analysis import Analysis, Chip
from models.decoder import Raster, decode
from models.detector import Detection, Detector
from models.landmarks import FaceMesh
from models.model import Model
from schemas.events import Box, Face, Refusal
from schemas.reasons import Reason

_log = logging.getLogger(__name__)

_MIN_PRESENCE = 0.5
_BYSTANDER = 1 / 2
"""In an enrolment photo a face smaller than this part of the largest, eye to eye, is a bystander."""


@dataclass(slots=True)
class _Seen:
    """A picture before its faces are embedded."""

    analysis: Analysis
    chips: list[Chip | None] = field(default_factory=list)


class Analyzer:
    """Analyses micro-batches with one model version.

    An enrolment photo must show one person: a second face is overlooked only if it is less than half as large as
    the largest (eye to eye), and the picture is refused otherwise.
    """

    def __init__(
        self,
        model: Model,
        *,
        threads: int | None = None,
        max_picture_bytes: int = 10_000_000,
        max_picture_pixels: int = 50_000_000,
    ) -> None:
        self._model = model
        self._limits = {"max_bytes": max_picture_bytes, "max_pixels": max_picture_pixels}
        self._threads = threads or runtime.cores()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="analyze")
        self._detector = Detector()
        self._mesh = FaceMesh()
        self._aligner = Aligner(model.card.chip)

    @property
    def model_version(self) -> str:
        """The version on the model's card."""
        return self._model.card.version

    def warm_up(self) -> None:
        """Compile the network for every batch size and make an interpreter in every thread."""
        self._model.warm_up()
        blank = np.zeros((480, 640, 3), np.uint8)
        eyes = np.array([[280, 200], [360, 200], [320, 240], [320, 280], [250, 220], [390, 220]], np.float64)
        face = Detection(1.0, (320, 240), (160, 160), eyes)

        everyone = threading.Barrier(self._threads)

        def look(_: int) -> None:
            everyone.wait()
            self._detector.detect(blank)
            self._mesh.find(blank, face)

        list(self._pool.map(look, range(self._threads)))

    def analyze(
        self, pictures: Sequence[bytes | Refusal], *, enrolment: bool | Sequence[bool] = False
    ) -> list[Analysis]:
        """Analyse a micro-batch; see :class:`models.analysis.Analyzes`."""
        stricter = [enrolment] * len(pictures) if isinstance(enrolment, bool) else enrolment
        if len(stricter) != len(pictures):
            raise ValueError(f"{len(pictures)} pictures, but enrolment says something of {len(stricter)}")
        return self._embedded(list(self._pool.map(self._see, pictures, stricter)))

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown()

    def _see(self, picture: bytes | Refusal, enrolment: bool) -> _Seen:
        if isinstance(picture, Refusal):
            return _Seen(Analysis(refusal=picture))
        try:
            return self._look(picture, enrolment)
        except Exception as error:
            _log.exception("a picture of %d bytes could not be analysed", len(picture))
            return _Seen(Analysis(refusal=Refusal(Reason.FAILED, f"{type(error).__name__}: {error}")))

    def _look(self, picture: bytes, enrolment: bool) -> _Seen:
        start = time.perf_counter()
        raster = decode(picture, **self._limits)
        decoded = time.perf_counter()
        analysis = Analysis(decode_ms=_ms(start, decoded))
        if isinstance(raster, Refusal):
            return _Seen(replace(analysis, refusal=raster))
        detections = self._detector.detect(raster.pixels)
        detected = time.perf_counter()
        limits = quality.TEMPLATE if enrolment else quality.PROBE
        judged = [self._judge(raster, detection, limits) for detection in detections]
        pairs = [pair for pair in judged if pair is not None]
        faces = [face for face, _ in pairs]
        analysis = replace(
            analysis,
            width=raster.width,
            height=raster.height,
            faces=faces,
            refusal=_refusal(faces, enrolment),
            detect_ms=_ms(decoded, detected),
            align_ms=_ms(detected, time.perf_counter()),
        )
        return _Seen(analysis, [chip for _, chip in pairs])

    def _judge(self, raster: Raster, detection: Detection, limits: quality.Limits) -> tuple[Face, Chip | None] | None:
        """A face and its chip, no chip if it is too poor; None if the mesh sees no face there."""
        landmarks = self._mesh.find(raster.pixels, detection)
        if landmarks.presence < _MIN_PRESENCE:
            return None
        chip = self._aligner.align(raster.pixels, landmarks.points)
        scale = raster.width / raster.pixels.shape[1]
        points = landmarks.points * scale
        measured = quality.measure(chip, points, score=detection.score, yaw=landmarks.yaw)
        reason = quality.refusal(measured, limits)
        width, height = detection.size
        x, y = detection.center[0] - width / 2, detection.center[1] - height / 2
        box = Box(x * scale, y * scale, width * scale, height * scale)
        face = Face(box, points.ravel().tolist(), measured, str(reason) if reason else None)
        return face, None if reason else chip

    def _embedded(self, seen: list[_Seen]) -> list[Analysis]:
        chips = [chip for picture in seen for chip in picture.chips if chip is not None]
        start = time.perf_counter()
        vectors = iter(self._model.embed(np.stack(chips)).astype("<f4")) if chips else iter(())
        took = _ms(start, time.perf_counter())
        return [
            replace(
                picture.analysis,
                faces=[
                    face if chip is None else replace(face, vector=next(vectors).tobytes())
                    for face, chip in zip(picture.analysis.faces, picture.chips, strict=True)
                ],
                chips=picture.chips,
                embed_ms=took if picture.chips else 0.0,
            )
            for picture in seen
        ]


def _refusal(faces: Sequence[Face], enrolment: bool) -> Refusal | None:
    """Why a picture as a whole gives no answer."""
    if not faces:
        return Refusal(Reason.NO_FACE, "no face was found")
    if enrolment:
        main, *others = sorted((face.quality.size for face in faces), reverse=True)
        people = 1 + sum(size >= main * _BYSTANDER for size in others)
        if people > 1:
            return Refusal(Reason.SEVERAL_FACES, f"{people} faces of comparable size")
        if faces[0].refusal:
            word = Reason(faces[0].refusal)
            return Refusal(word, word.description)
    return None


def _ms(start: float, end: float) -> float:
    return (end - start) * 1000
