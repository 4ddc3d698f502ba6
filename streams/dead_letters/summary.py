"""Counts dead letters by reason, stage and topic, and by how they stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from schemas.dead_letters import DeadLetter
from streams.dead_letters.store import DeadLetterRecord, DeadLetterStatus


@dataclass(slots=True)
class DeadLetterGroup:
    """The dead letters of one reason, stage and topic: how many stand how, when the first failed, and the last."""

    reason: str
    stage: str
    topic: str
    first_failed_at: datetime
    last: DeadLetter
    standing: Counter[DeadLetterStatus] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """The group as JSON."""
        return {
            "reason": self.reason,
            "stage": self.stage,
            "topic": self.topic,
            "count": self.standing.total(),
            "first_failed_at": self.first_failed_at.isoformat(),
            **{word.value: self.standing[word] for word in DeadLetterStatus},
            "last_failed_at": self.last.failed_at.isoformat(),
            "last_id": self.last.letter_id,
            "last_message": self.last.message,
        }


@dataclass(frozen=True, slots=True)
class DeadLetterSummary:
    """All groups, the largest first; and how many were dismissed, by reason and why."""

    groups: list[DeadLetterGroup]
    dismissed: Counter[tuple[str, str]]

    def as_json(self, *, dismissals: bool = False) -> dict[str, Any]:
        """The summary as JSON, if wanted with why some were dismissed."""
        counts = {
            "total": sum(one.standing.total() for one in self.groups),
            "groups": [one.as_json() for one in self.groups],
            "dismissed": self.dismissed.total(),
        }
        why = [
            {"reason": reason, "because": because, "count": n} for (reason, because), n in self.dismissed.most_common()
        ]
        return counts | ({"dismissals": why} if dismissals else {})


def summarize(records: Iterable[DeadLetterRecord], *, dismissed: bool = False) -> DeadLetterSummary:
    """Count dead letters; with ``dismissed`` those that were dismissed are in the groups too."""
    groups: dict[tuple[str, str, str], DeadLetterGroup] = {}
    left_out: Counter[tuple[str, str]] = Counter()
    for one in records:
        letter = replace(one.letter, value=None)
        if one.resolution is not None and one.standing is DeadLetterStatus.DISMISSED:
            left_out[letter.reason, one.resolution.because or ""] += 1
            if not dismissed:
                continue
        key = letter.reason, letter.stage, letter.topic
        group = groups.setdefault(key, DeadLetterGroup(*key, letter.failed_at, letter))
        group.standing[one.standing] += 1
        group.first_failed_at = min(group.first_failed_at, letter.failed_at)
        group.last = max(group.last, letter, key=lambda one: (one.failed_at, one.letter_id))
    ordered = sorted(
        groups.values(), key=lambda group: (-group.standing.total(), group.reason, group.stage, group.topic)
    )
    return DeadLetterSummary(ordered, left_out)
