"""Model versions for tests of rollouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.embedder.card import Card
from models.embedder.model import keras_network
from models.embedder.references import ACCURATE
from models.training import publish

OLD = Card.read(ACCURATE)


def turned(folder: Path, version: str) -> Card:
    """The reference network with its vectors turned round: as good, and every mixed comparison is of strangers."""
    import keras

    network = keras_network(ACCURATE)
    turn = keras.layers.Dense(OLD.output.dimensions, use_bias=False, name="turn")
    chips = keras.Input(network.input_shape[1:])
    model = keras.Model(chips, turn(network(chips)))
    axes, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((OLD.output.dimensions, OLD.output.dimensions)))
    turn.set_weights([axes])
    return publish.write(folder, model, OLD.model_copy(update={"version": version, "description": "turned round"}))
