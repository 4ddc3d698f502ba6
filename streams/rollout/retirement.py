"""Retires a model version, unless subjects would need a new enrolment photo for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.embedder.card import Card
from models.embedder.registry_snapshot import RegistrySnapshot
from schemas.rollout import GivenUpSubject, ModelRecord
from streams.model_registry import records, transitions
from streams.model_registry.errors import RolloutError
from streams.rollout.enrolled_templates import read_enrolled
from streams.settings import Settings
from streams.text import pluralize


@dataclass(frozen=True, slots=True)
class RetirementCost:
    """What is lost with a version.

    Attributes:
        version: the version.
        templates: templates that exist of no other version that may answer, and cannot be made again.
        subjects: subjects who have templates of no other such version: they need a new enrolment photo. Others only
            lose some of their photos.
        to_fill: the version in production, if its templates have not all been made where that is possible.
    """

    version: str
    templates: int
    subjects: list[GivenUpSubject]
    to_fill: str | None = None

    @property
    def by_user(self) -> Mapping[str, list[str]]:
        """The subjects who need a new photo, by their users."""
        found: dict[str, list[str]] = {}
        for one in self.subjects:
            found.setdefault(one.user_id, []).append(one.subject_id)
        return found

    @property
    def sentence(self) -> str:
        """Who needs a new photo, and why."""
        need = pluralize(len(self.subjects), "subject has", "subjects have")
        users = pluralize(len(self.by_user), "user")
        whose = f"{need} templates of {self.version} only ({_listed(self.by_user)}; {users})"
        if self.to_fill:
            return f"{whose}; `facestream models fill {self.to_fill}` makes others, where a face or photo is kept"
        return f"{whose}, and neither a face nor a photo is kept to make others from"


def cost(settings: Settings, card: Card) -> RetirementCost:
    """What would be lost if a version were retired now.

    Raises:
        RolloutError: it answers for all or some users, or is unknown.
        KafkaUnavailable: no broker answers.
    """
    registry = records.read_registry(settings)
    transitions.retire(registry, card)
    return _cost(settings, registry, card.version)


def retire(
    settings: Settings, card: Card, *, force: bool = False, reason: str = ""
) -> tuple[ModelRecord, RetirementCost]:
    """Retire a version; return its record, and what was lost with it.

    Raises:
        RolloutError: it answers, or subjects would need a new photo and ``force`` is not set.
        KafkaUnavailable: no broker answers.
    """
    lost = cost(settings, card)
    if lost.subjects and not force:
        raise RolloutError(
            f"{lost.sentence}. Nothing was retired: they are answered by {card.version} while it is kept. Enrol a new "
            "photo of each, or pass --force to give them up until then"
        )
    given_up = lost.subjects
    return records.apply(settings, lambda now: transitions.retire(now, card, given_up, reason=reason)), lost


def _cost(settings: Settings, registry: RegistrySnapshot, version: str) -> RetirementCost:
    others = [one for one in registry.active if one != version]
    enrolled = read_enrolled(settings)
    lost = enrolled.only_of(version, others)
    stay = enrolled.subjects_of(others)
    gone = {GivenUpSubject(one.user_id, one.subject_id) for one in lost if (one.user_id, one.subject_id) not in stay}
    record = registry.record(registry.production)
    to_fill = registry.production if record is not None and not record.filled else None
    return RetirementCost(version, len(lost), sorted(gone), to_fill)


def _listed(by_user: Mapping[str, list[str]], most: int = 5) -> str:
    names = [f"{user}/{subject}" for user, subjects in by_user.items() for subject in subjects]
    return ", ".join(names[:most]) + (", …" if names[most:] else "")
