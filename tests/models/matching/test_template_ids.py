from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from models.matching.template_ids import packed, packed_all, unpacked

UUIDS = st.uuids().map(str)
OTHERS = st.one_of(
    UUIDS.map(str.upper),
    UUIDS.map(lambda text: text.replace("-", "")),
    UUIDS.map(lambda text: text[:-1] + "g"),
    UUIDS.map(lambda text: text.replace("-", "0")),
    UUIDS.map(lambda text: text[:-1] + "é"),
    st.text(max_size=40),
    st.just("\ud800" * 36),
)


@given(st.lists(st.one_of(UUIDS, OTHERS), max_size=20), st.lists(UUIDS, max_size=20))
def test_many_ids_are_packed_as_each_alone(some: list[str], others: list[str]) -> None:
    for ids in (some, others, some[:1] + others):
        raw, digested = packed_all(ids)
        assert raw == list(map(packed, ids))
        assert digested == [at for at, one in enumerate(raw) if unpacked(one) != ids[at]]


def test_an_id_of_the_wrong_letters_among_many_is_a_digest() -> None:
    ids = [str(UUID(int=number)) for number in range(20)]
    ids[7] = ids[7][:-1] + "G"
    assert packed_all(ids)[1] == [7]
