"""A rollout that goes by itself: beside, then for more and more users, and back at the first sign of trouble."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from models.embedder.card import Card
from models.embedder.registry_snapshot import RegistrySnapshot
from schemas.events import ModelRecord, ModelState, utc_now
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
        hold_s: how long each step is watched, the first also until ``min_frames`` have been compared.
        min_frames: so few say nothing.
        gates: what it has to hold meanwhile.
    """

    percents: Sequence[float] = (1, 5, 25)
    hold_s: float = 600.0
    min_frames: int = 200
    gates: Gates = field(default_factory=Gates)


@dataclass(frozen=True, slots=True)
class RolloutStep:
    """The step under way: what was decided, what was seen so far, and for how long it has been watched."""

    record: ModelRecord
    seen: Report | None
    watched_s: float


@dataclass(frozen=True, slots=True)
class RolloutOutcome:
    """How a rollout ended: in production, stopped by who was asked, or back, with what it failed."""

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
    """Bring a version into production, from wherever it stands: one that was broken off goes on with its step.

    Args:
        settings: where Kafka is.
        card: of the version.
        fill: makes the templates that it lacks.
        pace: how.
        force: overrule the gate before the rollout.
        say: called every few seconds.
        ask: whether a step may be taken; if not, the version stays where it is.

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
        with ShadowWatch(settings, card.version, utc_now()) as comparing:
            while True:
                time.sleep(_LOOK_S)
                watched, seen = time.monotonic() - began, comparing.report()
                say(RolloutStep(record, seen, watched))
                if wrong := violations(seen, before, pace.gates):
                    registry = records.read_registry(settings, base)
                    record = transitions.rollback(registry, version=card.version, reason="; ".join(wrong))
                    records.write(settings, record)
                    return RolloutOutcome(record, wrong, seen)
                # Of a canary with few users little is seen; it has been compared enough before.
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
    """The steps that are left, each as a share of the users, 0 beside; the one under way is taken again."""
    record = registry.record(version)
    reached = record.percent if record is not None and record.state is ModelState.CANARY else 0.0
    return [percent for percent in (0.0, *pace.percents) if percent >= reached]
