"""What a batch writes and sends: left-overs of a failed attempt, expired and retired templates, then its events."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from schemas import codec
from schemas.embeddings import OtherVector
from schemas.gallery import Template
from schemas.ingest import Consent
from streams.kafka.messages import Message, TopicPartition
from streams.kafka.topics import Topic
from streams.matching.batch_outcome import BatchOutcome, remove_retired
from streams.matching.gallery_partition import GalleryPartition
from streams.matching.gallery_shard import key_of
from tests.sinks.examples import match
from tests.streams.matching.galleries import NOW, Gallery


def cleaned(gallery: Gallery, days: float = 0, retired: frozenset[str] = frozenset()) -> BatchOutcome:
    outcome = BatchOutcome()
    outcome.clean(gallery.partition, NOW + timedelta(days=days), retired)
    return outcome


def test_expired_consent_removes_template_and_chip_until_that_is_delivered() -> None:
    gallery = Gallery()
    short = gallery.upload("short", 0, consent=Consent("tests", NOW, NOW + timedelta(days=1)))
    gallery.send(short, gallery.upload("long", 0.4))
    assert cleaned(gallery).writes == []
    for _ in range(2):
        outcome = cleaned(gallery, days=2)
        assert outcome.writes == [(0, key_of("ursula", short.event_id, "one"), None)]
        assert outcome.chips == [(short.event_id.encode(), None, 0)]
    assert gallery.shard.templates("ursula", "anna") == 1
    gallery.partition.delivered()
    assert cleaned(gallery, days=2) == BatchOutcome()


def test_what_a_failed_attempt_changed_is_written_with_the_next_batch() -> None:
    gallery = Gallery()
    known = gallery.upload("known", 0)
    gallery.send(known)
    _, change = gallery.decide(gallery.upload("known", 0, consent=Consent("tests", NOW, training=True)))
    [kept] = change.kept
    outcome = cleaned(gallery)
    assert sorted(outcome.writes) == sorted(
        [
            (0, key_of("ursula", known.event_id, "one"), None),
            (0, key_of("ursula", kept.template_id, "one"), codec.encode(kept)),
        ]
    )
    assert outcome.chips == [(known.event_id.encode(), None, 0)]


def test_templates_of_retired_versions_go_in_portions_and_their_chips_stay() -> None:
    gallery = Gallery()
    for n in range(3):
        by_two = OtherVector("two", np.array([n, 2], "<f4").tobytes())
        gallery.send(gallery.upload(f"photo {n}", n / 10, others=[by_two]))
    assert len(remove_retired(gallery.partition, {"two"}, limit=2)) == 2
    outcome = cleaned(gallery, retired=frozenset({"two", "never here"}))
    [(_, key, value)] = outcome.writes
    assert (key.endswith(b"\x00two"), value, outcome.chips) == (True, None, [])
    assert gallery.shard.versions == ["one"]


def test_a_change_removes_before_it_writes() -> None:
    gallery = Gallery()
    first = gallery.upload("portrait", 0)
    gallery.send(first)
    second = gallery.upload("portrait", 0, consent=Consent("tests", NOW, training=True))
    _, change = gallery.decide(second)
    outcome = BatchOutcome()
    outcome.change(0, change)
    assert [(key, value is None) for _, key, value in outcome.writes] == [
        (key_of("ursula", first.event_id, "one"), True),
        (key_of("ursula", second.event_id, "one"), False),
    ]
    assert outcome.chips == [(first.event_id.encode(), None, 0)]


def test_a_result_goes_to_the_partition_of_its_message() -> None:
    outcome, answer = BatchOutcome(), match()
    message = Message(TopicPartition("embeddings", 3), 17, 0, b"ursula", b"", ())
    outcome.result(message, Topic.MATCHES, answer)
    assert dict(outcome.results) == {Topic.MATCHES: [(b"ursula", codec.encode(answer), 3)]}


def test_a_partition_reads_its_own_changes_before_the_table() -> None:
    gallery = Gallery()
    upload = gallery.upload("portrait", 0)
    _, change = gallery.decide(upload)
    key = "ursula", upload.event_id, "one"
    partition: GalleryPartition = gallery.partition
    assert partition.template(*key) == change.kept[0]
    assert partition.stored(*key) is None
    gallery.send(upload)
    partition.remove("ursula", [upload.event_id])
    assert partition.template(*key) is None
    stored: Template | None = partition.stored(*key)
    assert stored is not None
