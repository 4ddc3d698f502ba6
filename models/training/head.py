"""Trains a head: a small network on top of the old one, which takes its vectors and needs no pictures.

A gallery need not be embedded again, because the head converts its vectors (:func:`project`). The head starts as the
identity, and learns to tell the people of the training set apart.
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
from models.evaluation.comparisons import FAR
from models.training import losses
from models.training.samples import NOBODY, TrainingSet

_UNITS = 256
_BATCH = 64
_NOISE = 0.02
"""Standard deviation of the noise added to each dimension in training, about that between two pictures."""


@dataclass(frozen=True, slots=True)
class HeadPlan:
    """The settings for training a head."""

    seed: int = 0
    steps: int = 400
    learning_rate: float = 3e-4
    stay: float = 1.0
    """Weight of the squared distance to the original vector."""
    arc_face: float = 0.02
    pairwise: float = 0.05
    corrections: float = 0.05


def build(dimensions: int) -> keras.Model:
    """Build a network from vectors [n, dimensions] to vectors of the same length; it starts as the identity."""
    vectors = keras.Input((dimensions,), name="vectors")
    hidden = layers.Dense(_UNITS, activation="relu", name="head_hidden")(vectors)
    change = layers.Dense(dimensions, kernel_initializer="zeros", name="head_change")(hidden)
    return keras.Model(vectors, layers.Add(name="head_vectors")([vectors, change]), name="facestream_head")


def train(
    vectors: Vectors,
    labels: NDArray[np.int32],
    threshold: float,
    plan: HeadPlan | None = None,
    never: NDArray[np.int32] | None = None,
) -> keras.Model:
    """Train a head; each person is drawn equally often.

    Args:
        vectors: the old version's vectors [n, d].
        labels: the number of the person of each vector [n], from 0; NOBODY if unknown.
        threshold: the threshold of the pairwise loss: the old version's distance at a false-match rate of 1e-2.
        plan: the settings.
        never: the number of the person that each vector is not, according to feedback [n]; NOBODY (the default)
            without feedback.
    """
    plan = plan or HeadPlan()
    never = np.full_like(labels, NOBODY) if never is None else never
    tf = runtime.tensorflow()
    keras.utils.set_random_seed(plan.seed)
    head = build(vectors.shape[1])
    counts = np.bincount(labels[labels != NOBODY])
    centres = keras.Variable(np.stack([vectors[labels == person].mean(0) for person in range(len(counts))]))
    variables = [*head.trainable_variables, centres]
    rate = keras.optimizers.schedules.CosineDecay(plan.learning_rate, plan.steps)
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=1.0)
    optimizer.build(variables)
    everyone, people, not_people = tf.constant(vectors), tf.constant(labels), tf.constant(never)

    def step(rows: Any, noise: Any) -> None:
        given, who = tf.gather(everyone, rows) + noise, tf.gather(people, rows)
        with tf.GradientTape() as tape:
            learned = head(given, training=True)
            known = (who[:, None] >= 0) & (people >= 0)
            not_who = tf.gather(not_people, rows)[:, None]
            wrong = ((not_who == people) & (not_who >= 0)) | ((who[:, None] == not_people) & (not_people >= 0))
            same = (who[:, None] == people) & known
            other = rows[:, None] != tf.range(tf.shape(people)[0])[None]
            strangers = (known & ~same) | wrong
            gaps = losses.distances(learned, head(everyone, training=True))
            loss = plan.stay * losses.distillation(learned, given)
            loss += plan.arc_face * losses.arc_face(learned, centres, who)
            loss += plan.pairwise * losses.pairwise(
                gaps, tf.cast(same & other, "float32"), tf.cast(strangers, "float32"), threshold
            )
            loss += plan.corrections * losses.apart(gaps, tf.cast(wrong, "float32"), threshold)
            mean = tf.reduce_mean(loss)
        optimizer.apply(tape.gradient(mean, variables), variables)

    compiled, random = tf.function(step, autograph=False), np.random.default_rng([plan.seed, 8])
    met = np.where(labels == NOBODY, np.bincount(never[never != NOBODY], minlength=len(counts))[never], counts[labels])
    chances = 1 / met / (1 / met).sum()
    for _ in range(plan.steps):
        rows = random.choice(len(labels), _BATCH, p=chances).astype(np.int32)
        noise = _NOISE * random.standard_normal((_BATCH, vectors.shape[1]), np.float32)
        compiled(tf.constant(rows), tf.constant(noise))
    return head


def of_people(old: Model, learn: TrainingSet, plan: HeadPlan | None = None) -> keras.Model:
    """Train a head on a training set and its corrected faces; see :func:`train`.

    Args:
        old: the version to put it behind.
        learn: the people to learn from.
        plan: the settings.
    """
    hard = learn.corrected
    vectors = old.embed(np.concatenate([learn.chips, hard.chips]))
    labels = np.concatenate([learn.labels, hard.labels])
    never = np.concatenate([np.full_like(learn.labels, NOBODY), hard.not_labels])
    return train(vectors, labels, old.card.distance(FAR), plan, never)


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
