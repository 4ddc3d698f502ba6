"""The tables: every column with its type and its description; see ``rows`` for how they are filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Type(StrEnum):
    """Column types, as BigQuery's SQL names them."""

    STRING = "STRING"
    BOOL = "BOOL"
    INT64 = "INT64"
    FLOAT64 = "FLOAT64"
    TIMESTAMP = "TIMESTAMP"
    STRUCT = "STRUCT"


class Mode(StrEnum):
    """How many values a column has in a row."""

    REQUIRED = "REQUIRED"
    NULLABLE = "NULLABLE"
    REPEATED = "REPEATED"


@dataclass(frozen=True, slots=True)
class Column:
    """One column; a ``STRUCT`` has columns of its own."""

    name: str
    type: Type
    description: str
    mode: Mode = Mode.NULLABLE
    columns: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """One table: partitioned by the day of ``decided_at``, clustered by user or letter.

    ``event_id`` is the column of the id that makes a row unique, together with ``replay_id`` where there is one.
    ``event_time`` is the column of a time that is the same however often the event comes, None if there is none.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    decided_at: str
    event_id: str = "event_id"
    event_time: str | None = None
    cluster_by: tuple[str, ...] = ("user_id",)

    @property
    def has_replays(self) -> bool:
        """Whether rows of a replay stand beside the live ones."""
        return any(column.name == "corrects" for column in self.columns)


def _needed(name: str, type_: Type, description: str) -> Column:
    return Column(name, type_, description, Mode.REQUIRED)


def _struct(name: str, description: str, columns: Sequence[Column], mode: Mode = Mode.NULLABLE) -> Column:
    return Column(name, Type.STRUCT, description, mode, tuple(columns))


_BOX = (
    Column("x", Type.FLOAT64, "Left edge in pixels of the upright picture; may lie outside it."),
    Column("y", Type.FLOAT64, "Top edge in pixels; may lie outside."),
    Column("width", Type.FLOAT64, "Width in pixels."),
    Column("height", Type.FLOAT64, "Height in pixels."),
)
_QUALITY = (
    Column("score", Type.FLOAT64, "Detector confidence, 0 to 1."),
    Column("size", Type.FLOAT64, "Distance between the eyes in pixels."),
    Column("sharpness", Type.FLOAT64, "Variance of the Laplacian of the aligned grey face, in squared grey levels."),
    Column("brightness", Type.FLOAT64, "Mean grey level of the aligned face, 0 to 1."),
    Column("yaw", Type.FLOAT64, "Turn of the head in degrees, 0 is frontal."),
    Column("overall", Type.FLOAT64, "0 (useless) to 1 (passport photo)."),
    Column("blockiness", Type.FLOAT64, "How much JPEG's blocks show, about 0 to 2; NULL: not measured."),
)
_CANDIDATES = (
    Column("subject_id", Type.STRING, "The subject."),
    Column("similarity", Type.FLOAT64, "1 is the same picture, 0 nothing in common."),
    Column("distance", Type.FLOAT64, "Euclidean distance to the subject's nearest template."),
    Column("fmr", Type.FLOAT64, "False-match rate that this distance stands for, per comparison of two strangers."),
)
_FACES = (
    _struct("box", "Where the face is.", _BOX),
    Column("landmarks", Type.FLOAT64, "Five points: x and y of each, in pixels.", Mode.REPEATED),
    _struct("quality", "How good a probe the face made.", _QUALITY),
    Column("decision", Type.STRING, "match, unknown, no_match or refused."),
    Column("subject_id", Type.STRING, "The person recognised, or NULL."),
    Column("reason", Type.STRING, "Why refused or not matched, e.g. too_small; NULL if plainly decided."),
    _struct("candidates", "The nearest subjects, nearest first.", _CANDIDATES, Mode.REPEATED),
    Column("ambiguous", Type.BOOL, "Whether a second subject is as near; NULL in rows from before it was told."),
)
_REFUSAL = (
    Column("refusal_reason", Type.STRING, "Why the picture as a whole has no answer, e.g. no_face; NULL if it has."),
    Column("refusal_detail", Type.STRING, "The same as a sentence for people."),
)
_TIMINGS = (
    Column("produced_at", Type.TIMESTAMP, "Time stamp of the message that the producer sent."),
    Column("received_at", Type.TIMESTAMP, "When embed took the event into a micro-batch."),
    Column("embedded_at", Type.TIMESTAMP, "When embed sent its output."),
    Column("decode_ms", Type.FLOAT64, "Decoding the picture, as the share of its micro-batch."),
    Column("detect_ms", Type.FLOAT64, "Finding faces and their landmarks, likewise."),
    Column("align_ms", Type.FLOAT64, "Chips and quality, likewise."),
    Column("embed_ms", Type.FLOAT64, "Computing embeddings, likewise."),
    Column("queued_latency_ms", Type.FLOAT64, "From produced_at to received_at."),
    Column("embed_latency_ms", Type.FLOAT64, "From received_at to embedded_at."),
    Column("decide_latency_ms", Type.FLOAT64, "From embedded_at to the decision."),
    Column("decided_latency_ms", Type.FLOAT64, "From produced_at to the decision: what an application waits for."),
    Column("written_latency_ms", Type.FLOAT64, "From produced_at to written_at."),
)
_SOURCE = (
    Column("source_topic", Type.STRING, "Topic of the message that the event came in."),
    Column("source_partition", Type.INT64, "Its partition."),
    Column("source_offset", Type.INT64, "Its offset."),
)
_WRITTEN = (
    _needed("kafka_topic", Type.STRING, "Topic that this row was read from."),
    _needed("kafka_partition", Type.INT64, "Its partition."),
    _needed("kafka_offset", Type.INT64, "Its offset."),
    _needed("written_at", Type.TIMESTAMP, "When the sink sent this row."),
)
_REPLAY = (
    Column("replay_id", Type.STRING, "The replay that made this row; NULL for live."),
    Column("corrects", Type.BOOL, "Whether the replay's row takes the place of the live one in the views."),
)

MATCHES = Table(
    "matches",
    "The answer to each frame: every face with its decision. Live answers and those of replays (replay_id).",
    (
        _needed("event_id", Type.STRING, "Id of the frame, made by its producer."),
        _needed("user_id", Type.STRING, "Whose gallery was asked."),
        Column("camera_id", Type.STRING, "The camera."),
        Column("sequence", Type.INT64, "The frame's number; begins anew when the camera restarts."),
        Column("captured_at", Type.TIMESTAMP, "When the picture was taken, by the camera's clock."),
        _needed("matched_at", Type.TIMESTAMP, "When it was decided; the partition of the table."),
        Column("mode", Type.STRING, "The question: identify or verify."),
        Column("claimed_subject_id", Type.STRING, "With verify: the person claimed."),
        *_REFUSAL,
        _struct("faces", "The faces found, largest first.", _FACES, Mode.REPEATED),
        Column("model_version", Type.STRING, "The model that made the vectors."),
        Column("threshold_set", Type.STRING, "The threshold set that decided, e.g. fmr-1e-3."),
        Column("width", Type.INT64, "Width of the upright picture in pixels."),
        Column("height", Type.INT64, "Height in pixels."),
        *_TIMINGS,
        *_SOURCE,
        *_REPLAY,
        *_WRITTEN,
    ),
    decided_at="matched_at",
    event_time="captured_at",
)
_COMPARED = (
    Column("decision", Type.STRING, "What was answered: match, unknown or no_match."),
    Column("subject_id", Type.STRING, "Who was named, or NULL."),
    Column("margin", Type.FLOAT64, "1 less distance by threshold: 1 the same picture, negative beyond the threshold."),
    Column("shadow_decision", Type.STRING, "What the other version would have answered."),
    Column("shadow_subject_id", Type.STRING, "Whom it would have named, or NULL."),
    Column("shadow_margin", Type.FLOAT64, "Its margin."),
)
COMPARISONS = Table(
    "comparisons",
    "What a model version that decides beside says of a frame, during a rollout. It has no effect on any answer.",
    (
        _needed("comparison_id", Type.STRING, "Made from frame and version."),
        _needed("event_id", Type.STRING, "The frame."),
        _needed("user_id", Type.STRING, "Whose gallery was asked."),
        Column("camera_id", Type.STRING, "The camera."),
        Column("captured_at", Type.TIMESTAMP, "When the picture was taken, by the camera's clock."),
        _needed("compared_at", Type.TIMESTAMP, "When it was decided; the partition of the table."),
        Column("model_version", Type.STRING, "The version that answered."),
        Column("shadow_version", Type.STRING, "The version that decided beside."),
        Column("agrees", Type.BOOL, "Whether both say the same of every face."),
        _struct("faces", "The faces that were asked about, largest first.", _COMPARED, Mode.REPEATED),
        *_WRITTEN,
    ),
    decided_at="compared_at",
    event_id="comparison_id",
    event_time="captured_at",
)
ENROLMENTS = Table(
    "enrolments",
    "The outcome of each upload. Live outcomes and those of replays (replay_id).",
    (
        _needed("event_id", Type.STRING, "Id of the upload, made by its producer, and of its template."),
        _needed("user_id", Type.STRING, "Whose gallery it is."),
        Column("subject_id", Type.STRING, "Whom the upload was to enrol."),
        Column("created_at", Type.TIMESTAMP, "When the producer made the upload, by its clock."),
        _needed("decided_at", Type.TIMESTAMP, "When it was decided; the partition of the table."),
        Column("outcome", Type.STRING, "enrolled or refused."),
        *_REFUSAL,
        _struct("box", "Where the face is; NULL if there is no one face.", _BOX),
        _struct("quality", "How good the template is.", _QUALITY),
        Column("templates", Type.INT64, "Templates of the subject after this upload."),
        Column("repeats", Type.STRING, "Id of the upload that brought the same photo before; NULL: it is new."),
        Column("similar_subject_id", Type.STRING, "Another subject who would surely be recognised on it, or NULL."),
        Column("detail", Type.STRING, "What there is to say of an enrolment, as a sentence for people, or NULL."),
        Column("model_version", Type.STRING, "The model that made the template."),
        *_TIMINGS,
        *_SOURCE,
        *_REPLAY,
        *_WRITTEN,
    ),
    decided_at="decided_at",
    event_time="created_at",
)
DEAD_LETTERS = Table(
    "dead_letters",
    "Messages that could not be processed, and why. The original bytes, which may hold a picture, stay in Kafka.",
    (
        _needed(
            "letter_id", Type.STRING, "Made from topic, partition, offset and stage: the same failure is one letter."
        ),
        Column("user_id", Type.STRING, "The original key as text; NULL if there was none."),
        _needed("failed_at", Type.TIMESTAMP, "When it was given up; the partition of the table."),
        Column("stage", Type.STRING, "Which role gave up, e.g. embed."),
        Column("reason", Type.STRING, "A stable word for programs, e.g. unknown_schema."),
        Column("error_class", Type.STRING, "The class of the error."),
        Column("message", Type.STRING, "What was wrong and what to do."),
        Column("attempt", Type.INT64, "How many times it was tried."),
        Column("value_bytes", Type.INT64, "Length of the original value in bytes; NULL if there was none."),
        Column("value_sha256", Type.STRING, "SHA-256 of the original value, hexadecimal."),
        _struct(
            "headers",
            "The original headers in order.",
            (Column("name", Type.STRING, "Its name."), Column("value", Type.STRING, "Its value as text.")),
            Mode.REPEATED,
        ),
        *_SOURCE,
        *_WRITTEN,
    ),
    decided_at="failed_at",
    event_id="letter_id",
)
RESOLUTIONS = Table(
    "resolutions",
    "What became of dead letters: a replay is about to send the message back, or has.",
    (
        _needed("resolution_id", Type.STRING, "Made from letter, replay and state."),
        _needed("letter_id", Type.STRING, "The dead letter."),
        Column("replay_id", Type.STRING, "The replay of dead letters."),
        Column("state", Type.STRING, "sending or sent; sending, if nothing follows: it is not known whether it was."),
        Column("retries", Type.STRING, "The interrupted replay that this one takes the letter over from."),
        _needed("resolved_at", Type.TIMESTAMP, "When; the partition of the table."),
        Column("sent_topic", Type.STRING, "Topic that the message went back to."),
        Column("sent_partition", Type.INT64, "Its partition there."),
        Column("sent_offset", Type.INT64, "Its offset there."),
        *_WRITTEN,
    ),
    decided_at="resolved_at",
    event_id="resolution_id",
    cluster_by=("letter_id",),
)
DRIFT = Table(
    "drift",
    "How what each camera shows, and what a model makes of it, compare with their reference.",
    (
        _needed(
            "report_id", Type.STRING, "Made from camera, model version and frames: the same report has the same id."
        ),
        _needed("user_id", Type.STRING, "The owner of the camera."),
        Column("camera_id", Type.STRING, "The camera."),
        Column("model_version", Type.STRING, "The model that made the vectors."),
        Column("captured_at", Type.TIMESTAMP, "When the last of these frames was taken, by the camera's clock."),
        _needed("reported_at", Type.TIMESTAMP, "When it was compared; the partition of the table."),
        Column("frames", Type.INT64, "Frames of the camera since the report before."),
        Column("frames_in_all", Type.INT64, "Frames of the camera since its reference began."),
        Column("alarm", Type.BOOL, "Whether a measure alarms."),
        _struct(
            "measures",
            "The comparisons with the reference that were possible.",
            (
                Column("name", Type.STRING, "What is compared, e.g. sharpness, unknown_rate, margin, embedding."),
                Column("reference", Type.FLOAT64, "Mean of the reference; NULL of the embedding."),
                Column("current", Type.FLOAT64, "Mean of the last faces; NULL of the embedding."),
                Column("effect", Type.FLOAT64, "How much they differ; docs/drift.md says in what."),
                Column("p_value", Type.FLOAT64, "How often chance alone makes such a difference."),
                Column("alarm", Type.BOOL, "Whether this measure alarms."),
            ),
            Mode.REPEATED,
        ),
        *_WRITTEN,
    ),
    decided_at="reported_at",
    event_id="report_id",
)
FEEDBACK = Table(
    "feedback",
    "What people say of the faces of matches: who it is, or who it is not. Of several about one face the last counts.",
    (
        _needed("feedback_id", Type.STRING, "Made from face, statement and what it replaces."),
        _needed("event_id", Type.STRING, "Id of the frame."),
        _needed("user_id", Type.STRING, "Whose gallery was asked."),
        Column("face_number", Type.INT64, "Which face of the match, from 0, the largest; as in the view faces."),
        Column("statement", Type.STRING, "is or is_not."),
        Column("subject_id", Type.STRING, "The person it is said of."),
        Column("training", Type.BOOL, "Whether the face may be learned from, if the person agrees to that too."),
        Column("decision", Type.STRING, "What had been decided about the face."),
        Column("matched_subject_id", Type.STRING, "Whom it had been recognised as, or NULL."),
        Column("model_version", Type.STRING, "The model that had."),
        _struct("quality", "How good the face is.", _QUALITY),
        Column("replaces", Type.STRING, "The feedback_id of what was said of this face before, or NULL."),
        _needed("given_at", Type.TIMESTAMP, "When it was said; the partition of the table."),
        *_SOURCE,
        *_WRITTEN,
    ),
    decided_at="given_at",
    event_id="feedback_id",
)
TABLES = (MATCHES, COMPARISONS, ENROLMENTS, DEAD_LETTERS, RESOLUTIONS, DRIFT, FEEDBACK)
