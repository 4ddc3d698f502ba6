"""The columns of a Parquet file, with ``pyarrow``, which ``facestream[parquet]`` brings."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from models.hidden_packages import HiddenPackages
from streams.operations.vector_files.columns import TIMES, Columns, UnusableVectors

# Commands hide the package, since other packages import it where they find it.
_hidden, sys.meta_path[:] = (
    [one for one in sys.meta_path if isinstance(one, HiddenPackages)],
    [one for one in sys.meta_path if not isinstance(one, HiddenPackages)],
)
try:
    import pyarrow as pa
    import pyarrow.parquet as pq
finally:
    sys.meta_path[:0] = _hidden

_PREFIX = "facestream."


def write(file: IO[bytes], columns: Columns, about: Mapping[str, str]) -> None:
    """Write columns, in groups of rows that can be read one at a time."""
    arrays: dict[str, Any] = {}
    for name, column in columns.items():
        if column.ndim == 2:
            flat = pa.array(np.ascontiguousarray(column).reshape(-1))
            arrays[name] = pa.FixedSizeListArray.from_arrays(flat, column.shape[1])
        elif name in TIMES:
            arrays[name] = pa.array(column).cast(pa.timestamp("us", "UTC"))
        elif column.dtype.kind == "f":
            arrays[name] = pa.array(column, mask=np.isnan(column))
        else:
            arrays[name] = pa.array(column.tolist() if column.dtype.kind == "U" else column)
    table = pa.table(arrays)
    pq.write_table(table.replace_schema_metadata({_PREFIX + name: text for name, text in about.items()}), file)


def read(path: Path, names: Sequence[str] | None) -> tuple[dict[str, NDArray[Any]], Mapping[str, str]]:
    """The columns of a file, all or those of these names, and what its metadata says.

    Raises:
        UnusableVectors: it is no Parquet file, or has a column of a kind that is not understood.
        OSError: it cannot be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            there = file.schema_arrow.names
            table = file.read(None if names is None else [name for name in names if name in there])
            metadata = file.schema_arrow.metadata or {}
        texts = {
            name.decode().removeprefix(_PREFIX): text.decode()
            for name, text in metadata.items()
            if name.startswith(_PREFIX.encode())
        }
        return {name: _array(name, table[name]) for name in table.column_names}, texts
    except pa.ArrowException as error:
        raise UnusableVectors(f"{path} is no Parquet file that can be read to its end: {error}") from error


def _array(name: str, column: Any) -> NDArray[Any]:
    kind = column.type
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _matrix(name, column.combine_chunks())
    if pa.types.is_timestamp(kind):
        if kind.tz is not None or kind.unit != "us":
            column = column.cast(pa.timestamp("us", kind.tz)).cast(pa.timestamp("us"))
        return np.asarray(column.to_numpy(), "datetime64[us]")
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
    if column.null_count and pa.types.is_floating(column.type):
        column = column.fill_null(np.nan)
    if column.null_count and pa.types.is_boolean(column.type):
        column = column.fill_null(False)
    return np.asarray(column.to_numpy())


def _matrix(name: str, column: Any) -> NDArray[Any]:
    """Lists of the same length as [n, length]."""
    count = len(column)
    if column.null_count or column.flatten().null_count:
        raise UnusableVectors(f"{name} has rows without a value")
    flat = column.flatten().to_numpy(zero_copy_only=False)
    lengths = np.unique(np.asarray(column.value_lengths()))
    if len(lengths) > 1:
        raise UnusableVectors(f"{name} has rows of {lengths[0]} and of {lengths[-1]} numbers")
    return flat.reshape(count, -1) if count else np.empty((0, 0), flat.dtype)
