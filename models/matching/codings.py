"""How the vectors of many templates are kept: what a search multiplies, and what gives a vector back as it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from models.matching.bfloat16 import ROUNDING, Floats, PackedProbes, join, split, widened
from models.matching.byte_codes import ByteProbes, quantised, restored
from models.matching.vector_file import VectorFile

Columns = Sequence[NDArray[Any]]
"""What is kept of some rows: their first axis is that of the rows."""


class Products(Protocol):
    """The products of some probes with coded vectors."""

    def of(self, columns: Columns) -> Floats:
        """The product of each row [m] with each probe: [m, n]; about those of the vectors."""

    def errors(self, longest: float) -> NDArray[np.float64]:
        """By how much a product may be off for each probe [n], but for roundings of sums; no template is longer."""


class Coding(Protocol):
    """Keeps vectors in columns."""

    def columns(self, dimensions: int) -> Sequence[tuple[tuple[int, ...], DTypeLike]]:
        """Shape of a row and type of each column."""

    def encoded(self, vectors: Floats) -> Columns:
        """The columns of vectors [n, dimensions]."""

    def decoded(self, columns: Columns) -> Floats:
        """The vectors of some rows, to the last bit."""

    def forget(self, columns: Columns) -> None:
        """Leave nothing of these rows behind, which are about to be overwritten."""

    def products(self, probes: Floats) -> Products:
        """For the products with probes [n, dimensions]."""


class Halved:
    """Everything in memory: bfloat16 and the rest of each number apart."""

    def columns(self, dimensions: int) -> Sequence[tuple[tuple[int, ...], DTypeLike]]:
        """See the protocol."""
        return [((dimensions,), np.uint16), ((dimensions,), np.uint16)]

    def encoded(self, vectors: Floats) -> Columns:
        """See the protocol."""
        return split(vectors)

    def decoded(self, columns: Columns) -> Floats:
        """See the protocol."""
        return join(columns[0], columns[1])

    def forget(self, columns: Columns) -> None:
        """Nothing to do: the rows are overwritten."""

    def products(self, probes: Floats) -> Products:
        """See the protocol."""
        return _HalvedProducts(probes)


class _HalvedProducts:
    def __init__(self, probes: Floats) -> None:
        rounded, _ = split(probes)
        self._packed = PackedProbes(rounded)
        exact = probes.astype(np.float64)
        self._length = np.linalg.norm(exact, axis=1)
        self._off = np.linalg.norm(exact - widened(rounded).astype(np.float64), axis=1)

    def of(self, columns: Columns) -> Floats:
        return self._packed.products(columns[0])

    def errors(self, longest: float) -> NDArray[np.float64]:
        """|p|·|t - t̄| + |p - p̄|·|t̄|, where a bar is over what is rounded and |t - t̄| is at most 2⁻⁸·|t|."""
        return np.asarray(longest * (ROUNDING * self._length + self._off * (1 + ROUNDING)))


class Compact:
    """Codes of 8 bits in memory, and the vectors in a file."""

    def __init__(self, file: VectorFile) -> None:
        self._file = file
        self._most_off = 0.0
        """The largest distance of a vector from that of its code, ever."""

    def columns(self, dimensions: int) -> Sequence[tuple[tuple[int, ...], DTypeLike]]:
        """See the protocol: codes, their unit, and the place in the file."""
        return [((dimensions,), np.int8), ((), np.float32), ((), np.uint32)]

    def encoded(self, vectors: Floats) -> Columns:
        """See the protocol.

        Raises:
            OSError: the file cannot be written.
        """
        codes, units = quantised(vectors)
        places = self._file.add(vectors)
        off = np.linalg.norm(vectors.astype(np.float64) - restored(codes, units), axis=1)
        self._most_off = max(self._most_off, float(np.fmax.reduce(off, initial=0)))
        return codes, units, places

    def decoded(self, columns: Columns) -> Floats:
        """See the protocol.

        Raises:
            OSError: the file cannot be read.
        """
        return self._file.read(columns[2])

    def forget(self, columns: Columns) -> None:
        """See the protocol.

        Raises:
            OSError: the file cannot be written.
        """
        self._file.remove(columns[2])

    def products(self, probes: Floats) -> Products:
        """See the protocol."""
        return _CompactProducts(probes, self._most_off)


class _CompactProducts:
    def __init__(self, probes: Floats, most_off: float) -> None:
        codes, units = quantised(probes)
        self._packed = ByteProbes(codes, units)
        self._most_off = most_off
        exact = probes.astype(np.float64)
        self._length = np.linalg.norm(exact, axis=1)
        self._off = np.linalg.norm(exact - restored(codes, units), axis=1)

    def of(self, columns: Columns) -> Floats:
        return self._packed.products(columns[0], columns[1])

    def errors(self, longest: float) -> NDArray[np.float64]:
        """|p|·|t - t̂| + |p - p̂|·|t̂|, where a hat is over what a code says."""
        return np.asarray(self._length * self._most_off + self._off * (longest + self._most_off))
