"""What ``facestream watch`` says of an answer."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from rich.text import Text

from schemas.as_json import to_json
from streams.cli.answer_lines import answer_lines
from tests.sinks.examples import enrolment, match, with_otto


def lines(event: dict[str, Any], *, width: int | None = None, details: bool = False) -> list[str]:
    kind = "match" if "faces" in event else "enrolment"
    return [Text.from_markup(line).plain for line in answer_lines(kind, event, width=width, details=details)]


def test_people_see_who_it_is_and_details_only_if_they_ask() -> None:
    event = to_json(match())
    [line] = lines(event)
    assert "anna 0.75" in line
    assert "FMR" not in line
    assert event["event_id"] not in line
    [line] = lines(event, details=True)
    assert "anna similarity 0.75, FMR 1e-05" in line
    assert line.endswith(event["event_id"])


def test_a_second_subject_that_is_as_near_is_named() -> None:
    anna, otto = with_otto().faces
    assert "as near" not in lines(to_json(match(faces=[anna, otto])))[0]
    [line] = lines(to_json(match(faces=[dataclasses.replace(anna, ambiguous=True)])))
    assert "anna 0.75 as near: otto" in line


def test_a_covered_face_is_told_beside_its_similarity() -> None:
    [anna] = match().faces
    masked = dataclasses.replace(anna, quality=dataclasses.replace(anna.quality, covered=0.97, covered_part="mouth"))
    assert "covered" not in lines(to_json(match()))[0]
    assert "anna 0.75 mouth covered" in lines(to_json(match(faces=[masked])))[0]


@pytest.mark.parametrize("width", [30, 80, 200])
def test_many_faces_are_folded_between_faces(width: int) -> None:
    anna, otto = with_otto().faces
    event = to_json(match(faces=[anna, otto, anna, anna, otto, anna, otto]))
    [whole] = lines(event)
    folded = lines(event, width=width)
    assert "".join(folded).replace(" ", "") == whole.replace(" ", "")
    assert all(len(line) <= max(width, 60) for line in folded)
    assert not any(line.strip() in ("0.75", "0.75,") for line in folded)
    if width < len(whole):
        assert len(folded) > 1
        assert all(line.startswith(" " * 13) for line in folded[1:])


def test_no_latency_is_shown_of_what_is_not_live() -> None:
    event = to_json(match())
    assert lines(event)[0].endswith(" ms")
    assert " ms" not in lines(event | {"replay_id": "5e48b24a-e01d-448d-b606-f7f6b29ca0a9"})[0]


def test_an_answer_of_a_release_of_before_is_shown() -> None:
    event = to_json(match())
    del event["faces"][0]["ambiguous"], event["faces"][0]["quality"]["covered_part"]
    assert "anna" in lines(event)[0]
    outcome = to_json(enrolment())
    del outcome["detail"]
    assert "1 template" in lines(outcome)[0]


def test_what_there_is_to_say_of_an_enrolment() -> None:
    [line] = lines(to_json(enrolment(detail="enrolled already")))
    assert line.endswith("anna enrolled, 1 template (enrolled already)")
