"""The role embed: uploads and frames in, embeddings out. Stateless and heavy."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

import faust
import tenacity

from models.analysis import chips as faces
from models.analysis.face_analysis import Analysis, FaceAnalyzer
from models.embedder.registry_snapshot import ModelSelection
from schemas import codec
from schemas.events import (
    Chip,
    DeadLetter,
    Embedding,
    Frame,
    FrameOrigin,
    Picture,
    Refusal,
    Source,
    Timings,
    Upload,
    UploadOrigin,
    utc_now,
)
from schemas.reasons import Reason
from streams.dead_letters.records import dead_letter
from streams.embedding.payload import PayloadUnavailable, check_roots, fetch
from streams.engine.faust_producer import Outgoing, deliver, partition_of, rejecter, send_dead_letters
from streams.engine.stage import Stage
from streams.kafka.decoding import InvalidMessage, read
from streams.kafka.log_ends import LogEnds
from streams.kafka.messages import Message
from streams.kafka.topics import Topic
from streams.model_registry.model_pool import ModelPool
from streams.observability import metrics
from streams.privacy import consent as consents
from streams.settings import Settings

STAGE = "embed"
_FETCHES = 8
"""Pictures that are read at the same time where events name addresses."""
_FETCH_S = 10.0
"""How long a store that is away is tried again before its pictures are refused; live events wait behind them."""


@dataclass(frozen=True, slots=True)
class _Work:
    """One upload or frame of a batch, and its picture or why there is none."""

    message: Message
    event: Upload | Frame
    picture: bytes | Refusal


class Embed:
    """Turns micro-batches of uploads and frames into embeddings by the model versions that a crew has loaded."""

    def __init__(self, app: faust.App, settings: Settings, analyzer: FaceAnalyzer, model_pool: ModelPool) -> None:
        check_roots(settings)
        self._app = app
        self._settings = settings
        self._analyzer = analyzer
        self._model_pool = model_pool
        self._uploads = Topic.UPLOADS.named(settings)
        self._out = Topic.EMBEDDINGS.named(settings)
        self._chips = Topic.CHIPS.named(settings)
        # One thread: the analyzer spreads a batch over the cores by itself, and Kafka's heartbeats keep the loop.
        self._compute = ThreadPoolExecutor(1, "embed")
        self._fetchers = ThreadPoolExecutor(_FETCHES, "fetch")
        self.stage = Stage(
            app,
            [self._uploads, Topic.FRAMES.named(settings)],
            self.process,
            rejecter(app, settings, STAGE),
            LogEnds(settings),
            role=STAGE,
            batch_size=settings.batch_size,
            batch_wait_ms=settings.batch_wait_ms,
            commit_interval_s=settings.commit_interval_s,
        )

    async def process(self, batch: Sequence[Message]) -> None:
        """Embed a batch and deliver its embeddings and dead letters."""
        received_at = utc_now()
        loop = asyncio.get_running_loop()
        embeddings, chips, letters = await loop.run_in_executor(self._compute, self._embed, batch, received_at)
        with metrics.timed(STAGE, "deliver"):
            await send_dead_letters(self._app, self._settings, letters)
            await deliver(self._app, self._chips, chips)
            await deliver(self._app, self._out, [(e.user_id.encode(), codec.encode(e), None) for e in embeddings])
        for embedding in embeddings:
            if embedding.replay_id is None:
                _observe(embedding.timings)

    def _embed(
        self, batch: Sequence[Message], received_at: datetime
    ) -> tuple[list[Embedding], list[Outgoing], list[DeadLetter]]:
        letters: list[DeadLetter] = []
        read_events: list[tuple[Message, Upload | Frame]] = []
        for message in batch:
            try:
                event = read(message, Upload) if message.source.topic == self._uploads else read(message, Frame)
            except InvalidMessage as error:
                letters.append(dead_letter(message, STAGE, error))
            else:
                read_events.append((message, event))
        # Side by side, or a store that is away would hold up a batch for as many times its patience as it has pictures.
        pictures = self._fetchers.map(lambda one: self._picture(one[1], one[1].produced_at or received_at), read_events)
        work = [_Work(*one, picture) for one, picture in zip(read_events, pictures, strict=True)]
        asked = [self._asked(item.event) for item in work]
        analyses = self._analyzer.analyze(
            [item.picture for item in work],
            enrolment=[isinstance(item.event, Upload) for item in work],
            versions=[one.versions for one in asked],
        )
        parts = zip(work, analyses, asked, strict=True)
        embeddings = [self._embedding(item, analysis, one, received_at) for item, analysis, one in parts]
        looked_at = zip(work, analyses, embeddings, strict=True)
        chips = [chip for item, a, e in looked_at if (chip := self._chip(item, a, e)) is not None]
        return embeddings, chips, letters

    def _asked(self, event: Upload | Frame) -> ModelSelection:
        if isinstance(event, Upload):
            return self._model_pool.of_upload(event.user_id)
        return self._model_pool.of_frame(event.user_id)

    def _chip(self, work: _Work, analysis: Analysis, embedding: Embedding) -> Outgoing | None:
        """The face of an upload to learn from; None where nobody agreed to that, or none is there."""
        event, origin = work.event, embedding.origin
        if not isinstance(event, Upload) or not event.consent.training or not isinstance(origin, UploadOrigin):
            return None
        at = embedding.timings.produced_at
        if analysis.refusal is not None or consents.refusal(event.consent, at, self._settings.max_clock_ahead_s):
            return None
        aligned = analysis.chips[0] if analysis.chips else None
        if aligned is None or not consents.may_keep(event.consent, event.replay_id, event.corrects):
            return None
        chip = Chip(
            event_id=event.event_id,
            user_id=event.user_id,
            subject_id=event.subject_id,
            jpeg=faces.encode(aligned),
            model_version=embedding.model_version,
            quality=analysis.faces[0].quality,
            consent=event.consent,
            source=embedding.source,
            uploaded_at=at,
        )
        # Where match will be that may have to remove it; elsewhere only if the key is another spelling of the user.
        own = work.message.key == event.user_id.encode()
        count = self._app.conf.topic_partitions
        partition = work.message.source.partition if own else partition_of(event.user_id, count)
        return event.event_id.encode(), codec.encode(chip), partition

    def _picture(self, event: Upload | Frame, now: datetime) -> bytes | Refusal:
        """The picture, or why it is refused; ``now`` is when the event first came, so that a replay decides alike."""
        at = event.created_at if isinstance(event, Upload) else event.captured_at
        oldest = now - timedelta(days=self._settings.max_event_age_days)
        newest = now + timedelta(seconds=self._settings.max_clock_ahead_s)
        if not oldest <= at <= newest:
            return Refusal(
                Reason.IMPLAUSIBLE_TIME, f"the event says {at:%Y-%m-%d %H:%M} UTC: set the clock of its maker"
            )
        try:
            return _patient_fetch(event.picture, self._settings)
        except PayloadUnavailable as error:
            return Refusal(Reason.URI_UNREADABLE, f"its store did not answer for {_FETCH_S:g} s: {error}")

    def _embedding(self, work: _Work, analysis: Analysis, asked: ModelSelection, received_at: datetime) -> Embedding:
        message, event = work.message, work.event
        return Embedding(
            event_id=event.event_id,
            user_id=event.user_id,
            origin=UploadOrigin(event.subject_id, event.created_at, event.consent, _digest(work.picture))
            if isinstance(event, Upload)
            else FrameOrigin(event.camera_id, event.sequence, event.captured_at, event.mode, event.subject_id),
            source=event.source or Source(message.source.topic, message.source.partition, message.offset),
            model_version=asked.answer,
            shadows=list(asked.shadows),
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


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(PayloadUnavailable),
    wait=tenacity.wait_exponential(multiplier=0.2, max=2.0),
    stop=tenacity.stop_after_delay(_FETCH_S),
    reraise=True,
)
def _patient_fetch(picture: Picture, settings: Settings) -> bytes | Refusal:
    return fetch(picture, settings)


def _digest(picture: bytes | Refusal) -> str | None:
    return None if isinstance(picture, Refusal) else sha256(picture).hexdigest()


def _observe(timings: Timings) -> None:
    metrics.observe(STAGE, "wait", (timings.received_at - timings.produced_at).total_seconds())
    metrics.observe(STAGE, "decode", timings.decode_ms / 1000)
    metrics.observe(STAGE, "detect", timings.detect_ms / 1000)
    metrics.observe(STAGE, "align", timings.align_ms / 1000)
    metrics.observe(STAGE, "embed", timings.embed_ms / 1000)
