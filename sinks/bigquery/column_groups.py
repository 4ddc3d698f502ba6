"""Columns that several tables have."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

from schemas.results import Enrolment, Match
from sinks.bigquery.columns import Computed, Declaration, Flattened, FromField, RowInput, Type, micros

_LIVE = "NULL for what a replay has sent again."


def _milliseconds(start: str, end: str) -> Callable[[RowInput], float]:
    """A function that computes the milliseconds between two times of the event."""
    started, ended = attrgetter(f"delivery.event.{start}"), attrgetter(f"delivery.event.{end}")
    return lambda row: (ended(row) - started(row)).total_seconds() * 1000


QUALITY = (
    *("score", "size", "sharpness", "brightness"),
    FromField("yaw", "Turn of the head in degrees, 0 is frontal."),
    "overall",
    FromField("blockiness", "How much JPEG's blocks show, about 0 to 2; NULL: not measured."),
    FromField("covered", "How surely mask, sunglasses or hand covers mouth or eyes, 0 to 1; NULL: cannot tell."),
    FromField("covered_part", "What is covered, if `covered` is 0.75 or more: eyes or mouth."),
)
FACES = (
    *("box", "landmarks", FromField("quality", columns=QUALITY)),
    FromField("decision", "match, unknown, no_match or refused."),
    "subject_id",
    FromField("reason", "Why refused or not matched, e.g. too_small; NULL if plainly decided."),
    "candidates",
    FromField("ambiguous", "Whether a second subject is as near; NULL in rows from before it was told."),
)
REFUSAL = Flattened(
    "refusal",
    "refusal_",
    (
        FromField("reason", "Why the picture as a whole has no answer, e.g. no_face; NULL if it has."),
        FromField("detail", "The same as a sentence for people."),
    ),
)
SOURCE_TOPIC = "Topic of the message that the event came in."
SOURCE = Flattened(
    "source",
    "source_",
    (
        FromField("topic", SOURCE_TOPIC),
        FromField("partition", "Its partition."),
        FromField("offset", "Its offset."),
    ),
)
REPLAY = (
    FromField("replay_id", "The replay that made this row; NULL for live."),
    FromField("corrects", "Whether the replay's row takes the place of the live one in the views."),
)
WRITTEN = (
    Computed(
        "kafka_topic",
        Type.STRING,
        "Topic that this row was read from.",
        attrgetter("delivery.partition.topic"),
        required=True,
    ),
    Computed(
        "kafka_partition", Type.INT64, "Its partition.", attrgetter("delivery.partition.partition"), required=True
    ),
    Computed("kafka_offset", Type.INT64, "Its offset.", attrgetter("delivery.offset"), required=True),
    Computed(
        "written_at",
        Type.TIMESTAMP,
        "When the sink sent this row.",
        lambda row: micros(row.written_at),
        required=True,
    ),
)


def timings(decided_at: str) -> tuple[Declaration, ...]:
    """The columns of the timings and latencies; ``decided_at`` is the field with the time of the decision."""
    produced, received, embedded = "timings.produced_at", "timings.received_at", "timings.embedded_at"

    def latency(name: str, description: str, start: str, end: str) -> Computed:
        compute = _milliseconds(start, end)
        return Computed(name, Type.FLOAT64, description, _if_live(compute) if start == produced else compute)

    return (
        Flattened(
            "timings",
            columns=(
                FromField("produced_at", "Time stamp of the message that the producer sent."),
                "received_at",
                "embedded_at",
                FromField("decode_ms", "Decoding the picture, as the share of its micro-batch."),
                FromField("detect_ms", "Finding faces and their landmarks, likewise."),
                FromField("align_ms", "Chips and quality, likewise."),
                FromField("embed_ms", "Computing embeddings, likewise."),
            ),
        ),
        latency("queued_latency_ms", f"From produced_at to received_at; {_LIVE}", produced, received),
        latency("embed_latency_ms", "From received_at to embedded_at.", received, embedded),
        latency("decide_latency_ms", "From embedded_at to the decision.", embedded, decided_at),
        latency(
            "decided_latency_ms",
            f"From produced_at to the decision: what an application waits for; {_LIVE}",
            produced,
            decided_at,
        ),
        Computed(
            "written_latency_ms",
            Type.FLOAT64,
            f"From produced_at to written_at; NULL where the row was backfilled, and {_LIVE}",
            _if_live(_written_latency),
        ),
    )


def _if_live(compute: Callable[[RowInput], float | None]) -> Callable[[RowInput], float | None]:
    """The same for live events, and None for those of a replay, which came long before it."""

    def computed(row: RowInput) -> float | None:
        event = row.delivery.event
        assert isinstance(event, Match | Enrolment)
        return compute(row) if event.replay_id is None else None

    return computed


def _written_latency(row: RowInput) -> float | None:
    if row.is_backfill:
        return None
    event = row.delivery.event
    assert isinstance(event, Match | Enrolment)
    return (micros(row.written_at) - micros(event.timings.produced_at)) / 1000
