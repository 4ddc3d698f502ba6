"""The picture of an upload or frame, or the refusal that takes its place."""

from __future__ import annotations

from datetime import datetime, timedelta

import tenacity

from schemas.ingest import Frame, Picture, Upload
from schemas.parts import Refusal
from schemas.reasons import Reason
from streams.embedding.payload import PayloadUnavailable, fetch
from streams.settings import Settings

_FETCH_S = 10.0
"""How long a store that is away is tried again before its pictures are refused; live events wait behind them."""


def read_picture(event: Upload | Frame, now: datetime, settings: Settings) -> bytes | Refusal:
    """The encoded picture, or why it is refused. Safe to call from several threads.

    ``now`` is when the event first came, so that a replay decides alike.
    """
    return _time_refusal(event, now, settings) or _read(event.picture, settings)


def _time_refusal(event: Upload | Frame, now: datetime, settings: Settings) -> Refusal | None:
    at = event.created_at if isinstance(event, Upload) else event.captured_at
    oldest = now - timedelta(days=settings.max_event_age_days)
    newest = now + timedelta(seconds=settings.max_clock_ahead_s)
    if oldest <= at <= newest:
        return None
    return Refusal(
        Reason.IMPLAUSIBLE_TIME, f"the event's own time is {at:%Y-%m-%d %H:%M} UTC: check its producer's clock"
    )


def _read(picture: Picture, settings: Settings) -> bytes | Refusal:
    try:
        return fetch_with_retries(picture, settings)
    except PayloadUnavailable as error:
        return Refusal(Reason.URI_UNREADABLE, f"its store did not answer for {_FETCH_S:g} s: {error}")


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(PayloadUnavailable),
    wait=tenacity.wait_exponential(multiplier=0.2, max=2.0),
    stop=tenacity.stop_after_delay(_FETCH_S),
    reraise=True,
)
def fetch_with_retries(picture: Picture, settings: Settings) -> bytes | Refusal:
    """The encoded picture, or why it is refused; a store that does not answer is asked again for a while.

    Raises:
        PayloadUnavailable: the store did not answer in the end.
    """
    return fetch(picture, settings)
