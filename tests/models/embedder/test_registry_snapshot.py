from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from models.embedder.registry_snapshot import ModelSelection, RegistrySnapshot
from schemas.clock import utc_now
from schemas.rollout import ModelRecord, ModelState

USERS = [f"user-{number}" for number in range(2_000)]


def record(version: str, state: str, percent: float = 0.0, *, filled: bool = True, **changes: Any) -> ModelRecord:
    return ModelRecord(version, ModelState(state), "{}", utc_now(), "tests", percent, filled, **changes)


def registry(*records: ModelRecord) -> RegistrySnapshot:
    return RegistrySnapshot.of("v1", records)


def test_without_a_record_the_base_answers_alone() -> None:
    assert registry().of_frame("anna") == registry().of_upload("anna") == ModelSelection("v1")
    assert registry().in_production == ("v1",)


def test_a_shadow_never_answers() -> None:
    now = registry(record("v2", "shadow"))
    assert now.of_frame("anna") == now.of_upload("anna") == ModelSelection("v1", (), ("v2",))


def test_a_canary_answers_for_its_share_and_users_only_join() -> None:
    before: set[str] = set()
    for percent in (0.5, 1, 5, 25, 60, 100):
        now = registry(record("v2", "canary", percent))
        among = {user for user in USERS if now.of_frame(user).answer == "v2"}
        assert abs(len(among) / len(USERS) - percent / 100) < 0.04
        assert among >= before
        before = among
    assert before == set(USERS)


def test_in_a_canary_the_version_before_stands_by_and_is_compared_with() -> None:
    now = registry(record("v2", "canary", 100))
    assert now.of_frame("anna") == ModelSelection("v2", ("v1",))
    assert set(now.of_upload("anna").versions) == {"v1", "v2"}


def test_once_its_templates_are_made_the_version_in_production_is_alone() -> None:
    now = registry(record("v2", "production", stragglers=["berta"]))
    assert now.of_frame("anna") == ModelSelection("v2")
    assert now.of_frame("berta") == ModelSelection("v2", ("v1",))
    assert registry(record("v2", "production", filled=False)).of_frame("anna") == ModelSelection("v2", ("v1",))
    assert now.of_upload("anna") == ModelSelection("v2", ("v1",)), "or a rollback would find galleries that lack people"


def test_the_last_one_in_production_answers_and_a_rollback_goes_one_back() -> None:
    v2, v3 = record("v2", "production"), record("v3", "production")
    assert registry(v2, v3).in_production == ("v3", "v2", "v1")
    assert registry(v2, v3, record("v3", "candidate")).in_production == ("v2", "v1")
    assert registry(v2, v3, record("v3", "candidate"), record("v2", "candidate")).in_production == ("v1",)
    assert registry(v2, v3, v2).in_production == ("v2", "v3", "v1")


def test_a_retired_version_is_embedded_by_no_more() -> None:
    now = registry(record("v2", "production"), record("v1", "retired"))
    assert now.of_upload("anna") == ModelSelection("v2")
    assert now.retired == {"v1"}
    alone = registry(record("v1", "retired"))
    assert alone.production == "v1", "somebody has to answer"
    assert not alone.retired


def test_a_version_that_is_not_loaded_is_left_out() -> None:
    asked = ModelSelection("v2", ("v1",), ("v3",))
    assert asked.among({"v1", "v2", "v3"}) == asked
    assert asked.among({"v1", "v3"}) == ModelSelection("v1", (), ("v3",))
    assert asked.among({"v3"}) is None


@given(
    st.lists(
        st.builds(
            record,
            st.sampled_from(["v1", "v2", "v3"]),
            st.sampled_from([state.value for state in ModelState]),
            st.floats(0, 100),
            filled=st.booleans(),
            stragglers=st.lists(st.sampled_from(["anna", "berta"])),
        )
    )
)
def test_whatever_was_written_somebody_answers_and_has_had_the_uploads(log: list[ModelRecord]) -> None:
    now = registry(*log)
    for user in ("anna", "berta"):
        frame, upload = now.of_frame(user), now.of_upload(user)
        assert frame.answer == upload.answer
        assert set(frame.versions) <= set(upload.versions) == set(now.active)
        assert not {frame.answer, *frame.fallbacks} & set(frame.shadows)
        assert not set(frame.versions) & now.retired
