"""Events as rows, in the protocol-buffer form that the Storage Write API takes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from schemas.events import (
    Box,
    Comparison,
    DeadLetter,
    Drift,
    Embedding,
    Enrolment,
    Feedback,
    Match,
    MatchedFace,
    Quality,
    Refusal,
    Resolution,
    Source,
    Timings,
)
from sinks.base import Delivery, Result
from sinks.bigquery.tables import (
    COMPARISONS,
    DEAD_LETTERS,
    DRIFT,
    ENROLMENTS,
    FEEDBACK,
    MATCHES,
    RESOLUTIONS,
    Column,
    Mode,
    Table,
    Type,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_Field = descriptor_pb2.FieldDescriptorProto
_PROTO_TYPES = {
    Type.STRING: _Field.TYPE_STRING,
    Type.BOOL: _Field.TYPE_BOOL,
    Type.INT64: _Field.TYPE_INT64,
    Type.FLOAT64: _Field.TYPE_DOUBLE,
    Type.TIMESTAMP: _Field.TYPE_INT64,
    Type.STRUCT: _Field.TYPE_MESSAGE,
}
_PROTO_LABELS = {
    Mode.REQUIRED: _Field.LABEL_REQUIRED,
    Mode.NULLABLE: _Field.LABEL_OPTIONAL,
    Mode.REPEATED: _Field.LABEL_REPEATED,
}


def micros(time: datetime) -> int:
    """Microseconds since 1970."""
    return (time - _EPOCH) // _MICROSECOND


@dataclass(frozen=True, slots=True)
class RowWriter:
    """Makes rows of one table; ``descriptor`` tells BigQuery how to read them."""

    table: Table
    descriptor: descriptor_pb2.DescriptorProto
    _message_class: Any
    _values: Callable[[Any], dict[str, Any]]

    def row(self, delivery: Delivery, written_at: datetime) -> bytes:
        """Serialise one row.

        Raises:
            ValueError: a text is not Unicode, or a number is out of its type's range.
            TypeError: likewise.
        """
        values = self._values(delivery.event)
        if "produced_at" in values:
            values["written_latency_ms"] = (micros(written_at) - values["produced_at"]) / 1000
        message = self._message_class(
            **values,
            kafka_topic=delivery.partition.topic,
            kafka_partition=delivery.partition.number,
            kafka_offset=delivery.offset,
            written_at=micros(written_at),
        )
        serialized: bytes = message.SerializeToString()
        return serialized


def row_writer(event_type: type[Result]) -> RowWriter:
    """The writer of the rows of a kind of event."""
    return _row_writer(_KINDS[event_type][0].name)


@cache
def _row_writer(table_name: str) -> RowWriter:
    table, values = next(kind for kind in _KINDS.values() if kind[0].name == table_name)
    descriptor = _descriptor("Row", table.columns)
    file = descriptor_pb2.FileDescriptorProto(name=f"{table.name}.proto", package=f"facestream.{table.name}")
    file.message_type.add().CopyFrom(descriptor)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    message_class = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.Row"))
    return RowWriter(table, descriptor, message_class, values)


def event_id(event: Result) -> str:
    """The id that makes the event's row unique, within its replay."""
    if isinstance(event, Resolution):
        return event.resolution_id
    if isinstance(event, Comparison):
        return event.comparison_id
    if isinstance(event, Drift):
        return event.report_id
    if isinstance(event, Feedback):
        return event.feedback_id
    return event.letter_id if isinstance(event, DeadLetter) else event.event_id


def replay_id(event: Result) -> str | None:
    """The replay that made the event, or None."""
    return event.replay_id if isinstance(event, Match | Enrolment | Embedding) else None


def event_time(event: Result) -> datetime | None:
    """The time that is the same however often the event comes, or None if there is none."""
    if isinstance(event, Match | Comparison):
        return event.captured_at
    return event.created_at if isinstance(event, Enrolment) else None


def _descriptor(name: str, columns: tuple[Column, ...]) -> descriptor_pb2.DescriptorProto:
    """A self-contained message type: its structs are nested in it, and named relative to it."""
    message = descriptor_pb2.DescriptorProto(name=name)
    for number, column in enumerate(columns, start=1):
        field = message.field.add(
            name=column.name, number=number, type=_PROTO_TYPES[column.type], label=_PROTO_LABELS[column.mode]
        )
        if column.type is Type.STRUCT:
            field.type_name = column.name.title()
            message.nested_type.add().CopyFrom(_descriptor(field.type_name, column.columns))
    return message


def _ms(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() * 1000


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")


def _box(box: Box) -> dict[str, float]:
    return {"x": box.x, "y": box.y, "width": box.width, "height": box.height}


def _quality(quality: Quality) -> dict[str, float | None]:
    return {
        "score": quality.score,
        "size": quality.size,
        "sharpness": quality.sharpness,
        "brightness": quality.brightness,
        "yaw": quality.yaw,
        "overall": quality.overall,
        "blockiness": quality.blockiness,
    }


def _timings(timings: Timings, decided_at: datetime) -> dict[str, Any]:
    return {
        "produced_at": micros(timings.produced_at),
        "received_at": micros(timings.received_at),
        "embedded_at": micros(timings.embedded_at),
        "decode_ms": timings.decode_ms,
        "detect_ms": timings.detect_ms,
        "align_ms": timings.align_ms,
        "embed_ms": timings.embed_ms,
        "queued_latency_ms": _ms(timings.produced_at, timings.received_at),
        "embed_latency_ms": _ms(timings.received_at, timings.embedded_at),
        "decide_latency_ms": _ms(timings.embedded_at, decided_at),
        "decided_latency_ms": _ms(timings.produced_at, decided_at),
    }


def _source(source: Source) -> dict[str, Any]:
    return {"source_topic": source.topic, "source_partition": source.partition, "source_offset": source.offset}


def _refusal(refusal: Refusal | None) -> dict[str, str]:
    return {"refusal_reason": refusal.reason, "refusal_detail": refusal.detail} if refusal else {}


def _face(face: MatchedFace) -> dict[str, Any]:
    return {
        "box": _box(face.box),
        "landmarks": face.landmarks,
        "quality": _quality(face.quality),
        "decision": face.decision.value,
        "subject_id": face.subject_id,
        "reason": face.reason,
        "candidates": [
            {"subject_id": one.subject_id, "similarity": one.similarity, "distance": one.distance, "fmr": one.fmr}
            for one in face.candidates
        ],
        "ambiguous": face.ambiguous,
    }


def _match(match: Match) -> dict[str, Any]:
    return {
        "event_id": match.event_id,
        "user_id": match.user_id,
        "camera_id": match.camera_id,
        "sequence": match.sequence,
        "captured_at": micros(match.captured_at),
        "matched_at": micros(match.matched_at),
        "mode": match.mode.value,
        "claimed_subject_id": match.subject_id,
        "faces": [_face(face) for face in match.faces],
        "model_version": match.model_version,
        "threshold_set": match.threshold_set,
        "width": match.width,
        "height": match.height,
        "replay_id": match.replay_id,
        "corrects": match.corrects,
        **_refusal(match.refusal),
        **_timings(match.timings, match.matched_at),
        **_source(match.source),
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "comparison_id": comparison.comparison_id,
        "event_id": comparison.event_id,
        "user_id": comparison.user_id,
        "camera_id": comparison.camera_id,
        "captured_at": micros(comparison.captured_at),
        "compared_at": micros(comparison.compared_at),
        "model_version": comparison.model_version,
        "shadow_version": comparison.shadow_version,
        "agrees": comparison.agrees,
        "faces": [
            {
                "decision": one.decision.value,
                "subject_id": one.subject_id,
                "margin": one.margin,
                "shadow_decision": one.shadow_decision.value,
                "shadow_subject_id": one.shadow_subject_id,
                "shadow_margin": one.shadow_margin,
            }
            for one in comparison.faces
        ],
    }


def _enrolment(enrolment: Enrolment) -> dict[str, Any]:
    return {
        "event_id": enrolment.event_id,
        "user_id": enrolment.user_id,
        "subject_id": enrolment.subject_id,
        "created_at": micros(enrolment.created_at),
        "decided_at": micros(enrolment.decided_at),
        "outcome": enrolment.outcome.value,
        "box": None if enrolment.box is None else _box(enrolment.box),
        "quality": None if enrolment.quality is None else _quality(enrolment.quality),
        "templates": enrolment.templates,
        "repeats": enrolment.repeats,
        "similar_subject_id": enrolment.similar_subject_id,
        "detail": enrolment.detail,
        "model_version": enrolment.model_version,
        "replay_id": enrolment.replay_id,
        "corrects": enrolment.corrects,
        **_refusal(enrolment.refusal),
        **_timings(enrolment.timings, enrolment.decided_at),
        **_source(enrolment.source),
    }


def _dead_letter(letter: DeadLetter) -> dict[str, Any]:
    return {
        "letter_id": letter.letter_id,
        "user_id": _text(letter.key),
        "failed_at": micros(letter.failed_at),
        "stage": letter.stage,
        "reason": letter.reason,
        "error_class": letter.error_class,
        "message": letter.message,
        "attempt": letter.attempt,
        "value_bytes": None if letter.value is None else len(letter.value),
        "value_sha256": None if letter.value is None else hashlib.sha256(letter.value).hexdigest(),
        "headers": [{"name": header.name, "value": _text(header.value)} for header in letter.headers],
        **_source(Source(letter.topic, letter.partition, letter.offset)),
    }


def _resolution(resolution: Resolution) -> dict[str, Any]:
    return {
        "resolution_id": resolution.resolution_id,
        "letter_id": resolution.letter_id,
        "replay_id": resolution.replay_id,
        "state": resolution.state.value,
        "retries": resolution.retries,
        "resolved_at": micros(resolution.resolved_at),
        "sent_topic": resolution.topic,
        "sent_partition": resolution.partition,
        "sent_offset": resolution.offset,
    }


def _drift(drift: Drift) -> dict[str, Any]:
    return {
        "report_id": drift.report_id,
        "user_id": drift.user_id,
        "camera_id": drift.camera_id,
        "model_version": drift.model_version,
        "captured_at": micros(drift.captured_at),
        "reported_at": micros(drift.reported_at),
        "frames": drift.frames,
        "frames_in_all": drift.frames_in_all,
        "alarm": drift.alarm,
        "measures": [
            {
                "name": one.name,
                "reference": one.reference,
                "current": one.current,
                "effect": one.effect,
                "p_value": one.p_value,
                "alarm": one.alarm,
            }
            for one in drift.measures
        ],
    }


def _feedback(feedback: Feedback) -> dict[str, Any]:
    return {
        "feedback_id": feedback.feedback_id,
        "event_id": feedback.event_id,
        "user_id": feedback.user_id,
        "face_number": feedback.face,
        "statement": feedback.statement.value,
        "subject_id": feedback.subject_id,
        "training": feedback.training,
        "decision": feedback.decision,
        "matched_subject_id": feedback.matched_subject_id,
        "model_version": feedback.model_version,
        "quality": _quality(feedback.quality),
        "replaces": feedback.replaces,
        "given_at": micros(feedback.given_at),
        **_source(feedback.source),
    }


_KINDS: dict[type[Result], tuple[Table, Callable[[Any], dict[str, Any]]]] = {
    Match: (MATCHES, _match),
    Comparison: (COMPARISONS, _comparison),
    Enrolment: (ENROLMENTS, _enrolment),
    DeadLetter: (DEAD_LETTERS, _dead_letter),
    Resolution: (RESOLUTIONS, _resolution),
    Drift: (DRIFT, _drift),
    Feedback: (FEEDBACK, _feedback),
}
