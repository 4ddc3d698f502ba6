"""From a training set to the folder of a run: faces to learn from, the old version's vectors of them, and the gate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import runtime
from models.card import UnusableModel
from models.geometry import Pixels
from models.model import Model, Vectors
from models.training import bases, network
from models.training.degrade import TRAINING, degrade
from models.training.plan import Material, Plan, Run
from models.training.samples import TrainingSet, folds

_HURT = (0.15, 0.35)
"""How far a vector has moved (at 0.59 the reference takes one in a hundred strangers for a match): below the first, the
old way is as good; above the second, the new one is needed."""

_GATE_FACES = 1000
_GATE_STEPS = 600
_GATE_BATCH = 128
_HELD_OUT = 6
"""One person in so many is held out of learning, to stop by."""

_LEAST_HELD_OUT = 3
_VIEWS = 2


def prepare(
    folder: Path,
    plan: Plan,
    old: Model,
    old_network: Any,
    known: TrainingSet,
    say: Callable[[str], None] = lambda text: None,
) -> Run:
    """Write the folder of a run that goes on from an old version.

    Args:
        folder: where to.
        plan: how to learn.
        old: the version that is learned from, and its vectors are what is right.
        old_network: its Keras model: the reference, or one that grew out of it.
        known: people to learn from; some of them are held out to stop by, if there are enough.
        say: called with what is being done.

    Raises:
        UnusableModel: the old version is of another kind.
    """
    import keras  # type: ignore[import-untyped]

    keras.utils.set_random_seed(plan.seed)
    grown = _grown(old_network, old.card.version)
    learn, held_out = _sides(known, plan.seed)
    say(f"{len(learn.people)} people to learn from, {len(held_out.people) if held_out else 0} to stop by")
    made = bases.make(learn, plan.bases, plan.seed)
    vectors = old.embed(made.chips)
    if old_network is not grown:
        say("learning to tell poor pictures")
        random = np.random.default_rng([plan.seed, 5])
        rows = random.integers(0, len(made), _GATE_FACES)
        poor = np.stack([degrade(made.chips[row], TRAINING, random) for row in rows.tolist()])
        moved = np.linalg.norm(old.embed(poor) - vectors[rows], axis=1)
        hurt = np.clip((moved - _HURT[0]) / (_HURT[1] - _HURT[0]), 0, 1)
        _teach_gate(grown, old, made.chips[:_GATE_FACES], poor, hurt, plan.seed)
    run = Run(folder).write(
        plan, Material(made.chips, vectors, made.first, made.second, made.chances, *_held_out(held_out, old, plan.seed))
    )
    # Under its name only when it is whole: by it a run that was broken off is told from one that never began.
    beside = run.network.with_suffix(".new.keras")
    grown.save(beside)
    beside.replace(run.network)
    return run


def _grown(old_network: Any, version: str) -> Any:
    if network.is_grown(old_network):
        return old_network
    if getattr(old_network, "name", None) != "dlib_resnet":
        raise UnusableModel(
            f"{version} is no network that full training knows: it takes the reference and what grew out of it; "
            "for other networks there is the mode head"
        )
    return network.grow(old_network)


def _sides(known: TrainingSet, seed: int) -> tuple[TrainingSet, TrainingSet | None]:
    parts = len(known.people) // max(_LEAST_HELD_OUT, len(known.people) // _HELD_OUT)
    if parts < 3:
        return known, None
    held_out = set(folds(known.people, parts, seed)[0])
    return known.of_people(set(known.people) - held_out), known.of_people(held_out)


def _held_out(held_out: TrainingSet | None, old: Model, seed: int) -> tuple[Pixels, Vectors, NDArray[np.int32]]:
    if held_out is None:
        size = old.card.chip.size
        return (
            np.empty((0, size, size, 3), np.uint8),
            np.empty((0, old.card.output.dimensions), np.float32),
            np.empty(0, np.int32),
        )
    random = np.random.default_rng([seed, 6])
    poor = [degrade(chip, TRAINING, random) for _ in range(_VIEWS) for chip in held_out.chips]
    return np.stack(poor), np.tile(old.embed(held_out.chips), (_VIEWS, 1)), np.tile(held_out.labels, _VIEWS)


def _teach_gate(grown: Any, old: Model, clean: Pixels, poor: Pixels, hurt: NDArray[np.float64], seed: int) -> None:
    """Logistic regression with one hidden layer from the first layers' evidence to how much a picture has suffered."""
    import keras

    tf = runtime.tensorflow()
    to_evidence, to_logit, _ = network.parts(grown)
    evidence_of = tf.function(
        lambda chips: to_evidence((tf.cast(chips, "float32") - tf.constant(old.card.chip.mean)) * old.card.chip.scale),
        reduce_retracing=True,
    )
    everything = np.concatenate([clean, poor])
    evidence = np.concatenate(
        [evidence_of(tf.constant(everything[at : at + 32])).numpy() for at in range(0, len(everything), 32)]
    )
    wanted = np.concatenate([np.zeros(len(clean)), hurt]).astype(np.float32)
    grown.get_layer("gate_scale").adapt(evidence)
    variables = to_logit.trainable_variables
    optimizer = keras.optimizers.Adam(3e-3)
    optimizer.build(variables)

    def step(seen: Any, right: Any) -> None:
        with tf.GradientTape() as tape:
            logits = to_logit(seen)[:, 0]
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(right, logits))
        optimizer.apply(tape.gradient(loss, variables), variables)

    compiled, random = tf.function(step), np.random.default_rng([seed, 7])
    for _ in range(_GATE_STEPS):
        rows = random.integers(0, len(wanted), _GATE_BATCH)
        compiled(tf.constant(evidence[rows]), tf.constant(wanted[rows]))
