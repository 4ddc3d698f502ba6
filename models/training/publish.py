"""Makes a model version from a finished run: weights and card, for :meth:`models.embedder.model.Model.load`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np

from models.embedder.card import CARD_FILE, Card, Lineage, Measured, Scores, Weights
from models.embedder.model import Model
from models.evaluation import calibration
from models.evaluation.calibration import Strangers
from models.evaluation.comparisons import Comparisons, Distances
from models.pictures.geometry import Pixels
from models.training.measure import Change
from models.training.network import learnable
from models.training.plan import Run
from models.training.scoring import is_seen

WEIGHTS_FILE = "model.keras"

_ROUNDS = 15


def learned_network(run: Run) -> Any:
    """The network of a finished run with its trained weights."""
    network = keras.models.load_model(run.network, compile=False)
    with np.load(run.learned) as stored:
        for variable, name in zip(learnable(network), stored.files, strict=True):
            variable.assign(stored[name])
    return network


def write(folder: Path, network: Any, card: Card) -> Card:
    """Write the folder of a version.

    Returns:
        The card as written, with the file and digest of the weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / WEIGHTS_FILE
    network.save(path)
    weights = Weights(file=WEIGHTS_FILE, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    written = card.model_copy(update={"weights": weights})
    (folder / CARD_FILE).write_text(written.model_dump_json(indent=1, exclude_none=True) + "\n", "utf-8")
    return written


def described(
    version: str,
    parent: Card,
    lineage: Lineage,
    strangers: Mapping[str, tuple[Distances, Distances]],
    scores: Mapping[str, Scores] | None = None,
) -> Card:
    """Make the card of a trained version. Its distances differ from the parent's, so they are calibrated again.

    The people it is measured on may be few, and more or less alike than most people. So the stricter of two estimates
    is used. The first comes from the distances between these people. The second looks up, on the parent's card, the
    distance below which the parent puts the same share of these strangers. Measured on 6 of 30 people, in nine draws of
    ten, the FMR of the other 24 at the threshold for 1e-3 was at most 7.1e-3 with the first estimate alone, and at most
    2.3e-3 with both.

    Args:
        version: the name of the new version.
        parent: the card of the version that it was trained from, with the same chips.
        lineage: its lineage.
        strangers: by the kind of pictures, distances [n] between people outside the training set, with the parent and
            with the new version; every kind counts the same.
        scores: the scores of the new version, by the kind of pictures.
    """
    before = [Strangers.of(old.tolist()) for old, _ in strangers.values()]
    after = [Strangers.of(new.tolist()) for _, new in strangers.values()]

    def allowed(name: str, distance: float) -> float:
        old = parent.thresholds.get(name, parent.distance(_rate(name)))
        return min(distance, calibration.strict(calibration.reached(after, calibration.share(before, old))))

    def rate(distance: float) -> float:
        fmr = calibration.share(after, distance)
        old = calibration.reached(before, fmr)
        # Beyond its ends the parent's curve is constant, so it tells nothing.
        known = parent.fmr_curve[0][0] <= old <= parent.fmr_curve[-1][0]
        return max(fmr, parent.fmr(old)) if known else fmr

    sets = {name: allowed(name, distance) for name, distance in calibration.thresholds(after).items()}
    distances, rates = zip(*calibration.curve(rate), strict=True)
    pairs = min(new.size for _, new in strangers.values())
    return Card(
        version=version,
        description=f"{parent.version}, trained on ({lineage.mode})",
        chip=parent.chip,
        output=parent.output,
        fmr_curve=tuple(zip(distances, np.maximum.accumulate(rates).tolist(), strict=True)),
        thresholds=sets,
        default_threshold=parent.default_threshold if parent.default_threshold in sets else "fmr-1e-3",
        extrapolated=tuple(name for name in sets if not is_seen(_rate(name), pairs)),
        scores=dict(scores or {}),
        lineage=lineage,
    )


def unmeasured(version: str, parent: Card) -> Card:
    """The parent's card under another name, for a network whose distances have not been calibrated yet."""
    return parent.model_copy(update={"version": version})


def measured(before: Comparisons, after: Comparisons, seed: int = 0) -> Measured:
    """The measurement on one kind of pictures, for the card."""
    change = Change.of(before, after, seed=seed)
    return Measured(
        before=change.before,
        after=change.after,
        interval=change.interval,
        gain=change.gain,
        gain_interval=change.gain_interval,
    )


def latency_ratio(old: Model, new: Model, chips: Pixels, batch: int = 8) -> float:
    """The new version's time per face relative to the old one's: the median of alternating runs."""
    part = chips[np.arange(batch) % len(chips)]
    for model in (old, new, old, new):
        model.embed(part)
    ratios = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        old.embed(part)
        middle = time.perf_counter()
        new.embed(part)
        ratios.append((time.perf_counter() - middle) / (middle - began))
    return float(np.median(ratios))


def _rate(name: str) -> float:
    return float(name.removeprefix("fmr-"))
