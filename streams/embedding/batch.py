"""From the messages of a batch to embeddings, chips and dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from models.analysis.face_analysis import FaceAnalyzer
from models.embedder.registry_snapshot import ModelSelection
from schemas.dead_letters import DeadLetter
from schemas.embeddings import Embedding
from schemas.ingest import Frame, Upload
from schemas.learning import Chip
from schemas.parts import Refusal
from schemas.reasons import Reason
from streams.dead_letters.records import dead_letter
from streams.embedding.pictures import read_picture
from streams.embedding.results import PictureEvent, chip_of, embedding_of
from streams.embedding.unprocessable import asked_by, refused
from streams.kafka.decoding import InvalidMessage, read
from streams.kafka.messages import Message
from streams.kafka.topics import Topic
from streams.observability import metrics
from streams.settings import Settings

STAGE = "embed"
_FETCHES = 8
"""Pictures that are read at the same time where events name addresses."""


class ModelSelector(Protocol):
    """Selects the model versions that embed a picture."""

    def of_upload(self, user_id: str) -> ModelSelection:
        """The versions for an upload."""

    def of_frame(self, user_id: str) -> ModelSelection:
        """The versions for a frame."""


@dataclass(frozen=True, slots=True)
class EmbeddedBatch:
    """What a batch comes to."""

    embeddings: list[Embedding] = field(default_factory=list)
    chips: list[Chip] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)


class BatchEmbedder:
    """Embeds micro-batches of uploads and frames."""

    def __init__(self, settings: Settings, analyzer: FaceAnalyzer, models: ModelSelector) -> None:
        self._settings = settings
        self._analyzer = analyzer
        self._models = models
        self._uploads = Topic.UPLOADS.named(settings)
        self._fetchers = ThreadPoolExecutor(_FETCHES, "fetch")

    def embed(self, batch: Sequence[Message], received_at: datetime) -> EmbeddedBatch:
        """Embed a batch. A message that is no event becomes a dead letter; a picture that is none, a refusal.

        A dead letter that is known to be an event which somebody asked about is answered with a refusal too.
        """
        done = EmbeddedBatch()
        items = self._read(batch, received_at, done)
        selections = [self._select(item.event) for item in items]
        analyses = self._analyzer.analyze(
            [item.picture for item in items],
            enrolment=[isinstance(item.event, Upload) for item in items],
            versions=[selection.versions for selection in selections],
        )
        for item, analysis, selection in zip(items, analyses, selections, strict=True):
            embedding = embedding_of(item, analysis, selection, received_at)
            done.embeddings.append(embedding)
            chip = chip_of(item.event, analysis, embedding, self._settings.max_clock_ahead_s)
            if chip is not None:
                done.chips.append(chip)
        return done

    def _read(self, batch: Sequence[Message], received_at: datetime, done: EmbeddedBatch) -> list[PictureEvent]:
        events: list[tuple[Message, Upload | Frame]] = []
        for message in batch:
            kind: type[Upload | Frame] = Upload if message.source.topic == self._uploads else Frame
            try:
                events.append((message, read(message, kind)))
            except InvalidMessage as error:
                done.dead_letters.append(dead_letter(message, STAGE, error))
                if (event := asked_by(message, kind, error)) is not None:
                    done.embeddings.append(refused(event, message, error, self._select(event), received_at))
        # In parallel: a store that is away holds up the batch once, not once for each of its pictures.
        pictures = self._fetchers.map(lambda one: self._picture(one[0], one[1], received_at), events)
        return [PictureEvent(*one, picture) for one, picture in zip(events, pictures, strict=True)]

    def _picture(self, message: Message, event: Upload | Frame, received_at: datetime) -> bytes | Refusal:
        """The picture of an event, unless it is a live frame that has waited for too long."""
        waited_s = received_at.timestamp() - message.timestamp_ms / 1000
        limit_s = self._settings.shed_frames_after_s
        if limit_s is not None and waited_s > limit_s and isinstance(event, Frame) and event.replay_id is None:
            metrics.SHED.inc()
            return Refusal(Reason.OVERLOADED, f"it waited {waited_s:.1f} s for its turn; the limit is {limit_s:g} s")
        return read_picture(event, event.produced_at or received_at, self._settings)

    def _select(self, event: Upload | Frame) -> ModelSelection:
        if isinstance(event, Upload):
            return self._models.of_upload(event.user_id)
        return self._models.of_frame(event.user_id)
