from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec, raw_records
from schemas.errors import CodecError
from schemas.results import Enrolment
from streams.operations.enrolment_outcomes import EnrolmentOutcome, read_outcome
from tests.schemas.strategies import events
from tests.sinks.examples import enrolment

ENROLMENTS: st.SearchStrategy[Enrolment] = events(Enrolment)


@given(ENROLMENTS)
def test_an_outcome_is_what_the_whole_event_says(event: Enrolment) -> None:
    data = codec.encode(event)
    replay_id = "some" if event.replay_id is None else event.replay_id
    reason = None if event.refusal is None else event.refusal.reason
    expected = (event.user_id, event.event_id), EnrolmentOutcome(reason, event.repeats is not None)
    assert read_outcome(data, replay_id) == (expected if event.replay_id is not None else None)
    assert read_outcome(data, replay_id + "x") is None


@given(ENROLMENTS, st.data())
def test_a_broken_event_is_what_it_is_to_the_codec(event: Enrolment, data: st.DataObject) -> None:
    broken = codec.encode(event)[: -data.draw(st.integers(1, 20))]
    try:
        codec.decode(broken, Enrolment)
    except CodecError as error:
        with pytest.raises(type(error)):
            read_outcome(broken, "some")


def test_outcomes_are_read_without_the_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    data = codec.encode(enrolment())
    record = raw_records.read(data, Enrolment)
    assert isinstance(record["decided_at"], int)
    monkeypatch.setattr(codec, "decode", None)
    read_outcome(data, "some")
