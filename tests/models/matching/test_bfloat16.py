from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.matching.bfloat16 import ROUNDING, PackedProbes, join, split, widened

NUMBERS = st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=True)


@given(arrays(np.float32, (3, 5), elements=NUMBERS))
def test_a_vector_is_joined_to_the_last_bit(vectors: np.ndarray) -> None:
    assert np.array_equal(join(*split(vectors)).view(np.uint32), vectors.view(np.uint32))


@given(
    arrays(np.float32, 50, elements=st.floats(2.0**-120, 2.0**120, width=32) | st.floats(-1.0, -(2.0**-60), width=32))
)
def test_rounding_is_off_by_no_more_than_is_said(vectors: np.ndarray) -> None:
    exact = vectors.astype(np.float64)
    assert np.all(np.abs(widened(split(vectors)[0]) - exact) <= ROUNDING * np.abs(exact))


@pytest.mark.parametrize("dimensions", [1, 2, 31, 128, 129, 512])
@pytest.mark.parametrize("probes", [1, 2, 33])
def test_products_are_those_of_the_rounded_vectors(dimensions: int, probes: int) -> None:
    random = np.random.default_rng(0)
    for rows in (0, 1, 7, 100):
        matrix, some = (split(random.normal(size=(n, dimensions)).astype(np.float32))[0] for n in (rows, probes))
        expected = widened(matrix).astype(np.float64) @ widened(some).T.astype(np.float64)
        assert PackedProbes(some).products(matrix) == pytest.approx(expected, abs=dimensions * 1e-5)
