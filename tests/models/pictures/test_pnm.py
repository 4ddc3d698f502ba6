"""PNM as text and binary, against Pillow's reader."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.pictures import pnm


def read(data: bytes) -> np.ndarray:  # type: ignore[type-arg]
    return pnm.pixels(data, pnm.header(data))


@given(
    kind=st.integers(1, 6),
    width=st.integers(1, 20),
    height=st.integers(1, 6),
    maximum=st.sampled_from([1, 15, 100, 255, 256, 1023, 65535]),
    between=st.sampled_from([b" ", b"\n", b"\t\n ", b"\n# a comment\n"]),
    seed=st.integers(0, 1_000),
)
def test_as_pillow_reads_it(kind: int, width: int, height: int, maximum: int, between: bytes, seed: int) -> None:
    maximum = 1 if kind in (1, 4) else maximum
    channels = 3 if kind in (3, 6) else 1
    values = np.random.default_rng(seed).integers(0, maximum + 1, (height, width * channels))
    header = between.join(
        [b"P%d" % kind, b"%d" % width, b"%d" % height, *([] if kind in (1, 4) else [b"%d" % maximum])]
    )
    if kind in (1, 2, 3):
        body = b"\n".join(b" ".join(b"%d" % value for value in row) for row in values.tolist())
    elif kind == 4:
        body = np.packbits(values.astype(bool), axis=1).tobytes()
    else:
        body = values.astype(">u2" if maximum > 255 else "u1").tobytes()
    expected = 255 - values * 255 if kind in (1, 4) else values * 255 / maximum
    found = read(header + b"\n" + body)
    assert found.dtype == np.uint8
    assert np.abs(found.reshape(values.shape) - expected).max() <= 0.5
    if maximum <= 255:
        image = np.asarray(Image.open(io.BytesIO(header + b"\n" + body)).convert("RGB"))
        assert np.abs(np.atleast_3d(found).astype(int) - image).max() <= 1


def test_text_without_blanks_and_with_comments() -> None:
    assert read(b"P1\n4 2\n01#x\n10\n1001").tolist() == [[255, 0, 0, 255], [0, 255, 255, 0]]
    assert read(b"P2 2 1 10 # ten\n5 # half\n10").tolist() == [[128, 255]]


@pytest.mark.parametrize(
    "data",
    [
        b"P5",
        b"P5 3 3",
        b"P5 0 3 255\n",
        b"P5 3 3 0\n123456789",
        b"P5 3 3 65536\n" + bytes(18),
        b"P5 3 3 255",
        b"P5 3 3 255\n12345678",
        b"P5 3 3 1000\n" + bytes(17),
        b"P5 3 3 1\n\1\1\1\1\1\1\1\1\2",
        b"P4 9 2\n\0\0\0",
        b"P1 3 1\n012",
        b"P1 3 1\n01",
        b"P2 2 2 255\n1 2 3",
        b"P2 2 2 255\n1 2 3" + b" " * 100,
        b"P2 1 1 255\n" + b" " * 100,
        b"P2 2 2 255\n" + b"#\n" * 100,
        b"P2 2 2 255\n1 2 -3 4",
        b"P2 2 2 255\n1 2 256 4",
        b"P2 2 2 255\n1 2 4294967299 4",
        b"P3 1 1 255\n1 2 x",
    ],
)
def test_what_is_cut_off_or_not_what_it_says(data: bytes) -> None:
    with pytest.raises(pnm.MalformedPnm):
        read(data)
