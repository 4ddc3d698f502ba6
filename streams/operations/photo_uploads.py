"""Finds the uploads of one photo: the same photo may have come several times, under an event id each."""

from __future__ import annotations

import logging
from contextlib import closing

from sinks.base import SinkUnavailable
from sinks.bigquery.client import Address
from sinks.bigquery.query import QueryFailed
from sinks.bigquery.user_history import UserHistory
from sinks.redis.errors import ResultsUnavailable
from sinks.redis.results import RedisResults
from streams.settings import Settings

log = logging.getLogger(__name__)


def uploads_of_photo(settings: Settings, user_id: str, subject_id: str, event_id: str) -> list[str]:
    """The uploads of the photo of an upload, this one first.

    Outcomes tell which upload an upload repeats. Redis has them for a day, BigQuery for good; what is not known there,
    or while they are away, is left out. Match knows other uploads by the photo's digest.

    Args:
        settings: of the deployment.
        user_id: the user, in canonical form.
        subject_id: the subject, likewise.
        event_id: of the upload.
    """
    found = [event_id]
    with closing(RedisResults.of(settings)) as results:
        try:
            outcome = results.enrolment(event_id)
            if outcome is not None and (outcome["user_id"], outcome["subject_id"]) == (user_id, subject_id):
                found += [outcome["repeats"]] if outcome.get("repeats") else []
        except ResultsUnavailable as error:
            log.warning("Redis is not asked for uploads of the same photo: %s", error)
    history = UserHistory(Address(settings.bigquery_project, settings.bigquery_dataset, settings.bigquery_rest))
    try:
        return history.same_photo(user_id, subject_id, found)
    except (SinkUnavailable, QueryFailed) as error:
        log.warning("BigQuery is not asked for uploads of the same photo: %s", error)
        return found
