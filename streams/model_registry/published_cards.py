"""The cards of model versions, as they are published."""

from __future__ import annotations

from collections.abc import Iterable

from models.embedder.card import Card, UnusableModel
from sinks.base import SinkUnavailable
from streams.kafka.connection import KafkaUnavailable
from streams.kafka.topics import TopicMissing
from streams.model_registry.records import card_of, read_registry
from streams.settings import Settings


class PublishedCards:
    """Cards by version, each looked up once; for one thread."""

    def __init__(self, settings: Settings, cards: Iterable[Card]) -> None:
        """``cards`` are of versions that need no record on the topic ``models``."""
        self._settings = settings
        self._cards: dict[str, Card | None] = {card.version: card for card in cards}

    def of(self, version: str) -> Card | None:
        """The card of a version; None if there is none.

        Raises:
            SinkUnavailable: no broker answers.
        """
        if version not in self._cards:
            self._cards[version] = self._published(version)
        return self._cards[version]

    def _published(self, version: str) -> Card | None:
        try:
            record = read_registry(self._settings).record(version)
            return None if record is None else card_of(record)
        except (KafkaUnavailable, TopicMissing) as error:
            raise SinkUnavailable(str(error)) from error
        except UnusableModel:
            return None
