"""The findings of a check."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from streams.operations.doctor.remedies import Advice


class Status(StrEnum):
    """Severity: with ``fail`` events are not processed as they should be, with ``warn`` that may happen soon."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor: what was checked, what was observed, and the remedy."""

    status: Status
    name: str
    observed: str
    remedy: Advice | None = None


Check = Callable[[], Iterable[Finding]]
"""Checks something; may yield its findings one by one."""


def ok(name: str, observed: str) -> Finding:
    """A finding that something is as it should be."""
    return Finding(Status.OK, name, observed)


def warn(name: str, observed: str, remedy: Advice) -> Finding:
    """A finding that needs attention."""
    return Finding(Status.WARN, name, observed, remedy)


def fail(name: str, observed: str, remedy: Advice) -> Finding:
    """A finding that something is broken."""
    return Finding(Status.FAIL, name, observed, remedy)
