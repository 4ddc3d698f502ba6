"""What was seen: matches, sightings and cameras of a user, of late from Redis and of the past from BigQuery."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from schemas.access import Scope
from schemas.as_json import time_text
from sinks.pages import Json, Page, PageRequest, match_page, sighting_page
from sinks.redis.sighting_results import last_messages
from streams.gateway.auth import Caller, Needs
from streams.gateway.context import context
from streams.gateway.openapi import problems
from streams.gateway.paging import AskedListing, AskedPeriod, Listing
from streams.gateway.problems import json_answer

router = APIRouter(tags=["history"])

Reader = Annotated[Caller, Depends(Needs(Scope.READ))]
_USERS = "/api/v1/users/{user_id}"
_KEPT = 2_000
"""Most entries of a stream of Redis that are looked through for a page."""


@router.get(f"{_USERS}/matches", **problems(200, "Matches, the newest first, and the cursor of the next page."))
async def matches(request: Request, user_id: str, caller: Reader, asked: AskedListing) -> Response:
    """List answers to frames, by the time of the picture; those to searches are left out."""
    here = context(request)

    def of_late(wanted: PageRequest) -> tuple[Page, str | None]:
        kept = here.client.results.kept_matches(wanted.user_id, _KEPT)
        return match_page(kept, wanted), min((one["captured_at"] for one in kept), default=None)

    return await _listed(request, "matches", caller.user(user_id), asked, of_late, here.history.matches)


@router.get(f"{_USERS}/sightings", **problems(200, "Sightings, the newest first, and the cursor of the next page."))
async def sightings(request: Request, user_id: str, caller: Reader, asked: AskedListing) -> Response:
    """List who was before the cameras, from when to when, by the time at which they came."""
    here = context(request)

    def of_late(wanted: PageRequest) -> tuple[Page, str | None]:
        kept = last_messages(one.event for one in here.sightings.kept(wanted.user_id, _KEPT))
        return sighting_page(kept, wanted), min((one["last_seen_at"] for one in kept), default=None)

    return await _listed(request, "sightings", caller.user(user_id), asked, of_late, here.history.sightings)


@router.get(f"{_USERS}/cameras", **problems(200, "Cameras by name."))
async def cameras(request: Request, user_id: str, caller: Reader, asked: AskedPeriod) -> Response:
    """List the cameras whose frames were answered, how many of each, and when the first and last were taken."""
    here, user = context(request), caller.user(user_id)

    def find() -> Json:
        if asked.history:
            found, since = here.history.cameras(user, asked.begin, asked.until), time_text(asked.begin)
            return {"cameras": found, "source": "bigquery", "since": since}
        kept = here.client.results.kept_matches(user, _KEPT)
        page = match_page(kept, PageRequest(user, since=asked.since, until=asked.until, limit=_KEPT))
        oldest = min((one["captured_at"] for one in kept), default=None)
        return {"cameras": _by_camera(page.events), "source": "redis", "since": oldest}

    return json_answer({"user_id": user} | await here.slow.run(find))


async def _listed(
    request: Request,
    name: str,
    user_id: str,
    asked: Listing,
    of_late: Callable[[PageRequest], tuple[Page, str | None]],
    of_the_past: Callable[[PageRequest], Page],
) -> Response:
    """A page as an answer; ``since`` is the time from which on nothing is missing."""
    wanted = asked.of(user_id)

    def find() -> Json:
        since: str | None
        if asked.period.history:
            page, since = of_the_past(wanted), time_text(asked.period.begin)
        else:
            page, since = of_late(wanted)
        next_ = None if page.next is None else str(page.next)
        source = "bigquery" if asked.period.history else "redis"
        return {"user_id": user_id, name: page.events, "next": next_, "source": source, "since": since}

    return json_answer(await context(request).slow.run(find))


def _by_camera(matches: Iterable[Json]) -> list[Json]:
    taken: dict[str, list[str]] = defaultdict(list)
    for one in matches:
        taken[one["camera_id"]].append(one["captured_at"])
    return [
        {"camera_id": name, "frames": len(at), "first_captured_at": min(at), "last_captured_at": max(at)}
        for name, at in sorted(taken.items())
    ]
