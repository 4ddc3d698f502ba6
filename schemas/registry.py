"""The Avro schemas of this release and of every release before it, by fingerprint.

The file of each event is complete in itself, see :mod:`schemas.archive`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fastavro.schema

from schemas.access import ApiKey
from schemas.dead_letters import DeadLetter, Resolution
from schemas.drift import Drift, DriftSample
from schemas.embeddings import Embedding, Reembedding, TemplateBatch
from schemas.erasure import Erasure
from schemas.gallery import Template
from schemas.hooks import Hook, HookDelivery
from schemas.ingest import Frame, Upload
from schemas.learning import Chip, Feedback, TrainingRun
from schemas.replays import Replay
from schemas.results import Enrolment, Match
from schemas.rollout import Comparison, ModelRecord
from schemas.sightings import OpenSightings, Sighting

FOLDER = Path(__file__).parent
HISTORY = FOLDER / "history"
Event = (
    Upload
    | Frame
    | Embedding
    | Reembedding
    | TemplateBatch
    | Match
    | Comparison
    | Enrolment
    | Template
    | Chip
    | DeadLetter
    | Replay
    | Resolution
    | ModelRecord
    | Drift
    | DriftSample
    | Sighting
    | OpenSightings
    | TrainingRun
    | Feedback
    | Erasure
    | ApiKey
    | Hook
    | HookDelivery
)
"""Everything that can be the value of a Kafka message."""
EVENT_TYPES: dict[str, type[Event]] = {
    "upload": Upload,
    "frame": Frame,
    "embedding": Embedding,
    "reembedding": Reembedding,
    "template_batch": TemplateBatch,
    "match": Match,
    "comparison": Comparison,
    "enrolment": Enrolment,
    "template": Template,
    "chip": Chip,
    "dead_letter": DeadLetter,
    "replay": Replay,
    "resolution": Resolution,
    "model_record": ModelRecord,
    "drift": Drift,
    "drift_sample": DriftSample,
    "sighting": Sighting,
    "open_sightings": OpenSightings,
    "training_run": TrainingRun,
    "feedback": Feedback,
    "erasure": Erasure,
    "api_key": ApiKey,
    "hook": Hook,
    "hook_delivery": HookDelivery,
}
"""The class of each event, by the name of its schema file without the suffix."""


@dataclass(frozen=True, slots=True)
class Schema:
    """One version of the schema of one kind of event."""

    event_type: type[Event]
    parsed: dict[str, Any]
    fingerprint: bytes

    @property
    def header(self) -> bytes:
        """Avro's single-object marker and the fingerprint: the ten bytes before the body."""
        return b"\xc3\x01" + self.fingerprint


def _schema(event_type: type[Event], parsed: Any) -> Schema:
    canonical = fastavro.schema.to_parsing_canonical_form(parsed)
    # The hexadecimal text is in the byte order that the single-object encoding needs: little-endian.
    fingerprint = bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))
    return Schema(event_type, parsed, fingerprint)


def newest(event_type: type) -> Schema:
    """The schema that this release writes for a kind of event."""
    return _newest()[event_type]


@cache
def _newest() -> dict[type, Schema]:
    return {event_type: _load(name, event_type) for name, event_type in EVENT_TYPES.items()}


def _load(name: str, event_type: type[Event]) -> Schema:
    return _schema(event_type, fastavro.schema.load_schema(str(FOLDER / f"{name}.avsc")))


@cache
def kept() -> list[Schema]:
    """All schema versions that were ever committed; the oldest of each kind first."""
    paths = sorted(HISTORY.glob("*.avsc"), key=lambda path: (path.name.split(".")[0], int(path.name.split(".")[1])))
    return [
        _schema(EVENT_TYPES[path.name.split(".")[0]], fastavro.schema.parse_schema(json.loads(path.read_text("utf-8"))))
        for path in paths
    ]


@cache
def known() -> dict[bytes, Schema]:
    """All schemas that can be read, by fingerprint (8 bytes, little-endian)."""
    return {schema.fingerprint: schema for schema in [*kept(), *_newest().values()]}


def plain(schema: Schema) -> dict[str, Any]:
    """The schema in the form of a single ``.avsc`` file, with every type defined where it is first used."""
    return {key: value for key, value in schema.parsed.items() if not key.startswith("__")}
