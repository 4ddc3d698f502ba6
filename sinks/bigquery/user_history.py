"""Reads a user's answers and sightings from BigQuery, page by page, as the JSON that Redis has of them.

Tables are partitioned by the time of the decision and clustered by the user. A query is bounded by both: by the user,
and by the day before the earliest time asked for, since a camera's clock may be ahead by a day. The last day is not
bounded, because a correction may come long after.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.cloud.bigquery import ArrayQueryParameter, ScalarQueryParameter

from schemas.as_json import time_text
from schemas.ids import spellings
from schemas.parts import Refusal, Source, Timings
from schemas.registry import Event
from schemas.results import Match
from sinks.base import SinkUnavailable
from sinks.bigquery.client import Address
from sinks.bigquery.query import Parameter, QueryFailed, run_query
from sinks.bigquery.saved_queries import views
from sinks.bigquery.tables import ENROLMENTS, MATCHES, SIGHTINGS, Table
from sinks.pages import Json, Page, PageRequest

_EARLIEST = datetime(2000, 1, 2, tzinfo=UTC)
_AHEAD = timedelta(days=1)
_RECORDS: Mapping[str, tuple[type[Any], str]] = {
    "refusal": (Refusal, "refusal_"),
    "timings": (Timings, ""),
    "source": (Source, "source_"),
}
"""Fields of events that are several columns each, and the prefix of these."""
_WHERE = re.compile(r"WHERE (.+?)\nQUALIFY", re.DOTALL)
_IN_A_FACE = "EXISTS (SELECT 1 FROM UNNEST(faces) AS face WHERE face.subject_id IN UNNEST(@subjects))"
_IS_OF = "subject_id IN UNNEST(@subjects)"
_LAST_MESSAGES = (
    "SELECT * FROM `$dataset.sightings` WHERE TRUE\n"
    "QUALIFY ROW_NUMBER() OVER (PARTITION BY sighting_id ORDER BY number DESC, written_at) = 1"
)


class UserHistory:
    """Asks BigQuery. Thread-safe: each thread has a client of its own.

    Every method raises :class:`sinks.base.SinkUnavailable` if BigQuery does not answer in time, or has no such table.
    """

    def __init__(self, address: Address, timeout_s: float = 15.0) -> None:
        """``timeout_s`` bounds each request. Connects with the first question of a thread."""
        self._address = address
        self._timeout_s = timeout_s
        self._of_thread = threading.local()

    def matches(self, wanted: PageRequest) -> Page:
        """The current answers to frames, but for searches."""
        order = ("captured_at", "captured_at", "event_id")
        return self._page(_view("results"), MATCHES, wanted, _IN_A_FACE, order)

    def enrolments(self, wanted: PageRequest) -> Page:
        """The current outcomes of uploads."""
        order = ("created_at", "created_at", "event_id")
        return self._page(_view("enrolment_results"), ENROLMENTS, wanted, _IS_OF, order)

    def same_photo(self, user_id: str, subject_id: str, event_ids: Sequence[str]) -> list[str]:
        """These uploads of a photo of a subject, and all others of it: those that they repeat, or that repeat them."""
        found = list(event_ids)
        while True:
            rows = self._ask(
                f"SELECT DISTINCT event_id, repeats FROM `{self._address.dataset_id}.enrolments` "
                "WHERE user_id IN UNNEST(@user_id) AND subject_id IN UNNEST(@subjects) "
                "AND (event_id IN UNNEST(@event_ids) OR IFNULL(repeats, '') IN UNNEST(@event_ids))",
                [
                    ArrayQueryParameter("user_id", "STRING", spellings(user_id)),
                    ArrayQueryParameter("subjects", "STRING", spellings(subject_id)),
                    ArrayQueryParameter("event_ids", "STRING", found),
                ],
            )
            ids = [name for row in rows for name in (row["event_id"], row["repeats"]) if name is not None]
            more = sorted(set(ids).difference(found))
            if not more:
                return found
            found += more

    def match(self, event_id: str, user_ids: Sequence[str] | None, since: datetime) -> Json | None:
        """The current answer to a frame of one of these users (None: of whatever user) that was decided since a time.

        None: there is no such answer.
        """
        conditions = ["event_id = @event_id", "matched_at >= @since"]
        parameters: list[Parameter] = [
            ScalarQueryParameter("event_id", "STRING", event_id),
            ScalarQueryParameter("since", "TIMESTAMP", since),
        ]
        if user_ids is not None:
            conditions.append("user_id IN UNNEST(@users)")
            names = [form for user in user_ids for form in spellings(user)]
            parameters.append(ArrayQueryParameter("users", "STRING", names))
        rows = self._ask(self._narrowed(_view("results"), conditions), parameters)
        return event_json(rows[0], Match) if rows else None

    def sightings(self, wanted: PageRequest) -> Page:
        """The last message about each sighting."""
        order = ("first_seen_at", "last_seen_at", "sighting_id")
        return self._page(_LAST_MESSAGES, SIGHTINGS, wanted, _IS_OF, order)

    def cameras(self, user_id: str, since: datetime, until: datetime | None) -> list[Json]:
        """The cameras of a user's frames from a time to another: frames, and when the first and last were taken."""
        wanted = PageRequest(user_id, since=since, until=until)
        bounds = _bounds(wanted, MATCHES, "captured_at", "captured_at")
        rows = self._ask(
            "SELECT camera_id, COUNT(DISTINCT event_id) AS frames, MIN(captured_at) AS first_captured_at, "
            f"MAX(captured_at) AS last_captured_at FROM `{self._address.dataset_id}.matches` "
            f"WHERE replay_id IS NULL AND mode != 'search' AND {bounds} "
            "GROUP BY camera_id ORDER BY camera_id",
            _parameters(wanted),
        )
        return [{name: _plain(value) for name, value in row.items()} for row in rows]

    def _page(
        self, sql: str, table: Table, wanted: PageRequest, names_subject: str, order: tuple[str, str, str]
    ) -> Page:
        began, ended, id_ = order
        # What cannot change between the rows of an event goes into the inner query, which reads less for it.
        inner = [_bounds(wanted, table, began, ended)]
        if wanted.camera_id is not None:
            inner.append("camera_id IN UNNEST(@cameras)")
        outer = ["TRUE"] if wanted.subject_id is None else [names_subject]
        if wanted.after is not None:
            outer.append(f"({began} < @after_at OR ({began} = @after_at AND {id_} < @after_id))")
        rows = self._ask(
            f"SELECT * FROM ({self._narrowed(sql, inner)}) WHERE {' AND '.join(outer)} "
            f"ORDER BY {began} DESC, {id_} DESC LIMIT {wanted.limit + 1}",
            _parameters(wanted),
        )
        return Page.of([event_json(row, table.event_type) for row in rows], wanted.limit, began, id_)

    def _narrowed(self, sql: str, conditions: Sequence[str]) -> str:
        """A view's query of some rows: BigQuery does not take conditions on a view into its window functions."""
        narrowed = _WHERE.sub(lambda found: f"WHERE ({found[1]}) AND {' AND '.join(conditions)}\nQUALIFY", sql, count=1)
        return narrowed.replace("$dataset", self._address.dataset_id)

    def _ask(self, sql: str, parameters: Sequence[Parameter]) -> list[dict[str, Any]]:
        try:
            return run_query(self._client(), sql, parameters, timeout_s=self._timeout_s).rows
        except QueryFailed as error:
            raise SinkUnavailable(
                f"BigQuery has not what is asked for: `facestream bigquery apply` ({error})"
            ) from error
        except GoogleAuthError as error:
            raise SinkUnavailable(f"no server of BigQuery is set, and there are no credentials: {error}") from error

    def _client(self) -> bigquery.Client:
        known: bigquery.Client | None = getattr(self._of_thread, "client", None)
        if known is None:
            known = self._of_thread.client = self._address.rest_client()
        return known


def event_json(row: Mapping[str, Any], event_type: type[Event]) -> Json:
    """The event of a row, as :func:`schemas.as_json.to_json` gives it."""
    found: Json = {}
    for field in fields(event_type):
        if field.name in _RECORDS:
            kind, prefix = _RECORDS[field.name]
            record = {one.name: _plain(row[prefix + one.name]) for one in fields(kind)}
            found[field.name] = None if all(value is None for value in record.values()) else record
        elif event_type is Match and field.name == "subject_id":
            found[field.name] = row["claimed_subject_id"]
        else:
            found[field.name] = _plain(row[field.name])
    return found


def _view(name: str) -> str:
    return next(view.sql for view in views() if view.name == name)


def _bounds(wanted: PageRequest, table: Table, began: str, ended: str) -> str:
    """The rows that may be of interest, by what the table is partitioned and clustered by."""
    conditions = ["user_id IN UNNEST(@users)"]
    if wanted.since is not None:
        conditions += [f"{table.decided_at} >= @decided_since", f"{ended} >= @since"]
    if wanted.until is not None:
        conditions.append(f"{began} < @until")
    return " AND ".join(conditions)


def _parameters(wanted: PageRequest) -> list[Parameter]:
    found: list[Parameter] = [ArrayQueryParameter("users", "STRING", spellings(wanted.user_id))]
    if wanted.camera_id is not None:
        found.append(ArrayQueryParameter("cameras", "STRING", spellings(wanted.camera_id)))
    if wanted.subject_id is not None:
        found.append(ArrayQueryParameter("subjects", "STRING", spellings(wanted.subject_id)))
    if wanted.since is not None:
        since = max(wanted.since, _EARLIEST)
        found.append(ScalarQueryParameter("since", "TIMESTAMP", since))
        found.append(ScalarQueryParameter("decided_since", "TIMESTAMP", since - _AHEAD))
    if wanted.until is not None:
        found.append(ScalarQueryParameter("until", "TIMESTAMP", wanted.until))
    if wanted.after is not None:
        found.append(ScalarQueryParameter("after_at", "TIMESTAMP", wanted.after.at))
        found.append(ScalarQueryParameter("after_id", "STRING", wanted.after.id))
    return found


def _plain(value: Any) -> Any:
    """A value as JSON has it, with the seven digits of a float32."""
    match value:
        case datetime():
            return time_text(value)
        case float():
            return float(f"{value:.7g}")
        case Mapping():
            return {name: _plain(one) for name, one in value.items()}
        case list():
            return [_plain(one) for one in value]
    return value
