"""Vectors in codes of 8 bits: each has a unit of its own, so that its largest number is 127 of them."""

from __future__ import annotations

from typing import Literal

import numkong
import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int8]
Floats = NDArray[np.float32]

_LARGEST = 127
_SMALLEST_UNIT = np.float32(2.0**-120)
"""Below it division is not exact enough."""


def quantised(vectors: Floats) -> tuple[Codes, Floats]:
    """Codes of vectors [n, dimensions], and the unit of each [n]."""
    units = np.maximum(np.abs(vectors).max(axis=1, initial=0) / np.float32(_LARGEST), _SMALLEST_UNIT)
    with np.errstate(invalid="ignore"):  # of what is no number
        codes = np.rint(vectors / units[:, np.newaxis])
        return np.clip(codes, -_LARGEST, _LARGEST).astype(np.int8), units


def restored(codes: Codes, units: Floats) -> NDArray[np.float64]:
    """What codes [n, dimensions] say of the vectors."""
    return codes * units.astype(np.float64)[:, np.newaxis]


class ByteProbes:
    """Probes [n, dimensions] in codes, arranged for the products of many rows with all of them."""

    def __init__(self, codes: Codes, units: Floats) -> None:
        self._units = units
        self._packed = numkong.dots_pack(_tensor(np.ascontiguousarray(codes), "int8"), "int8")

    def products(self, codes: Codes, units: Floats) -> Floats:
        """The product of each row [m, dimensions], given as codes and units, with each probe: [m, n]."""
        out = np.empty((len(codes), len(self._units)), np.int32)
        numkong.dots_packed(_tensor(np.ascontiguousarray(codes), "int8"), self._packed, out=_tensor(out, "int32"))
        found = out.astype(np.float32)
        found *= units[:, np.newaxis]
        found *= self._units
        return found


def _tensor(matrix: NDArray[np.int8] | NDArray[np.int32], dtype: Literal["int8", "int32"]) -> numkong.Tensor:
    assert matrix.flags.c_contiguous
    return numkong.from_pointer(matrix.__array_interface__["data"][0], matrix.shape, dtype, owner=matrix)
