"""A new model version from shadow to production and back, with a real network beside the real one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.embedder.card import Card, Weights
from models.matching.gallery import Vectors
from schemas import codec
from schemas.embeddings import Embedding
from streams.devtools.local_stack import Stack
from streams.kafka.connection import admin_client
from streams.kafka.consumer_groups import describe_group, group_id
from streams.kafka.log_reader import read_topic
from streams.kafka.topics import Topic
from streams.model_registry import records, transitions
from streams.model_registry.errors import RolloutError
from streams.observability.health_client import health_of
from streams.roles import Role
from streams.rollout.backfill import backfill
from streams.rollout.enrolled_templates import read_enrolled
from tests.integration.clients import Clients, eventually, facestream
from tests.integration.conftest import Portraits
from tests.integration.versions import OLD, turned


@pytest.fixture
def card(stack: Stack) -> Iterator[Card]:
    """A version that nobody uses yet, and that nobody uses afterwards."""
    name = "turned"
    yield turned(stack.settings.versions_dir / name, name)
    while (
        (registry := records.read_registry(stack.settings)).production != OLD.version
        or registry.shadows
        or registry.canaries
    ):
        records.write(stack.settings, transitions.rollback(registry))


def vectors(stack: Stack, user: str) -> dict[str, Vectors]:
    """The one template of a user, by every version that there is one of."""
    [versions] = [one for (owner, _), one in read_enrolled(stack.settings).templates.items() if owner == user]
    return {version: np.frombuffer(template.vector, "<f4") for version, template in versions.items()}


def test_from_shadow_to_production_and_back(
    stack: Stack, clients: Clients, host: str, card: Card, portraits: Portraits, tmp_path: Path
) -> None:
    def models(*arguments: object, code: int = 0) -> dict[str, object]:
        ended = facestream(stack.environment(), tmp_path, "models", *arguments, "--json", code=code)
        last: dict[str, object] = json.loads(ended.stdout.splitlines()[-1])
        return last

    def seen() -> tuple[str, str, str]:
        answer = clients.answer(clients.producer.frame(host, portraits.obama3, camera_id="door").event_id)
        return answer["event_id"], answer["model_version"], answer["faces"][0]["subject_id"]

    # Of the last message of the photo its new template is made, though that came as another event.
    again = clients.producer.enrol(host, portraits.obama, consent="tests", subject_id="obama")
    assert clients.answer(again.event_id)["repeats"]
    shadowed = models("shadow", card.version)
    assert shadowed["state"] == "shadow"
    assert host not in shadowed["filled"]["stragglers"]  # type: ignore[index]
    both = vectors(stack, host)
    assert both.keys() == {OLD.version, card.version}
    assert np.linalg.norm(both[OLD.version]) == pytest.approx(np.linalg.norm(both[card.version]), rel=1e-4)
    assert np.linalg.norm(both[OLD.version] - both[card.version]) > 1.2 * OLD.threshold()

    event_id, *answered = seen()
    assert answered == [OLD.version, "obama"]
    row = clients.row("comparisons", event_id)
    assert (row["model_version"], row["shadow_version"], row["agrees"]) == (OLD.version, card.version, True)
    # The reference network runs in bfloat16, the other in float32; how far they differ depends on the processor.
    assert row["faces"][0]["shadow_margin"] == pytest.approx(row["faces"][0]["margin"], abs=1e-2)

    assert models("canary", card.version, "--percent", 100)["percent"] == 100
    eventually(lambda: seen()[1:] == (card.version, "obama"), "the canary answers")
    records.write(stack.settings, transitions.promote(records.read_registry(stack.settings), card))

    def alone() -> bytes | None:
        """A frame that was embedded by the new version only."""
        event_id, *answered = seen()
        assert answered == [card.version, "obama"]
        [value] = [
            value
            for one in read_topic(stack.settings, Topic.EMBEDDINGS)
            if codec.event_id(value := one.value) == event_id
        ]
        return None if codec.decode(value, Embedding).faces[0].others else value

    embedded = eventually(alone, "the version before is not asked any more")
    # Who enrols now is known to both, so that there is a way back.
    sent = clients.producer.enrol(host, portraits.biden, consent="tests", subject_id="biden")
    assert clients.answer(sent.event_id)["outcome"] == "enrolled"
    assert models("rollback")["state"] == "candidate"
    eventually(lambda: seen()[1:] == (OLD.version, "obama"), "the version before answers")
    frame = clients.producer.frame(host, portraits.biden, camera_id="door")
    assert clients.answer(frame.event_id)["faces"][0]["subject_id"] == "biden"

    assert models("retire", card.version)["state"] == "retired"

    def removed() -> bool:
        seen()
        return all(card.version not in one for (owner, _), one in _templates(stack) if owner == host)

    eventually(removed, "the templates of the retired version are removed")
    place = clients.put(Topic.EMBEDDINGS, embedded, host)
    assert clients.letters_of(place)[0].error_class == "RetiredModel"


def _templates(stack: Stack) -> Iterator[tuple[tuple[str, str], dict[str, object]]]:
    yield from read_enrolled(stack.settings).templates.items()  # type: ignore[misc]


def test_a_version_that_cannot_be_loaded_is_not_even_tried(stack: Stack, tmp_path: Path) -> None:
    ended = facestream(stack.environment(), tmp_path, "models", "shadow", "nobody", code=1)
    assert "there is no model version 'nobody'" in ended.stderr
    assert records.read_registry(stack.settings).state("nobody") is None


def test_a_version_that_cannot_be_loaded_is_left_out_and_told_of(
    stack: Stack, clients: Clients, host: str, portraits: Portraits
) -> None:
    weights = Weights(file="model.keras")
    broken = OLD.model_copy(update={"version": "broken", "weights": weights})
    folder = stack.settings.versions_dir / "broken"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.keras").write_bytes(b"no network")
    (folder / "card.json").write_text(broken.model_dump_json(exclude_none=True), "utf-8")
    try:
        records.write(stack.settings, transitions.shadow(records.read_registry(stack.settings), broken))
        answer = clients.answer(clients.producer.frame(host, portraits.obama3, camera_id="door").event_id)
        assert (answer["model_version"], answer["faces"][0]["subject_id"]) == (OLD.version, "obama")
        [worker] = describe_group(admin_client(stack.settings), group_id(Role.EMBED, stack.settings)).members

        def failed() -> str | None:
            report = health_of(worker, stack.settings) or {}
            why: str | None = report.get("models", {}).get("failed", {}).get("broken")
            return why

        assert "not a Keras model" in eventually(failed, "the worker says why")
        with pytest.raises(RolloutError, match=r"embed-0 on .* does not use broken: .*not a Keras model"):
            backfill(stack.settings, "broken", [])
    finally:
        records.write(stack.settings, transitions.rollback(records.read_registry(stack.settings)))
