"""A new installation begins with the model of FACESTREAM_MODEL, and one with enrolled people keeps its own."""

from __future__ import annotations

from dataclasses import replace

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient

from models.embedder.card import Card
from models.embedder.references import ACCURATE, FAST, Reference
from schemas.rollout import ModelState
from streams.kafka.topics import Topic, TopicMissing
from streams.matching.changelog import changelog_name, ensure_changelog
from streams.model_registry import records, transitions
from streams.model_registry.first_version import choose_first_version
from streams.settings import Settings

SFACE, DLIB = (Card.read(folder).version for folder in (ACCURATE, FAST))


def answers(settings: Settings) -> tuple[str, ...]:
    return records.read_registry(settings).in_production


def produce(settings: Settings, topic: str) -> None:
    producer = confluent_kafka.Producer({"bootstrap.servers": settings.kafka})
    producer.produce(topic, b"anything", key=b"anna")
    assert producer.flush(20) == 0


def test_a_new_installation_begins_with_the_chosen_model(ready: Settings, admin: AdminClient) -> None:
    ensure_changelog(admin, ready, ready.partitions)
    for _ in range(2):
        choose_first_version(admin, ready)
        assert answers(ready) == (SFACE,)
    registry = records.read_registry(ready)
    assert registry.active == (SFACE,), "no picture is embedded twice"
    assert registry.state(DLIB) is ModelState.CANDIDATE
    choose_first_version(admin, ready.model_copy(update={"model": Reference.FAST}))
    assert answers(ready) == (SFACE,), "it has a model"


def test_without_a_record_it_is_the_fast_one(ready: Settings, admin: AdminClient) -> None:
    choose_first_version(admin, ready.model_copy(update={"model": Reference.FAST}))
    assert records.read_registry(ready).records == ()
    assert answers(ready) == (DLIB,)


@pytest.mark.parametrize("topic", [Topic.EMBEDDINGS, Topic.ENROLMENTS])
def test_an_installation_with_faces_keeps_its_model(ready: Settings, admin: AdminClient, topic: Topic) -> None:
    produce(ready, topic.named(ready))
    choose_first_version(admin, ready)
    assert answers(ready) == (DLIB,)


def test_so_does_one_of_which_only_the_galleries_are_left(ready: Settings, admin: AdminClient) -> None:
    ensure_changelog(admin, ready, ready.partitions)
    produce(ready, changelog_name(ready))
    choose_first_version(admin, ready)
    assert answers(ready) == (DLIB,)


def test_what_an_earlier_worker_left_half_done_is_completed(ready: Settings, admin: AdminClient) -> None:
    choose_first_version(admin, ready)
    sface = records.read_registry(ready).record(SFACE)
    assert sface is not None
    records.write(ready, replace(sface, state=ModelState.CANDIDATE, filled=False))
    assert answers(ready) == (DLIB,)
    choose_first_version(admin, ready)
    assert answers(ready) == (SFACE,)


def test_a_rollout_that_has_begun_is_left_alone(ready: Settings, admin: AdminClient) -> None:
    registry = records.read_registry(ready)
    records.write(ready, transitions.shadow(registry, Card.read(ACCURATE)))
    choose_first_version(admin, ready)
    assert answers(ready) == (DLIB,)


def test_a_model_of_ones_own_is_the_first(ready: Settings, admin: AdminClient) -> None:
    own = ready.model_copy(update={"model_dir": FAST})
    choose_first_version(admin, own)
    assert answers(own) == (DLIB,)


def test_it_needs_the_topics(empty: Settings, admin: AdminClient) -> None:
    with pytest.raises(TopicMissing):
        choose_first_version(admin, empty)


def test_both_are_known_by_their_folders(ready: Settings) -> None:
    assert records.folder_of(SFACE, ready) == ACCURATE
    assert records.folder_of(DLIB, ready) == FAST
    assert records.cards(ready).keys() == {SFACE, DLIB}
