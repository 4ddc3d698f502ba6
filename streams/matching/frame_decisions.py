"""From the embedding of a frame to its match, and to comparisons of what other model versions would have answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from models.embedder.card import Card
from models.matching.decision import Probes, decide
from schemas.clock import utc_now
from schemas.embeddings import Embedding, FrameOrigin
from schemas.parts import Refusal
from schemas.results import Match, MatchedFace
from schemas.rollout import Comparison
from streams.matching.comparison import comparison
from streams.matching.gallery_shard import GalleryShard
from streams.settings import Settings


class FrameDecisions:
    """Decides about frames."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def decide(
        self,
        embedding: Embedding,
        origin: FrameOrigin,
        shard: GalleryShard,
        cards: Sequence[Card],
        erased: Refusal | None,
    ) -> tuple[Match, list[Comparison]]:
        """Answer a frame, and compare the answer with those of the other versions that have all templates of its user.

        Args:
            embedding: the frame as embed has made it.
            origin: of the same.
            shard: of the user's partition.
            cards: of the embedding's version first, then of the other versions of its vectors.
            erased: the refusal if the frame is about somebody who has been erased since.

        Returns:
            The match, and one comparison for each further version; none in a replay.
        """
        if erased is not None:
            return self.match(replace(embedding, refusal=erased), origin, cards[0], []), []
        complete = [card for card in cards if len(cards) == 1 or shard.is_complete(embedding.user_id, card.version)]
        answering = [card for card in complete if card.version not in embedding.shadows]
        card = answering[0] if answering else cards[0]
        match = self.match(embedding, origin, card, self._decided(embedding, origin, shard, card))
        if embedding.replay_id is not None:
            return match, []
        return match, [
            comparison(
                match,
                self._threshold(card),
                self._decided(embedding, origin, shard, other),
                other.version,
                self._threshold(other),
            )
            for other in complete
            if other is not card
        ]

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

    def match(self, embedding: Embedding, origin: FrameOrigin, card: Card, faces: list[MatchedFace]) -> Match:
        """The answer to a frame, with these decisions about its faces."""
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
    """The threshold set of the settings, or the card's default if the card has none of that name."""
    wanted = settings.threshold_set
    return wanted if wanted in card.thresholds else card.default_threshold


def threshold_of(settings: Settings, card: Card) -> float:
    """The distance below which a card's vectors match."""
    return card.threshold(threshold_set(settings, card))
