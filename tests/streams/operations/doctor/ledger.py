"""Which remedy a test has carried out: it saw the doctor print it, and at the end the doctor does not any more."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from streams.operations.doctor.finding import Finding, Status
from streams.operations.doctor.remedies import Remedy

Test = TypeVar("Test", bound=Callable[..., None])

_looks: list[set[Remedy]] = []


def look(findings: Iterable[Finding]) -> dict[str, Finding]:
    """What was found, by the names of the checks; of several with one name one that is not well."""
    found = list(findings)
    _looks.append({one.remedy.remedy for one in found if one.remedy is not None})
    return {one.name: one for one in sorted(found, key=lambda one: one.status is not Status.OK)}


def heals(*remedies: Remedy) -> Callable[[Test], Test]:
    """The test carries these remedies out, and sees that nothing is lost."""

    def decorated(test: Test) -> Test:
        @functools.wraps(test)
        def run(*args: Any, **named: Any) -> None:
            _looks.clear()
            test(*args, **named)
            seen: set[Remedy] = set().union(*_looks)
            assert set(remedies) <= seen, "the doctor has not said so"
            assert not set(remedies) & _looks[-1], "the doctor says so still"

        return run  # type: ignore[return-value]

    return decorated
