"""Pages: together they hold everything that fits, once, the newest first."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.as_json import to_json
from schemas.parts import Decision
from sinks.pages import InvalidCursor, PageRequest, Place, match_page, sighting_page
from tests.sinks.examples import NOW, face, match, sighting

Json = dict[str, Any]


def at(second: int) -> datetime:
    return NOW + timedelta(seconds=second)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["door", "gate"])), max_size=20), st.integers(1, 7))
def test_pages_hold_everything_once_and_the_newest_first(taken: list[tuple[int, str]], limit: int) -> None:
    events = [to_json(match(captured_at=at(second), camera_id=camera)) for second, camera in taken]
    kept, found, after = random.sample(events, len(events)), [], None
    while True:
        wanted = PageRequest("ursula", camera_id="door", since=at(1), until=at(5), after=after, limit=limit)
        page = match_page([*kept, {"event_id": "somebody else's"}], wanted)
        assert len(page.events) == limit or page.next is None
        found += page.events
        if page.next is None:
            break
        after = Place.read(str(page.next))
    fit = [event for event, (second, camera) in zip(events, taken, strict=True) if camera == "door" and 1 <= second < 5]
    assert found == sorted(fit, key=lambda one: (one["captured_at"], one["event_id"]), reverse=True)


def test_a_person_is_looked_for_in_all_faces() -> None:
    both = to_json(match(faces=[face(), face(subject_id="otto")]))
    nobody = to_json(match(faces=[face(Decision.UNKNOWN, None)]))
    assert match_page([both, nobody], PageRequest("ursula", subject_id="otto")).events == [both]


def test_a_sighting_is_of_every_time_that_it_lasts() -> None:
    seen = to_json(sighting(first_seen_at=at(10), last_seen_at=at(20)))

    def found(since: int, until: int, subject: str | None = None) -> bool:
        wanted = PageRequest("ursula", since=at(since), until=at(until), subject_id=subject)
        return bool(sighting_page([seen], wanted).events)

    assert found(0, 11) and found(15, 16) and found(20, 30) and found(0, 99, "anna")
    assert not found(0, 10) and not found(21, 30) and not found(0, 99, "otto")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "~",
        "1",
        "2026-11-24T08:03:56.549309+00:00~a",
        "2026-11-24T08:03:56.549309Z",
        "2026-11-24T08:03:56Z~a",
        "x~a",
    ],
)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        Place.read(cursor)
