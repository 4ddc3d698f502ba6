"""Validates feedback on a match: finds the face that is meant, and makes the event."""

from __future__ import annotations

from collections.abc import Collection

from schemas import codec
from schemas.clock import utc_now
from schemas.learning import Feedback, Statement
from schemas.parts import Decision
from streams.feedback.errors import FeedbackRefused
from streams.feedback.lookup import Answer, AnsweredFace


def face_meant(answer: Answer, statement: Statement, subject_id: str, chosen: int | None = None) -> int:
    """The number of the face that feedback is about.

    Args:
        answer: the answer to the frame.
        statement: whether the face is the subject's or is not.
        subject_id: the subject that the statement names.
        chosen: the number, if it was given.

    Raises:
        FeedbackRefused: there is no such face, or more than one may be meant.
    """
    faces = answer.faces
    if not faces:
        raise FeedbackRefused(f"there is no face in the match of the event {answer.event_id}")
    if chosen is not None:
        if not 0 <= chosen < len(faces):
            there = "only the face 0" if len(faces) == 1 else f"the faces 0 to {len(faces) - 1}"
            raise FeedbackRefused(f"the match has {there}, and no face {chosen}")
        return chosen
    recognised = [number for number, face in enumerate(faces) if _is(face, subject_id)]
    if len(recognised) == 1:
        return recognised[0]
    if len(faces) == 1:
        return 0
    listed = ", ".join(f"{number}: {face.subject_id or face.decision}" for number, face in enumerate(faces))
    raise FeedbackRefused(
        f"which of the {len(faces)} faces {statement} {subject_id}? Give the number of the face ({listed})"
    )


def feedback(
    answer: Answer,
    statement: Statement,
    subject_id: str,
    *,
    face: int,
    training: bool,
    subjects: Collection[str] | None,
    before: Feedback | None,
) -> Feedback:
    """Feedback on a face as an event; ``before`` itself if that says the same already.

    Args:
        answer: the answer to the frame.
        statement: whether the face is the subject's or is not.
        subject_id: the subject that the statement names.
        face: the face's number.
        training: whether models may learn from the face.
        subjects: the user's subjects; None: they are not known.
        before: the last feedback on the face.

    Raises:
        FeedbackRefused: the user has no such subject, or the face is too poor to be of use.
    """
    if subjects is not None and subject_id not in subjects:
        known = ", ".join(sorted(subjects)[:10]) or "none"
        raise FeedbackRefused(f"user {answer.user_id!r} has no subject {subject_id!r}, but {known}")
    seen = answer.faces[face]
    if training and seen.decision == Decision.REFUSED:
        raise FeedbackRefused(f"face {face} is too poor to be learned from: leave training out")
    if before is not None and (before.statement, before.subject_id, before.training) == (
        statement,
        subject_id,
        training,
    ):
        return before
    replaces = before.feedback_id if before else None
    return Feedback(
        feedback_id=codec.stable_id(answer.event_id, face, statement, subject_id, training, replaces),
        event_id=answer.event_id,
        user_id=answer.user_id,
        face=face,
        statement=statement,
        subject_id=subject_id,
        training=training,
        decision=seen.decision,
        matched_subject_id=seen.subject_id,
        model_version=answer.model_version,
        landmarks=seen.landmarks,
        quality=seen.quality,
        source=answer.source,
        replaces=replaces,
        given_at=utc_now(),
    )


def _is(face: AnsweredFace, subject_id: str) -> bool:
    return face.decision == Decision.MATCH and face.subject_id == subject_id
