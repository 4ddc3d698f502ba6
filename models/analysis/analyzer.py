"""Analyses pictures: decodes, detects, aligns and measures quality in threads, then embeds all faces at once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from models.analysis import quality
from models.analysis.aligner import Aligner
from models.analysis.covering import CoveringModel
from models.analysis.face_analysis import Analysis, Chip
from models.analysis.finder import FaceFinder, FoundFace
from models.embedder import building, runtime
from models.embedder.card import ChipGeometry, Cut
from models.embedder.model import Model
from models.pictures.decoder import Raster, decode
from models.pictures.geometry import Inside
from schemas.embeddings import Face, OtherVector
from schemas.parts import Box, Refusal
from schemas.reasons import Reason

_log = logging.getLogger(__name__)

_BYSTANDER = 1 / 2
"""A face of an enrolment photo is a bystander if its eye distance is below this share of the largest one."""


_JUDGED = ChipGeometry(size=150, padding=0.25)
"""The chips on which quality is measured, so that it means the same with every model."""


@dataclass(slots=True)
class _Seen:
    """A picture before its faces are embedded, with the chips of each face by frame; a refused face has none."""

    analysis: Analysis
    chips: list[dict[Cut, Chip]] = field(default_factory=list)


class Analyzer:
    """Analyses micro-batches with one model version or several.

    Quality is measured on chips of one geometry, so it does not depend on the versions.

    An enrolment photo must show one person: a second face is ignored if its eye distance is less than half that of the
    largest face; otherwise the picture is refused.
    """

    def __init__(
        self,
        model: Model,
        *,
        threads: int | None = None,
        max_picture_bytes: int = 10_000_000,
        max_picture_pixels: int = 50_000_000,
    ) -> None:
        self._models = {model.card.version: model}
        self._first = model
        self._limits = {"max_bytes": max_picture_bytes, "max_pixels": max_picture_pixels}
        self._threads = threads or runtime.cores()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="analyze")
        self._finder = FaceFinder()
        self._covering = CoveringModel()
        self._aligners = {chip.cut: Aligner(chip) for chip in (_JUDGED, model.card.chip)}

    @property
    def model_version(self) -> str:
        """The version on the card of the first model."""
        return self._first.card.version

    @property
    def versions(self) -> Collection[str]:
        """The model versions that are loaded."""
        return self._models.keys()

    def load(self, folder: Path) -> None:
        """Load one more version and warm it up; see :class:`models.analysis.face_analysis.FaceAnalyzer`."""
        model = building.load(folder, threads=self._threads)
        model.warm_up()
        # The mappings are replaced, not changed, so that a batch in progress keeps the models it started with.
        self._aligners = self._aligners | {model.card.chip.cut: Aligner(model.card.chip)}
        self._models = self._models | {model.card.version: model}

    def unload(self, version: str) -> None:
        """Unload a version other than the first."""
        if version != self.model_version:
            self._models = {name: model for name, model in self._models.items() if name != version}

    def warm_up(self) -> None:
        """Compile the network for every batch size, and create an interpreter in every thread."""
        self._first.warm_up()
        everyone = threading.Barrier(self._threads)

        def look(_: int) -> None:
            everyone.wait()
            self._finder.warm_up()
            self._covering.look(np.zeros((_JUDGED.size, _JUDGED.size, 3), np.uint8))

        list(self._pool.map(look, range(self._threads)))

    def analyze(
        self,
        pictures: Sequence[bytes | Refusal],
        *,
        enrolment: bool | Sequence[bool] = False,
        versions: Sequence[Sequence[str]] | None = None,
    ) -> list[Analysis]:
        """Analyse a micro-batch; see :class:`models.analysis.face_analysis.FaceAnalyzer`."""
        stricter = [enrolment] * len(pictures) if isinstance(enrolment, bool) else enrolment
        wanted = [(self.model_version,)] * len(pictures) if versions is None else versions
        if not len(stricter) == len(wanted) == len(pictures):
            raise ValueError(f"{len(pictures)} pictures, but {len(stricter)} enrolments and {len(wanted)} versions")
        models = self._models
        frames = [{models[version].card.chip.cut for version in names} for names in wanted]
        return _embedded(list(self._pool.map(self._see, pictures, stricter, frames)), wanted, models)

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown()

    def _see(self, picture: bytes | Refusal, enrolment: bool, frames: Collection[Cut]) -> _Seen:
        if isinstance(picture, Refusal):
            return _Seen(Analysis(refusal=picture))
        try:
            return self._look(picture, enrolment, frames)
        except Exception as error:
            _log.exception("a picture of %d bytes could not be analysed", len(picture))
            return _Seen(Analysis(refusal=Refusal(Reason.FAILED, f"{type(error).__name__}: {error}")))

    def _look(self, picture: bytes, enrolment: bool, frames: Collection[Cut]) -> _Seen:
        start = time.perf_counter()
        raster = decode(picture, **self._limits)
        decoded = time.perf_counter()
        analysis = Analysis(decode_ms=_ms(start, decoded))
        if isinstance(raster, Refusal):
            return _Seen(replace(analysis, refusal=raster))
        found = self._finder.find(raster.pixels)
        detected = time.perf_counter()
        limits = quality.TEMPLATE if enrolment else quality.PROBE
        pairs = [self._judge(raster, face, limits, frames) for face in found]
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
        return _Seen(analysis, [chips for _, chips in pairs])

    def _judge(
        self, raster: Raster, found: FoundFace, limits: quality.Limits, frames: Collection[Cut]
    ) -> tuple[Face, dict[Cut, Chip]]:
        """A face, and its chips by frame; no chips if the face is refused."""
        detection, landmarks = found.detection, found.landmarks
        judged = _JUDGED.cut
        chip = self._aligners[judged].align(raster.pixels, landmarks.points)
        scale = raster.width / raster.pixels.shape[1]
        points = landmarks.points * scale
        # In a scaled picture the encoder's blocks no longer lie on the pixel grid.
        blocks = quality.blockiness(raster.pixels, *detection.center) if scale == 1 else None
        inside = self._aligners[judged].inside(raster.pixels, landmarks.points)
        measured = quality.measure(
            chip,
            points,
            score=detection.score,
            yaw=landmarks.yaw,
            inside=inside,
            blockiness=blocks,
            covering=None if found.is_profile else self._covering.look(chip),
        )
        # The chip of a profile is half background, so its quality says little.
        reason = None if found.is_profile else quality.refusal(measured, limits, _share(inside))
        if reason is None and not found.is_reliable:
            reason = Reason.TURNED_AWAY
        width, height = detection.size
        x, y = detection.center[0] - width / 2, detection.center[1] - height / 2
        box = Box(x * scale, y * scale, width * scale, height * scale)
        face = Face(box, points.ravel().tolist(), measured, str(reason) if reason else None)
        if reason:
            return face, {}
        further = {at: self._aligners[at] for at in frames if at != judged}
        cut = {at: one.align(raster.pixels, one.points(landmarks)) for at, one in further.items()}
        return face, {judged: chip} | cut


def _embedded(seen: Sequence[_Seen], wanted: Sequence[Sequence[str]], models: Mapping[str, Model]) -> list[Analysis]:
    """Embed every face with the model versions of its picture; each version embeds all its faces at once."""
    start = time.perf_counter()
    vectors: dict[tuple[int, int], dict[str, bytes]] = {}
    for version in dict.fromkeys(version for names in wanted for version in names):
        frame = models[version].card.chip.cut
        chips = {
            (picture, face): of_face[frame]
            for picture, one in enumerate(seen)
            if version in wanted[picture]
            for face, of_face in enumerate(one.chips)
            if of_face
        }
        if chips:
            embedded = models[version].embed(np.stack(list(chips.values()))).astype("<f4")
            for place, vector in zip(chips, embedded, strict=True):
                vectors.setdefault(place, {})[version] = vector.tobytes()
    took = _ms(start, time.perf_counter())
    return [
        replace(
            one.analysis,
            faces=[
                _with_vectors(face, vectors.get((picture, number)), wanted[picture])
                for number, face in enumerate(one.analysis.faces)
            ],
            chips=[of_face.get(models[wanted[picture][0]].card.chip.cut) for of_face in one.chips],
            embed_ms=took if one.chips else 0.0,
        )
        for picture, one in enumerate(seen)
    ]


def _with_vectors(face: Face, vectors: Mapping[str, bytes] | None, versions: Sequence[str]) -> Face:
    if vectors is None:
        return face
    first, *rest = versions
    return replace(face, vector=vectors[first], others=[OtherVector(name, vectors[name]) for name in rest])


def _refusal(faces: Sequence[Face], enrolment: bool) -> Refusal | None:
    """Why the picture as a whole is refused; None if it is not."""
    if not faces:
        return Refusal(Reason.NO_FACE, "no face was found")
    if enrolment:
        main = max(face.quality.size for face in faces)
        clear = [face for face in faces if face.refusal is None]
        people = sum(face.quality.size >= main * _BYSTANDER for face in clear)
        if people > 1:
            return Refusal(Reason.SEVERAL_FACES, f"{people} faces of comparable size")
        if faces[0].refusal:
            word = Reason(faces[0].refusal)
            return Refusal(word, word.description)
    return None


def _share(inside: Inside | None) -> float:
    return 1.0 if inside is None else float(inside.mean())


def _ms(start: float, end: float) -> float:
    return (end - start) * 1000
