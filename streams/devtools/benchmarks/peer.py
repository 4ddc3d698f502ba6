"""Compares facestream's loop with the usual ones of face_recognition and deepface, on the same frames.

All are one process without Kafka: decode, find the face, embed it, name the nearest of two enrolled people. Each of the
others has an environment of its own, which is built once, in the user's cache.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from infra.cache import cached
from infra.photos import sample_photos
from models.analysis.analyzer import Analyzer
from models.embedder.assets import SFACE
from models.embedder.model import Model
from models.embedder.references import Reference
from models.matching.decision import Probes, decide
from models.matching.gallery import Embedded, Gallery
from schemas.errors import FacestreamError
from schemas.ingest import Mode
from streams.devtools.benchmarks import peer_loops
from streams.devtools.benchmarks.rows import Figures, attempt
from streams.devtools.synthetic_frames import Scene

PEERS: Mapping[str, Sequence[Sequence[str]]] = {
    "face_recognition": (
        # dlib-bin is dlib, compiled; pip would compile it for many minutes. face_recognition_models imports
        # pkg_resources, which later setuptools do not have.
        ("dlib-bin==20.0.1.post1", "face_recognition_models==0.3.0", "setuptools<81", "numpy<2.5", "pillow", "click"),
        ("--no-deps", "face_recognition==1.3.0"),
    ),
    # OpenCV 5 has neither the file of its detector nor reads its network.
    "deepface": (
        (
            "deepface==0.0.95",
            "opencv-python<5",
            "opencv-contrib-python-headless<5",
            "tf-keras==2.21.0",
            "tensorflow-cpu==2.21.0",
        ),
    ),
}
"""What pip is asked to install for each, one call after the other."""
_SFACE = Path(".deepface", "weights", "face_recognition_sface_2021dec.onnx")
"""Where deepface looks for its weights, which it would download; they are those of the model ``accurate``."""
_KNOWN = {"obama": "obama2.jpg", "biden": "biden.jpg"}
_SEEN = {"obama": "obama.jpg", "biden": "biden.jpg"}
_BATCH = 32
_BUILD_S = 1800.0
_RUN_S = 900.0
_LAST_WORDS = 300


class PeerMissing(FacestreamError):
    """The environment of a peer cannot be built; the message ends with the installer's last words."""


@dataclass(frozen=True, slots=True)
class Frames:
    """The people to be named, and their frames, as files for the others and as bytes for us."""

    folder: Path

    @classmethod
    def write(cls, folder: Path, count: int) -> Frames:
        """Write so many frames, of each person in turn, as ``frames/<number>-<person>.jpg``."""
        photos = sample_photos()
        for part in ("known", "frames"):
            (folder / part).mkdir(parents=True)
        for name, photo in _KNOWN.items():
            shutil.copy(photos / photo, folder / "known" / f"{name}.jpg")
        scenes = {name: iter(Scene(photos / photo, seed)) for seed, (name, photo) in enumerate(_SEEN.items())}
        for number in range(count):
            name = list(scenes)[number % len(scenes)]
            (folder / "frames" / f"{number:05}-{name}.jpg").write_bytes(next(scenes[name]))
        return cls(folder)

    def known(self) -> dict[str, bytes]:
        """The photo of each person."""
        return {path.stem: path.read_bytes() for path in sorted((self.folder / "known").glob("*.jpg"))}

    def seen(self) -> list[tuple[str, bytes]]:
        """Person and JPEG of each frame."""
        paths = sorted((self.folder / "frames").glob("*.jpg"))
        return [(path.stem.partition("-")[2], path.read_bytes()) for path in paths]


def measure(folder: Path, frames: int, only: Sequence[str], say: Callable[[str], None]) -> Iterator[Figures]:
    """Run each loop over the same frames, one after another.

    Args:
        folder: an empty folder.
        frames: how many.
        only: names of the others to be measured.
        say: is told what is done.

    Yields:
        Rows with ``peer``, ``frames_per_s``, ``cpu_ms_per_frame`` and ``correct``, the share of frames with the right
        name: first facestream with either reference model, then the others.
    """
    written = Frames.write(folder, frames)
    for model in Reference:
        yield attempt(f"facestream, {model}", lambda model=model: _ours(written, model))  # type: ignore[misc]
    for peer in only:
        yield attempt(peer, lambda peer=peer: _theirs(written, peer, say))  # type: ignore[misc]


def environment(peer: str, say: Callable[[str], None]) -> Path:
    """The Python of a peer's environment, which is built if it is not there.

    Raises:
        PeerMissing: it cannot be built.
    """
    home = cached(f"peer-{peer}")
    python, done = home / "bin" / "python", home / "done"
    wanted = "\n".join(" ".join(words) for words in PEERS[peer])
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(home.with_suffix(".lock")):
        if done.exists() and done.read_text("utf-8") == wanted:
            return python
        say(f"building an environment for {peer} in {home}: this takes minutes, once")
        shutil.rmtree(home, ignore_errors=True)
        _run(f"the environment of {peer} cannot be made", [sys.executable, "-m", "venv", str(home)], _BUILD_S)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for words in PEERS[peer]:
            _run(f"{peer} cannot be installed", [*pip, *words], _BUILD_S)
        done.write_text(wanted, "utf-8")
    return python


def _theirs(frames: Frames, peer: str, say: Callable[[str], None]) -> Figures:
    python = environment(peer, say)
    say(f"measuring {peer}")
    weights = frames.folder / _SFACE
    if not weights.exists():
        weights.parent.mkdir(parents=True)
        weights.write_bytes(SFACE.read())
    words = [str(python), peer_loops.__file__, peer, str(frames.folder)]
    out = _run(f"{peer} cannot be measured", words, _RUN_S, DEEPFACE_HOME=str(frames.folder))
    return {"peer": peer, **json.loads(out.splitlines()[-1])}


def _run(what: str, words: Sequence[str], timeout_s: float, **variables: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout_s, env=os.environ | variables)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerMissing(f"{what}: {error}") from error
    if done.returncode:
        raise PeerMissing(f"{what}: {' '.join(done.stderr.split())[-_LAST_WORDS:]}")
    return done.stdout


def _ours(frames: Frames, reference: Reference) -> Figures:
    model = Model.load(reference.folder)
    analyzer = Analyzer(model)
    analyzer.warm_up()
    card, gallery = model.card, Gallery(model.card.version, model.card.output.dimensions)
    for name, jpeg in frames.known().items():
        vector = analyzer.analyze([jpeg], enrolment=True)[0].faces[0].vector or b""
        gallery.put("user", name, name, Embedded(card.version, np.frombuffer(vector, "<f4")))
    seen = frames.seen()
    began, used_s, correct = time.perf_counter(), time.process_time(), 0
    for start in range(0, len(seen), _BATCH):
        batch = seen[start : start + _BATCH]
        for (person, _), found in zip(batch, analyzer.analyze([jpeg for _, jpeg in batch]), strict=True):
            probes = Probes(card.version, found.faces, [face.vector for face in found.faces])
            decided = decide(probes, gallery, card, user_id="user", mode=Mode.IDENTIFY, candidates=1)
            correct += any(one.subject_id == person for one in decided)
    took_s, used_s = time.perf_counter() - began, time.process_time() - used_s
    return {
        "peer": f"facestream, {reference}",
        "frames_per_s": round(len(seen) / took_s, 2),
        "cpu_ms_per_frame": round(1000 * used_s / len(seen), 2),
        "correct": round(correct / len(seen), 3),
    }
