from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from infra.photos import sample_photos
from models.analysis.analyzer import Analyzer
from models.embedder import graph_cache
from models.embedder.card import ChipGeometry
from models.embedder.model import Model
from models.embedder.references import FAST

Photo = Callable[[str], bytes]
SMALL_PX = 100
"""Chips of networks that exist in tests only are smaller than this; those of the reference models are larger."""


@pytest.fixture(scope="session", autouse=True)
def _small_networks_are_kept_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's cache keeps the reference models', which take long to build, and none that only tests have."""
    users, own, usual = graph_cache.folder(), tmp_path_factory.mktemp("networks"), graph_cache.entry

    def entry(weights: str, chip: ChipGeometry) -> Path:
        place = usual(weights, chip)
        return own / place.name if place.parent == users and chip.size < SMALL_PX else place

    with mock.patch.object(graph_cache, "entry", entry):
        yield


@pytest.fixture(scope="session")
def photo() -> Photo:
    """The bytes of a sample photograph, by its name."""
    folder: Path = sample_photos()
    return lambda name: (folder / f"{name}.jpg").read_bytes()


@pytest.fixture(scope="session")
def reference() -> Model:
    return Model.load(FAST)


@pytest.fixture(scope="session")
def analyzer(reference: Model) -> Iterator[Analyzer]:
    made = Analyzer(reference, threads=2)
    yield made
    made.close()
