from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.photos import sample_photos
from models.analysis.analyzer import Analyzer
from models.embedder.model import Model
from models.embedder.references import FAST

Photo = Callable[[str], bytes]


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
