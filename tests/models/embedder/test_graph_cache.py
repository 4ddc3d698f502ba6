"""Networks that are kept, so that they can be loaded without TensorFlow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.embedder import graph_cache, runtime
from models.embedder.card import ChipGeometry
from models.embedder.model import Model
from tests.models.embedder.test_model import CHIPS, tiny, write

CHIP = ChipGeometry(size=32, padding=0.5)
VECTORS = np.ones((2, 3), np.float32)

needs_openvino = pytest.mark.skipif(runtime.openvino() is None, reason="OpenVINO has no build for this system")


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the networks, which is empty."""
    monkeypatch.setenv("FACESTREAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/networks"


@pytest.fixture
def version(tmp_path: Path) -> Path:
    tiny().save(tmp_path / "model.keras")
    return write(tmp_path, "model.keras")


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The networks that were built with Keras."""
    found: list[Path] = []
    from models.embedder import model

    build = model._network

    def building(tf: Any, card: Any, folder: Path) -> Any:
        found.append(folder)
        return build(tf, card, folder)

    monkeypatch.setattr(model, "_network", building)
    return found


@needs_openvino
def test_a_network_is_built_once_and_gives_the_same_vectors_afterwards(version: Path, built: list[Path]) -> None:
    first, again = Model.load(version), Model.load(version)
    assert built == [version]
    assert again.runtime == first.runtime
    assert np.array_equal(again.embed(CHIPS), first.embed(CHIPS))


@needs_openvino
def test_other_weights_and_another_geometry_are_another_network(version: Path, built: list[Path]) -> None:
    before = Model.load(version).embed(CHIPS)
    write(version, "model.keras", chip={"size": 32, "padding": 0.5, "mean": [1, 2, 3], "scale": 1.0})
    assert Model.load(version).embed(CHIPS) == pytest.approx(2 * before, abs=1e-3)
    import keras  # type: ignore[import-untyped]

    chips = keras.Input((32, 32, 3))
    keras.Model(chips, 3 * keras.layers.GlobalAveragePooling2D()(chips)).save(version / "model.keras")
    assert Model.load(version).embed(CHIPS) == pytest.approx(6 * before, abs=1e-2)
    assert len(built) == 3


@needs_openvino
@pytest.mark.parametrize("file", [graph_cache.GRAPH, graph_cache.VECTORS])
@pytest.mark.parametrize("damage", [b"", b"damaged", None])
def test_what_is_damaged_is_made_anew(
    version: Path, built: list[Path], kept: Path, file: str, damage: bytes | None
) -> None:
    before = Model.load(version).embed(CHIPS)
    [entry] = kept.iterdir()
    if damage is None:
        (entry / file).unlink()
    else:
        (entry / file).write_bytes(damage)
    assert np.array_equal(Model.load(version).embed(CHIPS), before)
    Model.load(version)
    assert built == [version, version]


@needs_openvino
def test_vectors_that_are_not_those_of_tensorflow_are_not_believed(
    version: Path, built: list[Path], kept: Path
) -> None:
    Model.load(version)
    [entry] = kept.iterdir()
    np.save(entry / graph_cache.VECTORS, 1.01 * np.load(entry / graph_cache.VECTORS))
    Model.load(version)
    assert built == [version, version]


def test_where_nothing_can_be_kept_it_is_built_each_time(
    version: Path, built: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (version / "file").touch()
    monkeypatch.setenv("FACESTREAM_CACHE", str(version / "file"))
    before = Model.load(version).embed(CHIPS)
    assert np.array_equal(Model.load(version).embed(CHIPS), before)
    assert built == [version, version]


def test_a_user_without_a_home_has_a_folder_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FACESTREAM_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    assert graph_cache.folder() == Path("/.cache/facestream/networks")
    monkeypatch.setenv("HOME", "/home/anna")
    assert graph_cache.folder() == Path("/home/anna/.cache/facestream/networks")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert graph_cache.folder() == Path("/caches/facestream/networks")


def test_those_used_last_stay(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_cache, "MOST", 3)
    monkeypatch.setattr(graph_cache, "MOST_BYTES", 1_000)
    entries = [graph_cache.entry(str(number), CHIP) for number in range(6)]
    for age, one in enumerate(entries[:3]):
        graph_cache.write(one, bytes(10), VECTORS)
        os.utime(one, (age, age))
    assert graph_cache.read(entries[0]) is not None
    graph_cache.write(entries[3], bytes(10), VECTORS)
    assert set(kept.iterdir()) == {entries[0], entries[2], entries[3]}
    graph_cache.write(entries[4], bytes(985), VECTORS)
    assert entries[4] in kept.iterdir()
    assert len(list(kept.iterdir())) == 2
    assert graph_cache.read(entries[5]) is None
