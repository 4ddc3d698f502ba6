"""Vectors split into a bfloat16, which a search reads, and the rest, with which they are what they were."""

from __future__ import annotations

import sys
from typing import Literal

import numkong
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Halves = NDArray[np.uint16]
"""The upper 16 bits of a float32, rounded, or its lower 16 bits."""

ROUNDING = 2.0**-8
"""Largest relative error of one rounding to bfloat16, which has 8 significant bits."""
_ROUND_UP = np.uint32(0x8000)
_UPPER = int(sys.byteorder == "little")
"""Which of a number's two halves in memory is the upper one."""


def split(vectors: Floats) -> tuple[Halves, Halves]:
    """The vectors rounded to bfloat16, and the lower 16 bits of each number; both of the shape of the vectors."""
    rounded = vectors.view(np.uint32) + _ROUND_UP
    return rounded.view(np.uint16)[..., _UPPER::2], vectors.view(np.uint16)[..., 1 - _UPPER :: 2]


def join(upper: Halves, lower: Halves) -> Floats:
    """The vectors that were split, to the last bit."""
    # Lower bits from 0x8000 on have added one to the upper ones, so they count as negative.
    bits = (upper.astype(np.uint32) << 16) + lower.astype(np.int16).astype(np.int32).view(np.uint32)
    return bits.view(np.float32)


def widened(upper: Halves) -> Floats:
    """Vectors of bfloat16 as float32."""
    return (upper.astype(np.uint32) << 16).view(np.float32)


class PackedProbes:
    """Probes [n, dimensions] in bfloat16, arranged for the products of many rows with all of them.

    Products are twice to four times as fast as those of float32: half of the memory is read.
    """

    def __init__(self, probes: Halves) -> None:
        self._count = len(probes)
        self._packed = numkong.dots_pack(_tensor(np.ascontiguousarray(probes), "bf16"), "bf16")

    def products(self, rows: Halves) -> Floats:
        """The product of each row [m, dimensions] of bfloat16 with each probe: [m, n]."""
        out = np.empty((len(rows), self._count), np.float32)
        numkong.dots_packed(_tensor(np.ascontiguousarray(rows), "bf16"), self._packed, out=_tensor(out, "f32"))
        return out


def _tensor(matrix: Halves | Floats, dtype: Literal["bf16", "f32"]) -> numkong.Tensor:
    """A view of a matrix without gaps; NumPy knows no bfloat16."""
    assert matrix.flags.c_contiguous
    return numkong.from_pointer(matrix.__array_interface__["data"][0], matrix.shape, dtype, owner=matrix)
