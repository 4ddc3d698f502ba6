"""A file of vectors without a name: for galleries that keep only codes in memory."""

from __future__ import annotations

import os
import tempfile
from array import array
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Places = NDArray[np.uint32]


class VectorFile:
    """Vectors by place. The file is gone with the process, however that ends; a removed vector is overwritten."""

    def __init__(self, folder: Path, dimensions: int) -> None:
        """A new file.

        Raises:
            OSError: there can be none in this folder.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  # open as long as this object is
        self._dimensions = dimensions
        self._row_bytes = 4 * dimensions
        self._free = array("I")
        self._end = 0

    def add(self, vectors: Floats) -> Places:
        """Write vectors [n, dimensions]; return the place of each.

        Raises:
            OSError: they cannot be written; then none is kept.
        """
        again = min(len(self._free), len(vectors))
        places = [*self._free[len(self._free) - again :], *range(self._end, self._end + len(vectors) - again)]
        data = np.ascontiguousarray(vectors, "<f4").tobytes()
        for number, place in enumerate(places[:again]):
            self._write(place, data[number * self._row_bytes : (number + 1) * self._row_bytes])
        self._write(self._end, data[again * self._row_bytes :])
        del self._free[len(self._free) - again :]
        self._end += len(vectors) - again
        return np.array(places, np.uint32)

    def read(self, places: Places) -> Floats:
        """The vectors [n, dimensions] at these places.

        Raises:
            OSError: they cannot be read.
        """
        rows = [os.pread(self._file.fileno(), self._row_bytes, place * self._row_bytes) for place in places.tolist()]
        return np.frombuffer(b"".join(rows), "<f4").reshape(len(places), self._dimensions)

    def remove(self, places: Places) -> None:
        """Overwrite the vectors at these places, which are then used again.

        Raises:
            OSError: the file cannot be written.
        """
        for place in places.tolist():
            self._write(place, bytes(self._row_bytes))
            self._free.append(place)

    def _write(self, place: int, data: bytes) -> None:
        at, left = place * self._row_bytes, memoryview(data)
        while len(left):
            written = os.pwrite(self._file.fileno(), left, at)
            at, left = at + written, left[written:]
