"""Which answers of a user are asked for: the parameters that several routes have in their query."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends, Query
from pydantic import AwareDatetime

from schemas.as_json import time_text
from schemas.clock import utc_now
from schemas.ids import checked_name
from sinks.pages import InvalidCursor, PageRequest, Place
from streams.gateway.problems import GatewayReason, Problem

LONGEST = timedelta(days=31)
"""Longest time of one question to BigQuery."""
_USUAL = timedelta(days=7)
_NAME = 256


@dataclass(frozen=True, slots=True)
class Period:
    """A time, and whether what is asked for is in BigQuery (``history``) or in Redis."""

    since: datetime | None
    until: datetime | None
    history: bool

    @property
    def begin(self) -> datetime:
        """Where it begins; of the past it must be bounded."""
        assert self.since is not None
        return self.since


async def period(
    since: Annotated[
        AwareDatetime | None,
        Query(alias="from", description="What was over before is left out. With `history` a week."),
    ] = None,
    until: Annotated[
        AwareDatetime | None, Query(alias="to", description="What began then or later is left out.")
    ] = None,
    history: Annotated[
        bool, Query(description="Ask BigQuery, which keeps everything; otherwise Redis, which keeps the newest.")
    ] = False,
) -> Period:
    """The time that is asked for, at most a month of BigQuery's.

    Raises:
        Problem: it is longer, or no time.
    """
    try:
        now = utc_now()
        if history and since is None:
            since = (until or now) - _USUAL
        for at in (since, until):
            _ = None if at is None else time_text(at)  # the first and last days of the calendar have none in UTC
        if history and since is not None and (until or max(now, since)) - since > LONGEST:
            raise Problem(
                422,
                GatewayReason.INVALID_REQUEST,
                f"from and to may be {LONGEST.days} days apart: ask for less at once",
            )
    except OverflowError:
        raise Problem(422, GatewayReason.INVALID_REQUEST, "from and to must be times of this age") from None
    return Period(since, until, history)


AskedPeriod = Annotated[Period, Depends(period)]
AskedCursor = Annotated[str | None, Query(max_length=_NAME, description="The `next` of the page before, as it is.")]
AskedLimit = Annotated[int, Query(ge=1, le=500, description="Most of one page.")]


def place_of(cursor: str | None) -> Place | None:
    """The place that a cursor names.

    Raises:
        Problem: it is none.
    """
    try:
        return None if cursor is None else Place.read(cursor)
    except InvalidCursor as error:
        raise Problem(422, GatewayReason.INVALID_REQUEST, str(error)) from None


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list is to hold, but for the user."""

    period: Period
    camera_id: str | None
    subject_id: str | None
    after: Place | None
    limit: int

    def of(self, user_id: str) -> PageRequest:
        """The page of a user."""
        since, until = self.period.since, self.period.until
        return PageRequest(user_id, self.camera_id, self.subject_id, since, until, self.after, self.limit)


async def listing(
    period: AskedPeriod,
    camera_id: Annotated[str | None, Query(max_length=_NAME, description="Only of this camera.")] = None,
    subject_id: Annotated[str | None, Query(max_length=_NAME, description="Only with this person.")] = None,
    after: AskedCursor = None,
    limit: AskedLimit = 100,
) -> Listing:
    """What is asked for.

    Raises:
        InvalidId: the camera or person has no such name.
        Problem: the cursor is none.
    """
    return Listing(
        period,
        None if camera_id is None else checked_name("camera_id", camera_id),
        None if subject_id is None else checked_name("subject_id", subject_id),
        place_of(after),
        limit,
    )


AskedListing = Annotated[Listing, Depends(listing)]
