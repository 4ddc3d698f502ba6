"""``facestream feedback`` on real services, and what a training set makes of it."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import timedelta
from pathlib import Path

import confluent_kafka
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from infra.services import LocalServices
from models.analysis import chips
from models.analysis.aligner import Aligner
from models.embedder.card import Card
from models.embedder.references import FAST
from models.training.samples import Correction
from schemas import codec
from schemas.clock import utc_now
from schemas.ids import new_event_id
from schemas.ingest import Consent
from schemas.learning import Chip, Statement
from schemas.partition import TopicPartition
from schemas.parts import Decision, Source
from schemas.results import Match
from sinks.base import Delivery, Position
from sinks.bigquery import Address, BigQuerySink, apply
from sinks.redis import RedisSink
from streams.client.producer import Producer
from streams.feedback.errors import FeedbackRefused
from streams.feedback.store import read_feedback
from streams.feedback.submit import submit
from streams.kafka.connection import admin_client, client_config
from streams.kafka.topic_admin import create
from streams.kafka.topics import Topic
from streams.settings import Settings
from streams.training_data.training_set import read_training_set
from tests.sinks.examples import QUALITY, face, match
from tests.streams.cli.conftest import Ended, environment, run

GEOMETRY = Card.read(FAST).chip
LANDMARKS = [140.0, 100.0, 118.0, 101.0, 62.0, 100.0, 84.0, 101.0, 101.0, 146.0]


@dataclasses.dataclass(frozen=True)
class Scene:
    """Topics, keys and tables of its own, and a command line on them."""

    settings: Settings
    folder: Path

    def __call__(self, *arguments: object, code: int = 0) -> Ended:
        values = self.settings.model_dump(mode="json", exclude_unset=True)
        variables = environment(**{f"FACESTREAM_{name.upper()}": str(value) for name, value in values.items()})
        ended = run(("feedback", *arguments), variables, self.folder)
        assert ended.code == code, ended.err
        return ended

    @property
    def dataset(self) -> Address:
        now = self.settings
        return Address(now.bigquery_project, now.bigquery_dataset, now.bigquery_rest, now.bigquery_grpc)

    def frame(self) -> tuple[Match, NDArray[np.uint8]]:
        """A frame on its topic, and the match of its one face; the picture as it is."""
        picture = np.random.default_rng(5).integers(0, 255, (200, 200, 3), np.uint8)
        _, png = cv2.imencode(".png", picture[..., ::-1])
        with Producer(self.settings) as producer:
            sent = producer.frame("ursula", png.tobytes(), camera_id="door")
            at = sent.result(20)
        source = Source(at.topic, at.partition, at.offset)
        seen = dataclasses.replace(face(), landmarks=LANDMARKS)
        return match(event_id=sent.event_id, source=source, faces=[seen]), picture

    def in_redis(self, answer: Match) -> Match:
        now = self.settings
        sink = RedisSink(now.redis_url, now.redis_prefix)
        partition = TopicPartition(Topic.MATCHES.named(now), 0)
        sink.assign([Position(partition, 0, "")])
        sink.write([Delivery(partition, 0, answer)])
        sink.close()
        return answer

    def on_chips(self, subject: str, **consent: object) -> None:
        now = utc_now()
        agreed = dataclasses.replace(Consent("tests", now, training=True), **consent)  # type: ignore[arg-type]
        jpeg = chips.encode(np.zeros((150, 150, 3), np.uint8))
        chip = Chip(new_event_id(), "ursula", subject, jpeg, "some", QUALITY, agreed, Source("uploads", 0, 1), now)
        self.produce(Topic.CHIPS, chip.event_id, codec.encode(chip))

    def produce(self, topic: Topic, key: str, value: bytes) -> None:
        producer = confluent_kafka.Producer(client_config(self.settings))
        producer.produce(topic.named(self.settings), value, key)
        assert producer.flush(20) == 0


@pytest.fixture
def scene(services: LocalServices, tmp_path: Path) -> Scene:
    name = f"feedback-{uuid.uuid4().hex[:8]}"
    settings = Settings(
        **services.addresses.settings(),
        home=tmp_path,
        topic_prefix=f"{name}.",
        redis_prefix=f"{name}:",
        bigquery_dataset=name.replace("-", "_"),
        partitions=2,
    )
    create(admin_client(settings), settings)
    return Scene(settings, tmp_path)


def said(scene: Scene) -> int:
    return sum(read_feedback(scene.settings).ends.values())


def test_the_last_that_was_said_counts_and_the_same_again_changes_nothing(scene: Scene) -> None:
    seen = scene.in_redis(scene.frame()[0])
    first = scene(seen.event_id, "--subject", "anna", "--json").json
    assert (first["user_id"], first["face"], first["statement"], first["is_new"]) == ("ursula", 0, "is", True)
    again = scene(seen.event_id, "--subject", "anna", "--user", "ursula", "--json").json
    assert again == first | {"is_new": False}
    assert said(scene) == 1
    assert scene(seen.event_id, "--not", "anna", "--json").json["replaces"] == first["feedback_id"]
    (last,) = read_feedback(scene.settings).last.values()
    assert (last.statement, last.matched_subject_id, last.source) == ("is_not", "anna", seen.source)
    assert "is not of the user 'otto'" in scene(seen.event_id, "--not", "anna", "--user", "otto", code=1).err
    assert "give either --subject or --not" in scene(seen.event_id, code=2).err
    assert said(scene) == 2


def test_a_match_is_found_where_it_still_is(scene: Scene) -> None:
    dataset = scene.dataset
    apply(dataset.rest_client(), dataset.dataset_id)
    tabled, kept = match(), match()
    topic = Topic.MATCHES.named(scene.settings)
    sink = BigQuerySink(dataset, {topic: Match})
    partition = TopicPartition(topic, 0)
    sink.assign([Position(partition, 0, "")])
    sink.write([Delivery(partition, 0, tabled)])
    sink.close()
    beside = dataclasses.replace(kept, replay_id="r1", faces=[face(Decision.UNKNOWN, None)])
    for one in (kept, beside):
        scene.produce(Topic.MATCHES, one.user_id, codec.encode(one))
    for seen in (tabled, kept):
        made = submit(scene.settings, seen.event_id, Statement.IS_NOT, "anna").feedback
        assert (made.matched_subject_id, made.source) == ("anna", seen.source)
    with pytest.raises(FeedbackRefused, match="there is no match of the event"):
        submit(scene.settings, new_event_id(), Statement.IS_NOT, "anna")


def test_a_confirmed_face_is_learned_from_if_its_person_agrees(scene: Scene) -> None:
    seen, picture = scene.frame()
    scene.in_redis(seen)
    submit(scene.settings, seen.event_id, Statement.IS, "anna")
    scene.on_chips("anna")
    assert read_training_set(scene.settings, GEOMETRY).confirmed.samples == [], "nobody said that it may be"
    submit(scene.settings, seen.event_id, Statement.IS, "anna", training=True)
    read = read_training_set(scene.settings, GEOMETRY)
    (sample,) = read.confirmed.samples
    assert (sample.person, sample.event_id) == ("ursula/anna", f"{seen.event_id}/0")
    assert sample in read.samples
    wanted = Aligner(GEOMETRY).align(picture, np.array(LANDMARKS).reshape(5, 2))
    assert sample.chip == chips.encode(wanted), "the face, at its place in the frame"
    submit(scene.settings, seen.event_id, Statement.IS_NOT, "anna", training=True)
    (wrong,) = (corrected := read_training_set(scene.settings, GEOMETRY)).corrections
    assert corrected.confirmed.samples == []
    assert wrong == Correction(sample.event_id, "ursula", "anna", sample.chip)
    scene.on_chips("berta")
    submit(scene.settings, seen.event_id, Statement.IS, "berta", training=True)
    assert read_training_set(scene.settings, GEOMETRY).corrections == [dataclasses.replace(wrong, subject_id="berta")]
    assert read_training_set(scene.settings, GEOMETRY, read.until).samples == read.samples, "up to the same offsets"


def test_what_is_not_agreed_to_or_not_there_is_counted(scene: Scene) -> None:
    scene.on_chips("berta", expires_at=utc_now() - timedelta(seconds=1))
    scene.on_chips("anna")
    mine, _ = scene.frame()
    hers = scene.in_redis(dataclasses.replace(mine, faces=[face(subject_id="berta")]))
    gone = scene.in_redis(match(source=dataclasses.replace(mine.source, offset=99)))
    other = scene.in_redis(match(source=mine.source))
    for one, subject in ((hers, "berta"), (gone, "anna"), (other, "anna")):
        submit(scene.settings, one.event_id, Statement.IS, subject, training=True)
    found = read_training_set(scene.settings, GEOMETRY).confirmed
    assert (found.samples, found.without_consent, found.gone, found.corrections) == ([], 1, 2, [])
