"""What an analysed picture becomes: an embedding, and the chip of a face that models may learn from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from models.analysis import chips
from models.analysis.face_analysis import Analysis
from models.embedder.registry_snapshot import ModelSelection
from schemas import codec
from schemas.clock import utc_now
from schemas.embeddings import Embedding, FrameOrigin, UploadOrigin
from schemas.ingest import Frame, Upload
from schemas.learning import Chip
from schemas.parts import Refusal, Source, Timings
from streams.kafka.messages import Message
from streams.privacy import consent as consents


@dataclass(frozen=True, slots=True)
class PictureEvent:
    """One upload or frame of a batch, with its picture or why there is none."""

    message: Message
    event: Upload | Frame
    picture: bytes | Refusal


def embedding_of(item: PictureEvent, analysis: Analysis, models: ModelSelection, received_at: datetime) -> Embedding:
    """The embedding of an upload or frame; a refused one has no faces and says why."""
    message, event = item.message, item.event
    return Embedding(
        event_id=event.event_id,
        user_id=event.user_id,
        origin=_origin(item),
        source=event.source or Source(message.source.topic, message.source.partition, message.offset),
        model_version=models.answer,
        shadows=list(models.shadows),
        width=analysis.width,
        height=analysis.height,
        timings=Timings(
            produced_at=event.produced_at or codec.from_micros(message.timestamp_ms * 1000),
            received_at=received_at,
            embedded_at=utc_now(),
            decode_ms=analysis.decode_ms,
            detect_ms=analysis.detect_ms,
            align_ms=analysis.align_ms,
            embed_ms=analysis.embed_ms,
        ),
        faces=analysis.faces,
        refusal=analysis.refusal,
        replay_id=event.replay_id,
        corrects=event.corrects,
    )


def chip_of(event: Upload | Frame, analysis: Analysis, embedding: Embedding, max_clock_ahead_s: float) -> Chip | None:
    """The face of an upload to learn from; None without a face, or without a valid consent to training."""
    if not isinstance(event, Upload) or not event.consent.training:
        return None
    at = embedding.timings.produced_at
    if analysis.refusal is not None or consents.refusal(event.consent, at, max_clock_ahead_s):
        return None
    aligned = analysis.chips[0] if analysis.chips else None
    if aligned is None or not consents.may_keep(event.consent, event.replay_id, event.corrects):
        return None
    return Chip(
        event_id=event.event_id,
        user_id=event.user_id,
        subject_id=event.subject_id,
        jpeg=chips.encode(aligned),
        model_version=embedding.model_version,
        quality=analysis.faces[0].quality,
        consent=event.consent,
        source=embedding.source,
        uploaded_at=at,
    )


def _origin(item: PictureEvent) -> UploadOrigin | FrameOrigin:
    event = item.event
    if isinstance(event, Frame):
        return FrameOrigin(event.camera_id, event.sequence, event.captured_at, event.mode, event.subject_id)
    digest = None if isinstance(item.picture, Refusal) else sha256(item.picture).hexdigest()
    return UploadOrigin(event.subject_id, event.created_at, event.consent, digest)
