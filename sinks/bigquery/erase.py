"""Erases a user, or one of his subjects, from BigQuery's tables.

BigQuery can change and delete rows that the Storage Write API has just written. It keeps deleted rows for time travel,
up to seven days, and another seven days for its own recovery.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.cloud import bigquery

from schemas import codec
from schemas.ids import spellings
from schemas.parts import Decision
from schemas.reasons import Reason
from sinks.base import SinkUnavailable
from sinks.bigquery.query import change_once, run_query
from sinks.bigquery.tables import ENROLMENTS, MATCHES

_FACES = next(column for column in MATCHES.columns if column.name == "faces")
_CANDIDATES = next(column for column in _FACES.columns if column.name == "candidates")
_ONE_FACE = "EXISTS (SELECT 1 FROM UNNEST(faces) AS face WHERE {})"


@dataclass(frozen=True, slots=True)
class _Named:
    """Conditions on matches that name somebody: a subject of their own user, or in searches of whatever user."""

    own: bool
    subject: bool
    """Whether it is one subject of the user."""

    @property
    def rows(self) -> str:
        """Where it may be named."""
        return "user_id IN UNNEST(@user_id)" if self.own else "mode = 'search'"

    def is_named(self, part: str) -> str:
        """Whether a face or a candidate names the person. What names no user is of the user of the row."""
        his = f"IFNULL({part}.user_id, '') IN UNNEST(@user_id)"
        his = f"({part}.user_id IS NULL OR {his})" if self.own else his
        return f"{his} AND IFNULL({part}.subject_id, '') IN UNNEST(@subject_id)" if self.subject else his

    @property
    def in_a_face(self) -> str:
        """Whether a face of a match was recognised as the person, or has it as a candidate."""
        candidate = f"EXISTS (SELECT 1 FROM UNNEST(face.candidates) AS candidate WHERE {self.is_named('candidate')})"
        return _ONE_FACE.format(f"({self.is_named('face')}) OR {candidate}")


_OWN_SUBJECT = _Named(own=True, subject=True)
_ABOUT = {
    "matches": "claimed_subject_id IN UNNEST(@subject_id)",
    "comparisons": _ONE_FACE.format(
        "face.subject_id IN UNNEST(@subject_id) OR face.shadow_subject_id IN UNNEST(@subject_id)"
    ),
    "enrolments": "subject_id IN UNNEST(@subject_id)",
    "feedback": "(subject_id IN UNNEST(@subject_id) OR matched_subject_id IN UNNEST(@subject_id))",
    # Whoever was unknown at first is in the first rows without a name.
    "sightings": (
        "sighting_id IN (SELECT sighting_id FROM `{table}` "
        "WHERE user_id IN UNNEST(@user_id) AND subject_id IN UNNEST(@subject_id))"
    ),
}
"""By table, which rows are about a subject and are deleted as a whole."""
_OF_USER = (*_ABOUT, "dead_letters", "drift")
_SIMILAR = "similar_subject_id IN UNNEST(@subject_id)"
_FORGETTING_SIMILAR = (
    f"UPDATE `{{}}` SET similar_subject_id = NULL, detail = NULL WHERE user_id IN UNNEST(@user_id) AND {_SIMILAR}"
)
"""Removes the subject as the similar subject of other subjects' enrolments."""
_OF_PHOTO = (
    "user_id IN UNNEST(@user_id) AND subject_id IN UNNEST(@subject_id) "
    "AND (event_id IN UNNEST(@event_ids) OR IFNULL(repeats, '') IN UNNEST(@event_ids))"
)
_TIMEOUT_S = 120.0


def erase(
    client: bigquery.Client,
    dataset_id: str,
    user_id: str,
    subject_id: str | None,
    *,
    name: str,
    wanted: Callable[[], bool] = lambda: True,
) -> dict[str, int]:
    """Delete rows of a user or subject, and remove a subject from matches of others.

    An erasure is carried out once under its name, however often it is requested; rows that come later are kept.

    Args:
        client: a client of this thread.
        dataset_id: ``project.dataset``.
        user_id: the user.
        subject_id: the subject; None: everything of the user.
        name: the name of the erasure.
        wanted: when it returns False, no further statement is started.

    Returns:
        The number of changed rows, by table.

    Raises:
        SinkUnavailable: not all statements were carried out; repeat the call.
        QueryFailed: BigQuery refuses a statement; likewise.
    """

    def change(table: str, what: str, sql: str) -> int:
        if not wanted():
            raise SinkUnavailable("the erasure is another worker's now")
        job = codec.stable_id(dataset_id, name, table, what)
        full = f"{dataset_id}.{table}"
        return change_once(client, sql, parameters, name=f"facestream-erase-{job}", table=full, timeout_s=_TIMEOUT_S)

    def delete(table: str, condition: str) -> int:
        full = f"{dataset_id}.{table}"
        sql = f"DELETE FROM `{full}` WHERE user_id IN UNNEST(@user_id) AND {condition.format(table=full)}"
        return change(table, "delete", sql)

    parameters = _parameters(user_id, subject_id)
    if subject_id is None:
        return {table: delete(table, "TRUE") for table in _OF_USER}
    removed = {table: delete(table, about) for table, about in _ABOUT.items()}
    removed["enrolments"] += change(
        ENROLMENTS.name, "forget similar", _FORGETTING_SIMILAR.format(f"{dataset_id}.{ENROLMENTS.name}")
    )
    taking_out = _taking_out(f"{dataset_id}.{MATCHES.name}", _OWN_SUBJECT)
    removed["matches"] += change(MATCHES.name, "take out", taking_out)
    return removed


def erase_photo(
    client: bigquery.Client,
    dataset_id: str,
    user_id: str,
    subject_id: str,
    event_ids: Sequence[str],
    *,
    name: str,
    wanted: Callable[[], bool] = lambda: True,
) -> dict[str, int]:
    """Delete the rows of the uploads of a photo, and of those that repeat one of them; see :func:`erase`."""
    if not wanted():
        raise SinkUnavailable("the erasure is another worker's now")
    table = f"{dataset_id}.{ENROLMENTS.name}"
    removed = change_once(
        client,
        f"DELETE FROM `{table}` WHERE {_OF_PHOTO}",
        [*_parameters(user_id, subject_id), bigquery.ArrayQueryParameter("event_ids", "STRING", list(event_ids))],
        name=f"facestream-erase-{codec.stable_id(dataset_id, name, ENROLMENTS.name, 'photo')}",
        table=table,
        timeout_s=_TIMEOUT_S,
    )
    return {ENROLMENTS.name: removed}


def count_photo(
    client: bigquery.Client, dataset_id: str, user_id: str, subject_id: str, event_ids: Sequence[str]
) -> dict[str, int]:
    """The number of rows that :func:`erase_photo` would delete now; raises as :func:`count`."""
    sql = f"SELECT COUNT(*) AS n FROM `{dataset_id}.{ENROLMENTS.name}` WHERE {_OF_PHOTO}"
    ids = bigquery.ArrayQueryParameter("event_ids", "STRING", list(event_ids))
    return {ENROLMENTS.name: int(run_query(client, sql, [*_parameters(user_id, subject_id), ids]).rows[0]["n"])}


def erase_in_searches(
    client: bigquery.Client,
    dataset_id: str,
    user_id: str,
    subject_id: str | None,
    *,
    name: str,
    wanted: Callable[[], bool] = lambda: True,
) -> dict[str, int]:
    """Take a user, or one of his subjects, out of the answers to searches; see :func:`erase`."""
    if not wanted():
        raise SinkUnavailable("the erasure is another worker's now")
    table = f"{dataset_id}.{MATCHES.name}"
    changed = change_once(
        client,
        _taking_out(table, _Named(own=False, subject=subject_id is not None)),
        _parameters(user_id, subject_id),
        name=f"facestream-erase-{codec.stable_id(dataset_id, name, 'searches')}",
        table=table,
        timeout_s=_TIMEOUT_S,
    )
    return {"searches": changed}


def count(client: bigquery.Client, dataset_id: str, user_id: str, subject_id: str | None) -> dict[str, int]:
    """The number of rows that :func:`erase` would change now, by table.

    Raises:
        SinkUnavailable: BigQuery does not answer in time.
        QueryFailed: BigQuery refuses a query; a table may not exist.
    """
    about = dict.fromkeys(_OF_USER, "TRUE")
    if subject_id is not None:
        about = _ABOUT | {
            "enrolments": f"({_ABOUT['enrolments']} OR {_SIMILAR})",
            "matches": f"({_ABOUT['matches']} OR {_OWN_SUBJECT.in_a_face})",
        }
    queries = [
        f"SELECT '{table}' AS name, COUNT(*) AS n FROM `{dataset_id}.{table}` "
        f"WHERE user_id IN UNNEST(@user_id) AND {condition.format(table=f'{dataset_id}.{table}')}"
        for table, condition in about.items()
    ]
    rows = run_query(client, " UNION ALL ".join(queries), _parameters(user_id, subject_id)).rows
    counted = {row["name"]: int(row["n"]) for row in rows}
    return {table: counted[table] for table in about}


def count_in_searches(client: bigquery.Client, dataset_id: str, user_id: str, subject_id: str | None) -> dict[str, int]:
    """The number of rows that :func:`erase_in_searches` would change now; raises as :func:`count`."""
    named = _Named(own=False, subject=subject_id is not None)
    sql = f"SELECT COUNT(*) AS n FROM `{dataset_id}.{MATCHES.name}` WHERE {named.rows} AND {named.in_a_face}"
    return {"searches": int(run_query(client, sql, _parameters(user_id, subject_id)).rows[0]["n"])}


def _parameters(user_id: str, subject_id: str | None) -> list[bigquery.ArrayQueryParameter]:
    parameters = [bigquery.ArrayQueryParameter("user_id", "STRING", spellings(user_id))]
    if subject_id is not None:
        parameters.append(bigquery.ArrayQueryParameter("subject_id", "STRING", spellings(subject_id)))
    return parameters


def _taking_out(table: str, named: _Named) -> str:
    """The statement that removes somebody from the faces that were recognised so, and from all candidates."""
    where = f"{named.rows} AND {named.in_a_face}"
    # The event id too, because other messages have the same offsets in a topic that was created again.
    position = ("event_id", "kafka_topic", "kafka_partition", "kafka_offset")
    # A MERGE, because the local server cannot set arrays with UPDATE.
    return (
        f"MERGE `{table}` AS old USING ("
        f"SELECT {', '.join(position)}, ANY_VALUE({_faces_without(named)}) AS faces "
        f"FROM `{table}` WHERE {where} GROUP BY {', '.join(position)}) AS new "
        f"ON {' AND '.join(f'old.{name} = new.{name}' for name in position)} "
        "WHEN MATCHED THEN UPDATE SET faces = new.faces"
    )


def _faces_without(named: _Named) -> str:
    """The expression for the column ``faces`` without somebody; the other faces keep their numbers."""
    theirs, another = named.is_named("face"), f"NOT ({named.is_named('candidate')})"
    if not named.subject:
        theirs = f"{theirs} AND face.subject_id IS NOT NULL"
    candidates = ", ".join(f"candidate.{column.name}" for column in _CANDIDATES.columns)
    changed = {
        "decision": f"IF({theirs}, '{Decision.REFUSED}', face.decision)",
        "subject_id": f"IF({theirs}, NULL, face.subject_id)",
        "reason": f"IF({theirs}, '{Reason.ERASED}', face.reason)",
        "user_id": f"IF({theirs}, NULL, face.user_id)",
        "ambiguous": (
            f"face.ambiguous AND (SELECT COUNT(*) FROM UNNEST(face.candidates) AS candidate WHERE {another}) > 1"
        ),
        "candidates": (
            f"ARRAY(SELECT AS STRUCT {candidates} FROM UNNEST(face.candidates) AS candidate WHERE {another})"
        ),
    }
    columns = (f"{changed.get(column.name, f'face.{column.name}')} AS {column.name}" for column in _FACES.columns)
    return f"ARRAY(SELECT AS STRUCT {', '.join(columns)} FROM UNNEST(faces) AS face)"
