from __future__ import annotations

import pytest

from models.embedder.registry_snapshot import RegistrySnapshot
from schemas.clock import utc_now
from schemas.ingest import Consent
from schemas.rollout import GivenUpSubject, ModelRecord, ModelState
from streams.operations.subjects import EnrolledSubject, status, subjects_to_enrol_again


def record(version: str, state: ModelState, *given_up: GivenUpSubject) -> ModelRecord:
    return ModelRecord(version, state, "{}", utc_now(), "tests", 0.0, filled=True, given_up=list(given_up))


VERSIONS = RegistrySnapshot.of(
    "v1",
    [
        record("v1", ModelState.RETIRED, GivenUpSubject("nora", "jim"), GivenUpSubject("olaf", "kim")),
        record("v2", ModelState.PRODUCTION),
        record("v3", ModelState.PRODUCTION),
        record("v4", ModelState.CANDIDATE),
    ],
)
"""v3 answers, and v2 for those who have no template of it; v4 was tried and taken back."""


def enrolled(*versions: str) -> EnrolledSubject:
    now = utc_now()
    return EnrolledSubject("nora", "jim", 1, dict.fromkeys(versions, 1), now, now, Consent("tests", now))


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        (["v3", "v2"], "enrolled"),
        (["v2"], "left_behind"),
        (["v4"], "enrol_again"),
        (["v1"], "enrol_again"),
    ],
)
def test_the_status_is_that_of_the_version_that_answers(versions: list[str], expected: str) -> None:
    one = enrolled(*versions)
    assert status(one, VERSIONS) == expected
    waiting = [(lost.user_id, lost.subject_id) for lost in subjects_to_enrol_again(VERSIONS, [one])]
    assert waiting == ([("nora", "jim")] if expected == "enrol_again" else []) + [("olaf", "kim")]


def test_with_one_version_everybody_is_enrolled() -> None:
    assert status(enrolled("v1"), None) == "enrolled"
    assert subjects_to_enrol_again(None, []) == []


def test_only_the_user_and_subject_asked_for_are_named() -> None:
    assert [one.user_id for one in subjects_to_enrol_again(VERSIONS, [], "olaf")] == ["olaf"]
    assert subjects_to_enrol_again(VERSIONS, [], "olaf", "jim") == []
