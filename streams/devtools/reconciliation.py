"""Reconciles the events that were sent with those in Redis and BigQuery: each must be there once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import tenacity
from google.cloud.bigquery import ArrayQueryParameter

from sinks.base import SinkUnavailable
from sinks.bigquery import Address, run_query
from sinks.redis import RedisResults, ResultsUnavailable
from streams.settings import Settings

_ASK_EVERY_S = 0.25
_QUIET_S = 1.0


@dataclass(frozen=True, slots=True)
class ReconciliationReport:
    """The outcome of events; ``answers`` has each answer as JSON, ``live_at`` the time at which watchers saw it.

    ``lost`` counts events that are missing anywhere: in Redis by id, in the live stream, in BigQuery's table, in its
    view. ``duplicates`` counts rows of tables and views and entries of live streams beyond an event's first.
    """

    answers: dict[str, dict[str, Any]]
    live_at: dict[str, float]
    in_redis: int
    in_bigquery: int
    lost: int
    duplicates: int


class Reconciliation:
    """Compares events with their results. The live streams must be long enough for all events of a user."""

    def __init__(self, settings: Settings) -> None:
        self._redis = RedisResults.of(settings)
        self._dataset = Address(
            settings.bigquery_project, settings.bigquery_dataset, settings.bigquery_rest, settings.bigquery_grpc
        )
        self._bigquery = self._dataset.rest_client()

    def settle(
        self,
        event_ids: Collection[str],
        users: Collection[str],
        timeout_s: float,
        progress: Callable[[int, int], None] = lambda in_redis, in_bigquery: None,
        ask_every_s: float = _ASK_EVERY_S,
        follow: bool = True,
        searches: Collection[str] = (),
    ) -> ReconciliationReport:
        """Wait until every event is in Redis and BigQuery or the time is over, then a moment for duplicates.

        Args:
            event_ids: of uploads and frames, those that went in.
            users: whose events they are.
            timeout_s: how long to wait.
            progress: called with the numbers that have arrived.
            ask_every_s: longer where the asking would take time from what is measured.
            follow: whether to look into the live streams too; one question for each user.
            searches: those of the events that are searches over all users, which are in no live stream and no view.

        Raises:
            ResultsUnavailable, SinkUnavailable: a service does not answer.
        """
        deadline = time.monotonic() + timeout_s
        wanted = set(event_ids)
        answers: dict[str, dict[str, Any]] = {}
        while True:
            asked_at = time.monotonic()
            with suppress(ResultsUnavailable):
                answers |= self._redis.answers([one for one in event_ids if one not in answers])
            rows_so_far = self._count(users)
            progress(len(answers), rows_so_far)
            if (len(answers) == len(wanted) and rows_so_far >= len(wanted)) or time.monotonic() > deadline:
                break
            # As long as the question took, so that asking never takes more than half of a server's time.
            time.sleep(max(ask_every_s, time.monotonic() - asked_at))
        time.sleep(_QUIET_S)
        rows = self._rows("matches", "enrolments", users, wanted)
        in_views = self._rows("results", "enrolment_results", users, wanted)
        entries = [
            (entry.event["event_id"], int(entry.entry_id.partition("-")[0]) / 1000)
            for user in (users if follow else ())
            for entry in self._redis.follow(user, after="0", timeout_s=0.1)
        ]
        live = Counter(event_id for event_id, _ in entries if event_id in wanted)
        doubles = sum(seen.total() - len(seen) for seen in (rows, in_views, live))
        shown = in_views.keys() & (live.keys() if follow else wanted)
        arrived = wanted & answers.keys() & rows.keys() & (shown | set(searches))
        return ReconciliationReport(
            answers, dict(reversed(entries)), len(answers), len(rows), len(wanted) - len(arrived), doubles
        )

    def close(self) -> None:
        """Disconnect."""
        self._redis.close()
        self._bigquery.close()  # type: ignore[no-untyped-call]

    def _count(self, users: Collection[str]) -> int:
        sql = " + ".join(
            f"(SELECT COUNT(*) FROM {table} WHERE user_id IN UNNEST(@users))" for table in ("matches", "enrolments")
        )
        return int(self._ask(f"SELECT {sql} AS events", users)[0]["events"])

    def _rows(self, matches: str, enrolments: str, users: Collection[str], wanted: Set[str]) -> Counter[str]:
        """The number of rows of each event in two tables or views."""
        sql = " UNION ALL ".join(
            f"SELECT event_id FROM {table} WHERE user_id IN UNNEST(@users)" for table in (matches, enrolments)
        )
        return Counter(row["event_id"] for row in self._ask(sql, users) if row["event_id"] in wanted)

    @tenacity.retry(
        # A server that was killed and started again has left a connection that is dead.
        retry=tenacity.retry_if_exception_type(SinkUnavailable),
        wait=tenacity.wait_fixed(_ASK_EVERY_S),
        stop=tenacity.stop_after_delay(300),
        reraise=True,
    )
    def _ask(self, sql: str, users: Collection[str]) -> list[dict[str, Any]]:
        parameters = [ArrayQueryParameter("users", "STRING", list(users))]
        return run_query(self._bigquery, sql, parameters, dataset=self._dataset.dataset_id).rows
