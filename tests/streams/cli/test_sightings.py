"""What ``facestream sightings`` says."""

from __future__ import annotations

from datetime import timedelta

from rich.text import Text

from schemas.as_json import to_json
from schemas.sightings import SightingState
from sinks.redis.sighting_results import last_messages
from streams.cli.sightings import text
from tests.sinks.examples import NOW, sighting


def test_the_last_message_about_each_sighting_is_shown_in_the_order_of_their_begin() -> None:
    late = sighting(first_seen_at=NOW + timedelta(seconds=5), camera_id="garden")
    first = sighting(number=0)
    then = sighting(sighting_id=first.sighting_id, number=1, state=SightingState.END)
    events = [to_json(one) for one in (late, first, then, first)]
    assert last_messages(events) == [to_json(then), to_json(late)]


def test_a_message_is_a_line() -> None:
    def line(**changes: object) -> str:
        return Text.from_markup(text(to_json(sighting(**changes)))).plain

    assert line().endswith("ursula/door anna has come")
    gone = line(state=SightingState.END, subject_id=None, stranger_id="stranger-1")
    assert gone.endswith("ursula/door stranger-1 has gone after 2 s")
    assert "[red]" in line(camera_id="[red]"), "names are no markup"
