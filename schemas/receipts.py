"""The receipt of an erasure, which the command line, the gateway and its clients give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Receipt:
    """The receipt of an erasure.

    Attributes:
        erasure_id: id of the request.
        user_id: the user.
        subject_id: the subject, or whose photo; None: the user with all subjects.
        requested_at: time of the request.
        completed_at: time of the last answer; None while answers are missing.
        removed: numbers of removed things, by role, for ``chips``, and for ``models`` if versions named somebody.
        waiting_for: roles that have not answered; they erase when they run again.
        logs_until: by topic, the time until which Kafka's files may hold old messages. No replay brings them back.
        may_have_learned: model versions that were trained while the faces were there to learn from, whether or not they
            were ever used, and trainings that are under way (``run`` and the run's id).
        photo: the uploads of the erased photo; empty: the subject or the user as a whole.
    """

    erasure_id: str
    user_id: str
    subject_id: str | None
    requested_at: datetime
    completed_at: datetime | None
    removed: Mapping[str, Mapping[str, int]]
    waiting_for: tuple[str, ...]
    logs_until: Mapping[str, datetime]
    may_have_learned: tuple[str, ...]
    photo: tuple[str, ...] = ()
