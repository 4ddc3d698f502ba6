"""The role embed: uploads and frames in, embeddings out. Stateless and heavy."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import faust

from models.analysis.face_analysis import FaceAnalyzer
from schemas import codec
from schemas.clock import utc_now
from schemas.learning import Chip
from schemas.parts import Timings
from streams.embedding.batch import STAGE, BatchEmbedder, ModelSelector
from streams.embedding.payload import check_roots
from streams.engine.content_reader import ContentReader
from streams.engine.fair_order import FairOrder
from streams.engine.faust_producer import Outgoing, deliver, rejecter, send_dead_letters
from streams.engine.read_ahead import ReadAhead
from streams.engine.stage import Stage
from streams.kafka.messages import Message
from streams.kafka.offsets import AsyncOffsets
from streams.kafka.partitioner import partition_of
from streams.kafka.topics import Topic
from streams.observability import metrics
from streams.settings import Settings


class Embed:
    """Turns micro-batches of uploads and frames into embeddings, by the model versions that are loaded."""

    def __init__(self, app: faust.App, settings: Settings, analyzer: FaceAnalyzer, models: ModelSelector) -> None:
        check_roots(settings)
        self._app = app
        self._settings = settings
        self._embeddings = Topic.EMBEDDINGS.named(settings)
        self._chips = Topic.CHIPS.named(settings)
        self._embedder = BatchEmbedder(settings, analyzer, models)
        # One thread: the analyzer spreads a batch over the cores by itself, and Kafka's heartbeats need the event loop.
        self._compute = ThreadPoolExecutor(1, "embed")
        frames = Topic.FRAMES.named(settings)
        self.stage = Stage(
            app,
            FairOrder([Topic.UPLOADS.named(settings), frames], urgent_topics=[frames]),
            self.process,
            rejecter(app, settings, STAGE),
            AsyncOffsets(settings),
            ContentReader(settings),
            ReadAhead(app, settings),
            role=STAGE,
            batch_size=settings.batch_size,
            batch_wait_ms=settings.batch_wait_ms,
            commit_interval_s=settings.commit_interval_s,
        )

    async def process(self, batch: Sequence[Message]) -> None:
        """Embed a batch; deliver its dead letters, chips and embeddings."""
        received_at = utc_now()
        loop = asyncio.get_running_loop()
        done = await loop.run_in_executor(self._compute, self._embedder.embed, batch, received_at)
        with metrics.timed(STAGE, "deliver"):
            await send_dead_letters(self._app, self._settings, done.dead_letters)
            await deliver(self._app, self._chips, map(self._outgoing_chip, done.chips))
            embeddings = [(one.user_id.encode(), codec.encode(one), None) for one in done.embeddings]
            await deliver(self._app, self._embeddings, embeddings)
        for embedding in done.embeddings:
            if embedding.replay_id is None:
                _observe(embedding.timings)

    def _outgoing_chip(self, chip: Chip) -> Outgoing:
        """Sent to the partition in which match will find the template, and may have to remove both."""
        partition = partition_of(chip.user_id, self._app.conf.topic_partitions)
        return chip.event_id.encode(), codec.encode(chip), partition


def _observe(timings: Timings) -> None:
    metrics.observe(STAGE, "wait", (timings.received_at - timings.produced_at).total_seconds())
    metrics.observe(STAGE, "decode", timings.decode_ms / 1000)
    metrics.observe(STAGE, "detect", timings.detect_ms / 1000)
    metrics.observe(STAGE, "align", timings.align_ms / 1000)
    metrics.observe(STAGE, "embed", timings.embed_ms / 1000)
