"""What models may learn from of a person is removed when the agreement is taken back."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence
from pathlib import Path

import confluent_kafka
import pytest

from infra.services import LocalServices
from schemas import codec
from schemas.clock import utc_now
from schemas.ids import new_event_id
from schemas.ingest import Consent
from schemas.learning import Chip, Feedback, Statement
from schemas.parts import Source
from streams.feedback.store import read_feedback, send
from streams.kafka.connection import admin_client, client_config
from streams.kafka.topic_admin import create
from streams.kafka.topics import Topic
from streams.settings import Settings
from streams.training_data import chip_store
from streams.training_data.chip_store import RemovedChips, read_kept_chips
from tests.sinks.examples import QUALITY
from tests.streams.cli.conftest import environment, run


@pytest.fixture
def settings(services: LocalServices) -> Settings:
    made = Settings(**services.addresses.settings(), topic_prefix=f"kept-{uuid.uuid4().hex[:8]}.", partitions=2)
    create(admin_client(made), made)
    return made


def keep(settings: Settings, people: Sequence[tuple[str, str]]) -> list[str]:
    """Put a face of each on the topic, beside the partition of its key, as embed does."""
    now, producer, ids = utc_now(), confluent_kafka.Producer(client_config(settings)), []
    for number, (user, subject) in enumerate(people):
        consent = Consent("tests", now, training=True)
        chip = Chip(new_event_id(), user, subject, b"face", "some", QUALITY, consent, Source("uploads", 0, 1), now)
        topic = Topic.CHIPS.named(settings)
        producer.produce(topic, codec.encode(chip), chip.event_id.encode(), partition=number % 2)
        ids.append(chip.event_id)
    assert producer.flush(20) == 0
    return ids


def say(settings: Settings, user: str, subject: str, *, training: bool) -> Feedback:
    said = Feedback(
        feedback_id=new_event_id(),
        event_id=new_event_id(),
        user_id=user,
        face=0,
        statement=Statement.IS,
        subject_id=subject,
        training=training,
        decision="match",
        model_version="some",
        landmarks=[1.0] * 10,
        quality=QUALITY,
        source=Source("frames", 0, 1),
        given_at=utc_now(),
    )
    send(settings, said)
    return said


PEOPLE = [("anna", "otto"), ("anna", "otto"), ("anna", "eva"), ("bert", "otto"), ("anna", "otto")]


def test_the_faces_of_one_subject_are_removed_and_nobody_elses(settings: Settings) -> None:
    ids = keep(settings, PEOPLE)
    hers, his = say(settings, "anna", "otto", training=True), say(settings, "bert", "otto", training=True)
    told = say(settings, "anna", "otto", training=False)
    assert chip_store.remove(settings, "anna", "otto") == RemovedChips(chips=3, frames=1)
    assert set(read_kept_chips(settings).chips) == {ids[2], ids[3]}
    last = read_feedback(settings).last
    now = last[hers.event_id, 0]
    assert (now.training, now.statement, now.subject_id, now.replaces) == (False, "is", "otto", hers.feedback_id)
    assert [last[one.event_id, 0].feedback_id for one in (his, told)] == [his.feedback_id, told.feedback_id]
    assert chip_store.remove(settings, "anna", "otto") == RemovedChips(chips=0, frames=0)


def test_all_of_a_user_are_listed_and_removed(settings: Settings, tmp_path: Path) -> None:
    keep(settings, PEOPLE)
    variables = environment(**{f"FACESTREAM_{name.upper()}": str(value) for name, value in _given(settings).items()})
    listed = run(("chips", "list", "--json"), variables, tmp_path)
    assert listed.code == 0, listed.err
    counts = {(one["user_id"], one["subject_id"]): one["chips"] for one in listed.json["people"]}
    assert counts == {("anna", "otto"): 3, ("anna", "eva"): 1, ("bert", "otto"): 1}
    removed = run(("chips", "remove", "--user", "anna", "--json"), variables, tmp_path)
    assert removed.json == {"user_id": "anna", "subject_id": None, "chips": 4, "frames": 0}
    assert [one.chip.user_id for one in read_kept_chips(settings).chips.values()] == ["bert"]


def _given(settings: Settings) -> dict[str, object]:
    return settings.model_dump(mode="json", exclude_unset=True)


def test_more_than_are_sent_at_once_are_all_removed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.kafka.writer._AT_ONCE", 2)
    keep(settings, PEOPLE)
    assert chip_store.remove(settings, "anna").chips == 4
    assert dataclasses.asdict(read_kept_chips(settings))["unreadable"] == 0
    assert len(read_kept_chips(settings).chips) == 1
