"""The role match: embeddings in, enrolment outcomes and matches out. Holds the gallery shards of its partitions.

Where searches over all users are allowed, it also answers probes, each for one shard.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import cast

import faust

from models.embedder.card import Card
from schemas import codec
from schemas.clock import utc_now
from schemas.embeddings import Embedding, FrameOrigin, Reembedding, TemplateBatch
from schemas.erasure import Erasure
from streams.dead_letters.records import dead_letter
from streams.engine.content_reader import ContentReader
from streams.engine.fair_order import FairOrder
from streams.engine.faust_app import table_options
from streams.engine.faust_producer import deliver, rejecter, send_dead_letters
from streams.engine.read_ahead import ReadAhead
from streams.engine.stage import Stage
from streams.kafka.commit_metadata import ShardSize
from streams.kafka.decoding import InvalidMessage, read
from streams.kafka.messages import Message, TopicPartition
from streams.kafka.offsets import AsyncOffsets
from streams.kafka.topics import Topic
from streams.matching.batch_outcome import BatchOutcome, removal, tombstone
from streams.matching.changelog import TABLE
from streams.matching.decisions import Decisions
from streams.matching.erasing import answer, template_ids, templates_to_erase, with_digests
from streams.matching.gallery_partition import GalleryPartition
from streams.matching.gallery_table import GalleryTable
from streams.matching.loaded_shards import LoadedShards
from streams.matching.model_cards import ModelCards, Registry
from streams.matching.other_spellings import belongs_elsewhere, sent_on
from streams.matching.searches import Probe, Searches
from streams.observability import metrics
from streams.privacy.erasures import Erasures
from streams.settings import Settings

STAGE = "match"


class Matcher:
    """Enrols and matches the embeddings of its partitions, and erases templates.

    A frame is answered by the model version that embed selected. While the user's templates of that version are not
    complete, it is answered by the first of the other versions in the frame of which they are.
    """

    def __init__(self, app: faust.App, settings: Settings, cards: Iterable[Card], registry: Registry) -> None:
        """``cards`` are of versions that need no record on the topic ``models``."""
        self._app = app
        self._settings = settings
        self._embeddings = Topic.EMBEDDINGS.named(settings)
        self._chips = Topic.CHIPS.named(settings)
        self._erasures = Topic.ERASURES.named(settings)
        self._probes = Topic.PROBES.named(settings)
        self._erased = Erasures()
        self._models = ModelCards(cards, registry)
        self._partitions = int(app.conf.topic_partitions)
        self._searches = Searches(settings, self._partitions)
        self._decisions = Decisions(settings, self._models, self._erased, self._searches)
        self._offsets = AsyncOffsets(settings)
        table = app.Table(
            TABLE, key_type=bytes, value_type=bytes, options=table_options(), partitions=app.conf.topic_partitions
        )
        cast(GalleryTable, table).settings = settings
        self._shards = LoadedShards(app, settings, cast(GalleryTable, table), self._models, self._erased)
        self.stage = Stage(
            app,
            FairOrder(
                [self._embeddings],
                unordered_topics=[self._erasures],
                shared_topics=[self._probes] if settings.search_purposes else [],
            ),
            self.process,
            rejecter(app, settings, STAGE),
            self._offsets,
            ContentReader(settings),
            ReadAhead(app, settings),
            role=STAGE,
            batch_size=8 * settings.batch_size,
            batch_wait_ms=0.0,
            commit_interval_s=settings.commit_interval_s,
            sizes=self.sizes,
        )

    def sizes(self) -> Mapping[int, ShardSize]:
        """The sizes of the shards in memory, by partition; from any thread."""
        return self._shards.sizes()

    async def process(self, batch: Sequence[Message]) -> None:
        """Enrol, match, search and erase; deliver the gallery's changes, then the results."""
        async with self._shards.lock:
            for topic, part in itertools.groupby(batch, lambda message: message.source.topic):
                if topic == self._erasures:
                    for message in part:
                        await self._erase(message)
                elif topic == self._probes:
                    await self._search(list(part))
                else:
                    await self._answer(list(part))

    async def _answer(self, batch: Sequence[Message]) -> None:
        """Decide about embeddings, and deliver what comes of all of them."""
        galleries, outcome = await self._cleaned(batch)
        for message in batch:
            metrics.observe(STAGE, "wait", time.time() - message.timestamp_ms / 1000)
            try:
                event = read(message, Embedding, Reembedding, TemplateBatch)
                if belongs_elsewhere(message, event, self._partitions):
                    outcome.misplaced.append(sent_on(event, self._partitions))
                    continue
                cards = await self._models.of(event)
                with metrics.timed(STAGE, "match"):
                    self._decisions.decide(message, event, galleries[message.source.partition], cards, outcome)
            except InvalidMessage as error:
                outcome.dead_letters.append(dead_letter(message, STAGE, error))
                continue
            if isinstance(event, TemplateBatch):
                await asyncio.sleep(0)  # it takes as long as dozens of others
        await self._deliver(outcome, galleries)

    async def _search(self, batch: Sequence[Message]) -> None:
        """Answer probes from the shards that they ask, and deliver the parts."""
        galleries, outcome = await self._cleaned(batch)
        probes = []
        for message in batch:
            try:
                embedding = read(message, Embedding)
                cards = await self._models.of(embedding)
            except InvalidMessage as error:
                outcome.dead_letters.append(dead_letter(message, STAGE, error))
                continue
            if isinstance(embedding.origin, FrameOrigin):
                probes.append(Probe(message, embedding, embedding.origin, cards[0]))
        with metrics.timed(STAGE, "search"):
            parts = self._searches.parts(probes, {n: one.shard.searchable for n, one in galleries.items()})
        await self._deliver(outcome, galleries)
        await deliver(self._app, Topic.SEARCH_PARTS.named(self._settings), parts)

    async def _cleaned(self, batch: Sequence[Message]) -> tuple[Mapping[int, GalleryPartition], BatchOutcome]:
        """The shards of a batch without what has expired or was retired, and an outcome that says so."""
        galleries = await self._shards.of({message.source.partition for message in batch})
        outcome = BatchOutcome()
        # A template is removed for good, so the brokers' clocks too must say that its consent has ended.
        newest = codec.from_micros(1000 * max(message.timestamp_ms for message in batch))
        now = min(utc_now(), newest + timedelta(seconds=self._settings.max_clock_ahead_s))
        for gallery in galleries.values():
            outcome.clean(gallery, now, self._models.retired)
        return galleries, outcome

    async def _deliver(self, outcome: BatchOutcome, galleries: Mapping[int, GalleryPartition]) -> None:
        """Deliver the changes of the shards, then what is to be sent."""
        with metrics.timed(STAGE, "deliver"):
            # The tombstones of chips go first: once the table has lost an expired template, nothing tells of its chip.
            await deliver(self._app, self._chips, outcome.chips)
            await self._shards.write(outcome.writes)
            for gallery in galleries.values():
                gallery.delivered()
            await deliver(self._app, self._embeddings, outcome.misplaced)
            await deliver(self._app, self._probes, outcome.probes)
            await send_dead_letters(self._app, self._settings, outcome.dead_letters)
            for topic in (Topic.MATCHES, Topic.COMPARISONS, Topic.ENROLMENTS):
                await deliver(self._app, topic.named(self._settings), outcome.results[topic])

    async def _erase(self, message: Message) -> None:
        """Remove the templates that a request is about, with their chips; then publish that it is done."""
        try:
            erasure = read(message, Erasure)
        except InvalidMessage as error:
            await send_dead_letters(self._app, self._settings, [dead_letter(message, STAGE, error)])
            return
        if erasure.stage is not None:
            return
        if belongs_elsewhere(message, erasure, self._partitions):
            await deliver(self._app, self._erasures, [sent_on(erasure, self._partitions)])
            return
        partition = message.source.partition
        gallery = (await self._shards.of([partition]))[partition]
        removed = templates_to_erase(erasure, codec.from_micros(message.timestamp_ms * 1000), gallery)
        asked, erasure = erasure, with_digests(erasure, removed, gallery)
        if erasure != asked:
            # Asked for anew, with what is known: whoever repeats this after an end of the worker finds no digest.
            await deliver(self._app, self._erasures, [(message.key, codec.encode(erasure), partition)])
        self._erased.add(erasure, message.timestamp_ms)
        await deliver(self._app, self._chips, [tombstone(one, partition) for one in template_ids(removed)])
        await self._shards.write([removal(partition, key) for key in removed])
        # Only now: an attempt that failed half-way has to find them again.
        gallery.erase(erasure.user_id, [(template_id, version) for _, template_id, version in removed])
        done = answer(erasure, STAGE, removed, gallery)
        if erasure.photo is None and await self._was_ever_searched(partition):
            copy = codec.encode(replace(done, in_searches=True))
            await deliver(self._app, self._erasures, [(message.key, copy, n) for n in range(self._partitions)])
        await deliver(self._app, self._erasures, [(message.key, codec.encode(done), partition)])
        metrics.ERASURES.labels(STAGE).inc()

    async def _was_ever_searched(self, partition: int) -> bool:
        """Whether answers to searches may name somebody: every partition has had every probe.

        Raises:
            KafkaError: the brokers do not answer; ask again.
        """
        probes = TopicPartition(self._probes, partition)
        return (await self._offsets.next_offsets({probes}))[probes] > 0
