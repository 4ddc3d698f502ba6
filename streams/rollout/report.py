"""Compares a version with the one that answers, from ``comparisons`` and ``matches`` of a period."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

import numpy as np

from schemas import codec
from schemas.clock import utc_now
from schemas.errors import CodecError
from schemas.parts import Decision
from schemas.reasons import Reason
from schemas.results import Match
from schemas.rollout import Comparison, ModelRecord, ModelState
from streams.kafka.log_reader import LogReader, read_events
from streams.kafka.topics import Topic
from streams.settings import Settings

E = TypeVar("E", Comparison, Match)
_ACTIVE = (ModelState.SHADOW, ModelState.CANARY, ModelState.PRODUCTION)


@dataclass(frozen=True, slots=True)
class VersionFigures:
    """Figures of one version: the share of unknown faces, and the mean margin of matched ones, None without any."""

    unknown_rate: float
    margin: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """A version and the one that it is compared with.

    Attributes:
        version: the new version.
        against: the other version; empty if nothing was compared.
        frames: frames that were compared.
        faces: faces in them.
        disagreement: share of the faces that the versions decide differently.
        new: figures of the new version.
        old: figures of the other version.
        answered: frames that any version answered in the period.
        p99_ms: 99th percentile of their latency, from producer to decision; None without frames.
        error_rate: share of them that failed.
    """

    version: str
    against: str
    frames: int
    faces: int
    disagreement: float
    new: VersionFigures
    old: VersionFigures
    answered: int
    p99_ms: float | None
    error_rate: float


class _FaceDecision(NamedTuple):
    decision: Decision
    subject_id: str | None
    margin: float | None


class ShadowWatch:
    """Watches a version from a time on; a context manager. Each message is read once."""

    def __init__(self, settings: Settings, version: str, since: datetime) -> None:
        """Connects at its first call."""
        self._version = version
        self._comparisons = _Since(settings, Topic.COMPARISONS, since)
        self._matches = _Since(settings, Topic.MATCHES, since)
        self._against: Counter[str] = Counter()
        self._new: list[_FaceDecision] = []
        self._old: list[_FaceDecision] = []
        self._latencies_ms: list[float] = []
        self._failed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._comparisons.close()
        self._matches.close()

    def report(self) -> Report:
        """The report up to now; replays do not count.

        Raises:
            KafkaUnavailable: no broker answers.
            LogTruncated: the topics no longer reach back so far.
        """
        for comparison in self._comparisons.more(Comparison):
            self._compare(comparison)
        for match in self._matches.more(Match):
            if match.replay_id is None:
                self._latencies_ms.append((match.matched_at - match.timings.produced_at).total_seconds() * 1000)
                self._failed += match.refusal is not None and match.refusal.reason == Reason.FAILED
        new, old, latencies = self._new, self._old, self._latencies_ms
        differ = sum((a.decision, a.subject_id) != (b.decision, b.subject_id) for a, b in zip(new, old, strict=True))
        return Report(
            version=self._version,
            against=self._against.most_common(1)[0][0] if self._against else "",
            frames=self._against.total(),
            faces=len(new),
            disagreement=differ / max(1, len(new)),
            new=_side(new),
            old=_side(old),
            answered=len(latencies),
            p99_ms=float(np.percentile(latencies, 99)) if latencies else None,
            error_rate=self._failed / max(1, len(latencies)),
        )

    def _compare(self, event: Comparison) -> None:
        answered = [_FaceDecision(one.decision, one.subject_id, one.margin) for one in event.faces]
        beside = [_FaceDecision(one.shadow_decision, one.shadow_subject_id, one.shadow_margin) for one in event.faces]
        if event.shadow_version == self._version:
            self._new += beside
            self._old += answered
            self._against[event.model_version] += 1
        elif event.model_version == self._version:
            self._new += answered
            self._old += beside
            self._against[event.shadow_version] += 1


class _Since:
    """Reads the events of a topic from a time on, each once."""

    def __init__(self, settings: Settings, topic: Topic, since: datetime) -> None:
        self._log = LogReader(settings, topic)
        self._since = since
        self._next: dict[int, int] | None = None

    def more(self, event_type: type[E]) -> Iterator[E]:
        """The events that have come since the last call."""
        if self._next is None:
            # Asked for first: in a partition with nothing since then, everything that comes after this counts.
            self._next = {one.partition: one.end_offset for one in self._log.up_to(None)}
            ranges = self._log.between(self._since, utc_now())
        else:
            ranges = self._log.since(self._next)
        self._next |= {one.partition: one.end_offset for one in ranges}
        for message in self._log.messages(ranges):
            try:
                yield codec.decode(message.value, event_type)
            except CodecError:
                continue

    def close(self) -> None:
        self._log.close()


def report(settings: Settings, version: str, since: datetime) -> Report:
    """The report of a period that ends now; see :class:`ShadowWatch`."""
    with ShadowWatch(settings, version, since) as watch:
        return watch.report()


def shadow_began(settings: Settings, version: str) -> datetime | None:
    """When a version began to decide beside the others, or to answer; None if no record of that is kept.

    Raises:
        KafkaUnavailable: no broker answers.
        TopicMissing: the topics have not been created.
    """
    events = read_events(settings, Topic.MODELS, ModelRecord)
    return began((codec.from_micros(1000 * message.timestamp_ms), record) for message, record in events)(version)


def began(records: Iterable[tuple[datetime, ModelRecord]]) -> Callable[[str], datetime | None]:
    """When each version was made active for the last time, from records and their times in order."""
    since: dict[str, datetime] = {}
    active: set[str] = set()
    for at, record in records:
        if record.state not in _ACTIVE:
            active.discard(record.version)
        elif record.version not in active:
            active.add(record.version)
            since[record.version] = at
    return since.get


def _side(decisions: Sequence[_FaceDecision]) -> VersionFigures:
    unknown = sum(one.decision is Decision.UNKNOWN for one in decisions)
    margins = [one.margin for one in decisions if one.decision is Decision.MATCH and one.margin is not None]
    return VersionFigures(unknown / max(1, len(decisions)), float(np.mean(margins)) if margins else None)
