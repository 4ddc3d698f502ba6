"""Which step may follow which."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from models.embedder.registry_snapshot import RegistrySnapshot
from models.testing.digest import CARD
from schemas.rollout import GivenUpSubject, ModelRecord, ModelState
from streams.model_registry import transitions
from streams.model_registry.errors import RolloutError

V1, V2, V3 = (CARD.model_copy(update={"version": name}) for name in ("v1", "v2", "v3"))


class Topic:
    """What was written so far."""

    def __init__(self) -> None:
        self.records: list[ModelRecord] = []

    @property
    def registry(self) -> RegistrySnapshot:
        return RegistrySnapshot.of("v1", self.records)

    def write(self, record: ModelRecord) -> ModelRecord:
        self.records.append(record)
        return record

    def fill(self, version: str, *stragglers: str) -> None:
        record = self.registry.record(version)
        assert record is not None
        self.write(transitions.filled(record, list(stragglers)))


@pytest.fixture
def topic() -> Topic:
    return Topic()


def test_the_usual_way_and_back(topic: Topic) -> None:
    topic.write(transitions.shadow(topic.registry, V2))
    topic.fill("v2", "berta")
    topic.write(transitions.canary(topic.registry, V2, 5))
    record = topic.write(transitions.promote(topic.registry, V2))
    assert (record.state, record.filled, record.stragglers) == (ModelState.PRODUCTION, True, ["berta"])
    assert topic.registry.in_production == ("v2", "v1")
    back = topic.write(transitions.rollback(topic.registry, reason="worse"))
    assert (back.version, back.state, back.filled, back.reason) == ("v2", ModelState.CANDIDATE, False, "worse")
    assert topic.registry.production == "v1"


def test_a_rollback_ends_what_is_under_way_first(topic: Topic) -> None:
    topic.write(transitions.shadow(topic.registry, V2))
    topic.fill("v2")
    topic.write(transitions.promote(topic.registry, V2))
    topic.write(transitions.shadow(topic.registry, V3))
    assert transitions.rollback(topic.registry, version="v2").version == "v2", "if it is meant"
    assert topic.write(transitions.rollback(topic.registry)).version == "v3"
    assert topic.write(transitions.rollback(topic.registry)).version == "v2"
    with pytest.raises(RolloutError, match="v1 answers, and no version before it is kept"):
        transitions.rollback(topic.registry)


def test_the_base_can_be_retired_and_its_followers_rolled_back_no_further(topic: Topic) -> None:
    topic.write(transitions.shadow(topic.registry, V2))
    topic.fill("v2")
    topic.write(transitions.promote(topic.registry, V2))
    topic.write(transitions.retire(topic.registry, V1))
    with pytest.raises(RolloutError, match="no version before it is kept"):
        transitions.rollback(topic.registry)


def filled(topic: Topic) -> None:
    topic.write(transitions.shadow(topic.registry, V2))
    topic.fill("v2")


def unfilled(topic: Topic) -> None:
    topic.write(transitions.shadow(topic.registry, V2))


def in_canary(topic: Topic) -> None:
    filled(topic)
    topic.write(transitions.canary(topic.registry, V2, 5))


def nothing(topic: Topic) -> None:
    """As it begins."""


@pytest.mark.parametrize(
    ("prepare", "step", "why"),
    [
        (nothing, lambda now: transitions.canary(now, V2, 5), "has not been tried"),
        (nothing, lambda now: transitions.promote(now, V2), "has not been tried"),
        (nothing, lambda now: transitions.shadow(now, V1), "v1 answers: there is nothing to try"),
        (nothing, lambda now: transitions.promote(now, V1), "v1 answers already"),
        (nothing, lambda now: transitions.retire(now, V1), "promote another version first"),
        (unfilled, lambda now: transitions.promote(now, V2), "facestream models fill v2"),
        (filled, lambda now: transitions.canary(now, V2, 0), "above 0 and up to 100"),
        (in_canary, lambda now: transitions.canary(now, V3, 5), "v2 is a canary already"),
        (in_canary, lambda now: transitions.retire(now, V2), "answers for some users"),
    ],
)
def test_what_must_not_be_done_says_why(
    topic: Topic, prepare: Callable[[Topic], None], step: Callable[[RegistrySnapshot], ModelRecord], why: str
) -> None:
    prepare(topic)
    with pytest.raises(RolloutError, match=why):
        step(topic.registry)


def test_a_version_that_failed_comes_back_unfilled(topic: Topic) -> None:
    in_canary(topic)
    topic.write(transitions.rollback(topic.registry))
    assert not topic.write(transitions.shadow(topic.registry, V2)).filled


ANNA, BERTA = GivenUpSubject("anna", "otto"), GivenUpSubject("berta", "otto")


@pytest.fixture
def retired(topic: Topic) -> Topic:
    filled(topic)
    topic.write(transitions.promote(topic.registry, V2))
    topic.write(transitions.retire(topic.registry, V1, [BERTA, ANNA]))
    return topic


def test_a_retired_version_names_whom_it_gave_up_also_when_it_is_retired_again(retired: Topic) -> None:
    again = transitions.retire(retired.registry, V1)
    assert again.given_up == [ANNA, BERTA]


@pytest.mark.parametrize(
    ("user", "subject", "left"),
    [("anna", None, [BERTA]), ("anna", "otto", [BERTA]), ("anna", "else", None), ("carla", None, None)],
)
def test_the_record_of_a_retired_version_forgets_who_is_erased(
    retired: Topic, user: str, subject: str | None, left: list[GivenUpSubject] | None
) -> None:
    changed = transitions.without(retired.registry, user, subject)
    assert [record.given_up for record in changed] == ([] if left is None else [left])
    for record in changed:
        retired.write(record)
    assert retired.registry.in_production == ("v2",)
    assert retired.registry.retired == {"v1"}
