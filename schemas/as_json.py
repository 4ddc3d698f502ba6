"""Converts events to plain JSON, for Redis, the command line and people. The keys are the names of the fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Any, get_args, get_type_hints

import cattrs
from cattrs.gen import make_dict_unstructure_fn, override

from schemas.access import ApiKey
from schemas.dead_letters import DeadLetter, Header
from schemas.drift import DriftFace
from schemas.embeddings import Face, OtherVector, Reembedding, TemplateBatch
from schemas.gallery import Template
from schemas.hooks import Hook, HookDelivery
from schemas.ingest import Picture
from schemas.learning import Chip
from schemas.registry import EVENT_TYPES, Event
from schemas.sightings import View

_BIOMETRIC = "biometric data stays where it is protected and can be erased"
LEFT_OUT = {
    (Picture, "data"): _BIOMETRIC,
    (Face, "vector"): _BIOMETRIC,
    (OtherVector, "vector"): _BIOMETRIC,
    (Template, "vector"): _BIOMETRIC,
    (Reembedding, "vector"): _BIOMETRIC,
    (TemplateBatch, "templates"): _BIOMETRIC,
    (DriftFace, "vector"): _BIOMETRIC,
    (View, "vector"): _BIOMETRIC,
    (Chip, "jpeg"): _BIOMETRIC,
    (ApiKey, "secret_sha256"): "only the gateway compares with it",
    (Hook, "secret_sha256"): "only the workers compare with it",
    (HookDelivery, "event"): "its address gets it; everybody else reads it where it is from",
    (DeadLetter, "value"): "it may hold a picture or a vector",
}
"""The fields that are left out of the JSON, with the reason."""
_TEXTS = {(DeadLetter, "key"), (Header, "value")}
"""The bytes fields that become text."""


def to_json(event: Event) -> dict[str, Any]:
    """Convert an event to plain JSON types.

    Times become ISO 8601 in UTC with six decimals and ``Z``, so that they sort as text; enums become their values,
    bytes text; numbers have the seven digits of a float32. The fields in ``LEFT_OUT`` are left out.
    """
    plain: dict[str, Any] = _CONVERTER.unstructure(event)
    return plain


def time_text(time: datetime) -> str:
    """ISO 8601 in UTC, six decimals, ``Z``."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _classes() -> set[type]:
    """The classes of all events and of their fields."""
    found: set[Any] = set()
    waiting: list[Any] = [*EVENT_TYPES.values()]
    while waiting:
        hint = waiting.pop()
        if isinstance(hint, type) and hint not in found:
            found.add(hint)
            waiting += get_type_hints(hint).values() if dataclasses.is_dataclass(hint) else ()
        waiting += get_args(hint)
    return found


def _number(value: float) -> float:
    return float(f"{value:.7g}")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _unstructure(cls: Any, converter: cattrs.Converter) -> Callable[[Any], Any]:
    """A function that converts objects of a class to dicts.

    Raises:
        TypeError: it has a bytes field that is declared neither as text nor as left out.
    """
    omitted = {}
    for name, hint in get_type_hints(cls).items():
        if (cls, name) in LEFT_OUT:
            omitted[name] = override(omit=True)
        elif bytes in (hint, *get_args(hint)) and (cls, name) not in _TEXTS:
            raise TypeError(
                f"{cls.__name__}.{name} holds bytes: say in schemas/as_json.py whether they are text or, with the "
                "reason, left out"
            )
    return make_dict_unstructure_fn(cls, converter, **omitted)  # type: ignore[arg-type]


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    converter.register_unstructure_hook(datetime, time_text)
    converter.register_unstructure_hook(float, _number)
    converter.register_unstructure_hook(bytes, _text)
    converter.register_unstructure_hook_factory(dataclasses.is_dataclass, lambda cls: _unstructure(cls, converter))
    classes = _classes()
    for cls in classes:
        if issubclass(cls, Enum):
            converter.register_unstructure_hook(cls, lambda word: word.value)
    for cls in filter(dataclasses.is_dataclass, classes):
        converter.get_unstructure_hook(cls)
    return converter


_CONVERTER = _converter()
