"""How a version does beside the one that answers: what ``comparisons`` and ``matches`` say of a stretch of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar

import numpy as np

from schemas import codec
from schemas.errors import CodecError
from schemas.events import Comparison, Decision, Match, utc_now
from schemas.reasons import Reason
from streams.replay.log import Log
from streams.settings import Settings
from streams.topics import Topic

E = TypeVar("E", Comparison, Match)


@dataclass(frozen=True, slots=True)
class Side:
    """What one of the versions said: rates of all faces; the margin as a mean of those that it named, None of none."""

    unknown_rate: float
    margin: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """A version and the one that it is compared with.

    Attributes:
        version: the new one.
        against: the other; empty if nothing was compared.
        frames: compared.
        faces: in them.
        disagreement: share of the faces of which they do not say the same.
        new: what the new one said.
        old: what the other said.
        answered: frames that anybody answered in this time.
        p99_ms: of these, from the producer to the decision; None of none.
        error_rate: share of them that failed.
    """

    version: str
    against: str
    frames: int
    faces: int
    disagreement: float
    new: Side
    old: Side
    answered: int
    p99_ms: float | None
    error_rate: float


class _Said(NamedTuple):
    decision: Decision
    subject_id: str | None
    margin: float | None


def report(settings: Settings, version: str, since: datetime) -> Report:
    """Read the topics from a time until now; replays do not count.

    Raises:
        KafkaUnavailable: no broker answers.
        ReplayError: the topics no longer reach back so far.
    """
    until = utc_now()
    against: Counter[str] = Counter()
    new: list[_Said] = []
    old: list[_Said] = []
    for event in _events(settings, Topic.COMPARISONS, Comparison, since, until):
        answered = [_Said(one.decision, one.subject_id, one.margin) for one in event.faces]
        beside = [_Said(one.shadow_decision, one.shadow_subject_id, one.shadow_margin) for one in event.faces]
        if event.shadow_version == version:
            new += beside
            old += answered
            against[event.model_version] += 1
        elif event.model_version == version:
            new += answered
            old += beside
            against[event.shadow_version] += 1
    latencies, failed = [], 0
    for match in _events(settings, Topic.MATCHES, Match, since, until):
        if match.replay_id is None:
            latencies.append((match.matched_at - match.timings.produced_at).total_seconds() * 1000)
            failed += match.refusal is not None and match.refusal.reason == Reason.FAILED
    differ = sum((a.decision, a.subject_id) != (b.decision, b.subject_id) for a, b in zip(new, old, strict=True))
    return Report(
        version=version,
        against=against.most_common(1)[0][0] if against else "",
        frames=against.total(),
        faces=len(new),
        disagreement=differ / max(1, len(new)),
        new=_side(new),
        old=_side(old),
        answered=len(latencies),
        p99_ms=float(np.percentile(latencies, 99)) if latencies else None,
        error_rate=failed / max(1, len(latencies)),
    )


def _side(said: Sequence[_Said]) -> Side:
    unknown = sum(one.decision is Decision.UNKNOWN for one in said)
    margins = [one.margin for one in said if one.decision is Decision.MATCH and one.margin is not None]
    return Side(unknown / max(1, len(said)), float(np.mean(margins)) if margins else None)


def _events(settings: Settings, topic: Topic, event_type: type[E], since: datetime, until: datetime) -> Iterator[E]:
    with closing(Log(settings, topic)) as log:
        for message in log.messages(log.between(since, until)):
            try:
                yield codec.decode(message.value, event_type)
            except CodecError:
                continue
