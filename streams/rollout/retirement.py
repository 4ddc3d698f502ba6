"""Retires a model version, unless people would have to enrol again for it."""

from __future__ import annotations

from models.embedder.card import Card
from schemas.rollout import ModelRecord
from streams.model_registry import records, transitions
from streams.model_registry.errors import RolloutError
from streams.rollout.enrolled_templates import read_enrolled
from streams.settings import Settings
from streams.text import pluralize


def retire(settings: Settings, card: Card, *, force: bool = False, reason: str = "") -> tuple[ModelRecord, int]:
    """Retire a version; return its record, and how many templates exist of no other version that may answer.

    Raises:
        RolloutError: it answers, or there are such templates and ``force`` is not set.
        KafkaUnavailable: no broker answers.
    """
    registry = records.read_registry(settings)
    transitions.retire(registry, card)
    version = card.version
    lost = read_enrolled(settings).only_of(version, [one for one in registry.active if one != version])
    if lost and not force:
        users = sorted({one.user_id for one in lost})
        listed = ", ".join(users[:3]) + (", …" if users[3:] else "")
        raise RolloutError(
            f"{pluralize(len(lost), 'template')} of {pluralize(len(users), 'user')} ({listed}) would be lost with "
            f"{version}, and no picture of them is kept: they would have to enrol again. "
            "`--force` retires it all the same"
        )
    return records.apply(settings, lambda now: transitions.retire(now, card, reason=reason)), len(lost)
