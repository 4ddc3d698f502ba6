"""Which face is meant, and what is refused: no service is needed."""

from __future__ import annotations

import pytest

from schemas.clock import utc_now
from schemas.learning import Statement
from schemas.parts import Source
from streams.feedback.errors import FeedbackRefused
from streams.feedback.lookup import Answer, AnsweredFace
from streams.feedback.validation import face_meant, feedback
from tests.sinks.examples import QUALITY

EVENT = "5e48b24a-e01d-448d-b606-f7f6b29ca0a9"


def answer(*faces: tuple[str, str | None]) -> Answer:
    seen = [AnsweredFace(decision, subject, [0.0] * 10, QUALITY) for decision, subject in faces]
    return Answer(EVENT, "anna", "some", Source("frames", 0, 7), seen, utc_now())


@pytest.mark.parametrize(
    ("faces", "subject", "meant"),
    [
        ([("match", "otto")], "otto", 0),
        ([("unknown", None)], "otto", 0),
        ([("unknown", None), ("match", "otto")], "otto", 1),
        ([("match", "berta"), ("match", "otto")], "berta", 0),
    ],
)
def test_the_face_that_was_recognised_so_or_the_only_one(
    faces: list[tuple[str, str | None]], subject: str, meant: int
) -> None:
    for statement in Statement:
        assert face_meant(answer(*faces), statement, subject) == meant


@pytest.mark.parametrize(
    ("faces", "chosen", "said"),
    [
        ([], None, "no face in the match"),
        ([("match", "berta"), ("unknown", None)], None, r"Give the number of the face \(0: berta, 1: unknown\)"),
        ([("match", "otto"), ("match", "otto")], None, "which of the 2 faces"),
        ([("match", "otto")], 1, "only the face 0, and no face 1"),
        ([("match", "otto")] * 2, 2, "the faces 0 to 1, and no face 2"),
    ],
)
def test_what_is_not_clear_is_asked(faces: list[tuple[str, str | None]], chosen: int | None, said: str) -> None:
    with pytest.raises(FeedbackRefused, match=said):
        face_meant(answer(*faces), Statement.IS, "otto", chosen)


def test_the_same_again_is_the_same_and_the_id_tells_what_it_replaces() -> None:
    seen = answer(("match", "otto"))

    def say(statement: Statement, before: object = None, training: bool = True) -> object:
        return feedback(
            seen,
            statement,
            "otto",
            face=0,
            training=training,
            subjects=["otto"],
            before=before,  # type: ignore[arg-type]
        )

    first = say(Statement.IS)
    assert say(Statement.IS, first) is first
    second = say(Statement.IS_NOT, first)
    third = say(Statement.IS, second)
    fourth = say(Statement.IS, third, training=False)
    ids = [one.feedback_id for one in (first, second, third, fourth)]  # type: ignore[attr-defined]
    assert len(set(ids)) == 4
    assert second.replaces == ids[0]  # type: ignore[attr-defined]
    assert say(Statement.IS_NOT, first).feedback_id == ids[1]  # type: ignore[attr-defined]


def test_a_subject_that_the_user_has_not_and_a_face_too_poor() -> None:
    poor = answer(("refused", None))
    with pytest.raises(FeedbackRefused, match="no subject 'ott', but berta, otto"):
        feedback(poor, Statement.IS, "ott", face=0, training=False, subjects=["otto", "berta"], before=None)
    with pytest.raises(FeedbackRefused, match="too poor to be learned from"):
        feedback(poor, Statement.IS, "otto", face=0, training=True, subjects=None, before=None)
    assert (
        feedback(poor, Statement.IS, "otto", face=0, training=False, subjects=None, before=None).decision == "refused"
    )
