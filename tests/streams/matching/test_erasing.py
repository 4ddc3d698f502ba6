"""Which templates an erasure removes, what is answered to it, and which later events it covers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import cast

import pytest
from aiokafka.errors import KafkaConnectionError

from schemas import codec
from schemas.embeddings import OtherVector
from schemas.erasure import ErasedPhoto, Erasure
from schemas.ids import new_event_id
from schemas.reasons import Reason
from streams.kafka.messages import Message, TopicPartition
from streams.matching import agent
from streams.matching.erasing import answer, refusal_of_erased, template_ids, templates_to_erase, with_digests
from streams.matching.gallery_partition import GalleryPartition
from streams.privacy.erasures import Erasures
from tests.streams.matching.galleries import NOW, Gallery

LATER = NOW + timedelta(minutes=1)


def erasure(subject_id: str | None, user_id: str = "ursula") -> Erasure:
    return Erasure(new_event_id(), user_id, NOW, subject_id)


def gallery_of_two() -> tuple[Gallery, str, str]:
    """Anna with two versions of a template, and Otto; the ids of their templates."""
    gallery = Gallery()
    anna, otto = gallery.send(
        gallery.upload("anna", 0, others=[OtherVector("two", bytes(8))]),
        gallery.upload("otto", 0.4, subject_id="otto"),
    )
    return gallery, anna.event_id, otto.event_id


def test_a_subject_goes_with_all_versions_and_others_stay() -> None:
    gallery, anna, _ = gallery_of_two()
    removed = templates_to_erase(erasure("anna"), LATER, gallery.partition)
    assert sorted(removed) == [("ursula", anna, "one"), ("ursula", anna, "two")]
    assert template_ids(removed) == {anna}


def test_a_photo_goes_by_the_ids_of_its_uploads_and_its_bytes_are_remembered() -> None:
    gallery = Gallery()
    one, _ = gallery.send(gallery.upload("anna", 0, digest="ab"), gallery.upload("anna, later", 0.4, digest="cd"))
    of_photo = replace(erasure("anna"), photo=ErasedPhoto([new_event_id(), one.event_id]))
    removed = templates_to_erase(of_photo, LATER, gallery.partition)
    assert template_ids(removed) == {one.event_id}
    assert templates_to_erase(replace(of_photo, subject_id="otto"), LATER, gallery.partition) == []
    known = with_digests(of_photo, removed, gallery.partition)
    assert known.photo is not None and known.photo.sha256 == ["ab"]
    gallery.partition.erase("ursula", [key[1:] for key in removed])
    said = answer(known, "match", removed, gallery.partition)
    assert said.photo is not None and (said.removed, said.photo.templates_left) == ({"templates": 1}, 1)

    erased = Erasures()
    erased.add(said, 1000 * round(LATER.timestamp()))
    same_photo = gallery.upload("another upload of it", 0, digest="ab")
    refusal = refusal_of_erased(same_photo, erased)
    assert refusal is not None and refusal.reason == Reason.ERASED
    assert refusal_of_erased(gallery.upload("anna, a third", 0.8, digest="ef"), erased) is None
    afterwards = gallery.upload("sent afterwards", 0, digest="ab", at=LATER + timedelta(seconds=1))
    assert refusal_of_erased(afterwards, erased) is None
    assert refusal_of_erased(gallery.upload("of otto", 0, subject_id="otto", digest="ab"), erased) is None


def test_a_user_goes_with_all_subjects() -> None:
    gallery, anna, otto = gallery_of_two()
    assert template_ids(templates_to_erase(erasure(None), LATER, gallery.partition)) == {anna, otto}
    assert templates_to_erase(erasure(None, "another"), LATER, gallery.partition) == []


def test_who_was_enrolled_after_the_request_stays() -> None:
    gallery, anna, _ = gallery_of_two()
    again = gallery.upload("anna, again", 0.2, at=LATER + timedelta(seconds=1))
    gallery.send(again)
    assert template_ids(templates_to_erase(erasure("anna"), LATER, gallery.partition)) == {anna}


def test_a_template_that_is_in_memory_only_goes_too() -> None:
    gallery, anna, _ = gallery_of_two()
    del gallery.table["ursula", anna, "one"]
    before = NOW - timedelta(days=1)
    assert templates_to_erase(erasure("anna"), before, gallery.partition) == [("ursula", anna, "one")]


def test_the_partition_keeps_nothing_of_what_was_erased() -> None:
    gallery, _, otto = gallery_of_two()
    upload = gallery.upload("one more of anna", 0.2)
    gallery.decide(upload)  # and its delivery fails
    removed = templates_to_erase(erasure("anna"), LATER, gallery.partition)
    gallery.partition.erase("ursula", [(template_id, version) for _, template_id, version in removed])
    assert [name for name, _ in gallery.shard.of("ursula", None)] == [otto]
    assert gallery.partition.undelivered() == []


def test_the_answer_counts_templates_and_not_their_versions() -> None:
    gallery, _, _ = gallery_of_two()
    request = erasure("anna")
    done = answer(request, "match", templates_to_erase(request, LATER, gallery.partition), gallery.partition)
    assert (done.erasure_id, done.stage, done.removed) == (request.erasure_id, "match", {"templates": 1})


@pytest.mark.parametrize(
    ("subject_id", "late_ms", "covered"),
    [("anna", 1, True), (None, 1, True), ("otto", 1, False), ("anna", -1, False), (None, -1, False)],
    ids=["subject", "user", "another subject", "subject, before", "user, before"],
)
def test_an_erasure_covers_what_was_produced_before_it(subject_id: str | None, late_ms: int, covered: bool) -> None:
    upload, erased = Gallery().upload("anna", 0), Erasures()
    erased.add(erasure(subject_id), round(upload.timings.produced_at.timestamp() * 1000) + late_ms)
    refusal = refusal_of_erased(upload, erased)
    assert (refusal is not None and refusal.reason == Reason.ERASED) is covered


def test_the_bytes_of_a_photo_are_remembered_though_the_worker_ends_before_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Gallery()
    made.send(upload := made.upload("anna", 0, digest="ab"))
    known = Erasures()

    async def deliver(_: object, topic: str, messages: Sequence[tuple[bytes, bytes | None, int]]) -> None:
        for one in (codec.decode(value, Erasure) for _, value, _ in messages if topic == "erasures"):
            if one.stage is not None and made.table:
                raise KafkaConnectionError  # the template is gone, and the answer is not there
            known.add(one, 1000 * round(LATER.timestamp()))

    async def of(_: object) -> dict[int, GalleryPartition]:
        return {0: made.partition}

    async def write(_: object) -> None:
        pass  # the table is left until the first attempt has failed

    monkeypatch.setattr(agent, "deliver", deliver)
    match = SimpleNamespace(
        _app=None, _settings=None, _chips="chips", _erasures="erasures", _erased=Erasures(), _partitions=1
    )
    match._shards = SimpleNamespace(of=of, write=write)
    asked = replace(erasure("anna"), photo=ErasedPhoto([upload.event_id]))
    at_ms = 1000 * round(LATER.timestamp())
    message = Message(TopicPartition("erasures", 0), 0, at_ms, b"ursula", codec.encode(asked))
    with pytest.raises(KafkaConnectionError):
        asyncio.run(agent.Matcher._erase(cast(agent.Matcher, match), message))
    made.table.clear()
    asyncio.run(agent.Matcher._erase(cast(agent.Matcher, match), message))
    assert refusal_of_erased(made.upload("another upload of it", 0, digest="ab"), known) is not None
