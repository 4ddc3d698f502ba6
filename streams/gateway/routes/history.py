"""What was seen and enrolled: matches, sightings, cameras, photos; of late from Redis, of the past from BigQuery."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from schemas.access import Scope
from schemas.as_json import time_text
from schemas.ids import checked_name
from sinks.pages import Json, Page, PageRequest, enrolment_page, match_page, sighting_page
from sinks.redis.sighting_results import last_messages
from streams.gateway.auth import Caller, Needs
from streams.gateway.context import Context, context
from streams.gateway.openapi import problems
from streams.gateway.paging import AskedCursor, AskedLimit, AskedListing, AskedPeriod, Period, place_of
from streams.gateway.problems import GatewayReason, Problem, json_answer

router = APIRouter(tags=["history"])

Reader = Annotated[Caller, Depends(Needs(Scope.READ))]
_USERS = "/api/v1/users/{user_id}"
_KEPT = 2_000
"""Most entries of a stream of Redis that are looked through for a page."""


@router.get(f"{_USERS}/matches", **problems(200, "Matches, the newest first, and the cursor of the next page."))
async def matches(request: Request, user_id: str, caller: Reader, asked: AskedListing) -> Response:
    """List answers to frames, by the time of the picture; those to searches are left out."""
    here, wanted = context(request), asked.of(caller.user(user_id))

    def find() -> Json:
        if asked.period.history:
            return _of_the_past("matches", wanted, here.history.matches(wanted))
        kept = here.client.results.kept_matches(wanted.user_id, _KEPT)
        return _of_late("matches", wanted, match_page(kept, wanted), kept, "captured_at")

    return await _found(here, asked.period, find)


@router.get(f"{_USERS}/sightings", **problems(200, "Sightings, the newest first, and the cursor of the next page."))
async def sightings(request: Request, user_id: str, caller: Reader, asked: AskedListing) -> Response:
    """List who was before the cameras, from when to when, by the time at which they came."""
    here, wanted = context(request), asked.of(caller.user(user_id))

    def find() -> Json:
        if asked.period.history:
            return _of_the_past("sightings", wanted, here.history.sightings(wanted))
        kept = last_messages(one.event for one in here.sightings.kept(wanted.user_id, _KEPT))
        return _of_late("sightings", wanted, sighting_page(kept, wanted), kept, "last_seen_at")

    return await _found(here, asked.period, find)


@router.get(f"{_USERS}/cameras", **problems(200, "Cameras by name."))
async def cameras(request: Request, user_id: str, caller: Reader, period: AskedPeriod) -> Response:
    """List the cameras whose frames were answered, how many of each, and when the first and last were taken."""
    here, user = context(request), caller.user(user_id)
    wanted = PageRequest(user, since=period.since, until=period.until, limit=_KEPT)

    def find() -> Json:
        if period.history:
            listed = here.history.cameras(user, period.begin, period.until)
            return _of_the_past("cameras", wanted, Page(listed, None))
        kept = here.client.results.kept_matches(user, _KEPT)
        listed = _by_camera(match_page(kept, wanted).events)
        return _of_late("cameras", wanted, Page(listed, None), kept, "captured_at")

    return await _found(here, period, find)


@router.get(f"{_USERS}/subjects/{{subject_id}}", **problems(200, "Templates, and what became of each photo.", 404))
async def subject(
    request: Request,
    user_id: str,
    subject_id: str,
    caller: Reader,
    period: AskedPeriod,
    after: AskedCursor = None,
    limit: AskedLimit = 100,
) -> Response:
    """Say how many templates a subject has, and list what became of the photos, the newest first."""
    here, user, name = context(request), caller.user(user_id), checked_name("subject_id", subject_id)
    wanted = PageRequest(user, None, name, period.since, period.until, place_of(after), limit)

    def find() -> Json:
        if period.history:
            listed = _of_the_past("photos", wanted, here.history.enrolments(wanted))
        else:
            kept = here.client.results.kept_enrolments(user, _KEPT)
            listed = _of_late("photos", wanted, enrolment_page(kept, wanted), kept, "created_at")
        templates = here.client.results.subjects(user).get(name)
        if templates is None and not listed["photos"]:
            raise Problem(404, GatewayReason.UNKNOWN_SUBJECT, "nobody of this name is enrolled, and no photo is found")
        return listed | {"subject_id": name, "templates": templates or 0}

    return await _found(here, period, find)


async def _found(here: Context, period: Period, find: Callable[[], Json]) -> Response:
    """The answer; BigQuery takes seconds, Redis does not."""
    return json_answer(await (here.slow.run(find) if period.history else asyncio.to_thread(find)))


def _of_the_past(name: str, wanted: PageRequest, page: Page) -> Json:
    assert wanted.since is not None
    return _page(name, wanted, page, "bigquery", time_text(wanted.since))


def _of_late(name: str, wanted: PageRequest, page: Page, kept: Iterable[Json], time: str) -> Json:
    return _page(name, wanted, page, "redis", min((one[time] for one in kept), default=None))


def _page(name: str, wanted: PageRequest, page: Page, source: str, since: str | None) -> Json:
    """A page as JSON; ``since`` is the time from which on nothing is missing."""
    next_ = None if page.next is None else str(page.next)
    return {"user_id": wanted.user_id, name: page.events, "next": next_, "source": source, "since": since}


def _by_camera(matches: Iterable[Json]) -> list[Json]:
    taken: dict[str, list[str]] = defaultdict(list)
    for one in matches:
        taken[one["camera_id"]].append(one["captured_at"])
    return [
        {"camera_id": name, "frames": len(at), "first_captured_at": min(at), "last_captured_at": max(at)}
        for name, at in sorted(taken.items())
    ]
