"""Trains a head: a small network on top of the old one, which takes its vectors and needs no pictures.

A gallery need not be embedded again, because the head converts its vectors (:func:`project`).

The head is **computed**, not trained by steps: it makes the directions in which poor pictures move the vectors of a
person count less (within-class covariance normalisation, Hatch, Kajarekar and Stolcke 2006), and then evens the vectors
out (see :mod:`models.training.network`). A network with hidden units, trained to tell the people of the training set
apart, recognised *fewer* of other people: so few people tell only how pictures of one person differ. Only faces that
were mistaken for somebody else, according to feedback, are learned from by steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras  # type: ignore[import-untyped]
import numpy as np
from keras import layers
from numpy.typing import NDArray

from models.embedder import runtime
from models.embedder.model import Model, Vectors
from models.evaluation.comparisons import FAR, Comparisons
from models.training import losses
from models.training.degrade import TRAINING, degrade
from models.training.network import even, is_even
from models.training.samples import NOBODY, TrainingSet

_UNITS = 256
_BATCH = 64
_NOISE = 0.02
"""Standard deviation of the noise added to each dimension in training, about that between two pictures."""

_VIEWS, _MOST_VIEWS = 8, 20_000
"""How often each picture is degraded, and how many degraded pictures there are at most, but one of each."""


@dataclass(frozen=True, slots=True)
class HeadPlan:
    """The settings of a head."""

    seed: int = 0
    shrinkage: float = 0.9
    """Share of the identity in the covariance: 1 would leave all directions alike."""
    steps: int = 400
    """Of learning from corrected faces; without such faces there are none."""
    learning_rate: float = 3e-4
    stay: float = 1.0
    """Weight of the squared distance to the vector before."""
    corrections: float = 0.05


def of_people(old: Model, network: Any, learn: TrainingSet, plan: HeadPlan | None = None) -> keras.Model:
    """Make a head from a training set and its corrected faces.

    Args:
        old: the version to put it behind.
        network: its Keras network.
        learn: the people to learn from.
        plan: the settings.
    """
    plan = plan or HeadPlan()
    hard, clean = learn.corrected, old.embed(learn.chips)
    random = np.random.default_rng([plan.seed, 9])
    views = max(1, min(_VIEWS, _MOST_VIEWS // len(learn)))
    poor = [old.embed(np.stack([degrade(chip, TRAINING, random) for chip in learn.chips])) for _ in range(views)]
    evens = old.card.output.metric == "euclidean" and not is_even(network)
    head = normalising(clean, np.stack(poor), learn.labels, plan.shrinkage, evens=evens)
    if not len(hard):
        return head
    before = project(head, np.concatenate([clean, old.embed(hard.chips)]))
    threshold = Comparisons.of(before[: len(clean)], before[: len(clean)], learn.labels).distance_at(FAR)
    labels = np.concatenate([learn.labels, hard.labels])
    never = np.concatenate([np.full_like(learn.labels, NOBODY), hard.not_labels])
    return keras.Model(head.input, correcting(before, labels, threshold, plan, never)(head.output), name=head.name)


def normalising(
    clean: Vectors, poor: NDArray[np.float32], labels: NDArray[np.int32], shrinkage: float, *, evens: bool
) -> keras.Model:
    """Make a network from vectors to vectors in which the pictures of one person differ less; see the module.

    Args:
        clean: the old version's vectors of the pictures [n, d].
        poor: its vectors of degraded views of the same pictures [views, n, d].
        labels: the number of the person in each picture [n].
        shrinkage: see :class:`HeadPlan`.
        evens: whether vectors are evened out afterwards; not for vectors of length 1.
    """
    people = np.stack([clean[labels == person].mean(0) for person in range(int(labels.max()) + 1)])
    away = np.concatenate([clean[None], poor]) - people[labels]
    away = away.reshape(-1, clean.shape[1]).astype(np.float64)
    covariance = away.T @ away
    usual = np.trace(covariance) / len(covariance)
    mixed = (1 - shrinkage) * covariance / usual + shrinkage * np.eye(len(covariance))
    sizes, directions = np.linalg.eigh(mixed)
    kernel = (directions / np.sqrt(sizes) @ directions.T).astype(np.float32)
    vectors = keras.Input((clean.shape[1],), name="vectors")
    dense = layers.Dense(clean.shape[1], use_bias=False, name="head_normalised")
    normalised = dense(vectors)
    dense.set_weights([kernel])
    made = even(normalised, clean @ kernel) if evens else normalised
    return keras.Model(vectors, made, name="facestream_head")


def correcting(
    vectors: Vectors,
    labels: NDArray[np.int32],
    threshold: float,
    plan: HeadPlan,
    never: NDArray[np.int32],
) -> keras.Model:
    """Train a network from vectors to vectors that moves mistaken faces apart and leaves the others where they are.

    Args:
        vectors: vectors [n, d].
        labels: the number of the person of each vector [n], from 0; NOBODY if unknown.
        threshold: the distance that a mistaken face should have: that at a false-match rate of 1e-2.
        plan: the settings.
        never: the number of the person that each vector is not, according to feedback [n]; NOBODY without feedback.
    """
    tf = runtime.tensorflow()
    keras.utils.set_random_seed(plan.seed)
    made = build(vectors.shape[1])
    variables = made.trainable_variables
    rate = keras.optimizers.schedules.CosineDecay(plan.learning_rate, plan.steps)
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=1.0)
    optimizer.build(variables)
    everyone, people, not_people = tf.constant(vectors), tf.constant(labels), tf.constant(never)

    def step(rows: Any, noise: Any) -> None:
        given, who = tf.gather(everyone, rows) + noise, tf.gather(people, rows)
        with tf.GradientTape() as tape:
            learned = made(given, training=True)
            not_who = tf.gather(not_people, rows)[:, None]
            wrong = ((not_who == people) & (not_who >= 0)) | ((who[:, None] == not_people) & (not_people >= 0))
            gaps = losses.distances(learned, made(everyone, training=True))
            loss = plan.stay * losses.distillation(learned, given)
            loss += plan.corrections * losses.apart(gaps, tf.cast(wrong, "float32"), threshold)
            mean = tf.reduce_mean(loss)
        optimizer.apply(tape.gradient(mean, variables), variables)

    compiled, random = tf.function(step, autograph=False), np.random.default_rng([plan.seed, 8])
    counts = np.bincount(labels[labels != NOBODY])
    met = np.where(labels == NOBODY, np.bincount(never[never != NOBODY], minlength=len(counts))[never], counts[labels])
    chances = 1 / met / (1 / met).sum()
    for _ in range(plan.steps):
        rows = random.choice(len(labels), _BATCH, p=chances).astype(np.int32)
        noise = _NOISE * random.standard_normal((_BATCH, vectors.shape[1]), np.float32)
        compiled(tf.constant(rows), tf.constant(noise))
    return made


def build(dimensions: int) -> keras.Model:
    """Build a network from vectors [n, dimensions] to vectors of the same length; it starts as the identity."""
    vectors = keras.Input((dimensions,), name="vectors")
    hidden = layers.Dense(_UNITS, activation="relu", name="head_hidden")(vectors)
    change = layers.Dense(dimensions, kernel_initializer="zeros", name="head_change")(hidden)
    return keras.Model(vectors, layers.Add(name="head_vectors")([vectors, change]), name="facestream_corrected")


def project(head: keras.Model, vectors: Vectors) -> Vectors:
    """Convert the old version's vectors [n, d] into those that the new version would have made."""
    return np.asarray(head(vectors, training=False), np.float32)


def behind(network: keras.Model, head: keras.Model, metric: str) -> keras.Model:
    """Join the old network and the head into one network, from prepared chips to new vectors.

    Args:
        network: the old network.
        head: what was trained on its vectors, which are of length 1 if the metric is cosine.
        metric: of the old network (see :class:`models.embedder.card.Output`).
    """
    chips = keras.Input(network.input_shape[1:], name="chips")
    vectors = network(chips)
    if metric == "cosine":
        vectors = layers.UnitNormalization(name="unit_before_head")(vectors)
    return keras.Model(chips, head(vectors), name="facestream_with_head")
