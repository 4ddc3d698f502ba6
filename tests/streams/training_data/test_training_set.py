"""What is learned from: faces of people who agreed, the last of each upload, up to fixed offsets."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import timedelta

import confluent_kafka
import numpy as np
import pytest

from infra.photos import sample_photos
from infra.services import LocalServices
from models.analysis import chips
from models.analysis.aligner import Aligner
from models.analysis.finder import FaceFinder
from models.embedder.card import Card
from models.embedder.references import Reference
from models.pictures.decoder import Raster, decode
from models.training.samples import digest
from schemas import codec
from schemas.clock import utc_now
from schemas.ids import new_event_id
from schemas.ingest import Consent
from schemas.learning import Chip
from schemas.parts import Source
from streams.kafka.connection import admin_client, client_config
from streams.kafka.topic_admin import create
from streams.kafka.topics import Topic
from streams.settings import Settings
from streams.training_data.chip_store import read_kept_chips
from streams.training_data.training_set import read_chips
from tests.sinks.examples import QUALITY


@pytest.fixture
def settings(services: LocalServices) -> Settings:
    made = Settings(**services.addresses.settings(), topic_prefix=f"chips-{uuid.uuid4().hex[:8]}.", partitions=2)
    create(admin_client(made), made)
    return made


def chip(jpeg: bytes = b"face", **consent: object) -> Chip:
    now = utc_now()
    agreed = dataclasses.replace(Consent("tests", now, training=True), **consent)  # type: ignore[arg-type]
    return Chip(new_event_id(), "anna", "otto", jpeg, "some", QUALITY, agreed, Source("uploads", 0, 1), now)


def send(settings: Settings, *messages: tuple[bytes | None, bytes | None]) -> None:
    producer = confluent_kafka.Producer(client_config(settings))
    for key, value in messages:
        producer.produce(Topic.CHIPS.named(settings), value, key, partition=1)
    assert producer.flush(20) == 0


def message(one: Chip) -> tuple[bytes, bytes]:
    return one.event_id.encode(), codec.encode(one)


def test_the_last_of_each_upload_counts_and_what_was_withdrawn_does_not(settings: Settings) -> None:
    kept, withdrawn, again = chip(), chip(), chip(b"first")
    send(settings, message(kept), message(withdrawn), message(again))
    send(settings, (withdrawn.event_id.encode(), None), message(dataclasses.replace(again, jpeg=b"second")))
    read = read_chips(settings)
    assert {one.event_id: one.chip for one in read.samples} == {kept.event_id: b"face", again.event_id: b"second"}
    assert read.samples[0].person == "anna/otto"
    assert read.ends == {1: 5}


def test_faces_without_a_valid_consent_and_rubbish_are_left_out(settings: Settings) -> None:
    ended = chip(expires_at=utc_now() - timedelta(seconds=1))
    other = chip()
    send(settings, message(ended), message(chip(training=False)), (b"key", b"rubbish"))
    send(settings, (b"another", codec.encode(other)), message(chip(expires_at=utc_now() + timedelta(hours=1))))
    read = read_chips(settings)
    assert len(read.samples) == 1
    assert (read.ended, read.unreadable) == (1, 3)


def test_the_same_offsets_give_the_same_samples(settings: Settings) -> None:
    send(settings, *(message(chip(f"face {n}".encode())) for n in range(3)))
    first = read_chips(settings)
    send(settings, *(message(chip(f"face {n}".encode())) for n in range(3, 6)))
    again = read_chips(settings, first.ends)
    assert again == first
    assert digest(again.samples) == digest(first.samples)
    assert len(read_chips(settings).samples) == 6


def test_whoever_was_erased_since_is_not_learned_from_at_the_same_offsets(settings: Settings) -> None:
    """As a training whose worker has died and that another takes over, hours later."""
    erased, stays = chip(b"erased"), chip(b"stays")
    send(settings, message(erased), message(stays))
    first = read_chips(settings)
    send(settings, (erased.event_id.encode(), None), message(chip(b"new")))
    again = read_chips(settings, first.ends)
    assert [one.event_id for one in again.samples] == [stays.event_id]
    assert again.ends == first.ends


def test_copies_of_a_face_are_learned_from_once(settings: Settings) -> None:
    """As a release that enrolled the same photo every night has kept them; of somebody else it is another face."""
    ended, first, second = chip(expires_at=utc_now()), chip(), chip()
    other = dataclasses.replace(chip(), subject_id="carla")
    send(settings, *map(message, (ended, first, second, other)))
    assert [one.event_id for one in read_chips(settings).samples] == [first.event_id, other.event_id]
    assert len(read_kept_chips(settings).of("anna", "otto")) == 3, "all of them can be removed"
    send(settings, (first.event_id.encode(), None))
    assert [one.event_id for one in read_chips(settings).samples] == [second.event_id, other.event_id]


def test_an_empty_topic_gives_nothing(settings: Settings) -> None:
    assert read_chips(settings).samples == []


def test_chips_of_another_model_are_cut_anew_for_the_one_that_is_trained(settings: Settings) -> None:
    fast, accurate = (Card.read(one.folder) for one in (Reference.FAST, Reference.ACCURATE))
    raster = decode((sample_photos() / "obama.jpg").read_bytes(), max_bytes=10**8, max_pixels=10**8)
    assert isinstance(raster, Raster)
    [face] = FaceFinder().find(raster.pixels)
    before = chips.encode(Aligner(fast.chip).align(raster.pixels, face.landmarks.points))
    noise = np.random.default_rng(0).integers(0, 256, (150, 150, 3)).astype(np.uint8)
    known, faceless = (
        dataclasses.replace(chip(jpeg), model_version=fast.version) for jpeg in (before, chips.encode(noise))
    )
    send(settings, message(known), message(faceless))
    read = read_chips(settings, None, accurate.chip)
    [sample] = read.samples
    pixels = chips.decode(sample.chip)
    assert pixels is not None and pixels.shape == (112, 112, 3)
    assert (sample.event_id, read.unreadable) == (known.event_id, 1)
    assert next(one.chip for one in read_chips(settings, None, fast.chip).samples) == before
