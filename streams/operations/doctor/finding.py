"""What a check found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from streams.operations.doctor.remedies import Advice


class Status(StrEnum):
    """How bad it is: with ``fail`` events are not processed as they should be, with ``warn`` they may soon not be."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor: what was looked at, what was observed, and what to do about it."""

    status: Status
    name: str
    observed: str
    remedy: Advice | None = None


Check = Callable[[], Iterable[Finding]]
"""Looks at something; may give what it found bit by bit."""


def ok(name: str, observed: str) -> Finding:
    """All is well."""
    return Finding(Status.OK, name, observed)


def warn(name: str, observed: str, remedy: Advice) -> Finding:
    """Something is to be looked at."""
    return Finding(Status.WARN, name, observed, remedy)


def fail(name: str, observed: str, remedy: Advice) -> Finding:
    """Something is broken."""
    return Finding(Status.FAIL, name, observed, remedy)
