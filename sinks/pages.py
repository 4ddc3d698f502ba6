"""Pages of a user's answers or sightings: which ones, in which order, and where the next page begins.

The newest come first, by their own time and then by their id, whichever place they are read from. So a page that was
begun in Redis can be continued in BigQuery.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.as_json import time_text

Json = dict[str, Any]
"""An event as :func:`schemas.as_json.to_json` gives it."""
_BETWEEN = "~"


class InvalidCursor(ValueError):
    """A text that no page has given as its cursor."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the order: what comes after it is older, or as old with a smaller id."""

    at: datetime
    id: str

    def __str__(self) -> str:
        """The cursor, as pages give it."""
        return f"{time_text(self.at)}{_BETWEEN}{self.id}"

    @classmethod
    def read(cls, cursor: str) -> Place:
        """The place that a cursor names.

        Raises:
            InvalidCursor: it is none.
        """
        time, between, id_ = cursor.partition(_BETWEEN)
        try:
            at = datetime.fromisoformat(time)
            if not between or at.tzinfo is None or str(cls(at, id_)) != cursor or not (id_.isascii() and id_):
                raise ValueError(cursor)
        except (ValueError, OverflowError) as error:
            raise InvalidCursor(f"{cursor[:80]!r} is no cursor: give the `next` of a page as it is") from error
        return cls(at, id_)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What a page is to hold.

    Attributes:
        user_id: whose; in canonical form, as the other names.
        camera_id: only of this camera; None: of all.
        subject_id: only of this person; None: of all, and of nobody known.
        since: not those that were over before this time; None: without a bound.
        until: only those that began before this time; None: without a bound.
        after: the place after which the page begins; None: at the newest.
        limit: how many it holds at most.
    """

    user_id: str
    camera_id: str | None = None
    subject_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: Place | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Page:
    """One page, the newest first; ``next`` is where the next one begins, None after the last."""

    events: list[Json]
    next: Place | None

    @classmethod
    def of(cls, found: list[Json], limit: int, time: str, id_: str) -> Page:
        """The page of events of which one more than the limit was looked for, and the fields of their order."""
        last = found[limit - 1] if len(found) > limit else None
        after = None if last is None else Place(datetime.fromisoformat(last[time]), last[id_])
        return cls(found[:limit], after)


def match_page(kept: Iterable[Json], wanted: PageRequest) -> Page:
    """A page of matches, out of those that are kept; its times are when the pictures were taken."""

    def names(event: Json, subject_id: str) -> bool:
        return any(face.get("subject_id") == subject_id for face in event.get("faces", ()))

    return _page(kept, wanted, names, ("captured_at", "captured_at", "event_id"))


def sighting_page(kept: Iterable[Json], wanted: PageRequest) -> Page:
    """A page of sightings, out of the last messages about each; in order of when they began."""
    return _page(kept, wanted, _is_of, ("first_seen_at", "last_seen_at", "sighting_id"))


def enrolment_page(kept: Iterable[Json], wanted: PageRequest) -> Page:
    """A page of outcomes of uploads, out of those that are kept; its times are when the uploads were made."""
    return _page(kept, wanted, _is_of, ("created_at", "created_at", "event_id"))


def _is_of(event: Json, subject_id: str) -> bool:
    return bool(event.get("subject_id") == subject_id)


def _page(
    kept: Iterable[Json], wanted: PageRequest, names: Callable[[Json, str], bool], fields: tuple[str, str, str]
) -> Page:
    began, ended, id_ = fields
    # Times as text have six decimals and Z, so they sort as they are.
    since, until = (None if at is None else time_text(at) for at in (wanted.since, wanted.until))
    after = None if wanted.after is None else (time_text(wanted.after.at), wanted.after.id)
    fit = (
        event
        for event in kept
        if event.keys() >= {*fields}
        and wanted.camera_id in (None, event.get("camera_id"))
        and (wanted.subject_id is None or names(event, wanted.subject_id))
        and (since is None or event[ended] >= since)
        and (until is None or event[began] < until)
        and (after is None or (event[began], event[id_]) < after)
    )
    found = heapq.nlargest(wanted.limit + 1, fit, key=lambda event: (event[began], event[id_]))
    return Page.of(found, wanted.limit, began, id_)
