"""The rows of a benchmark: each is reported as it ends, and a failure costs only its own row."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

S = TypeVar("S")

Figures = Mapping[str, Any]
"""Names and values, as in the JSON of a benchmark."""
SPREAD = "spread"
"""The key under which the least and the greatest of figures stand that were measured several times, by their names."""
NOT_MEASURED = "not_measured"
"""The key under which a benchmark lists the rows that failed, with the reasons by the rows' names."""


def attempt(row: str, measure: Callable[[], Figures]) -> Figures:
    """The figures of a row, or the reason if it could not be measured."""
    try:
        return measure()
    except Exception as error:
        return failed(row, error)


def failed(row: str, error: Exception | str) -> Figures:
    """A row that could not be measured."""
    if not isinstance(error, str):
        text = " ".join(str(error).split())
        error = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return {NOT_MEASURED: {row: error}}


def merge(result: dict[str, Any], found: Figures) -> None:
    """Add figures to a result: a later value replaces an earlier one, and failed rows are gathered."""
    missing = {**result.get(NOT_MEASURED, {}), **found.get(NOT_MEASURED, {})}
    result.update(found)
    if missing:
        result[NOT_MEASURED] = missing


def on_stacks(
    names: Sequence[str],
    start: Callable[[int], AbstractContextManager[S]],
    measure: Callable[[S, str], Figures],
) -> Iterator[Figures]:
    """Measure these rows one after another on one stack, and on a fresh one after a row that failed.

    Args:
        names: of the rows.
        start: starts a stack; called with the number of stacks before.
        measure: one row.

    Yields:
        What was measured of each row, or that it could not be; without another stack that holds for all that are left.

    Raises:
        Exception: as raised by the start of the first stack.
    """
    left, stacks = deque(names), 0
    while left:
        begun: str | None = None
        try:
            with start(stacks) as stack:
                while left:
                    begun = left.popleft()
                    found = measure(stack, begun)
                    begun = None
                    yield found
        except Exception as error:
            if begun is not None:
                yield failed(begun, error)
            elif not left:
                yield failed("stopping the stack", error)
            elif not stacks and len(left) == len(names):
                raise
            else:
                yield from (failed(one, error) for one in left)
                return
        stacks += 1
