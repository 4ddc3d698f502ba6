"""Imported templates: decided in batches as their uploads would be one by one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec
from schemas.embeddings import TemplateBatch
from schemas.erasure import Erasure
from schemas.gallery import Template
from schemas.ids import new_event_id
from schemas.ingest import Consent
from schemas.parts import UNMEASURED, Source
from schemas.results import Enrolment, Outcome
from streams.kafka.decoding import InvalidMessage
from streams.kafka.messages import Message, TopicPartition
from streams.kafka.topics import Topic
from streams.matching.batch_outcome import BatchOutcome
from streams.matching.decisions import Decisions
from streams.matching.gallery_shard import key_of
from streams.matching.searches import Searches
from streams.settings import Settings
from tests.sinks.examples import QUALITY
from tests.streams.matching.galleries import CARDS, NOW, ROOM, Gallery

IDS = [new_event_id() for _ in range(12)]


def template(number: int, subject: str = "anna", **changes: Any) -> Template:
    x = changes.pop("x", float(number))
    made = Template(
        template_id=IDS[number],
        user_id="ursula",
        subject_id=subject,
        model_version="one",
        vector=np.array([x, 1], "<f4").tobytes(),
        quality=QUALITY,
        consent=Consent("tests", NOW),
        source=Source("import", 0, 0),
        enrolled_at=NOW + timedelta(seconds=number),
    )
    return replace(made, **changes)


def decided(gallery: Gallery, templates: Sequence[Template]) -> BatchOutcome:
    """Have a batch decided, and its changes written."""
    settings = Settings(max_templates_per_subject=ROOM)
    batch = TemplateBatch("ursula", ["one", "two"], [codec.encode(one) for one in templates], "import-1")
    message = Message(TopicPartition("embeddings", 0), 0, 0, b"ursula", codec.encode(batch))
    outcome = BatchOutcome()
    decisions = Decisions(settings, gallery, gallery.erased, Searches(settings, 1))
    decisions.decide(message, batch, gallery.partition, CARDS, outcome)
    for _, key, value in outcome.writes:
        user_id, template_id, version = key.decode().split("\x00")
        if value is None:
            gallery.table.pop((user_id, template_id, version), None)
        else:
            gallery.table[user_id, template_id, version] = codec.decode(value, Template)
    gallery.partition.delivered()
    return outcome


def outcomes(outcome: BatchOutcome) -> dict[str, Enrolment]:
    found = [codec.decode(value, Enrolment) for _, value, _ in outcome.results[Topic.ENROLMENTS]]
    assert len({one.event_id for one in found}) == len(found)
    return {one.event_id: one for one in found}


def stored(gallery: Gallery) -> set[tuple[str, str]]:
    """Id and version of what the table and the shard have."""
    found = {(one.template_id, one.model_version) for one in gallery.table.values()}
    assert found == set(gallery.shard.of("ursula", None))
    return found


def test_new_templates_are_kept_byte_by_byte_and_each_has_an_outcome() -> None:
    gallery = Gallery()
    many = [template(0), template(1, "otto"), template(2, "otto", quality=UNMEASURED, picture_sha256="ab")]
    outcome = decided(gallery, many)
    assert dict(pair for _, *pair in outcome.writes) == {
        key_of("ursula", one.template_id, "one"): codec.encode(one) for one in many
    }
    found = outcomes(outcome)
    assert [found[IDS[number]].templates for number in range(3)] == [1, 1, 2]
    assert [found[IDS[number]].quality is None for number in range(3)] == [False, False, True]
    assert {(one.replay_id, one.corrects, one.outcome) for one in found.values()} == {
        ("import-1", True, Outcome.ENROLLED)
    }
    again = decided(gallery, many)
    assert [outcomes(again)[IDS[number]].templates for number in range(3)] == [1, 2, 2]
    assert stored(gallery) == {(IDS[number], "one") for number in range(3)}


def test_versions_of_a_template_are_one_template() -> None:
    gallery = Gallery()
    outcome = decided(
        gallery, [template(0), template(0, model_version="two"), template(1, "otto", model_version="two")]
    )
    assert stored(gallery) == {(IDS[0], "one"), (IDS[0], "two"), (IDS[1], "two")}
    assert {name: one.model_version for name, one in outcomes(outcome).items()} == {IDS[0]: "one", IDS[1]: "two"}


def test_an_erased_person_stays_away_and_who_consented_later_comes() -> None:
    gallery = Gallery()
    gallery.erased.add(Erasure(new_event_id(), "ursula", NOW, "anna"), round(NOW.timestamp() * 1000) + 1500)
    outcome = decided(gallery, [template(0), template(1), template(2), template(3, "otto")])
    assert stored(gallery) == {(IDS[2], "one"), (IDS[3], "one")}
    refusals = {name: one.refusal and one.refusal.reason for name, one in outcomes(outcome).items()}
    assert refusals == {IDS[0]: "erased", IDS[1]: "erased", IDS[2]: None, IDS[3]: None}
    assert {chip for chip, _, _ in outcome.chips} == {IDS[0].encode(), IDS[1].encode()}


def test_a_consent_that_had_ended_when_it_was_given_keeps_nothing() -> None:
    gallery = Gallery()
    outcome = decided(
        gallery, [template(0, consent=Consent("tests", NOW, NOW)), template(1, consent=Consent(" ", NOW))]
    )
    assert stored(gallery) == set()
    assert {one.refusal and one.refusal.reason for one in outcomes(outcome).values()} == {"no_consent"}


@given(
    st.lists(
        st.tuples(
            st.integers(0, 11), st.sampled_from(["anna", "otto"]), st.integers(0, 4), st.booleans(), st.booleans()
        ),
        max_size=14,
        unique_by=lambda one: one[0],
    ),
    st.integers(0, 14),
    st.sampled_from([set[str](), {"two"}]),
)
def test_a_batch_does_what_single_uploads_would(
    rows: list[tuple[int, str, int, bool, bool]], split: int, retired: Collection[str]
) -> None:
    """Whatever the gallery holds, copies, full subjects and retired versions included: only the order may differ."""
    templates = []
    for number, subject, x, training, second in rows:
        one = template(number, subject, x=float(x), consent=Consent("tests", NOW, training=training))
        templates += [one, replace(one, model_version="two")] if second else [one]
    together, alone = Gallery(), Gallery()
    together.retired = alone.retired = set(retired)
    for part in (templates[:split], templates[split:]):
        decided(together, part)
        for one in _in_rounds(part):
            decided(alone, one)
    assert stored(together) == stored(alone)
    assert together.table == alone.table


def _in_rounds(templates: Sequence[Template]) -> list[list[Template]]:
    """The templates one by one, in the order in which a batch looks at them."""
    by_id: dict[str, list[Template]] = {}
    for one in templates:
        by_id.setdefault(one.template_id, []).append(one)
    turns: dict[str, int] = {}
    order = []
    for versions in by_id.values():
        turn = turns[versions[0].subject_id] = turns.get(versions[0].subject_id, 0) + 1
        order.append((turn, len(order), versions))
    return [versions for *_, versions in sorted(order, key=lambda one: one[:2])]


@pytest.mark.parametrize(
    "wrong",
    [{"user_id": "otto"}, {"model_version": "three"}, {"vector": bytes(12)}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_batch_with_a_template_that_does_not_belong_there_changes_nothing(wrong: dict[str, Any]) -> None:
    gallery = Gallery()
    with pytest.raises(InvalidMessage, match="is in a batch of user 'ursula' by one, two"):
        decided(gallery, [template(0), template(1, "otto", **wrong)])
    assert stored(gallery) == set()
