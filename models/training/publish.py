"""A model version out of a finished run: weights and card in a folder that :meth:`models.model.Model.load` takes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from models.calibration import Curve, Strangers, curve, thresholds
from models.card import CARD_FILE, Card, Lineage, Measured, Weights
from models.geometry import Pixels
from models.model import Model
from models.training.measure import Change, Comparisons
from models.training.network import adapters
from models.training.plan import Run

WEIGHTS_FILE = "model.keras"

_SEEN = 10
"""A rate is measured where so many of the pairs at hand would be false matches; below it is extrapolated."""

_ROUNDS = 15


def learned_network(run: Run) -> Any:
    """The network of a finished run, with what it learned."""
    network = keras.models.load_model(run.network, compile=False)
    with np.load(run.learned) as stored:
        for variable, name in zip(adapters(network), stored.files, strict=True):
            variable.assign(stored[name])
    return network


def write(folder: Path, network: Any, card: Card) -> Card:
    """Write a version's folder.

    Returns:
        the card as it was written, with the file and digest of the weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / WEIGHTS_FILE
    network.save(path)
    weights = Weights(file=WEIGHTS_FILE, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    written = card.model_copy(update={"weights": weights})
    (folder / CARD_FILE).write_text(written.model_dump_json(indent=1, exclude_none=True) + "\n", "utf-8")
    return written


def described(
    version: str, parent: Card, lineage: Lineage, strangers: Mapping[str, NDArray[np.float64]], *, keeps_clean: bool
) -> Card:
    """The card of a trained version, its curve and thresholds from the distances of held-out strangers.

    Args:
        version: the new name.
        parent: whose chips and vectors it has.
        lineage: what it was made of.
        strangers: distances [n] between different people, by the kind of pictures; every kind counts alike.
        keeps_clean: clean pictures have the parent's vectors still, so what its card says of them holds too, and of
            the two the stricter is taken.
    """
    kinds = [Strangers.of(distances.tolist()) for distances in strangers.values()]
    sets, points = thresholds(kinds), curve(kinds)
    if keeps_clean:
        sets = {name: min(distance, parent.thresholds.get(name, distance)) for name, distance in sets.items()}
        points = _stricter(points, parent)
    pairs = min(distances.size for distances in strangers.values())
    return Card(
        version=version,
        description=f"{parent.version}, trained on ({lineage.mode})",
        chip=parent.chip,
        output=parent.output,
        fmr_curve=points,
        thresholds=sets,
        default_threshold=parent.default_threshold if parent.default_threshold in sets else "fmr-1e-3",
        extrapolated=tuple(name for name in sets if float(name.removeprefix("fmr-")) * pairs < _SEEN),
        lineage=lineage,
    )


def unmeasured(version: str, parent: Card) -> Card:
    """The parent's card under another name: for a network whose distances are still to be measured."""
    return parent.model_copy(update={"version": version})


def measured(before: Comparisons, after: Comparisons, seed: int = 0) -> Measured:
    """What the card says of one kind of pictures."""
    change = Change.of(before, after, seed=seed)
    return Measured(
        before=change.before,
        after=change.after,
        interval=change.interval,
        gain=change.gain,
        gain_interval=change.gain_interval,
    )


def latency_ratio(old: Model, new: Model, chips: Pixels, batch: int = 8) -> float:
    """Time a face of the new version by the old one's: the median of turns taken one by the other."""
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


def _stricter(points: Curve, parent: Card) -> Curve:
    """The higher of two false-match rates at every distance."""
    joined = [(distance, max(rate, float(f"{parent.fmr(distance):.4g}"))) for distance, rate in points]
    # Beyond its ends the parent's curve is constant; there the measured one alone counts.
    low, high = parent.fmr_curve[0][0], parent.fmr_curve[-1][0]
    rates = [
        rate if low <= distance <= high else own for (distance, rate), (_, own) in zip(joined, points, strict=True)
    ]
    rising = np.maximum.accumulate(rates).tolist()
    return tuple((distance, rate) for (distance, _), rate in zip(points, rising, strict=True))
