"""The model cards by which the vectors of an event are compared."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Set
from typing import Protocol

from models.embedder.card import Card
from models.embedder.registry_snapshot import RegistrySnapshot
from schemas.embeddings import Embedding, Reembedding, TemplateBatch
from schemas.reasons import Reason
from streams.kafka.decoding import InvalidMessage


class Registry(Protocol):
    """What is known of the model versions; a ``RegistryWatcher`` follows the topic ``models``."""

    @property
    def registry(self) -> RegistrySnapshot:
        """The states of all versions now."""

    @property
    def cards(self) -> Mapping[str, Card]:
        """The cards of all versions."""

    def catch_up(self) -> None:
        """Return when everything that has been published is known.

        Raises:
            KafkaUnavailable: the topic cannot be read now.
        """


class ModelCards:
    """Finds the card of a model version: among its own, then in the registry."""

    def __init__(self, own: Iterable[Card], registry: Registry) -> None:
        """``own`` are the cards of versions that need no record on the topic ``models``."""
        self._own = {card.version: card for card in own}
        self._registry = registry

    @property
    def retired(self) -> Set[str]:
        """The versions that are retired now."""
        return self._registry.registry.retired

    async def of(self, event: Embedding | Reembedding | TemplateBatch) -> list[Card]:
        """The cards of an event's vectors, that of the version which is to answer first.

        Raises:
            InvalidMessage: a version is unknown here and on the topic ``models``, or all of them are retired.
            KafkaUnavailable: the topic cannot be read now.
        """
        versions = _versions(event)
        if any(self._card(version) is None for version in versions):
            # Embed knows the version, so its record is on the topic.
            await asyncio.to_thread(self._registry.catch_up)
        cards = [(version, self._card(version)) for version in versions]
        if unknown := [version for version, card in cards if card is None]:
            known = ", ".join(sorted({*self._own, *self._registry.cards}))
            raise InvalidMessage(
                Reason.UNKNOWN_MODEL,
                "UnknownModel",
                f"the vectors are of {unknown[0]!r} and this worker knows {known}: give embed and match the same "
                "FACESTREAM_MODEL_DIR, then replay the dead letters",
            )
        if self.retired >= set(versions):
            raise InvalidMessage(
                Reason.UNKNOWN_MODEL,
                "RetiredModel",
                f"the vectors are of {versions[0]}, which has been retired and has no templates any more. Replay the "
                "frame or upload; if the event is new, `facestream doctor` shows which embed worker lags behind",
            )
        return [card for _, card in cards if card is not None]

    def _card(self, version: str) -> Card | None:
        return self._own.get(version) or self._registry.cards.get(version)


def _versions(event: Embedding | Reembedding | TemplateBatch) -> list[str]:
    """The model versions of an event's vectors; every face has vectors of the same ones."""
    if isinstance(event, Reembedding):
        return [event.model_version]
    if isinstance(event, TemplateBatch):
        return event.model_versions
    others = next((face.others for face in event.faces if face.others), [])
    return [event.model_version, *(one.model_version for one in others)]
