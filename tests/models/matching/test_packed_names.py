from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.matching.packed_names import PackedNames

NAMES = st.lists(st.text(max_size=3), max_size=80)


@given(NAMES, st.sets(st.integers(0, 79)), NAMES)
def test_many_names_at_once_get_numbers_as_those_that_were_added_alone(
    first: list[str], removed: set[int], then: list[str]
) -> None:
    at_once, alone = PackedNames(), PackedNames()
    for names, gone in ((first, removed), (then, set[int]())):
        assert at_once.extend(names) == [alone.add(name) for name in names]
        for number in gone & set(range(len(names))):
            at_once.remove(number)
            alone.remove(number)
    assert list(at_once) == list(alone)
    assert len(at_once) == len(alone)
