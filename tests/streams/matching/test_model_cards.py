"""The cards of an event's vectors: known, published meanwhile, unknown or retired."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from models.embedder.card import Card
from models.embedder.registry_snapshot import RegistrySnapshot
from schemas.embeddings import Embedding, OtherVector, Reembedding
from schemas.ids import new_event_id
from schemas.reasons import Reason
from schemas.rollout import ModelRecord, ModelState
from streams.kafka.decoding import InvalidMessage
from streams.matching.model_cards import ModelCards
from tests.streams.matching.galleries import NOW, Gallery, card

ONE, TWO, THREE = (card(version) for version in ("one", "two", "three"))


class Registry:
    """Versions that are known, and others that are known once the topic has been read to its end."""

    def __init__(self, *known: Card, published: tuple[Card, ...] = (), retired: tuple[str, ...] = ()) -> None:
        self._known = known
        self._published = published
        self._retired = retired
        self.read = 0

    @property
    def cards(self) -> Mapping[str, Card]:
        return {one.version: one for one in self._known}

    @property
    def registry(self) -> RegistrySnapshot:
        records = [ModelRecord(version, ModelState.RETIRED, "{}", NOW, "tests", reason="") for version in self._retired]
        return RegistrySnapshot.of("base", records)

    def catch_up(self) -> None:
        self.read += 1
        self._known += self._published


def embedding(*others: str) -> Embedding:
    return Gallery().upload("portrait", 0, others=[OtherVector(version, bytes(8)) for version in others])


def cards_of(registry: Registry, event: Embedding | Reembedding, own: tuple[Card, ...] = (ONE,)) -> list[Card]:
    return asyncio.run(ModelCards(own, registry).of(event))


def test_the_version_that_is_to_answer_comes_first() -> None:
    registry = Registry(TWO, THREE)
    assert cards_of(registry, embedding("three", "two")) == [ONE, THREE, TWO]
    assert cards_of(registry, Reembedding(new_event_id(), "ursula", "two", bytes(8))) == [TWO]
    assert registry.read == 0


def test_a_version_that_was_published_a_moment_ago_is_read() -> None:
    registry = Registry(published=(TWO,))
    assert cards_of(registry, embedding("two")) == [ONE, TWO]
    assert registry.read == 1


def test_an_unknown_version_is_a_dead_letter_that_names_the_known_ones() -> None:
    with pytest.raises(InvalidMessage, match="'two' and this worker knows one, three: give embed and match") as raised:
        cards_of(Registry(THREE), embedding("two"))
    assert (raised.value.reason, raised.value.error_class) == (Reason.UNKNOWN_MODEL, "UnknownModel")


def test_vectors_of_retired_versions_alone_are_a_dead_letter() -> None:
    with pytest.raises(InvalidMessage, match="of one, which has been retired") as raised:
        cards_of(Registry(TWO, retired=("one", "two")), embedding("two"))
    assert (raised.value.reason, raised.value.error_class) == (Reason.UNKNOWN_MODEL, "RetiredModel")


def test_one_version_that_is_not_retired_is_enough() -> None:
    assert cards_of(Registry(TWO, retired=("one",)), embedding("two")) == [ONE, TWO]


def test_an_event_without_faces_has_one_version() -> None:
    assert [one.version for one in cards_of(Registry(), Gallery().without_faces())] == ["one"]
