"""What `facestream watch` says of an answer that is not a plain one."""

from __future__ import annotations

import dataclasses

from rich.text import Text

from schemas.as_json import to_json
from streams.cli import watch
from tests.sinks.examples import enrolment, match, with_otto


def test_a_second_subject_that_is_as_near_is_named() -> None:
    anna, otto = with_otto().faces
    plain = Text.from_markup(watch._match(to_json(match(faces=[anna, otto])))).plain
    assert "as near" not in plain
    said = Text.from_markup(watch._match(to_json(match(faces=[dataclasses.replace(anna, ambiguous=True)])))).plain
    assert "anna similarity 0.75, FMR 1e-05 as near: otto" in said


def test_an_answer_of_a_release_of_before_is_shown() -> None:
    event = to_json(match())
    del event["faces"][0]["ambiguous"]
    assert "anna" in watch._match(event)
    outcome = to_json(enrolment())
    del outcome["detail"]
    assert "1 template" in watch._enrolment(outcome)


def test_what_there_is_to_say_of_an_enrolment() -> None:
    said = watch._enrolment(to_json(enrolment(detail="enrolled already")))
    assert Text.from_markup(said).plain.endswith("anna enrolled, 1 template (enrolled already)")
