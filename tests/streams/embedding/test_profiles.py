"""A frame with a face seen from the side, from its message to the match that users read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import cast

import pytest
from PIL import Image

from infra.photos import sample_photos
from models.analysis.analyzer import Analyzer
from models.analysis.finder import FaceFinder
from models.embedder.model import Model
from models.embedder.references import FAST
from models.embedder.registry_snapshot import ModelSelection
from schemas import codec
from schemas.as_json import to_json
from schemas.embeddings import FrameOrigin
from schemas.ids import new_event_id
from schemas.ingest import Consent, Frame, Picture, Upload
from schemas.reasons import Reason
from schemas.results import Match
from streams.embedding.batch import BatchEmbedder
from streams.kafka.messages import Message, TopicPartition
from streams.matching.frame_decisions import FrameDecisions
from streams.matching.gallery_shard import GalleryShard
from streams.settings import Settings
from tests.models.analysis.side_views import from_the_side

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Models:
    """The reference model answers."""

    def __init__(self, version: str) -> None:
        self._selected = ModelSelection(version)

    def of_upload(self, user_id: str) -> ModelSelection:
        return self._selected

    def of_frame(self, user_id: str) -> ModelSelection:
        return self._selected


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load(FAST)


@pytest.fixture(scope="module")
def embedder(model: Model) -> Iterator[BatchEmbedder]:
    analyzer = Analyzer(model, threads=1)
    yield BatchEmbedder(Settings(), analyzer, Models(model.card.version))
    analyzer.close()


@pytest.fixture(scope="module")
def profile() -> Picture:
    with Image.open(sample_photos() / "obama2.jpg") as photo:
        pixels = from_the_side(FaceFinder(), photo.convert("RGB"), 80)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return Picture(data=file.getvalue())


def message(event: Upload | Frame) -> Message:
    topic = "uploads" if isinstance(event, Upload) else "frames"
    return Message(TopicPartition(topic, 0), 3, 1000 * int(NOW.timestamp()), b"ursula", codec.encode(event))


def test_a_frame_is_answered_with_where_the_face_is_and_why_it_has_no_name(
    embedder: BatchEmbedder, model: Model, profile: Picture
) -> None:
    frame = Frame(new_event_id(), "ursula", "door", 7, NOW, profile)
    [embedding] = embedder.embed([message(frame)], NOW).embeddings
    assert embedding.refusal is None
    decisions = FrameDecisions(Settings())
    origin = cast(FrameOrigin, embedding.origin)
    match, _ = decisions.decide(embedding, origin, GalleryShard(), [model.card], None)
    answer = to_json(codec.decode(codec.encode(match), Match))
    [face] = answer["faces"]
    assert (answer["refusal"], face["decision"], face["reason"]) == (None, "refused", "turned_away")
    assert (face["subject_id"], face["candidates"]) == (None, [])
    assert 180 < face["box"]["x"] < 468 - face["box"]["width"]
    assert abs(face["quality"]["yaw"]) > 60


def test_an_enrolment_photo_is_refused(embedder: BatchEmbedder, profile: Picture) -> None:
    upload = Upload(new_event_id(), "ursula", "anna", NOW, profile, Consent("tests", NOW))
    [embedding] = embedder.embed([message(upload)], NOW).embeddings
    assert embedding.refusal is not None
    assert embedding.refusal.reason == Reason.TURNED_AWAY
