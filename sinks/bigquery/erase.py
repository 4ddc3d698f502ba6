"""Erase a user, or one of his subjects, from BigQuery's tables.

BigQuery lets rows be changed and deleted that the Storage Write API has only just written. It keeps what was deleted
for time travel, up to seven days, and for its own recovery seven more.
"""

from __future__ import annotations

from google.cloud import bigquery

from schemas.events import Decision
from schemas.ids import spellings
from schemas.reasons import Reason
from sinks.bigquery.query import run_query
from sinks.bigquery.tables import ENROLMENTS, MATCHES

_FACES = next(column for column in MATCHES.columns if column.name == "faces")
_CANDIDATES = next(column for column in _FACES.columns if column.name == "candidates")
_ONE_FACE = "EXISTS (SELECT 1 FROM UNNEST(faces) AS face WHERE {})"
_NAMED = "candidate.subject_id {} UNNEST(@subject_id)"
_OTHERS = f"(SELECT COUNT(*) FROM UNNEST(face.candidates) AS candidate WHERE {_NAMED.format('NOT IN')})"
_ABOUT = {
    "matches": "claimed_subject_id IN UNNEST(@subject_id)",
    "comparisons": _ONE_FACE.format(
        "face.subject_id IN UNNEST(@subject_id) OR face.shadow_subject_id IN UNNEST(@subject_id)"
    ),
    "enrolments": "subject_id IN UNNEST(@subject_id)",
    "feedback": "(subject_id IN UNNEST(@subject_id) OR matched_subject_id IN UNNEST(@subject_id))",
}
"""Rows that are about a subject, by table; they go as a whole."""
_OF_USER = (*_ABOUT, "dead_letters", "drift")
_TIMEOUT_S = 120.0
_Parameters = list[bigquery.ArrayQueryParameter]


def erase(client: bigquery.Client, dataset_id: str, user_id: str, subject_id: str | None) -> dict[str, int]:
    """Delete rows, and take a subject out of the matches of others; how many rows of which table. Safe to repeat.

    Raises:
        SinkUnavailable: not all is done; repeat it.
        QueryFailed: BigQuery refuses; likewise.
    """
    parameters = [bigquery.ArrayQueryParameter("user_id", "STRING", spellings(user_id))]
    if subject_id is None:
        return {table: _delete(client, f"{dataset_id}.{table}", "TRUE", parameters) for table in _OF_USER}
    parameters.append(bigquery.ArrayQueryParameter("subject_id", "STRING", spellings(subject_id)))
    removed = {table: _delete(client, f"{dataset_id}.{table}", about, parameters) for table, about in _ABOUT.items()}
    removed["enrolments"] += _forget_similar(client, f"{dataset_id}.{ENROLMENTS.name}", parameters)
    removed["matches"] += _take_out(client, f"{dataset_id}.{MATCHES.name}", parameters)
    return removed


def _delete(client: bigquery.Client, table: str, condition: str, parameters: _Parameters) -> int:
    where = f"user_id IN UNNEST(@user_id) AND {condition}"
    count = _count(client, table, where, parameters)
    if count:
        run_query(client, f"DELETE FROM `{table}` WHERE {where}", parameters, timeout_s=_TIMEOUT_S)
    return count


def _forget_similar(client: bigquery.Client, table: str, parameters: _Parameters) -> int:
    """Have no enrolment of another subject say that the subject is similar."""
    where = "user_id IN UNNEST(@user_id) AND similar_subject_id IN UNNEST(@subject_id)"
    count = _count(client, table, where, parameters)
    if count:
        sql = f"UPDATE `{table}` SET similar_subject_id = NULL, detail = NULL WHERE {where}"
        run_query(client, sql, parameters, timeout_s=_TIMEOUT_S)
    return count


def _take_out(client: bigquery.Client, table: str, parameters: _Parameters) -> int:
    """Have the faces that were recognised as the subject name nobody, and nobody have it for a candidate."""
    candidate = f"EXISTS (SELECT 1 FROM UNNEST(face.candidates) AS candidate WHERE {_NAMED.format('IN')})"
    theirs = _ONE_FACE.format(f"face.subject_id IN UNNEST(@subject_id) OR {candidate}")
    where = f"user_id IN UNNEST(@user_id) AND {theirs}"
    count = _count(client, table, where, parameters)
    if count:
        # A MERGE, since the local server sets no arrays with UPDATE.
        position = ("kafka_topic", "kafka_partition", "kafka_offset")
        sql = (
            f"MERGE `{table}` AS old USING ("
            f"SELECT {', '.join(position)}, ANY_VALUE({_faces_without()}) AS faces "
            f"FROM `{table}` WHERE {where} GROUP BY {', '.join(position)}) AS new "
            f"ON {' AND '.join(f'old.{name} = new.{name}' for name in position)} "
            "WHEN MATCHED THEN UPDATE SET faces = new.faces"
        )
        run_query(client, sql, parameters, timeout_s=_TIMEOUT_S)
    return count


def _faces_without() -> str:
    """The column ``faces`` without the subject; the others keep their numbers."""
    theirs = "face.subject_id IN UNNEST(@subject_id)"
    candidates = ", ".join(f"candidate.{column.name}" for column in _CANDIDATES.columns)
    changed = {
        "decision": f"IF({theirs}, '{Decision.REFUSED}', face.decision)",
        "subject_id": f"IF({theirs}, NULL, face.subject_id)",
        "reason": f"IF({theirs}, '{Reason.ERASED}', face.reason)",
        "ambiguous": f"face.ambiguous AND {_OTHERS} > 1",
        "candidates": (
            f"ARRAY(SELECT AS STRUCT {candidates} FROM UNNEST(face.candidates) AS candidate "
            f"WHERE {_NAMED.format('NOT IN')})"
        ),
    }
    columns = (f"{changed.get(column.name, f'face.{column.name}')} AS {column.name}" for column in _FACES.columns)
    return f"ARRAY(SELECT AS STRUCT {', '.join(columns)} FROM UNNEST(faces) AS face)"


def _count(client: bigquery.Client, table: str, where: str, parameters: _Parameters) -> int:
    found = run_query(client, f"SELECT COUNT(*) AS n FROM `{table}` WHERE {where}", parameters, timeout_s=_TIMEOUT_S)
    return int(found.rows[0]["n"])
