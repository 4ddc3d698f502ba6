"""The embedder: turns aligned faces into vectors, with a reference network or a user's own Keras model."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.embedder import runtime
from models.embedder.assets import RESNET, SFACE
from models.embedder.card import Card, UnusableModel
from models.embedder.dlib_format import read_resnet
from models.embedder.sface_format import read_sface
from models.pictures.geometry import Pixels

Vectors = NDArray[np.float32]

_BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


class Model:
    """One model version, ready to embed. Safe to call from several threads."""

    def __init__(self, card: Card, function: Any) -> None:
        self.card = card
        self._function = function
        self._lock = threading.Lock()

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None) -> Model:
        """Load a model version.

        Args:
            folder: contains ``card.json`` and the weights that the card names, unless they are a reference model's.
            threads: cores for TensorFlow, if this is its first use in the process; None: all.

        Raises:
            UnusableModel: card or weights cannot be used, or they do not fit together.
            MissingWeights: the reference weights are not installed.
        """
        card = Card.read(folder)
        tf = runtime.tensorflow(threads)
        network = _network(tf, card, folder)
        try:
            model = cls(card, _frozen(tf, card, network))
            shape = model.embed(np.zeros((1, card.chip.size, card.chip.size, 3), np.uint8)).shape
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise UnusableModel(f"{folder}: the network does not take chips as its card describes: {error}") from error
        if shape != (1, card.output.dimensions):
            raise UnusableModel(f"{folder}: vectors have the shape {shape[1:]}, the card says {card.output.dimensions}")
        return model

    def embed(self, chips: Pixels) -> Vectors:
        """Embed chips [n, size, size, 3] as float32 vectors [n, dimensions], of length 1 if the metric is cosine."""
        vectors = np.empty((len(chips), self.card.output.dimensions), np.float32)
        for start in range(0, len(chips), _BATCHES[-1]):
            part = chips[start : start + _BATCHES[-1]]
            vectors[start : start + len(part)] = self._run(part)
        if self.card.output.metric == "cosine":
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors

    def warm_up(self) -> None:
        """Run every batch size once, because the first run of each takes up to a tenth of a second longer."""
        for count in _BATCHES:
            self.embed(np.zeros((count, self.card.chip.size, self.card.chip.size, 3), np.uint8))

    def _run(self, chips: Pixels) -> Vectors:
        # Batches are padded to few sizes, because oneDNN caches what it prepares for each size.
        count = len(chips)
        if padding := next(size for size in _BATCHES if size >= count) - count:
            chips = np.concatenate([chips, np.zeros((padding, *chips.shape[1:]), np.uint8)])
        # One batch at a time: two at once would only compete for TensorFlow's threads.
        with self._lock:
            vectors: Vectors = self._function(chips)
        return vectors[:count]


def keras_network(folder: Path) -> Any:
    """Load the Keras network of a model version for training.

    Raises:
        UnusableModel: the version has no trainable network; a SavedModel is not trainable.
        MissingWeights: the reference weights are not installed.
    """
    card = Card.read(folder)
    if card.weights and (folder / card.weights.file).is_dir():
        raise UnusableModel(f"{folder}: a SavedModel cannot be trained further; give a .keras file")
    return _network(runtime.tensorflow(), card, folder)


def _network(tf: Any, card: Card, folder: Path) -> Any:
    """Load the function from prepared chips to vectors: a Keras model, or the serving signature of a SavedModel."""
    import keras  # type: ignore[import-untyped]

    if card.weights is None:
        return _reference_network(card.network)
    path = folder / card.weights.file
    try:
        if path.is_dir():
            signature = tf.saved_model.load(str(path)).signatures["serving_default"]
            [name] = signature.structured_input_signature[1]
            return lambda chips: next(iter(signature(**{name: chips}).values()))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if card.weights.sha256 not in (None, digest):
            raise UnusableModel(f"{path} has the SHA-256 {digest}, the card says {card.weights.sha256}")
        return keras.models.load_model(path, compile=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnusableModel(f"{path} is not a Keras model: {error}") from error


def _reference_network(name: str) -> Any:
    if name == "sface":
        from models.embedder import mobilenet

        return mobilenet.build(read_sface(SFACE.read()))
    from models.embedder import resnet

    return resnet.build(read_resnet(RESNET.read()))


def _frozen(tf: Any, card: Card, network: Any) -> Any:
    """A function of uint8 chips with its weights as constants, which oneDNN lays out once instead of at every call."""
    from tensorflow.python.framework.convert_to_constants import (  # type: ignore[import-untyped]
        convert_variables_to_constants_v2,
    )

    mean, scale, size = tf.constant(card.chip.mean), card.chip.scale, card.chip.size

    signature = [tf.TensorSpec([None, size, size, 3], tf.uint8)]

    @tf.function(autograph=False, input_signature=signature)  # type: ignore[untyped-decorator]
    def embed(chips: Any) -> Any:
        return network((tf.cast(chips, tf.float32) - mean) * scale)

    frozen = convert_variables_to_constants_v2(embed.get_concrete_function())
    return lambda chips: frozen(tf.constant(chips))[0].numpy()
