"""Submits feedback on a match: finds the match, checks the feedback, and puts it on the topic."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from schemas.clock import utc_now
from schemas.ids import canonical, event_id_or_same
from schemas.learning import Feedback, Statement
from sinks.redis import RedisResults, ResultsUnavailable
from streams.feedback import lookup, validation
from streams.feedback.errors import FeedbackRefused
from streams.feedback.store import read_feedback_of, send
from streams.privacy.erasures import named, read_erasures_of
from streams.settings import Settings

log = logging.getLogger(__name__)

_CLOCKS_DIFFER = timedelta(minutes=10)
"""How much the brokers' clocks may differ."""


@dataclass(frozen=True, slots=True)
class SubmittedFeedback:
    """Feedback; ``is_new`` is false if it is there already, so that nothing was sent."""

    feedback: Feedback
    is_new: bool


def submit(
    settings: Settings,
    event_id: str,
    statement: Statement,
    subject_id: str,
    *,
    user_id: str | None = None,
    face: int | None = None,
    training: bool = False,
) -> SubmittedFeedback:
    """Confirm or correct the match of a frame.

    Args:
        settings: where Kafka, Redis and BigQuery are.
        event_id: of the frame.
        statement: whether the face is the subject's or is not.
        subject_id: the subject that the statement names.
        user_id: the user who must own the frame; None: any user.
        face: number of the face in the match, from 0; None: the one that is meant, if that is clear.
        training: whether models may learn from the face, if the person has agreed to that.

    Raises:
        FeedbackRefused: the feedback does not fit the match, or there is no match.
        KafkaUnavailable: it is not known whether it was taken; submitting it again has the same effect.
        TopicMissing: a topic has not been created.
    """
    event_id = event_id_or_same(event_id)
    answer = lookup.find(settings, event_id)
    if user_id is not None and answer.user_id != canonical(user_id):
        raise FeedbackRefused(f"the event {event_id} is not of the user {user_id!r}")
    return submit_about(settings, answer, statement, subject_id, face=face, training=training)


def submit_about(
    settings: Settings,
    answer: lookup.Answer,
    statement: Statement,
    subject_id: str,
    *,
    face: int | None = None,
    training: bool = False,
) -> SubmittedFeedback:
    """Confirm or correct a match that has been found; the other arguments are those of :func:`submit`.

    Raises:
        FeedbackRefused: the feedback does not fit the match.
        KafkaUnavailable, TopicMissing: see :func:`submit`.
    """
    event_id, subject_id = answer.event_id, canonical(subject_id)
    number = validation.face_meant(answer, statement, subject_id, face)
    # Neither feedback nor an erasure from before the frame was produced concerns it.
    since = min(answer.produced_at, utc_now()) - _CLOCKS_DIFFER
    erased = read_erasures_of(settings, answer.user_id, since)
    before = read_feedback_of(settings, answer.user_id, erased, since).last.get((event_id, number))
    subjects = _subjects(settings, answer.user_id)
    feedback = validation.feedback(
        answer, statement, subject_id, face=number, training=training, subjects=subjects, before=before
    )
    if erased.covers(round(1000 * answer.produced_at.timestamp()), answer.user_id, named(feedback)):
        raise FeedbackRefused(f"who is on the frame {event_id} has been erased since: nothing more is kept of it")
    if feedback is not before:
        send(settings, feedback)
    return SubmittedFeedback(feedback, feedback is not before)


def _subjects(settings: Settings, user_id: str) -> list[str] | None:
    """The user's subjects; None if they are not known, since an empty Redis proves nothing."""
    results = RedisResults.of(settings)
    try:
        return list(results.subjects(user_id)) or None
    except ResultsUnavailable as error:
        log.warning("it is not checked whether the user has this subject: %s", error)
        return None
    finally:
        results.close()
