"""The role match: embeddings in, enrolment outcomes and matches out. Holds the gallery shards of its partitions."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import cast

import faust

from models.card import Card
from schemas import codec
from schemas.events import (
    DeadLetter,
    Embedding,
    Enrolment,
    Erasure,
    Outcome,
    Reembedding,
    Refusal,
    Source,
    Template,
    UploadOrigin,
    utc_now,
)
from schemas.reasons import Reason
from streams import consent as consents
from streams import metrics
from streams.app import table_options
from streams.changelog import TABLE
from streams.commits import Size
from streams.dead_letters import dead_letter
from streams.delivery import Outgoing, deliver, rejecter, send_dead_letters
from streams.erasure.log import Erasures, NewErasures
from streams.frame_answers import FrameAnswers
from streams.gallery_table import GalleryTable, Shard, key_of, load, template_key
from streams.inbox import BadMessage, read
from streams.log_ends import LogEnds
from streams.order import Message
from streams.rollout.follower import Follower
from streams.settings import Settings
from streams.stage import Stage
from streams.topics import Topic

STAGE = "match"
_RETIRED_AT_ONCE = 1_000
"""Templates of a retired version that are removed with one batch."""

_Write = tuple[int, bytes, bytes | None]
"""Partition, key and value of a change of the table; None removes."""


class Matcher:
    """Enrols and matches the embeddings of its partitions.

    A frame is answered by the model version that embed asked for, or, while the user's templates of it are not
    complete, by the first of the other versions in the frame of which they are.
    """

    def __init__(self, app: faust.App, settings: Settings, cards: Iterable[Card], follower: Follower) -> None:
        """``cards`` are of versions that need no record on the topic ``models``."""
        self._app = app
        self._settings = settings
        self._cards = {card.version: card for card in cards}
        self._follower = follower
        self._comparisons = Topic.COMPARISONS.named(settings)
        self._matches = Topic.MATCHES.named(settings)
        self._enrolments = Topic.ENROLMENTS.named(settings)
        self._chips = Topic.CHIPS.named(settings)
        self._erasures = Topic.ERASURES.named(settings)
        self._answers = FrameAnswers(settings)
        self._erased = Erasures()
        self._new_erasures = NewErasures(settings)
        self._learned: set[int] = set()
        """Partitions of this assignment whose erasures have been read before their shard was."""
        app.on_partitions_assigned.connect(self._on_assigned)
        self._made: dict[tuple[str, str], Source] = {}
        """Of templates that the batch in hand makes: user, id, and the upload's message."""
        table = app.Table(
            TABLE, key_type=bytes, value_type=bytes, options=table_options(), partitions=app.conf.topic_partitions
        )
        self._table = cast(GalleryTable, table)
        self._shards: dict[int, tuple[int | None, Shard]] = {}
        self.stage = Stage(
            app,
            [Topic.EMBEDDINGS.named(settings)],
            self.process,
            rejecter(app, settings, STAGE),
            LogEnds(settings),
            role=STAGE,
            batch_size=8 * settings.batch_size,
            batch_wait_ms=0.0,
            commit_interval_s=settings.commit_interval_s,
            sizes=self.sizes,
            aside=[self._erasures],
        )

    def sizes(self) -> Mapping[int, Size]:
        """What the shards in memory hold, by partition; from any thread."""
        return {partition: shard.size for partition, (_, shard) in dict(self._shards).items()}

    async def process(self, batch: Sequence[Message]) -> None:
        """Enrol, match and erase; deliver the gallery's changes, then the results."""
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
        self._made.clear()
        # The brokers' clocks too must say that a consent has ended: what is removed by a wrong one does not come back.
        newest = codec.from_micros(1000 * max(message.timestamp_ms for message in batch))
        now = min(utc_now(), newest + timedelta(seconds=self._settings.max_clock_ahead_s))
        for partition in {message.source.partition for message in batch}:
            shard = await self._shard(partition)
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
                cards = await self._known(event)
            except BadMessage as error:
                letters.append(dead_letter(message, STAGE, error))
                continue
            with metrics.timed(STAGE, "match"):
                if isinstance(event, Reembedding):
                    again = self._again(event, partition, shard)
                    templates = [] if again is None else [again]
                elif isinstance(event.origin, UploadOrigin):
                    outcome, templates = self._enrol(event, event.origin, partition, shard, cards)
                    if outcome.refusal is not None and outcome.refusal.reason == Reason.ERASED:
                        ended.append((event.event_id.encode(), None, partition))
                    results[self._enrolments].append((message.key, codec.encode(outcome), partition))
                else:
                    templates = []
                    erased = self._erasure_of(event, event.origin.subject_id)
                    for topic, result in self._answers.of(event, event.origin, shard, cards, erased):
                        results[topic].append((message.key, codec.encode(result), partition))
                writes += [(partition, template_key(template), codec.encode(template)) for template in templates]
        with metrics.timed(STAGE, "deliver"):
            # Whose consent has ended is not learned from either; said before the table forgets who that is.
            await deliver(self._app, self._chips, ended)
            await self._write(writes)
            for number in {number for _, _, number in ended if number is not None}:
                self._shards[number][1].forget_expired()
            await send_dead_letters(self._app, self._settings, letters)
            for topic, messages in results.items():
                await deliver(self._app, topic, messages)

    async def _erase(self, message: Message) -> None:
        """Remove the templates that a request is about, with their chips; then say so, to the sinks too."""
        try:
            erasure = read(message, Erasure)
        except BadMessage as error:
            await send_dead_letters(self._app, self._settings, [dead_letter(message, STAGE, error)])
            return
        if erasure.stage is not None:
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
        done = replace(erasure, stage=STAGE, removed={"templates": len(template_ids)})
        await deliver(self._app, self._erasures, [(message.key, codec.encode(done), partition)])

    async def _shard(self, partition: int) -> Shard:
        """The shard in memory; read again from the local store when another worker has changed it meanwhile."""
        assigned = {tp.partition for tp in self._app.consumer.assignment()}
        self._shards = {number: shard for number, shard in self._shards.items() if number in assigned}
        written_to = self._table.written_to(partition)
        known = self._shards.get(partition)
        if known is None or known[0] != written_to:
            await self._learn_erasures(partition, assigned)
            shard = await asyncio.to_thread(load, self._table, partition)
            self._shards[partition] = (written_to, shard)
            return shard
        return known[1]

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
            await asyncio.to_thread(self._follower.catch_up)
        cards = [(version, self._card(version)) for version in versions]
        if unknown := [version for version, card in cards if card is None]:
            known = ", ".join(sorted({*self._cards, *self._follower.cards}))
            raise BadMessage(
                Reason.UNKNOWN_MODEL,
                "UnknownModel",
                f"the vectors are of {unknown[0]!r} and this worker knows {known}: give embed and match the same "
                "FACESTREAM_MODEL_DIR, then replay the dead letters",
            )
        if self._follower.lineup.retired.issuperset(versions):
            raise BadMessage(
                Reason.UNKNOWN_MODEL,
                "RetiredModel",
                f"the vectors are of {versions[0]}, which has been retired: nobody has templates of it. Replay frame "
                "or upload; if the event is new, `facestream doctor` tells which embed worker lags behind",
            )
        return [card for _, card in cards if card is not None]

    def _card(self, version: str) -> Card | None:
        return self._cards.get(version) or self._follower.cards.get(version)

    def _retired(self, partition: int, shard: Shard) -> list[_Write]:
        """Remove some templates of versions that will not answer again."""
        writes: list[_Write] = []
        for version in self._follower.lineup.retired & set(shard.versions):
            for user_id, template_id in shard.some_of(version, _RETIRED_AT_ONCE):
                shard.discard(user_id, template_id, version)
                writes.append((partition, key_of(user_id, template_id, version), None))
        return writes

    def _again(self, event: Reembedding, partition: int, shard: Shard) -> Template | None:
        """A template by another version, as long as there is one; None where it is gone or the version is."""
        version = shard.version_of(event.user_id, event.template_id)
        if version is None or event.model_version in self._follower.lineup.retired:
            return None
        known = self._table.template(partition, event.user_id, event.template_id, version)
        if known is None:
            return None
        template = replace(known, model_version=event.model_version, vector=event.vector)
        shard.add(template)
        return template

    def _is_repeated(self, embedding: Embedding, shard: Shard, partition: int) -> bool:
        """Whether another message with this event id has made a template already: the first one counts.

        The message itself may come again, as its work may have been lost half done; so does a replay that corrects.
        """
        version = shard.version_of(embedding.user_id, embedding.event_id)
        if version is None:
            return False
        source = self._made.get((embedding.user_id, embedding.event_id))
        if source is None:
            known = self._table.template(partition, embedding.user_id, embedding.event_id, version)
            source = None if known is None else known.source
        return source not in (None, embedding.source)

    def _enrol(
        self, embedding: Embedding, origin: UploadOrigin, partition: int, shard: Shard, cards: Sequence[Card]
    ) -> tuple[Enrolment, list[Template]]:
        """Decide about an upload; there are templates of every version, or none if none is to be kept."""
        user_id, subject_id = embedding.user_id, origin.subject_id
        refusal = (
            self._erasure_of(embedding, subject_id)
            or embedding.refusal
            or consents.refusal(origin.consent, embedding.timings.produced_at, self._settings.max_clock_ahead_s)
        )
        face = embedding.faces[0] if embedding.faces else None
        templates: list[Template] = []
        if refusal is None and face is not None and face.vector is not None:
            has_room = shard.templates(user_id, subject_id) < self._settings.max_templates_per_subject
            if has_room or shard.version_of(user_id, embedding.event_id) is not None:
                first = Template(
                    template_id=embedding.event_id,
                    user_id=user_id,
                    subject_id=subject_id,
                    model_version=embedding.model_version,
                    vector=face.vector,
                    quality=face.quality,
                    consent=origin.consent,
                    source=embedding.source,
                    enrolled_at=embedding.timings.produced_at,
                )
                others = {one.model_version: one.vector for one in face.others}
                wanted = [card.version for card in cards[1:] if card.version not in self._follower.lineup.retired]
                templates = [first] + [replace(first, model_version=v, vector=others[v]) for v in wanted]
            else:
                limit = self._settings.max_templates_per_subject
                refusal = Refusal(Reason.SUBJECT_FULL, f"{origin.subject_id!r} has {limit} templates already")
        elif refusal is None:
            reason = Reason(face.refusal) if face is not None and face.refusal else Reason.NO_FACE
            refusal = Refusal(reason, reason.description)
        keeps = consents.may_keep(origin.consent, embedding.replay_id, embedding.corrects)
        kept = templates if keeps and not self._is_repeated(embedding, shard, partition) else []
        for template in kept:
            shard.add(template)
            self._made[user_id, template.template_id] = template.source
        outcome = Enrolment(
            event_id=embedding.event_id,
            user_id=embedding.user_id,
            subject_id=origin.subject_id,
            created_at=origin.created_at,
            outcome=Outcome.ENROLLED if templates else Outcome.REFUSED,
            refusal=refusal,
            source=embedding.source,
            model_version=embedding.model_version,
            box=face.box if face is not None else None,
            quality=face.quality if face is not None else None,
            templates=shard.templates(user_id, subject_id),
            timings=embedding.timings,
            decided_at=utc_now(),
            replay_id=embedding.replay_id,
            corrects=embedding.corrects,
        )
        return outcome, kept

    def _erasure_of(self, embedding: Embedding, subject_id: str | None) -> Refusal | None:
        """That this was of somebody who has been erased since: it was under way then, or comes in a replay."""
        at_ms = round(embedding.timings.produced_at.timestamp() * 1000)
        subjects = () if subject_id is None else (subject_id,)
        covered = self._erased.covers(at_ms, embedding.user_id, subjects)
        return Refusal(Reason.ERASED, Reason.ERASED.description) if covered else None
