"""Answers and sightings as events, from the JSON in which they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

import cattrs

from schemas.results import Enrolment, Match

E = TypeVar("E")

Answer = Enrolment | Match
"""What becomes of an upload, and of a frame."""


def answer_from_json(event: Mapping[str, Any]) -> Answer:
    """The event that the JSON describes; what a newer release has added to it is left out.

    Raises:
        ValueError: the JSON is no answer.
    """
    try:
        if "outcome" in event:
            return _CONVERTER.structure(event, Enrolment)
        return _CONVERTER.structure(event, Match)
    except (cattrs.BaseValidationError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the JSON with the event_id {event.get('event_id')!r} is no answer: {error}") from error


def event_from_json(event: Mapping[str, Any], kind: type[E]) -> E:
    """The event of a kind that the JSON describes.

    Raises:
        ValueError: the JSON is none.
    """
    try:
        return _CONVERTER.structure(event, kind)
    except (cattrs.BaseValidationError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the JSON is no {kind.__name__}: {error}") from error


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    converter.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))
    return converter


_CONVERTER = _converter()
