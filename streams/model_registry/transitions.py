"""The transitions between the states of a model version: each step of a rollout as the record that makes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from models.embedder.card import Card
from models.embedder.registry_snapshot import RegistrySnapshot
from models.training import gate
from schemas.clock import utc_now
from schemas.rollout import GivenUpSubject, ModelRecord, ModelState
from streams.model_registry.errors import RolloutError
from streams.model_registry.records import whoami

_ACTIVE = {ModelState.SHADOW, ModelState.CANARY, ModelState.PRODUCTION}


def first(registry: RegistrySnapshot, base: Card, chosen: Card) -> tuple[ModelRecord, ModelRecord]:
    """Let a version answer from the first picture on, instead of the base: nobody has templates of either.

    The base comes first: without the second record it still answers.
    """
    reason = "reference model of a new installation"
    answers = _record(registry, chosen, ModelState.PRODUCTION, reason)
    return _record(registry, base, ModelState.CANDIDATE, reason), filled(answers, [])


def shadow(registry: RegistrySnapshot, card: Card, *, force: bool = False, reason: str = "") -> ModelRecord:
    """Make a version a shadow, which decides beside the version that answers.

    Raises:
        RolloutError: the version answers already, or the gate refuses it and ``force`` is not set.
    """
    if card.version in registry.in_production:
        which = "answers" if card.version == registry.production else "has answered and is kept for a rollback"
        raise RolloutError(f"{card.version} {which}: there is nothing to try")
    if card.lineage is not None and not force and (refusals := gate.refusals(card.lineage)):
        raise RolloutError(f"{card.version} must not take over: {'; '.join(refusals)} (`--force` overrules)")
    return _record(registry, card, ModelState.SHADOW, reason or "to decide beside")


def canary(
    registry: RegistrySnapshot, card: Card, percent: float, *, force: bool = False, reason: str = ""
) -> ModelRecord:
    """Make a version the canary, which answers for a share of the users.

    Raises:
        RolloutError: it was not a shadow, its templates are not backfilled, or another version is the canary.
    """
    if not 0 < percent <= 100:
        raise RolloutError(f"{percent:g} % of the users: give a share above 0 and up to 100")
    if others := [one for one in registry.canaries if one != card.version]:
        raise RolloutError(f"{others[0]} is a canary already: `facestream models rollback` or promote it first")
    _check_tried(registry, card.version, force)
    text = reason or f"answers for {percent:g} % of the users"
    return replace(_record(registry, card, ModelState.CANARY, text), percent=percent)


def promote(registry: RegistrySnapshot, card: Card, *, force: bool = False, reason: str = "") -> ModelRecord:
    """Put a version in production, where it answers for everybody; the version before it is kept for a rollback.

    Raises:
        RolloutError: it answers already, was not a shadow, or its templates are not backfilled.
    """
    if card.version == registry.production:
        raise RolloutError(f"{card.version} answers already")
    if card.version not in registry.in_production:
        _check_tried(registry, card.version, force)
    return _record(registry, card, ModelState.PRODUCTION, reason or f"takes over from {registry.production}")


def rollback(registry: RegistrySnapshot, *, version: str | None = None, reason: str = "") -> ModelRecord:
    """Take the last step back: end the canary, or else the shadow, or else let the version before answer again.

    With ``version``, that version is taken back instead.

    Raises:
        RolloutError: there is nothing to roll back.
    """
    under_way = [*registry.canaries, *reversed(registry.shadows)]
    last = version or (under_way[0] if under_way else registry.production)
    if last == registry.production and len(registry.in_production) < 2:
        raise RolloutError(f"{registry.production} answers, and no version before it is kept")
    record = registry.record(last)
    if record is None:
        raise RolloutError(f"{last} has not been rolled out")
    # Uploads from now on get no template of this version, so it is not backfilled any more.
    return replace(
        record,
        state=ModelState.CANDIDATE,
        percent=0.0,
        filled=False,
        stragglers=[],
        changed_at=utc_now(),
        changed_by=whoami(),
        reason=reason or "rolled back",
    )


def retire(
    registry: RegistrySnapshot, card: Card, given_up: Sequence[GivenUpSubject] = (), *, reason: str = ""
) -> ModelRecord:
    """Retire a version: its templates are removed, and a rollback to it is not possible.

    Args:
        registry: the states now.
        card: of the version.
        given_up: the subjects who need a new photo, because they have templates of this version only.
        reason: kept with the record.

    Raises:
        RolloutError: it answers for all or some users, or is unknown.
    """
    state = registry.state(card.version)
    if card.version == registry.production:
        raise RolloutError(f"{card.version} answers: promote another version first")
    if state is ModelState.CANARY:
        raise RolloutError(f"{card.version} answers for some users: `facestream models rollback` first")
    before = registry.record(card.version)
    earlier = before.given_up if before is not None else []
    everybody = sorted({*earlier, *given_up})
    return replace(_record(registry, card, ModelState.RETIRED, reason or "retired"), given_up=everybody)


def filled(record: ModelRecord, stragglers: list[str]) -> ModelRecord:
    """The record of a version that is backfilled, except for the templates of some users."""
    return replace(record, filled=True, stragglers=stragglers)


def without(registry: RegistrySnapshot, user_id: str, subject_id: str | None) -> list[ModelRecord]:
    """The records that name a user or, given one, a subject as given up, without these names.

    Only retired versions name subjects, so no order of versions in production changes when these are written.
    """

    def is_named(one: GivenUpSubject) -> bool:
        return one.user_id == user_id and subject_id in (None, one.subject_id)

    return [
        replace(record, given_up=[one for one in record.given_up if not is_named(one)])
        for record in registry.records
        if record.state is ModelState.RETIRED and any(map(is_named, record.given_up))
    ]


def _check_tried(registry: RegistrySnapshot, version: str, force: bool) -> None:
    record = registry.record(version)
    if record is None or record.state not in _ACTIVE:
        raise RolloutError(f"{version} has not been tried: `facestream models shadow {version}` first")
    if not record.filled and not force:
        raise RolloutError(
            f"not all users have templates of {version}: `facestream models fill {version}` first. With `--force` "
            "users without them stay with the version before"
        )


def _record(registry: RegistrySnapshot, card: Card, state: ModelState, reason: str) -> ModelRecord:
    before = registry.record(card.version)
    was_active = before is not None and before.state in _ACTIVE and state in _ACTIVE
    if before is None and card.version == registry.base and state in _ACTIVE:
        was_active = True  # every upload was embedded by the base
    return ModelRecord(
        version=card.version,
        state=state,
        card=card.model_dump_json(exclude_none=True),
        changed_at=utc_now(),
        changed_by=whoami(),
        filled=was_active and (before.filled if before else True),
        stragglers=list(before.stragglers) if before and was_active else [],
        reason=reason,
    )
