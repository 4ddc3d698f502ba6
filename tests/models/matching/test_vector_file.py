from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.matching.byte_codes import ByteProbes, quantised, restored
from models.matching.gallery import Embedded, Gallery
from models.matching.vector_file import VectorFile

DIMENSIONS = 3


def content(file: VectorFile) -> bytes:
    return os.pread(file._file.fileno(), 1 << 20, 0)


@given(st.lists(st.tuples(st.integers(0, 6), st.sets(st.integers(0, 30))), max_size=8))
def test_vectors_are_read_as_they_were_written_and_removed_ones_are_gone(changes: list[tuple[int, set[int]]]) -> None:
    file, number, most = VectorFile(Path(tempfile.gettempdir()), DIMENSIONS), 1.0, 0
    there: dict[int, np.ndarray] = {}
    for count, gone in changes:
        vectors = np.arange(number, number + count * DIMENSIONS, dtype=np.float32).reshape(count, DIMENSIONS)
        number += count * DIMENSIONS
        there |= dict(zip(file.add(vectors).tolist(), vectors, strict=True))
        most = max(most, len(there))
        removed = [place for at, place in enumerate(sorted(there)) if at in gone]
        file.remove(np.array(removed, np.uint32))
        for place in removed:
            del there[place]
        assert np.array_equal(
            file.read(np.array(list(there), np.uint32)),
            np.array(list(there.values()), np.float32).reshape(-1, DIMENSIONS),
        )
    kept = np.frombuffer(content(file), np.float32)
    assert sorted(kept[kept != 0].tolist()) == sorted(one for row in there.values() for one in row.tolist())
    assert len(kept) == most * DIMENSIONS, "places are used again"


def test_the_file_has_no_name(tmp_path: Path) -> None:
    file = VectorFile(tmp_path / "vectors", DIMENSIONS)
    file.add(np.ones((2, DIMENSIONS), np.float32))
    assert list((tmp_path / "vectors").iterdir()) == []


def test_a_full_disk_leaves_a_gallery_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, vectors = Gallery("v", DIMENSIONS, tmp_path), np.eye(DIMENSIONS, dtype=np.float32).repeat(40, axis=0)
    gallery.fill("u", [(f"s{at}", f"t{at}") for at in range(len(vectors))], Embedded("v", vectors))
    gallery.discard("u", "t7")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    new = [(f"n{at}", f"n{at}") for at in range(9)]
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space"):
            gallery.fill("u", new, Embedded("v", vectors[:9]))
        with pytest.raises(OSError, match="No space"):
            gallery.discard("u", "t5")
    assert gallery.count("u") == len(gallery) == 119
    assert gallery.has("u", "t5")
    assert sorted(gallery.of("u", None)) == sorted(f"t{at}" for at in range(120) if at != 7)
    gallery.fill("u", new, Embedded("v", vectors[:9]))
    assert gallery.nearest("u", Embedded("v", vectors[:1]), 1) == [[("n0", 0.0)]]
    assert gallery.discard("u", "t5")


@pytest.mark.parametrize("dimensions", [1, 2, 31, 128, 129, 512, 1500])
@pytest.mark.parametrize("probes", [1, 2, 33])
def test_products_are_those_of_what_the_codes_say(dimensions: int, probes: int) -> None:
    random = np.random.default_rng(0)
    for rows in (0, 1, 7, 100):
        (codes, units), some = (
            quantised((10.0 ** random.integers(-3, 4, (n, 1)) * random.normal(size=(n, dimensions))).astype(np.float32))
            for n in (rows, probes)
        )
        exact, near = restored(codes, units), restored(*some)
        allowed = 1e-6 * np.linalg.norm(exact, axis=1)[:, None] * np.linalg.norm(near, axis=1)
        assert np.all(np.abs(ByteProbes(*some).products(codes, units) - exact @ near.T) <= allowed)


def test_codes_are_near_their_vectors() -> None:
    vectors = np.array([[0, 0, 0], [1, -1, 0.5], [1e-30, 0, 0], [3e38, -3e38, 1], [1e-44, 0, 0]], np.float32)
    off = np.abs(restored(*quantised(vectors)) - vectors.astype(np.float64))
    assert np.all(off <= 0.51 * np.abs(vectors).max(axis=1, keepdims=True) / 127 + 1e-33)
