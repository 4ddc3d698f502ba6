"""What BigQuery has of a user, as Redis would say it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from schemas.as_json import to_json
from schemas.ingest import Mode
from schemas.parts import Decision, Refusal
from schemas.results import Match
from schemas.sightings import Sighting, SightingState
from sinks.base import SinkUnavailable
from sinks.bigquery import Address, apply
from sinks.bigquery.user_history import UserHistory
from sinks.pages import Page, PageRequest, Place, match_page, sighting_page
from tests.sinks.examples import NOW, delivery, face, match, sighting
from tests.sinks.rows import write

SINCE = NOW - timedelta(days=1)


def at(second: int) -> datetime:
    return NOW + timedelta(seconds=second)


def all_pages(ask: Callable[[PageRequest], Page], wanted: PageRequest) -> list[dict[str, object]]:
    """The events of all pages, each of two."""
    found, page = [], ask(dataclasses.replace(wanted, limit=2))
    while page.next is not None:
        found += page.events
        assert len(page.events) == 2
        page = ask(dataclasses.replace(wanted, limit=2, after=Place.read(str(page.next))))
    return [*found, *page.events]


def test_matches_and_sightings_are_what_redis_would_page(address: Address) -> None:
    apply(address.rest_client(), address.dataset_id)
    seen: list[Match] = [
        match(
            captured_at=at(n),
            matched_at=at(n + 1),
            camera_id=("door", "gate")[n % 2],
            faces=[face(), face(subject_id=name)],
        )
        for n, name in enumerate(("otto", None, "otto", "berta", "otto"))
    ]
    seen.append(
        match(captured_at=at(2), faces=[], refusal=Refusal("no_face", "nobody"), mode=Mode.VERIFY, subject_id="anna")
    )
    corrected = dataclasses.replace(
        seen[0], replay_id="r1", corrects=True, faces=[face(Decision.UNKNOWN, None)], matched_at=at(600)
    )
    beside = dataclasses.replace(seen[1], replay_id="r2", faces=[])
    others = [match(user_id="otto"), match(mode=Mode.SEARCH), beside]
    begun = [sighting(first_seen_at=at(n), last_seen_at=at(n + 3), camera_id=("door", "gate")[n % 2]) for n in range(4)]
    told: list[Sighting] = [
        *begun,
        dataclasses.replace(
            begun[0], change_id="1", number=1, state=SightingState.END, subject_id="otto", last_seen_at=at(9)
        ),
    ]
    write(address, [delivery(one, n) for n, one in enumerate([*seen, corrected, *others, *told])])
    history = UserHistory(address)
    current = [to_json(one) for one in [corrected, *seen[1:]]]
    last = [to_json(one) for one in [told[-1], *begun[1:]]]
    for wanted in (
        PageRequest("ursula", since=SINCE),
        PageRequest("ursula", since=at(2), until=at(4)),
        PageRequest("ursula", since=SINCE, camera_id="gate"),
        PageRequest("ursula", since=SINCE, subject_id="otto"),
        PageRequest("ursula", since=at(1), camera_id="door", subject_id="otto"),
        PageRequest("ursula", since=NOW + timedelta(days=2)),
    ):
        assert all_pages(history.matches, wanted) == match_page(current, wanted).events, wanted
        assert all_pages(history.sightings, wanted) == sighting_page(last, wanted).events, wanted
    door, gate = history.cameras("ursula", SINCE, None)
    assert (door["camera_id"], door["frames"], gate["frames"]) == ("door", 4, 2)
    assert (gate["first_captured_at"], gate["last_captured_at"]) == (
        current[1]["captured_at"],
        current[3]["captured_at"],
    )


def test_without_tables_or_a_server_the_past_is_unavailable(address: Address) -> None:
    wanted = PageRequest("ursula", since=SINCE)
    for where in (address, Address("facestream", "facestream", "http://127.0.0.1:1")):
        history = UserHistory(where, timeout_s=2.0)
        with pytest.raises(SinkUnavailable):
            history.matches(wanted)
