"""The role match: embeddings in, enrolment outcomes and matches out. Holds the gallery shards of its partitions."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import faust

from models.embedder.card import Card
from schemas import codec
from schemas.events import DeadLetter, Embedding, Erasure, Reembedding, Refusal, UploadOrigin, utc_now
from schemas.reasons import Reason
from streams.dead_letters.records import dead_letter
from streams.engine.faust_app import table_options
from streams.engine.faust_producer import Outgoing, deliver, rejecter, send_dead_letters
from streams.engine.stage import Stage
from streams.kafka.commit_metadata import ShardSize
from streams.kafka.decoding import InvalidMessage, read
from streams.kafka.log_ends import LogEnds
from streams.kafka.messages import Message
from streams.kafka.topics import Topic
from streams.matching.changelog import TABLE
from streams.matching.enrolment import Enrolments, GalleryChange
from streams.matching.frame_decisions import FrameDecisions
from streams.matching.gallery_table import GalleryShard, GalleryTable, key_of, load, template_key
from streams.matching.other_spellings import MisplacedTemplate, as_embeddings, belongs_elsewhere, sent_on
from streams.model_registry.watcher import RegistryWatcher
from streams.observability import metrics
from streams.privacy.erasures import Erasures, NewErasures
from streams.settings import Settings

log = logging.getLogger(__name__)

STAGE = "match"
_LOAD_EVERY_S = 2.0
"""How often it is looked whether a shard is not loaded."""
_RETIRED_AT_ONCE = 1_000
"""Templates of a retired version that are removed with one batch."""

_Write = tuple[int, bytes, bytes | None]
"""Partition, key and value of a change of the table; None removes."""


class Matcher:
    """Enrols and matches the embeddings of its partitions.

    A frame is answered by the model version that embed asked for, or, while the user's templates of it are not
    complete, by the first of the other versions in the frame of which they are.
    """

    def __init__(self, app: faust.App, settings: Settings, cards: Iterable[Card], watcher: RegistryWatcher) -> None:
        """``cards`` are of versions that need no record on the topic ``models``."""
        self._app = app
        self._settings = settings
        self._cards = {card.version: card for card in cards}
        self._watcher = watcher
        self._comparisons = Topic.COMPARISONS.named(settings)
        self._matches = Topic.MATCHES.named(settings)
        self._enrolments = Topic.ENROLMENTS.named(settings)
        self._embeddings = Topic.EMBEDDINGS.named(settings)
        self._chips = Topic.CHIPS.named(settings)
        self._erasures = Topic.ERASURES.named(settings)
        self._answers = FrameDecisions(settings)
        self._erased = Erasures()
        self._new_erasures = NewErasures(settings)
        self._learned: set[int] = set()
        """Partitions of this assignment whose erasures have been read before their shard was."""
        app.on_partitions_assigned.connect(self._on_assigned)
        app.task(self._load_all)
        self._turn = asyncio.Lock()
        """Of whoever changes or loads shards: batches, and the loading of those for which no message comes."""
        table = app.Table(
            TABLE, key_type=bytes, value_type=bytes, options=table_options(), partitions=app.conf.topic_partitions
        )
        self._table = cast(GalleryTable, table)
        self._decided = Enrolments(settings, self._table, watcher, self._erased)
        self._shards: dict[int, tuple[int | None, GalleryShard]] = {}
        self.stage = Stage(
            app,
            [self._embeddings],
            self.process,
            rejecter(app, settings, STAGE),
            LogEnds(settings),
            role=STAGE,
            batch_size=8 * settings.batch_size,
            batch_wait_ms=0.0,
            commit_interval_s=settings.commit_interval_s,
            sizes=self.sizes,
            unordered_topics=[self._erasures],
        )

    def sizes(self) -> Mapping[int, ShardSize]:
        """What the shards in memory hold, by partition; from any thread."""
        return {partition: shard.size for partition, (_, shard) in dict(self._shards).items()}

    async def process(self, batch: Sequence[Message]) -> None:
        """Enrol, match and erase; deliver the gallery's changes, then the results."""
        async with self._turn:
            for erases, part in itertools.groupby(batch, lambda message: message.source.topic == self._erasures):
                if erases:
                    for message in part:
                        await self._erase(message)
                else:
                    await self._answer(list(part))

    async def _answer(self, batch: Sequence[Message]) -> None:
        writes: list[_Write] = []
        ended: list[Outgoing] = []
        results: dict[str, list[Outgoing]] = {self._matches: [], self._comparisons: [], self._enrolments: []}
        letters: list[DeadLetter] = []
        elsewhere: list[Outgoing] = []
        # The brokers' clocks too must say that a consent has ended: what is removed by a wrong one does not come back.
        newest = codec.from_micros(1000 * max(message.timestamp_ms for message in batch))
        now = min(utc_now(), newest + timedelta(seconds=self._settings.max_clock_ahead_s))
        for partition in {message.source.partition for message in batch}:
            shard = await self._shard(partition)
            undone = self._decided.undone(partition)  # of a try that failed
            ended += [(key[1].encode(), None, partition) for key, template in undone if template is None]
            writes += [(partition, key_of(*key), codec.encode(one) if one else None) for key, one in undone]
            expired = shard.expired(now)
            ended += [(template.template_id.encode(), None, partition) for template in expired]
            writes += [(partition, template_key(template), None) for template in expired]
            writes += self._retired(partition, shard)
        for message in batch:
            metrics.observe(STAGE, "wait", time.time() - message.timestamp_ms / 1000)
            partition = message.source.partition
            shard = self._shards[partition][1]
            try:
                event = read(message, Embedding, Reembedding)
                if belongs_elsewhere(message, event):
                    elsewhere.append(sent_on(event))
                    continue
                cards = await self._known(event)
            except InvalidMessage as error:
                letters.append(dead_letter(message, STAGE, error))
                continue
            with metrics.timed(STAGE, "match"):
                change = GalleryChange()
                if isinstance(event, Reembedding):
                    change = self._decided.again(event, partition, shard)
                elif isinstance(event.origin, UploadOrigin):
                    erased = self._erasure_of(event, event.origin.subject_id)
                    outcome, change = self._decided.enrol(event, event.origin, partition, shard, cards, erased)
                    results[self._enrolments].append((message.key, codec.encode(outcome), partition))
                else:
                    erased = self._erasure_of(event, event.origin.subject_id)
                    for topic, result in self._answers.of(event, event.origin, shard, cards, erased):
                        results[topic].append((message.key, codec.encode(result), partition))
                ended += [(event_id.encode(), None, partition) for event_id in change.chips]
                writes += [(partition, key_of(*one), None) for one in change.gone]
                writes += [(partition, template_key(template), codec.encode(template)) for template in change.kept]
        with metrics.timed(STAGE, "deliver"):
            # Whose consent has ended is not learned from either; said before the table forgets who that is.
            await deliver(self._app, self._chips, ended)
            await self._write(writes)
            for number in {message.source.partition for message in batch}:
                self._shards[number][1].forget_expired()
                self._decided.done(number)
            await deliver(self._app, self._embeddings, elsewhere)
            await send_dead_letters(self._app, self._settings, letters)
            for topic, messages in results.items():
                await deliver(self._app, topic, messages)

    async def _erase(self, message: Message) -> None:
        """Remove the templates that a request is about, with their chips; then say so, to the sinks too."""
        try:
            erasure = read(message, Erasure)
        except InvalidMessage as error:
            await send_dead_letters(self._app, self._settings, [dead_letter(message, STAGE, error)])
            return
        if erasure.stage is not None:
            return
        if belongs_elsewhere(message, erasure):
            await deliver(self._app, self._erasures, [sent_on(erasure)])
            return
        partition, at = message.source.partition, codec.from_micros(message.timestamp_ms * 1000)
        shard = await self._shard(partition)
        self._erased.add(erasure, message.timestamp_ms)
        gone = [
            (template_id, version)
            for template_id, version in shard.of(erasure.user_id, erasure.subject_id)
            if (known := self._table.template(partition, erasure.user_id, template_id, version)) is None
            or known.enrolled_at <= at
        ]
        template_ids = {template_id for template_id, _ in gone}
        await deliver(self._app, self._chips, [(one.encode(), None, partition) for one in template_ids])
        await self._write([(partition, key_of(erasure.user_id, *one), None) for one in gone])
        # Not before: what fails on the way is found again.
        shard.forget(erasure.user_id, gone)
        self._decided.forget(partition, erasure.user_id, gone)
        done = replace(erasure, stage=STAGE, removed={"templates": len(template_ids)})
        await deliver(self._app, self._erasures, [(message.key, codec.encode(done), partition)])

    async def _shard(self, partition: int) -> GalleryShard:
        """The shard in memory; read again from the local store when another worker has changed it meanwhile."""
        assigned = {tp.partition for tp in self._app.consumer.assignment()}
        self._shards = {number: shard for number, shard in self._shards.items() if number in assigned}
        written_to = self._table.written_to(partition)
        known = self._shards.get(partition)
        if known is None or known[0] != written_to:
            await self._learn_erasures(partition, assigned)
            shard, strays = await asyncio.to_thread(load, self._table, partition)
            self._decided.done(partition)
            self._shards[partition] = (written_to, shard)
            if strays:
                await self._send_on(partition, strays)
            return shard
        return known[1]

    async def _send_on(self, partition: int, strays: Sequence[MisplacedTemplate]) -> None:
        """Send templates to the partitions of their users, without the chips that lie here."""
        try:
            retired = self._watcher.registry.retired
            await deliver(self._app, self._embeddings, as_embeddings(strays, self._erased, retired))
            chips = {stray.template.template_id for stray in strays}
            await deliver(self._app, self._chips, [(one.encode(), None, partition) for one in chips])
            await self._write([(partition, stray.key, None) for stray in strays])
        except BaseException:
            del self._shards[partition]  # what is left is found again
            raise

    async def _load_all(self) -> None:
        """Load the shards of partitions to which nothing comes, too: a user's templates may have to go elsewhere."""
        while not self._app.should_stop:
            await asyncio.sleep(_LOAD_EVERY_S)
            assigned = self._app.consumer.assignment()
            for partition in sorted(tp.partition for tp in assigned if tp.topic == self._embeddings):
                if self._app.rebalancing or not cast(Any, self._app.tables).recovery.completed.is_set():
                    break
                if partition in self._shards:
                    continue
                try:
                    async with self._turn:
                        await self._shard(partition)
                except Exception as error:  # a broker is away, or the partition is gone: the next message tells
                    log.warning("the shard %d is not loaded yet: %r", partition, error)
                    break

    async def _learn_erasures(self, partition: int, assigned: Collection[int]) -> None:
        """Read what was asked for before this worker had the partition; at once for all that will be loaded."""
        if partition not in self._learned:
            new = {number for number in assigned if number not in self._shards} | {partition}
            self._erased.update(await asyncio.to_thread(self._new_erasures.of, new))
            self._learned |= new
        self._learned.discard(partition)

    async def _on_assigned(self, *_: object, **__: object) -> None:
        self._learned.clear()

    async def _write(self, writes: Sequence[_Write]) -> None:
        await self._table.write(writes)
        for partition in {partition for partition, _, _ in writes}:
            self._shards[partition] = (self._table.written_to(partition), self._shards[partition][1])

    async def _known(self, event: Embedding | Reembedding) -> list[Card]:
        """What the distances of an event's vectors mean, of the version that is to answer first.

        Raises:
            BadMessage: of one version nobody here knows, nor does the topic ``models``; or all have been retired.
            KafkaUnavailable: the topic cannot be read now.
        """
        versions = [event.model_version]
        if isinstance(event, Embedding):
            face = next((face for face in event.faces if face.others), None)
            versions += [one.model_version for one in face.others] if face else []
        if any(self._card(version) is None for version in versions):
            # Embed has heard of it, so it is on the topic.
            await asyncio.to_thread(self._watcher.catch_up)
        cards = [(version, self._card(version)) for version in versions]
        if unknown := [version for version, card in cards if card is None]:
            known = ", ".join(sorted({*self._cards, *self._watcher.cards}))
            raise InvalidMessage(
                Reason.UNKNOWN_MODEL,
                "UnknownModel",
                f"the vectors are of {unknown[0]!r} and this worker knows {known}: give embed and match the same "
                "FACESTREAM_MODEL_DIR, then replay the dead letters",
            )
        if self._watcher.registry.retired.issuperset(versions):
            raise InvalidMessage(
                Reason.UNKNOWN_MODEL,
                "RetiredModel",
                f"the vectors are of {versions[0]}, which has been retired: nobody has templates of it. Replay frame "
                "or upload; if the event is new, `facestream doctor` tells which embed worker lags behind",
            )
        return [card for _, card in cards if card is not None]

    def _card(self, version: str) -> Card | None:
        return self._cards.get(version) or self._watcher.cards.get(version)

    def _retired(self, partition: int, shard: GalleryShard) -> list[_Write]:
        """Remove some templates of versions that will not answer again."""
        writes: list[_Write] = []
        for version in self._watcher.registry.retired & set(shard.versions):
            for user_id, template_id in shard.some_of(version, _RETIRED_AT_ONCE):
                shard.discard(user_id, template_id, version)
                writes.append((partition, key_of(user_id, template_id, version), None))
        return writes

    def _erasure_of(self, embedding: Embedding, subject_id: str | None) -> Refusal | None:
        """That this was of somebody who has been erased since: it was under way then, or comes in a replay."""
        at_ms = round(embedding.timings.produced_at.timestamp() * 1000)
        subjects = () if subject_id is None else (subject_id,)
        covered = self._erased.covers(at_ms, embedding.user_id, subjects)
        return Refusal(Reason.ERASED, Reason.ERASED.description) if covered else None
