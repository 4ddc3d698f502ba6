"""Messages are sorted by what is to be done with them; every one of them may be committed then."""

from __future__ import annotations

import dataclasses

import pytest

from schemas.results import Enrolment, Match
from streams.engine.sink_batch import SinkBatch
from streams.kafka.messages import Message
from streams.roles import Role
from tests.sinks.examples import match, resolution
from tests.streams.engine.sink_parts import ERASURES, MATCHES, erasure, message

TOPICS = {"matches": Match, "enrolments": Enrolment}


def sort(*messages: Message, makes_dead_letters: bool = True) -> SinkBatch:
    batch = SinkBatch()
    for one in messages:
        batch.add(one, TOPICS, Role.SINK_REDIS, makes_dead_letters=makes_dead_letters)
    return batch


def test_results_and_erasures_are_kept_apart() -> None:
    event, gone = match(), erasure()
    batch = sort(message(event, 3), message(gone, 8, ERASURES))
    (delivery,) = batch.deliveries
    assert (delivery.partition, delivery.offset) == (MATCHES, 3)
    assert isinstance(delivery.event, Match)
    assert delivery.event.event_id == event.event_id
    assert [(one.offset, erased) for one, erased in batch.erasures] == [(8, gone)]
    assert batch.next_offsets == {MATCHES: 4, ERASURES: 9}
    assert set(batch.messages) == {(MATCHES, 3), (ERASURES, 8)}
    assert batch.dead_letters == []


@pytest.mark.parametrize("stage", [None, Role.SINK_REDIS, Role.EMBED])
def test_only_what_match_has_erased_is_to_be_erased(stage: str | None) -> None:
    batch = sort(message(erasure(stage=stage), 8, ERASURES))
    assert batch.erasures == []
    assert batch.next_offsets == {ERASURES: 9}


def test_what_cannot_be_read_is_a_dead_letter_of_the_role() -> None:
    rubbish = dataclasses.replace(message(match(), 5), value=b"rubbish")
    batch = sort(rubbish, message(resolution("l", "sent"), 6))  # type: ignore[arg-type]
    assert [(one.offset, one.stage) for one in batch.dead_letters] == [(5, "sink-redis"), (6, "sink-redis")]
    assert (batch.deliveries, batch.next_offsets) == ([], {MATCHES: 7})


def test_what_cannot_be_read_is_left_out_where_another_role_makes_a_dead_letter_of_it() -> None:
    rubbish = dataclasses.replace(message(match(), 5), value=b"rubbish")
    batch = sort(rubbish, makes_dead_letters=False)
    assert (batch.deliveries, batch.dead_letters, batch.next_offsets) == ([], [], {MATCHES: 6})
    batch = sort(dataclasses.replace(rubbish, source=ERASURES))
    assert (batch.erasures, batch.dead_letters, batch.next_offsets) == ([], [], {ERASURES: 6})
