"""The embedder: turns aligned faces into vectors, with a reference network or a user's own Keras model."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from models.embedder import graph_cache, runtime
from models.embedder.assets import RESNET, SFACE
from models.embedder.card import Card, UnusableModel
from models.embedder.dlib_format import read_resnet
from models.embedder.serving import LARGEST_BATCH, ServedNetwork, serve, serve_kept
from models.embedder.serving import Vectors as Vectors
from models.embedder.sface_format import read_sface
from models.pictures.geometry import Pixels


class Model:
    """One model version, ready to embed. Safe to call from several threads."""

    def __init__(self, card: Card, network: ServedNetwork) -> None:
        self.card = card
        self._network = network

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None, half: bool = False) -> Model:
        """Load a model version.

        Args:
            folder: contains ``card.json`` and the weights that the card names, unless they are a reference model's.
            threads: cores for the runtime; None: all that the process may use.
            half: compute in bfloat16 if the processor can, as reference models and trained versions always do; for a
                version whose card does not yet say that it was trained.

        Raises:
            UnusableModel: card or weights cannot be used, or they do not fit together.
            MissingWeights: the reference weights are not installed.
        """
        card = Card.read(folder)
        # Versions that were trained here are measured as they are served; others' own models stay as they are.
        half = half or card.weights is None or card.lineage is not None
        kept = _entry(card, folder)
        served = kept and serve_kept(kept, card.chip, threads=threads, half=half)
        if not served:
            tf = runtime.tensorflow(threads)
            network = _network(tf, card, folder)
            try:
                served = serve(tf, card.chip, network, threads=threads, half=half, kept=kept)
            except (ValueError, TypeError, tf.errors.OpError) as error:
                raise UnusableModel(
                    f"{folder}: the network does not take chips as its card describes: {error}"
                ) from error
        model = cls(card, served)
        shape = served(np.zeros((1, card.chip.size, card.chip.size, 3), np.uint8)).shape
        if shape != (1, card.output.dimensions):
            raise UnusableModel(f"{folder}: vectors have the shape {shape[1:]}, the card says {card.output.dimensions}")
        return model

    @property
    def runtime(self) -> str:
        """The library and the precision that embed, for people to read."""
        return self._network.runtime

    def embed(self, chips: Pixels) -> Vectors:
        """Embed chips [n, size, size, 3] as float32 vectors [n, dimensions], of length 1 if the metric is cosine."""
        vectors = np.empty((len(chips), self.card.output.dimensions), np.float32)
        for start in range(0, len(chips), LARGEST_BATCH):
            part = chips[start : start + LARGEST_BATCH]
            vectors[start : start + len(part)] = self._network(part)
        if self.card.output.metric == "cosine":
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors

    def warm_up(self) -> None:
        """Run every batch size once, so that the first pictures take no longer than later ones."""
        self._network.warm_up()


def kept_entry(folder: Path) -> Path | None:
    """The entry of the cache for the network of a model version; None for a SavedModel, which is never kept.

    Raises:
        UnusableModel: card or weights cannot be used.
        MissingWeights: the reference weights are not installed.
    """
    return _entry(Card.read(folder), folder)


def _entry(card: Card, folder: Path) -> Path | None:
    weights = _weights(card, folder)
    return graph_cache.entry(weights, card.chip) if weights else None


def keras_network(folder: Path) -> Any:
    """Load the Keras network of a model version for training.

    Raises:
        UnusableModel: the version has no trainable network; a SavedModel is not trainable.
        MissingWeights: the reference weights are not installed.
    """
    card = Card.read(folder)
    if card.weights and (folder / card.weights.file).is_dir():
        raise UnusableModel(f"{folder}: a SavedModel cannot be trained further; give a .keras file")
    _weights(card, folder)
    return _network(runtime.tensorflow(), card, folder)


def _weights(card: Card, folder: Path) -> str | None:
    """What identifies the weights, which are there and as the card says; None for a SavedModel, which is a folder."""
    if card.weights is None:
        asset = SFACE if card.network == "sface" else RESNET
        asset.read()
        return f"{card.network} {asset.sha256}"
    path = folder / card.weights.file
    if path.is_dir():
        return None
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UnusableModel(f"{path} is not a Keras model: {error}") from error
    if card.weights.sha256 not in (None, digest):
        raise UnusableModel(f"{path} has the SHA-256 {digest}, the card says {card.weights.sha256}")
    return digest


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
        return keras.models.load_model(path, compile=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnusableModel(f"{path} is not a Keras model: {error}") from error


def _reference_network(name: str) -> Any:
    if name == "sface":
        from models.embedder import mobilenet

        return mobilenet.build(read_sface(SFACE.read()))
    from models.embedder import resnet

    return resnet.build(read_resnet(RESNET.read()))
