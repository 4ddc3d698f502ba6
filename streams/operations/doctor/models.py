"""Checks the models: weights and card, the libraries that run them, and one embedding."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from models.embedder.assets import DETECTOR, FACE_MESH, RESNET, SFACE, MissingWeights
from models.embedder.card import CARD_FILE, Card, UnknownThreshold, UnusableModel
from models.embedder.model import Model
from streams.operations.doctor.finding import Finding, fail, ok, warn
from streams.operations.doctor.remedies import Remedy
from streams.settings import Settings
from streams.text import pluralize

_SLOW_S = 1.0


def check(settings: Settings, *, load: bool) -> Iterator[Finding]:
    """Check files and libraries; with ``load`` also embed one chip."""
    yield from _weights(settings)
    yield _card(settings)
    yield from _versions(settings)
    if not load:
        return
    yield _litert()
    yield from _embed(settings)


def _weights(settings: Settings) -> Iterator[Finding]:
    needed = {"detector": DETECTOR, "face mesh": FACE_MESH}
    if settings.model_dir is None:
        needed |= {"reference network fast": RESNET, "reference network accurate": SFACE}
    for name, asset in needed.items():
        try:
            size = len(asset.read())
        except MissingWeights as error:
            yield fail(f"weights of the {name}", str(error), Remedy.SET_UP())
        else:
            yield ok(f"weights of the {name}", f"{size / 1e6:.1f} MB with the right digest")


def _card(settings: Settings) -> Finding:
    folder = settings.chosen_model_dir
    try:
        card = Card.read(folder)
        distance = card.threshold(settings.threshold_set)
    except UnusableModel as error:
        return fail("model card", str(error), Remedy.MODEL_DIR())
    except UnknownThreshold as error:
        return fail("model card", str(error), Remedy.THRESHOLD())
    chosen = settings.threshold_set or card.default_threshold
    return ok(
        "model card", f"{card.version}, threshold set {chosen} (distance {distance:g}, FMR {card.fmr(distance):.1g})"
    )


def _versions(settings: Settings) -> Iterator[Finding]:
    """Check that the folders of trained and imported versions, and the files in them, can be read."""
    folder = settings.versions_dir
    if not folder.exists():
        return
    try:
        cards = sorted(path.parent for path in folder.iterdir() for path in path.glob(CARD_FILE))
    except OSError as error:
        yield fail("models folder", f"{folder} cannot be read: {error.strerror}", Remedy.MODELS_FOLDER())
        return
    broken = 0
    for version in cards:
        try:
            Card.read(version)
            for path in version.iterdir():
                if path.is_file():
                    with path.open("rb") as file:
                        file.read(1)
        except (UnusableModel, OSError) as error:
            broken += 1
            yield fail(f"model version {version.name}", " ".join(str(error).split()), Remedy.VERSION_FOLDER())
    if not broken:
        yield ok("models folder", f"{pluralize(len(cards), 'version')} at {folder}")


def _litert() -> Finding:
    try:
        from models.embedder.litert import LiteModel

        LiteModel(DETECTOR.read())
    except (ImportError, RuntimeError, ValueError, MissingWeights) as error:
        return fail("litert", f"{type(error).__name__}: {error}", Remedy.SET_UP())
    return ok("litert", "takes the detector")


def _embed(settings: Settings) -> Iterator[Finding]:
    began = time.perf_counter()
    try:
        model = Model.load(settings.chosen_model_dir, threads=settings.cpu_threads)
    except ImportError as error:
        yield fail("tensorflow", f"cannot be imported: {error}", Remedy.SET_UP())
        return
    except (UnusableModel, MissingWeights) as error:
        yield fail("model", str(error), Remedy.MODEL_DIR())
        return
    loaded = time.perf_counter()
    chip = np.random.default_rng(1).integers(0, 256, (1, model.card.chip.size, model.card.chip.size, 3), np.uint8)
    vector = model.embed(chip)
    took = time.perf_counter() - loaded
    seen = f"{model.card.version} loaded in {loaded - began:.1f} s; one chip embedded in {1000 * took:.0f} ms"
    if not np.isfinite(vector).all():
        yield fail("model", f"{seen}, but the vector is not finite", Remedy.MODEL_DIR())
    elif took > _SLOW_S:
        yield warn("model", seen, Remedy.CORES())
    else:
        yield ok("model", seen)
