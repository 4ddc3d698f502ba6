"""What the messages of a batch become: embeddings, chips and dead letters, without Kafka."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import numpy as np
import pytest

from models.analysis import chips
from models.analysis.face_analysis import Analysis
from models.embedder.registry_snapshot import ModelSelection
from models.testing.digest import CARD, DigestAnalyzer
from schemas import codec
from schemas.embeddings import Embedding, FrameOrigin, UploadOrigin
from schemas.ids import new_event_id
from schemas.ingest import Consent, Frame, Picture, Upload
from schemas.parts import Source
from schemas.reasons import Reason
from streams.embedding.batch import BatchEmbedder, EmbeddedBatch
from streams.kafka.messages import Message, TopicPartition
from streams.settings import Settings

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
AT_MS = 1000 * int(NOW.timestamp())
TRAINING = Consent("tests", NOW, training=True)


class Models:
    """Uploads and frames are embedded by different selections of versions."""

    uploads = ModelSelection(CARD.version, fallbacks=("new",))
    frames = ModelSelection(CARD.version, shadows=("shadow",))

    def of_upload(self, user_id: str) -> ModelSelection:
        return self.uploads

    def of_frame(self, user_id: str) -> ModelSelection:
        return self.frames


class AnalyzerWithChips(DigestAnalyzer):
    """Gives each face a chip and measures times, as the real one does."""

    def analyze(self, *arguments: Any, **options: Any) -> list[Analysis]:
        chip = np.full((4, 4, 3), 77, np.uint8)
        return [
            one if one.refusal else dataclasses.replace(one, chips=[chip], decode_ms=1.0, detect_ms=2.0, embed_ms=4.0)
            for one in super().analyze(*arguments, **options)
        ]


def upload(picture: bytes = b"portrait", **changes: Any) -> Upload:
    consent = changes.pop("consent", Consent("tests", NOW))
    event = Upload(new_event_id(), "ursula", "anna", NOW, Picture(data=picture), consent)
    return dataclasses.replace(event, **changes)


def frame(picture: bytes = b"scene", **changes: Any) -> Frame:
    return dataclasses.replace(Frame(new_event_id(), "ursula", "door", 7, NOW, Picture(data=picture)), **changes)


def message(event: Upload | Frame, offset: int = 3, key: bytes = b"ursula") -> Message:
    topic = "uploads" if isinstance(event, Upload) else "frames"
    return Message(TopicPartition(topic, 1), offset, AT_MS, key, codec.encode(event))


def embed(*messages: Message, **settings: Any) -> EmbeddedBatch:
    return BatchEmbedder(Settings(**settings), AnalyzerWithChips(), Models()).embed(messages, NOW)


def refusal_of(event: Upload | Frame, **settings: Any) -> str:
    [embedding] = embed(message(event), **settings).embeddings
    assert embedding.refusal is not None
    assert (embedding.event_id, embedding.faces) == (event.event_id, [])
    return embedding.refusal.reason


def test_an_upload_becomes_an_embedding_by_the_versions_for_uploads() -> None:
    event = upload()
    done = embed(message(event, offset=17))
    [embedding] = done.embeddings
    digest = sha256(b"portrait").hexdigest()
    assert embedding.origin == UploadOrigin("anna", NOW, event.consent, digest)
    assert (embedding.event_id, embedding.source) == (event.event_id, Source("uploads", 1, 17))
    assert (embedding.model_version, embedding.shadows, embedding.refusal) == (CARD.version, [], None)
    assert [other.model_version for other in embedding.faces[0].others] == ["new"]
    assert (done.chips, done.dead_letters) == ([], [])


def test_a_frame_becomes_an_embedding_by_the_versions_for_frames() -> None:
    event = frame()
    [embedding] = embed(message(event)).embeddings
    assert embedding.origin == FrameOrigin("door", 7, NOW, event.mode, None)
    assert (embedding.model_version, embedding.shadows) == (CARD.version, ["shadow"])


def test_the_timings_say_when_the_event_came_and_what_took_how_long() -> None:
    earlier = NOW - timedelta(hours=1)
    live, replayed = embed(
        message(frame()), message(frame(produced_at=earlier, source=Source("frames", 0, 5), replay_id="r"))
    ).embeddings
    assert (live.timings.produced_at, live.timings.received_at) == (NOW, NOW)
    assert (live.timings.decode_ms, live.timings.detect_ms, live.timings.embed_ms) == (1.0, 2.0, 4.0)
    assert (replayed.timings.produced_at, replayed.source, replayed.replay_id) == (earlier, Source("frames", 0, 5), "r")


def test_a_message_that_is_no_event_is_a_dead_letter_and_harms_no_other() -> None:
    good = message(frame())
    broken = dataclasses.replace(good, value=b"no event", offset=4)
    foreign = message(frame(), offset=5, key=b"another user")
    misplaced = dataclasses.replace(message(upload(), offset=6), source=good.source)
    done = embed(broken, good, foreign, misplaced)
    answered = [(one.event_id, one.refusal and one.refusal.reason) for one in done.embeddings]
    mismatch = Reason.KEY_MISMATCH
    assert answered == [(codec.event_id(foreign.value), mismatch), (codec.event_id(good.value), None)]
    assert [(one.offset, one.stage) for one in done.dead_letters] == [(4, "embed"), (5, "embed"), (6, "embed")]
    assert done.dead_letters[1].reason == Reason.KEY_MISMATCH


def bad(event: Upload | Frame, **changes: Any) -> Message:
    return dataclasses.replace(message(event), **changes)


@pytest.mark.parametrize("make", [upload, frame])
@pytest.mark.parametrize(
    ("reason", "spoil"),
    [
        (Reason.KEY_MISMATCH, lambda one: bad(one, key=b"another user")),
        (Reason.NO_KEY, lambda one: bad(one, key=None)),
        (
            Reason.INVALID_ID,
            lambda one: bad(hidden := dataclasses.replace(one, user_id="u\u200b"), key=hidden.user_id.encode()),
        ),
        (Reason.MALFORMED_EVENT, lambda one: bad(one, value=codec.encode(one)[:-4])),
    ],
)
def test_who_asked_is_told_that_the_message_is_a_dead_letter(
    make: Callable[[], Upload | Frame], reason: Reason, spoil: Callable[[Any], Message]
) -> None:
    event = make()
    spoilt = spoil(event)
    first, second = embed(spoilt), embed(spoilt)
    (letter,), (answer,) = first.dead_letters, first.embeddings
    assert answer.refusal is not None
    assert (letter.reason, answer.refusal.reason, answer.refusal.detail) == (reason, reason, letter.message)
    assert (answer.event_id, answer.faces, first.chips) == (event.event_id, [], [])
    assert answer.user_id.rstrip("\u200b") in ("ursula", "u")
    assert isinstance(answer.origin, UploadOrigin if isinstance(event, Upload) else FrameOrigin)
    assert codec.decode(codec.encode(answer), Embedding) == answer
    (again,) = second.embeddings
    assert (again.event_id, again.source) == (answer.event_id, answer.source), "a batch that comes again"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: bad(one, value=b"\xc3\x01unknown!" + codec.encode(one)[10:]),
        lambda one: bad(one, value=codec.encode(one)[:20]),
        lambda one: bad(one, value=codec.encode(one)[:-4], key=None),
        lambda one: bad(one, value=codec.encode(upload())),
    ],
    ids=["a later release may read it", "no id", "nobody's", "another kind of event"],
)
def test_otherwise_nobody_is_answered(spoil: Callable[[Any], Message]) -> None:
    done = embed(spoil(frame()))
    assert (len(done.dead_letters), done.embeddings) == (1, [])


def test_a_picture_that_cannot_be_used_is_a_refusal() -> None:
    assert refusal_of(upload(b"")) == Reason.EMPTY_PICTURE
    assert refusal_of(frame(b"x" * 101), max_picture_bytes=100) == Reason.PICTURE_TOO_LARGE
    assert refusal_of(dataclasses.replace(frame(), picture=Picture(uri="file:///etc/passwd"))) == Reason.URI_NOT_ALLOWED


@pytest.mark.parametrize("late", [timedelta(days=-366), timedelta(hours=2)], ids=["too old", "in the future"])
@pytest.mark.parametrize("made", [lambda at: upload(created_at=at), lambda at: frame(captured_at=at)])
def test_an_implausible_time_is_a_refusal(late: timedelta, made: Callable[[datetime], Upload | Frame]) -> None:
    assert refusal_of(made(NOW + late)) == Reason.IMPLAUSIBLE_TIME


def test_a_replay_judges_an_events_time_by_when_it_first_came() -> None:
    long_ago = NOW - timedelta(days=1000)
    [embedding] = embed(message(frame(captured_at=long_ago, produced_at=long_ago, replay_id="r"))).embeddings
    assert embedding.refusal is None
    assert refusal_of(frame(captured_at=NOW, produced_at=long_ago, replay_id="r")) == Reason.IMPLAUSIBLE_TIME


def test_a_live_frame_that_waited_too_long_is_shed_where_that_is_wanted() -> None:
    def refusals(**settings: Any) -> list[str | None]:
        events = [frame(), frame(replay_id="r"), upload()]
        waited = [dataclasses.replace(message(one), timestamp_ms=AT_MS - 6_000) for one in events]
        done = embed(*waited, message(frame()), **settings)
        return [one.refusal and one.refusal.reason for one in done.embeddings]

    assert refusals() == [None] * 4
    assert refusals(shed_frames_after_s=7) == [None] * 4
    assert refusals(shed_frames_after_s=5) == [Reason.OVERLOADED, None, None, None]


def test_who_agrees_to_training_gives_a_chip() -> None:
    event = upload(consent=TRAINING)
    source = message(event)
    [chip] = embed(source).chips
    assert (chip.event_id, chip.user_id, chip.subject_id, chip.consent) == (event.event_id, "ursula", "anna", TRAINING)
    assert (chip.model_version, chip.source, chip.uploaded_at) == (CARD.version, Source("uploads", 1, 3), NOW)
    face = chips.decode(chip.jpeg)
    assert face is not None
    assert face.shape == (4, 4, 3)


@pytest.mark.parametrize(
    "event",
    [
        upload(),
        upload(b"", consent=TRAINING),
        upload(consent=Consent("tests", NOW, NOW, training=True)),
        upload(consent=TRAINING, replay_id="r"),
        upload(consent=Consent("tests", NOW, NOW + timedelta(days=1), training=True), replay_id="r", corrects=True),
        frame(),
    ],
    ids=["no training", "no face", "consent ended", "replay", "correction after the consent's end", "frame"],
)
def test_otherwise_no_chip_is_kept(event: Upload | Frame) -> None:
    done = embed(message(event))
    assert (len(done.embeddings), done.chips) == (1, [])


def test_a_correcting_replay_makes_the_chip_again() -> None:
    assert len(embed(message(upload(consent=TRAINING, replay_id="r", corrects=True))).chips) == 1


def test_an_empty_batch() -> None:
    nothing: list[Embedding] = embed().embeddings
    assert nothing == []
