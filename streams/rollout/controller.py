"""An automatic rollout: as a shadow, then for more and more users, and rolled back when a gate is violated."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from models.embedder.card import Card
from models.embedder.registry_snapshot import RegistrySnapshot
from schemas.clock import utc_now
from schemas.rollout import ModelRecord, ModelState
from streams.model_registry import records, transitions
from streams.rollout.gates import Gates, violations
from streams.rollout.report import Report, ShadowWatch, report
from streams.settings import Settings

_LOOK_S = 2.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How a rollout proceeds.

    Attributes:
        percents: shares of the users, one after the other; then all.
        hold_s: seconds for which each step is watched.
        min_frames: fewest frames that are compared in the first step, however long that takes.
        gates: the limits that must hold meanwhile.
    """

    percents: Sequence[float] = (1, 5, 25)
    hold_s: float = 600.0
    min_frames: int = 200
    gates: Gates = field(default_factory=Gates)


@dataclass(frozen=True, slots=True)
class RolloutStep:
    """The step under way: its record, the report so far, and the seconds for which it has been watched."""

    record: ModelRecord
    seen: Report | None
    watched_s: float


@dataclass(frozen=True, slots=True)
class RolloutOutcome:
    """How a rollout ended: in production, stopped by a person, or rolled back with the gates that it violated."""

    record: ModelRecord
    violations: list[str]
    seen: Report | None


def run_rollout(
    settings: Settings,
    card: Card,
    fill: Callable[[], None],
    pace: Pace,
    *,
    force: bool = False,
    say: Callable[[RolloutStep], None] = lambda now: None,
    ask: Callable[[ModelRecord], bool] = lambda record: True,
) -> RolloutOutcome:
    """Bring a version into production; an interrupted rollout is resumed at its step.

    Args:
        settings: where Kafka is.
        card: of the version.
        fill: makes the templates that the version is missing.
        pace: steps and gates.
        force: overrule the gate before the rollout.
        say: called every few seconds.
        ask: returns whether a step may be taken; if not, the version stays where it is.

    Raises:
        RolloutError: a step must not be taken.
        KafkaUnavailable: a broker does not answer; the version stays where it is.
    """
    base = records.base_card(settings).version
    before = report(settings, card.version, utc_now() - timedelta(seconds=max(pace.hold_s, 60)))
    seen: Report | None = None
    for percent in _left(records.read_registry(settings, base), card.version, pace):
        registry = records.read_registry(settings, base)
        record = (
            transitions.canary(registry, card, percent) if percent else transitions.shadow(registry, card, force=force)
        )
        if not ask(record):
            return RolloutOutcome(registry.record(card.version) or record, [], seen)
        records.write(settings, record)
        fill()
        began = time.monotonic()
        with ShadowWatch(settings, card.version, utc_now()) as watch:
            while True:
                time.sleep(_LOOK_S)
                watched, seen = time.monotonic() - began, watch.report()
                say(RolloutStep(record, seen, watched))
                if wrong := violations(seen, before, pace.gates):
                    registry = records.read_registry(settings, base)
                    record = transitions.rollback(registry, version=card.version, reason="; ".join(wrong))
                    records.write(settings, record)
                    return RolloutOutcome(record, wrong, seen)
                # A canary with few users gives few frames; enough were compared while it was a shadow.
                if watched >= pace.hold_s and (percent or seen.frames >= pace.min_frames):
                    break
    registry = records.read_registry(settings, base)
    record = transitions.promote(registry, card)
    if not ask(record):
        return RolloutOutcome(registry.record(card.version) or record, [], seen)
    records.write(settings, record)
    say(RolloutStep(record, seen, 0.0))
    return RolloutOutcome(record, [], seen)


def _left(registry: RegistrySnapshot, version: str, pace: Pace) -> list[float]:
    """The steps that are left, as shares of the users, 0 for the shadow; the step under way is taken again."""
    record = registry.record(version)
    reached = record.percent if record is not None and record.state is ModelState.CANARY else 0.0
    return [percent for percent in (0.0, *pace.percents) if percent >= reached]
