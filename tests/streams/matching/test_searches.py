"""A frame with the mode search goes to every shard, unless there is nothing to search for, or nobody may."""

from __future__ import annotations

import dataclasses

from schemas import codec
from schemas.embeddings import Embedding, FrameOrigin
from schemas.ids import new_event_id
from schemas.ingest import Consent, Mode
from schemas.parts import Decision, Refusal
from schemas.reasons import Reason
from schemas.results import Match, SearchCoverage
from streams.kafka.messages import Message, TopicPartition
from streams.kafka.partitioner import partition_of
from streams.kafka.topics import Topic
from streams.matching.batch_outcome import BatchOutcome
from streams.matching.decisions import Decisions
from streams.matching.gallery_shard import GalleryShard
from streams.matching.searches import Probe, Searches
from streams.settings import Settings
from tests.streams.matching.galleries import CARDS, NOW, Gallery

SHARDS = 4
ALLOWED = Settings(search_purposes=["tests"], search_candidates=2)
ORIGIN = FrameOrigin("desk", 1, NOW, Mode.SEARCH, None)


def asked(**changes: object) -> Embedding:
    upload = Gallery().upload("scene", 0)
    return dataclasses.replace(upload, origin=ORIGIN, event_id=new_event_id(), **changes)  # type: ignore[arg-type]


def begun(embedding: Embedding, settings: Settings = ALLOWED) -> tuple[BatchOutcome, Message]:
    gallery, outcome = Gallery(), BatchOutcome()
    decisions = Decisions(settings, gallery, gallery.erased, Searches(settings, SHARDS))
    message = Message(TopicPartition("embeddings", 0), 5, 0, b"ursula", codec.encode(embedding))
    decisions.decide(message, embedding, gallery.partition, CARDS[:1], outcome)
    return outcome, message


def answered(outcome: BatchOutcome) -> Match:
    assert outcome.probes == []
    [(_, value, _)] = outcome.results[Topic.MATCHES]
    return codec.decode(value, Match)


def test_it_goes_to_every_shard_as_it_came() -> None:
    outcome, message = begun(asked())
    assert outcome.probes == [(message.key, message.value, shard) for shard in range(SHARDS)]
    assert not outcome.results and not outcome.writes


def test_it_is_refused_where_no_purpose_allows_it() -> None:
    outcome, _ = begun(asked(), Settings())
    refusal = answered(outcome).refusal
    assert refusal is not None and refusal.reason == Reason.SEARCH_OFF


def test_what_has_no_face_to_search_for_is_answered_at_once() -> None:
    embedding = asked()
    poor = dataclasses.replace(embedding.faces[0], vector=None, refusal="too_small")
    [face] = answered(begun(dataclasses.replace(embedding, faces=[poor]))[0]).faces
    assert (face.decision, face.reason) == (Decision.REFUSED, "too_small")
    assert answered(begun(dataclasses.replace(embedding, faces=[]))[0]).faces == []
    refused = Refusal(Reason.UNDECODABLE, "no picture")
    assert answered(begun(dataclasses.replace(embedding, refusal=refused))[0]).refusal == refused


def test_a_shard_answers_to_the_partition_of_the_user_what_it_has() -> None:
    gallery, shards = Gallery(), {3: GalleryShard(["tests"]), 1: GalleryShard(["tests"])}
    uploads = [gallery.upload("portrait", 0.01), gallery.upload("other", 0.02, "otto", consent=Consent("door", NOW))]
    gallery.send(*uploads)
    for template in [*gallery.of("anna"), *gallery.of("otto")]:
        shards[3].add(template)
    embedding = asked()
    probes = [
        Probe(Message(TopicPartition("probes", n), 5, 7_000, b"ursula", b""), embedding, ORIGIN, CARDS[0])
        for n in shards
    ]
    parts = Searches(ALLOWED, SHARDS).parts(probes, {n: one.searchable for n, one in shards.items()})
    assert {(key, partition) for key, _, partition in parts} == {(b"ursula", partition_of("ursula", SHARDS))}
    full, empty = (codec.decode(value, Match) for _, value, _ in parts)
    assert full.search == SearchCoverage(SHARDS, [3], 1, codec.from_micros(7_000_000))
    assert [(one.user_id, one.subject_id) for one in full.faces[0].candidates] == [("ursula", "anna")]
    assert empty.search == SearchCoverage(SHARDS, [1], 0, codec.from_micros(7_000_000))
    assert (empty.faces[0].decision, empty.faces[0].reason) == (Decision.UNKNOWN, Reason.EMPTY_GALLERY)
    shards[3].discard("ursula", uploads[0].event_id, "one")
    [(_, value, _)] = Searches(ALLOWED, SHARDS).parts(probes[:1], {3: shards[3].searchable})
    assert codec.decode(value, Match).faces[0].candidates == []
