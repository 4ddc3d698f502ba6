"""The role match: embeddings in, enrolment outcomes and matches out. Holds the gallery shards of its partitions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import faust

from models.card import Card
from models.decision import decide
from models.gallery import Gallery
from schemas import codec
from schemas.events import (
    DeadLetter,
    Embedding,
    Enrolment,
    FrameOrigin,
    Match,
    Outcome,
    Refusal,
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
from streams.gallery_table import GalleryTable, Shard, load, template_key
from streams.inbox import BadMessage, read
from streams.log_ends import LogEnds
from streams.order import Message
from streams.settings import Settings
from streams.stage import Stage
from streams.topics import Topic

STAGE = "match"


class Matcher:
    """Enrols and matches the embeddings of its partitions."""

    def __init__(self, app: faust.App, settings: Settings, cards: Iterable[Card]) -> None:
        self._app = app
        self._settings = settings
        self._cards = {card.version: card for card in cards}
        self._matches = Topic.MATCHES.named(settings)
        self._enrolments = Topic.ENROLMENTS.named(settings)
        self._chips = Topic.CHIPS.named(settings)
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
        )

    def sizes(self) -> Mapping[int, Size]:
        """What the shards in memory hold, by partition; from any thread."""
        return {partition: shard.size for partition, (_, shard) in dict(self._shards).items()}

    async def process(self, batch: Sequence[Message]) -> None:
        """Enrol and match a batch; deliver the gallery's changes, then the results."""
        writes: list[tuple[int, Template, bytes | None]] = []
        results: dict[str, list[Outgoing]] = {self._matches: [], self._enrolments: []}
        letters: list[DeadLetter] = []
        for partition in {message.source.partition for message in batch}:
            shard = await self._shard(partition)
            writes += [(partition, template, None) for template in shard.expired(utc_now())]
        for message in batch:
            metrics.observe(STAGE, "wait", time.time() - message.timestamp_ms / 1000)
            partition = message.source.partition
            shard = self._shards[partition][1]
            try:
                embedding = read(message, Embedding)
                card = self._card(embedding)
            except BadMessage as error:
                letters.append(dead_letter(message, STAGE, error))
                continue
            key = message.key
            with metrics.timed(STAGE, "match"):
                if isinstance(embedding.origin, UploadOrigin):
                    outcome, template = self._enrol(embedding, embedding.origin, shard, card)
                    if template is not None:
                        writes.append((partition, template, codec.encode(template)))
                    results[self._enrolments].append((key, codec.encode(outcome), partition))
                else:
                    gallery = shard.gallery(card.version, card.output.dimensions)
                    match = self._match(embedding, embedding.origin, gallery, card)
                    results[self._matches].append((key, codec.encode(match), partition))
        with metrics.timed(STAGE, "deliver"):
            # Whose consent has ended is not learned from either; said before the table forgets who that is.
            gone = [(one.template_id.encode(), None, number) for number, one, value in writes if value is None]
            await deliver(self._app, self._chips, gone)
            await self._write(writes)
            for partition in {number for number, _, value in writes if value is None}:
                self._shards[partition][1].forget_expired()
            await send_dead_letters(self._app, self._settings, letters)
            for topic, messages in results.items():
                await deliver(self._app, topic, messages)

    async def _shard(self, partition: int) -> Shard:
        """The shard in memory; read again from the local store when another worker has changed it meanwhile."""
        assigned = {tp.partition for tp in self._app.consumer.assignment()}
        self._shards = {number: shard for number, shard in self._shards.items() if number in assigned}
        written_to = self._table.written_to(partition)
        known = self._shards.get(partition)
        if known is None or known[0] != written_to:
            shard = await asyncio.to_thread(load, self._table, partition)
            self._shards[partition] = (written_to, shard)
            return shard
        return known[1]

    async def _write(self, writes: Sequence[tuple[int, Template, bytes | None]]) -> None:
        await self._table.write([(partition, template_key(template), value) for partition, template, value in writes])
        for partition in {partition for partition, _, _ in writes}:
            self._shards[partition] = (self._table.written_to(partition), self._shards[partition][1])

    def _card(self, embedding: Embedding) -> Card:
        """What the distances of an embedding's vectors mean.

        Raises:
            BadMessage: nobody here knows.
        """
        card = self._cards.get(embedding.model_version)
        if card is None:
            raise BadMessage(
                Reason.UNKNOWN_MODEL,
                "UnknownModel",
                f"the vectors are of {embedding.model_version!r} and this worker knows {', '.join(self._cards)}: "
                "give embed and match the same FACESTREAM_MODEL_DIR, then replay the dead letters",
            )
        return card

    def _enrol(
        self, embedding: Embedding, origin: UploadOrigin, shard: Shard, card: Card
    ) -> tuple[Enrolment, Template | None]:
        """Decide about an upload; the template is None if none is to be kept."""
        gallery = shard.gallery(card.version, card.output.dimensions)
        refusal = embedding.refusal or consents.refusal(
            origin.consent, embedding.timings.produced_at, self._settings.max_clock_ahead_s
        )
        face = embedding.faces[0] if embedding.faces else None
        template = None
        if refusal is None and face is not None and face.vector is not None:
            has_room = (
                gallery.templates(embedding.user_id, origin.subject_id) < self._settings.max_templates_per_subject
            )
            if has_room or gallery.has(embedding.user_id, embedding.event_id):
                template = Template(
                    template_id=embedding.event_id,
                    user_id=embedding.user_id,
                    subject_id=origin.subject_id,
                    model_version=embedding.model_version,
                    vector=face.vector,
                    quality=face.quality,
                    consent=origin.consent,
                    source=embedding.source,
                    enrolled_at=embedding.timings.produced_at,
                )
            else:
                limit = self._settings.max_templates_per_subject
                refusal = Refusal(Reason.SUBJECT_FULL, f"{origin.subject_id!r} has {limit} templates already")
        elif refusal is None:
            reason = Reason(face.refusal) if face is not None and face.refusal else Reason.NO_FACE
            refusal = Refusal(reason, reason.description)
        keeps = consents.may_keep(origin.consent, embedding.replay_id, embedding.corrects)
        kept = template if keeps else None
        if kept is not None:
            shard.add(kept)
        outcome = Enrolment(
            event_id=embedding.event_id,
            user_id=embedding.user_id,
            subject_id=origin.subject_id,
            created_at=origin.created_at,
            outcome=Outcome.ENROLLED if template is not None else Outcome.REFUSED,
            refusal=refusal,
            source=embedding.source,
            model_version=embedding.model_version,
            box=face.box if face is not None else None,
            quality=face.quality if face is not None else None,
            templates=gallery.templates(embedding.user_id, origin.subject_id),
            timings=embedding.timings,
            decided_at=utc_now(),
            replay_id=embedding.replay_id,
            corrects=embedding.corrects,
        )
        return outcome, kept

    def _match(self, embedding: Embedding, origin: FrameOrigin, gallery: Gallery, card: Card) -> Match:
        threshold_set = self._settings.threshold_set or card.default_threshold
        faces = decide(
            embedding.faces,
            gallery,
            card,
            user_id=embedding.user_id,
            mode=origin.mode,
            subject_id=origin.subject_id or embedding.user_id,
            threshold=card.threshold(threshold_set),
            candidates=self._settings.candidates,
        )
        return Match(
            event_id=embedding.event_id,
            user_id=embedding.user_id,
            camera_id=origin.camera_id,
            sequence=origin.sequence,
            captured_at=origin.captured_at,
            mode=origin.mode,
            subject_id=origin.subject_id,
            source=embedding.source,
            model_version=embedding.model_version,
            threshold_set=threshold_set,
            width=embedding.width,
            height=embedding.height,
            refusal=embedding.refusal,
            faces=faces,
            timings=embedding.timings,
            matched_at=utc_now(),
            replay_id=embedding.replay_id,
            corrects=embedding.corrects,
        )
