"""What match answers to a frame, by one model version, and what the others would have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from models.embedder.card import Card
from models.matching.decision import Probes, decide
from schemas.events import Comparison, Embedding, FrameOrigin, Match, MatchedFace, Refusal, utc_now
from streams.kafka.topics import Topic
from streams.matching.comparison import comparison
from streams.matching.gallery_table import GalleryShard
from streams.settings import Settings


class FrameDecisions:
    """Answers the frames of one worker's shards."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._matches = Topic.MATCHES.named(settings)
        self._comparisons = Topic.COMPARISONS.named(settings)

    def of(
        self,
        embedding: Embedding,
        origin: FrameOrigin,
        shard: GalleryShard,
        cards: Sequence[Card],
        erased: Refusal | None,
    ) -> Iterator[tuple[str, Match | Comparison]]:
        """The answer to a frame, and how the other versions that know its user compare with it, by their topics.

        ``erased`` says that it is about somebody who has been erased.
        """
        if erased is not None:
            yield self._matches, self._match(replace(embedding, refusal=erased), origin, cards[0], [])
            return
        whole = [card for card in cards if len(cards) == 1 or shard.is_whole(embedding.user_id, card.version)]
        answering = [card for card in whole if card.version not in embedding.shadows]
        card = answering[0] if answering else cards[0]
        match = self._match(embedding, origin, card, self._decided(embedding, origin, shard, card))
        yield self._matches, match
        if embedding.replay_id is not None:
            return
        for other in whole:
            if other is not card:
                beside = self._decided(embedding, origin, shard, other)
                yield (
                    self._comparisons,
                    comparison(match, self._threshold(card), beside, other.version, self._threshold(other)),
                )

    def _threshold(self, card: Card) -> float:
        return threshold_of(self._settings, card)

    def _decided(self, embedding: Embedding, origin: FrameOrigin, shard: GalleryShard, card: Card) -> list[MatchedFace]:
        return decide(
            Probes.of(embedding, card.version),
            shard.gallery(card.version, card.output.dimensions),
            card,
            user_id=embedding.user_id,
            mode=origin.mode,
            subject_id=origin.subject_id or embedding.user_id,
            threshold=self._threshold(card),
            candidates=self._settings.candidates,
        )

    def _match(self, embedding: Embedding, origin: FrameOrigin, card: Card, faces: list[MatchedFace]) -> Match:
        return Match(
            event_id=embedding.event_id,
            user_id=embedding.user_id,
            camera_id=origin.camera_id,
            sequence=origin.sequence,
            captured_at=origin.captured_at,
            mode=origin.mode,
            subject_id=origin.subject_id,
            source=embedding.source,
            model_version=card.version,
            threshold_set=threshold_set(self._settings, card),
            width=embedding.width,
            height=embedding.height,
            refusal=embedding.refusal,
            faces=faces,
            timings=embedding.timings,
            matched_at=utc_now(),
            replay_id=embedding.replay_id,
            corrects=embedding.corrects,
        )


def threshold_set(settings: Settings, card: Card) -> str:
    """The set of the settings, or the card's default where it has none of that name: not all are measured alike."""
    wanted = settings.threshold_set
    return wanted if wanted in card.thresholds else card.default_threshold


def threshold_of(settings: Settings, card: Card) -> float:
    """The distance below which it is a match."""
    return card.threshold(threshold_set(settings, card))
