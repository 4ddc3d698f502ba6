"""Events as plain JSON, for Redis, the command line and people."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import cattrs
from cattrs.gen import make_dict_unstructure_fn, override

from schemas.drift import DriftFace
from schemas.events import (
    DeadLetter,
    Decision,
    Event,
    Face,
    Mode,
    Outcome,
    Picture,
    ReplayState,
    ResolutionState,
    RunState,
    Statement,
    Template,
)

_LEFT_OUT = {
    Picture: ("data",),
    Face: ("vector",),
    Template: ("vector",),
    DriftFace: ("vector",),
    DeadLetter: ("value",),
}
"""Pictures and vectors are biometric data, and the value of a dead letter may hold either."""


def to_json(event: Event) -> dict[str, Any]:
    """Give the event as plain JSON types.

    Times are ISO 8601 in UTC with six decimals and ``Z``, so that they sort as text; enums are their words; bytes are
    text; numbers have the seven digits that a float32 holds. Pictures, vectors and dead letters' values are left out.
    """
    plain: dict[str, Any] = _CONVERTER.unstructure(event)
    return plain


def time_text(time: datetime) -> str:
    """ISO 8601 in UTC, six decimals, ``Z``."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _number(value: float) -> float:
    return float(f"{value:.7g}")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _without(converter: cattrs.Converter, cls: Any, fields: tuple[str, ...]) -> Callable[[Any], Any]:
    return make_dict_unstructure_fn(cls, converter, **{name: override(omit=True) for name in fields})  # type: ignore[arg-type]


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    converter.register_unstructure_hook(datetime, time_text)
    converter.register_unstructure_hook(float, _number)
    converter.register_unstructure_hook(bytes, _text)
    for words in (Mode, Decision, Outcome, ReplayState, ResolutionState, RunState, Statement):
        converter.register_unstructure_hook(words, lambda word: word.value)
    for cls, fields in _LEFT_OUT.items():
        converter.register_unstructure_hook(cls, _without(converter, cls, fields))
    return converter


_CONVERTER = _converter()
