from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from models.matching.row_index import RowIndex

KEYS = st.lists(st.one_of(st.integers(0, 9), st.integers(0, 2**32 - 1)), max_size=300)


@given(KEYS, KEYS, st.integers(0, 400))
def test_many_entries_at_once_are_found_as_those_that_were_added_alone(
    some: list[int], others: list[int], removed: int
) -> None:
    index, expected = RowIndex(), Counter[tuple[int, int]]()
    for keys in (some, others):
        index.extend(keys, len(index))
        expected.update(zip(keys, range(len(index) - len(keys), len(index)), strict=True))
    for key, row in list(expected)[:removed]:
        index.remove(key, row)
        del expected[key, row]
    assert len(index) == len(expected)
    keys = sorted({*some, *others})
    assert Counter((key, row) for key in keys for row in index.find(key)) == expected
    there = {key for key, _ in expected}
    # A hash may be taken for one that is there, but not the other way round.
    assert not any(missing for key, missing in zip(keys, index.missing(keys), strict=True) if key in there)


def test_hashes_that_are_not_there_are_missing() -> None:
    index = RowIndex()
    assert index.missing([1, 2]) == [True, True]
    index.extend(range(1_000), 0)
    assert index.missing([5, 0x89ABCDEF, 999, 2**32 - 1]) == [False, True, False, True]
    assert index.missing([]) == []
