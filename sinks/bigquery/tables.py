"""Declares the tables. Columns that are not declared here follow from the schema of the event (see ``columns``)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.dead_letters import DeadLetter, Resolution
from schemas.drift import Drift
from schemas.fields import record_of
from schemas.learning import Feedback
from schemas.registry import Event
from schemas.results import Enrolment, Match
from schemas.rollout import Comparison
from schemas.sightings import Sighting
from sinks.bigquery.column_groups import FACES, QUALITY, REFUSAL, REPLAY, SOURCE, SOURCE_TOPIC, WRITTEN, timings
from sinks.bigquery.columns import (
    Column,
    Computed,
    Declaration,
    FromField,
    RowInput,
    Type,
    columns_of,
)


@dataclass(frozen=True, slots=True)
class Table:
    """One table, partitioned by the day of ``decided_at`` and clustered by ``cluster_by``.

    ``event_id`` is the column with the id that makes a row unique, together with ``replay_id`` if there is one.
    ``event_time`` is the column of a time that is the same however often the event comes; None if there is none. The
    event's fields have the same names as these three columns.
    """

    event_type: type[Event]
    name: str
    description: str
    columns: tuple[Column, ...]
    decided_at: str
    event_id: str = "event_id"
    event_time: str | None = None
    cluster_by: tuple[str, ...] = ("user_id",)

    @property
    def has_replays(self) -> bool:
        """Whether the table has rows of replays beside the live ones."""
        return any(column.name == "corrects" for column in self.columns)


def _needed(name: str, description: str = "") -> FromField:
    return FromField(name, description, required=True)


def _table(
    event_type: type[Event],
    name: str,
    description: str,
    declared: Sequence[Declaration],
    *,
    decided_at: str,
    left_out: Mapping[str, str] | None = None,
    event_id: str = "event_id",
    event_time: str | None = None,
    cluster_by: tuple[str, ...] = ("user_id",),
) -> Table:
    columns = columns_of(record_of(event_type), declared, left_out, root="delivery.event")
    return Table(event_type, name, description, columns, decided_at, event_id, event_time, cluster_by)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")


def _letter(row: RowInput) -> DeadLetter:
    assert isinstance(row.delivery.event, DeadLetter)
    return row.delivery.event


def _value_bytes(row: RowInput) -> int | None:
    value = _letter(row).value
    return None if value is None else len(value)


def _value_sha256(row: RowInput) -> str | None:
    value = _letter(row).value
    return None if value is None else hashlib.sha256(value).hexdigest()


MATCHES = _table(
    Match,
    "matches",
    "The answer to each frame: every face with its decision. Live answers and those of replays (replay_id).",
    (
        _needed("event_id"),
        _needed("user_id", "The owner of the gallery."),
        *("camera_id", "sequence", "captured_at"),
        _needed("matched_at", "When it was decided; the partition of the table."),
        FromField("mode", "The question: identify, verify or search."),
        FromField("claimed_subject_id", field="subject_id"),
        REFUSAL,
        FromField("faces", columns=FACES),
        *("model_version", "threshold_set", "width", "height"),
        *timings("matched_at"),
        SOURCE,
        *REPLAY,
        *WRITTEN,
    ),
    decided_at="matched_at",
    event_time="captured_at",
)
COMPARISONS = _table(
    Comparison,
    "comparisons",
    "During a rollout, what another model version would have decided about a frame. It has no effect on any answer.",
    (
        *map(_needed, ("comparison_id", "event_id")),
        _needed("user_id", "The owner of the gallery."),
        *("camera_id", "captured_at"),
        _needed("compared_at", "When it was decided; the partition of the table."),
        *("model_version", "shadow_version", "agrees"),
        FromField(
            "faces",
            columns=(
                FromField("decision", "What was answered: match, unknown or no_match."),
                "subject_id",
                FromField("margin", "1 less distance by threshold: 1 the same picture, negative beyond the threshold."),
            ),
        ),
        *WRITTEN,
    ),
    decided_at="compared_at",
    event_id="comparison_id",
    event_time="captured_at",
)
ENROLMENTS = _table(
    Enrolment,
    "enrolments",
    "The outcome of each upload. Live outcomes and those of replays (replay_id).",
    (
        _needed("event_id"),
        _needed("user_id", "The owner of the gallery."),
        *("subject_id", "created_at"),
        _needed("decided_at", "When it was decided; the partition of the table."),
        FromField("outcome", "enrolled or refused."),
        REFUSAL,
        "box",
        FromField("quality", columns=QUALITY),
        "templates",
        FromField("repeats", "Id of the earlier upload of the same photo; NULL: the photo is new."),
        FromField("similar_subject_id", "Another subject who would surely be recognised in the photo, or NULL."),
        FromField("detail", "A remark about the enrolment, as a sentence for people, or NULL."),
        "model_version",
        *timings("decided_at"),
        SOURCE,
        *REPLAY,
        *WRITTEN,
    ),
    decided_at="decided_at",
    event_time="created_at",
)
DEAD_LETTERS = _table(
    DeadLetter,
    "dead_letters",
    "Messages that could not be processed, and why. The original bytes, which may hold a picture, stay in Kafka.",
    (
        _needed("letter_id"),
        Computed(
            "user_id",
            Type.STRING,
            "The original key as text; NULL if there was none.",
            lambda row: _text(_letter(row).key),
            fields=("key",),
        ),
        _needed("failed_at", "When processing was given up; the partition of the table."),
        "stage",
        FromField("reason", "A stable word for programs, e.g. unknown_schema."),
        *("error_class", "message", "attempt"),
        Computed(
            "value_bytes",
            Type.INT64,
            "Length of the original value in bytes; NULL if there was none.",
            _value_bytes,
            fields=("value",),
        ),
        Computed(
            "value_sha256", Type.STRING, "SHA-256 of the original value, hexadecimal.", _value_sha256, fields=("value",)
        ),
        FromField(
            "headers",
            columns=(
                "name",
                Computed(
                    "value", Type.STRING, "Its value as text.", lambda header: _text(header.value), fields=("value",)
                ),
            ),
        ),
        FromField("source_topic", SOURCE_TOPIC, field="topic"),
        FromField("source_partition", "Its partition.", field="partition"),
        FromField("source_offset", "Its offset.", field="offset"),
        *WRITTEN,
    ),
    decided_at="failed_at",
    event_id="letter_id",
)
RESOLUTIONS = _table(
    Resolution,
    "resolutions",
    "What became of dead letters: a replay is about to send the message back, or has sent it, or it was dismissed.",
    (
        *map(_needed, ("resolution_id", "letter_id")),
        FromField("replay_id", "The replay of dead letters."),
        FromField(
            "state", "sending, sent or dismissed. If no sent follows a sending, it is not known whether it was sent."
        ),
        FromField("retries", "The interrupted replay from which this one takes the letter over."),
        _needed("resolved_at", "When this was recorded; the partition of the table."),
        FromField("sent_topic", "Topic that the message went back to.", field="topic"),
        FromField("sent_partition", "Its partition there.", field="partition"),
        FromField("sent_offset", "Its offset there.", field="offset"),
        FromField("dismissed_because", "Why it was dismissed, in the operator's words.", field="because"),
        *WRITTEN,
    ),
    decided_at="resolved_at",
    event_id="resolution_id",
    cluster_by=("letter_id",),
)
DRIFT = _table(
    Drift,
    "drift",
    "Reports of how each camera's faces, and a model's vectors of them, compare with their reference.",
    (
        _needed("report_id", "Made from camera, model version and frames: the same report has the same id."),
        _needed("user_id", "The owner of the camera."),
        *("camera_id", "model_version", "captured_at"),
        _needed("reported_at", "When it was compared; the partition of the table."),
        *("frames", "frames_in_all", "alarm"),
        FromField(
            "measures",
            columns=(
                FromField("name", "What is compared, e.g. sharpness, unknown_rate, margin, embedding."),
                *("reference", "current"),
                FromField("effect", "How much they differ; see docs/drift.md for the unit."),
            ),
        ),
        *WRITTEN,
    ),
    decided_at="reported_at",
    event_id="report_id",
)
FEEDBACK = _table(
    Feedback,
    "feedback",
    "Feedback of people about the faces of matches: who it is, or is not. The last statement about a face counts.",
    (
        _needed("feedback_id", "Made from face, statement and what it replaces."),
        _needed("event_id"),
        _needed("user_id", "The owner of the gallery."),
        FromField("face_number", "Which face of the match, from 0, the largest; as in the view faces.", field="face"),
        FromField("statement", "is or is_not."),
        "subject_id",
        FromField("training", "Whether models may be trained on the face, if the person has agreed to that too."),
        *("decision", "matched_subject_id", "model_version"),
        FromField("quality", columns=QUALITY),
        "replaces",
        _needed("given_at", "When it was said; the partition of the table."),
        SOURCE,
        *WRITTEN,
    ),
    decided_at="given_at",
    event_id="feedback_id",
    left_out={"landmarks": "they are in the row of the match, which feedback names by event_id and face_number"},
)
SIGHTINGS = _table(
    Sighting,
    "sightings",
    "People before cameras, each from one time to another: a row when it begins, for each update, and when it ends.",
    (
        _needed("change_id", "Made from sighting and number: the same message has the same id."),
        _needed("sighting_id", "All rows of a sighting have the same."),
        _needed("user_id", "The owner of the camera."),
        FromField("camera_id"),
        FromField("state", "begin, update or end."),
        *("number", "subject_id", "stranger_id", "share", "similarity"),
        *("first_seen_at", "last_seen_at", "frames", "first_event_id", "best_event_id", "best_face", "best_box"),
        *("model_version", "first_produced_at"),
        _needed("decided_at", "When the frame was answered that this is due to; the partition of the table."),
        *WRITTEN,
    ),
    decided_at="decided_at",
    event_id="change_id",
    event_time="last_seen_at",
)
TABLES = (MATCHES, COMPARISONS, ENROLMENTS, DEAD_LETTERS, RESOLUTIONS, DRIFT, FEEDBACK, SIGHTINGS)
_BY_EVENT = {table.event_type: table for table in TABLES}


def table_of(event_type: type[Event]) -> Table:
    """The table of a kind of event.

    Raises:
        KeyError: this kind of event has no table.
    """
    return _BY_EVENT[event_type]


def event_id(event: Event) -> str:
    """The id that makes the event's row unique within its replay."""
    id_: str = getattr(event, table_of(type(event)).event_id)
    return id_


def replay_id(event: Event) -> str | None:
    """The replay that made the event, or None."""
    return event.replay_id if isinstance(event, Match | Enrolment) else None


def event_time(event: Event) -> datetime | None:
    """A time that is the same however often the event comes; None if there is none."""
    field = table_of(type(event)).event_time
    return None if field is None else getattr(event, field)
